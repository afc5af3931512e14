//! Tools beside the files of a container that does not run.
//!
//! The tools run in a container of their own, which is removed at their end: its root is theirs,
//! and at `/container` stand the layers of the other one, read-only, its writable one on top.

use gantry_model::container::{LogConfig, NetworkMode};
use gantry_model::image::ProcessConfig;
use gantry_model::record::{ResolvedMount, ResolvedMountKind};
use gantry_model::{ContainerRecord, ContainerSpec};

use super::super::error::ContainerError;
use super::super::exec::{ExecSpec, Executing};
use super::super::folders::Folders;
use super::super::spec::mounts::ImageFolders;
use super::super::start::StartOptions;
use super::super::{Containers, host, spec as document, userns};
use super::{CONTAINER, Debugging, Kept, Tools};

impl Containers<'_> {
    /// Runs a command among tools that sees the files of a container which does not run.
    pub(super) fn debug_stopped(
        &self,
        record: &ContainerRecord,
        image: Option<&str>,
        spec: &ExecSpec,
    ) -> Result<Debugging, ContainerError> {
        let folders = Folders::of(self.engine, &record.id);
        let lock = folders.try_lock()?.ok_or_else(|| ContainerError::Busy {
            name: record.name.clone(),
        })?;
        let tools = self.tools(image)?;
        let mut files = self.engine.store()?.layers().lowers(&record.layers)?;
        let who = self.by_files(record, spec, &folders, &files)?;
        files.push(folders.upper());
        let draft = draft(record, spec, &tools, who);
        let prepared = self.prepare_like(draft, tools.lowers)?;
        let options = StartOptions {
            attach: spec.attach,
            window: spec.window,
        };
        let shown = ImageFolders::from([(CONTAINER.to_owned(), files)]);
        let (pid, session) = self.start_prepared(prepared, shown, options)?;
        Ok(Debugging {
            executing: Executing { pid, session },
            kept: Kept::Stopped { _lock: lock },
        })
    }

    /// The numbers of who was asked for, by the files of the container.
    fn by_files(
        &self,
        record: &ContainerRecord,
        spec: &ExecSpec,
        folders: &Folders,
        lowers: &[std::path::PathBuf],
    ) -> Result<String, ContainerError> {
        let mut of = record.clone();
        of.process.user = spec.user.clone().unwrap_or_else(|| "0".to_owned());
        let user = self.user(&of, &folders.upper(), lowers)?;
        let numbers = match userns::on_disk(record) {
            Some(own) if user.uid != 0 => own.outside(user.uid, user.gid),
            _ => None,
        };
        let (uid, gid) = numbers.unwrap_or((user.uid, user.gid));
        Ok(format!("{uid}:{gid}"))
    }
}

/// The document of the tools' container: of the other one it has what its files and a look at
/// its surroundings need.
fn draft(
    record: &ContainerRecord,
    asked: &ExecSpec,
    tools: &Tools,
    user: String,
) -> ContainerRecord {
    let mut env = record.process.env.clone();
    env.retain(|variable| !variable.starts_with("PATH="));
    env.extend(tools.path.clone());
    env.extend(asked.env.iter().cloned());
    let stdin = asked.attach.is_some_and(|attach| attach.stdin);
    let process = ProcessConfig {
        user,
        env,
        working_dir: asked
            .working_dir
            .clone()
            .unwrap_or_else(|| CONTAINER.to_owned()),
        ..ProcessConfig::default()
    };
    let spec = ContainerSpec {
        image: record.spec.image.clone(),
        hostname: Some(document::hostname(record, &host::name()).to_owned()),
        network: match &record.spec.network {
            // The other one may not run either.
            NetworkMode::Container(_) => NetworkMode::None,
            own => own.clone(),
        },
        dns: record.spec.dns.clone(),
        dns_search: record.spec.dns_search.clone(),
        dns_options: record.spec.dns_options.clone(),
        userns_mode: record.spec.userns_mode.clone(),
        // A look into what belongs to others.
        cap_add: vec!["SYS_PTRACE".to_owned()],
        interactive: stdin,
        stdin_once: stdin,
        tty: asked.tty,
        init: true,
        auto_remove: true,
        log: LogConfig {
            driver: "none".to_owned(),
            ..LogConfig::default()
        },
        ..ContainerSpec::default()
    };
    ContainerRecord {
        spec,
        process,
        args: asked.command.clone(),
        healthcheck: None,
        mounts: vec![ResolvedMount {
            target: CONTAINER.to_owned(),
            read_only: true,
            kind: ResolvedMountKind::Image {
                image: record.image_name.clone(),
                image_id: record.image_id,
                layers: record.layers.clone(),
                subpath: None,
            },
        }],
        // The tools are nobody's layers, and what they look at is there by the host's numbers.
        id_ranges: match userns::on_disk(record) {
            None => record.id_ranges.clone(),
            Some(_) => None,
        },
        ..record.clone()
    }
}
