//! Bringing a container back from disk.

use std::fs::{self, File};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use gantry_runtime::hooks::{HookError, Hooks, Turn};
use gantry_runtime::{CgroupHandle, ContainerState, Running, Status};
use gantry_sys::process::Process;
use oci_spec::runtime::{LinuxNamespaceType, Spec};

use crate::attach::Attachment;
use crate::bundle::Bundle;
use crate::checkpoint::{
    DESCRIPTORS, configure, criu_name, external_key, joined_namespaces, ready_folders,
};
use crate::console;
use crate::container::{Container, write_atomically};
use crate::create::{Kind as Creation, name_cgroup, record, stdio};
use crate::criu::{CriuRequest, Kind, Options, Place, Session};
use crate::delete::destroy;
use crate::error::OciError;
use crate::kill::KILL;
use crate::root::Root;

/// A container to bring back.
#[derive(Debug, Clone)]
pub struct Restore<'a> {
    /// Its identifier.
    pub id: &'a str,
    /// Its bundle.
    pub bundle: &'a Path,
    /// The socket that the master side of its terminal is sent to.
    pub console_socket: Option<&'a Path>,
    /// Where to write the process ID of its first process.
    pub pid_file: Option<&'a Path>,
    /// How to.
    pub criu: CriuRequest,
    /// Leave when it is there.
    pub detach: bool,
}

const LOG: &str = "restore.log";
/// Where in the container's state folder its root file system is for criu.
const PLACE: &str = "criu-root";

/// Brings a container back from disk under a new identifier. Detached, this ends when it is
/// there; else with the container, whose exit code it returns, and which is deleted then.
pub fn restore(root: &Root, request: &Restore<'_>) -> Result<(i32, Vec<HookError>), OciError> {
    let program = request.criu.program("restore")?;
    let mut bundle = Bundle::read(request.bundle)?;
    let hooks = Hooks::of(bundle.spec.hooks().as_ref())?;
    let creation = match request.detach {
        true => Creation::Detached,
        false => Creation::Attached,
    };
    stdio(&bundle.spec, request.console_socket, creation)?;
    name_cgroup(&mut bundle.spec, request.id, false);
    let rootfs = bundle.rootfs()?;
    ready_folders(&request.criu, LOG, false)?;
    let folder = root.reserve(request.id)?;
    let mut container = Container::open(request.id, folder)?;
    container.lock()?;
    let state = ContainerState::creating(request.id, bundle.path.clone(), &bundle.spec);
    let mut back = Back {
        request,
        bundle: &bundle,
        hooks: &hooks,
        state: &state,
        container: &mut container,
        cgroup: None,
        terminal: None,
        pid: None,
    };
    let running = match back.bring(&program, &rootfs) {
        Ok(running) => running,
        Err(error) => {
            back.undo();
            container.forget().ok();
            // The first failure is the one to tell.
            hooks.run_all(Turn::Poststop, &state.at(Status::Stopped, 0));
            return Err(error);
        }
    };
    let terminal = back.terminal.take();
    if request.detach {
        return Ok((0, Vec::new()));
    }
    let ended = Attachment::new()
        .and_then(|attachment| attachment.stay(&running, terminal))
        .map_err(OciError::system("wait for the container"));
    let hooks = destroy(&container)?;
    Ok((ended?, hooks))
}

/// A container on its way back.
struct Back<'a> {
    request: &'a Restore<'a>,
    bundle: &'a Bundle,
    hooks: &'a Hooks,
    state: &'a ContainerState,
    container: &'a mut Container,
    cgroup: Option<CgroupHandle>,
    terminal: Option<OwnedFd>,
    pid: Option<i32>,
}

impl Back<'_> {
    fn bring(&mut self, program: &Path, rootfs: &Path) -> Result<Running, OciError> {
        let spec = &self.bundle.spec;
        let criu = &self.request.criu;
        self.container.keep_config(&self.bundle.bytes)?;
        let at = self.container.make_folder(PLACE)?;
        gantry_runtime::make_mount_points(spec, rootfs)?;
        self.cgroup = gantry_runtime::make_cgroup(spec)?;
        let namespaces = joined(spec)?;
        let inherited: Vec<_> = namespaces.iter().map(|(_, file)| file.as_fd()).collect();
        let cgroup = self.cgroup.as_ref();
        let entrance = cgroup.map(CgroupHandle::entrance).transpose();
        let entrance = entrance.map_err(OciError::cgroup("open"))?;
        let place = Place {
            rootfs,
            at: &at,
            entrance: entrance.as_ref(),
        };
        let session = Session::start(program, criu, LOG, Some(place), &inherited)?;
        let mut options = session.options(criu);
        options.bring_back();
        options.root(&at);
        describe(&mut options, spec, &namespaces)?;
        inherit_streams(&mut options, &criu.images)?;
        if self.cgroup.is_some() {
            name_cgroups(session.pid(), &mut options)?;
        }
        let restored = session.obey(Kind::Restore, &options, |notice, file| {
            match (notice.event.as_str(), file) {
                ("setup-namespaces", _) => self.set_up(notice.pid)?,
                ("orphan-pts-master", Some(master)) => self.show(master)?,
                ("post-restore", _) => self.is_there(notice.pid, rootfs)?,
                _ => {}
            }
            Ok(())
        })?;
        let gone = || OciError::NotRunning {
            id: self.request.id.to_owned(),
            action: "restore",
        };
        let pid = restored.or(self.pid).ok_or_else(gone)?;
        Running::adopt(pid, self.cgroup.clone())
            .map_err(OciError::system("take hold of the container"))
    }

    /// The namespaces are there, the processes are not.
    fn set_up(&self, pid: Option<i32>) -> Result<(), OciError> {
        let state = self.state.at(Status::Creating, pid.unwrap_or_default());
        self.hooks.run(Turn::Prestart, &state)?;
        Ok(self.hooks.run(Turn::CreateRuntime, &state)?)
    }

    fn show(&mut self, master: OwnedFd) -> Result<(), OciError> {
        match self.request.console_socket {
            Some(socket) => console::send(socket, &master),
            None => {
                self.terminal = Some(master);
                Ok(())
            }
        }
    }

    /// The processes are there and about to go on.
    fn is_there(&mut self, pid: Option<i32>, rootfs: &Path) -> Result<(), OciError> {
        let Some(pid) = pid else {
            return Ok(());
        };
        self.pid = Some(pid);
        let cgroup = self.cgroup.as_ref();
        if let Some(cgroup) = cgroup {
            gantry_runtime::restrict_devices(&self.bundle.spec, cgroup)?;
        }
        let record = record(self.request.id, self.bundle, rootfs.to_owned(), pid, cgroup)?;
        self.container.remember(record)?;
        match self.request.pid_file {
            Some(file) => write_atomically(file, pid.to_string().as_bytes(), 0o644),
            None => Ok(()),
        }
    }

    /// Ends what has come back, and removes what was made for it.
    fn undo(&self) {
        if let Some(Ok(process)) = self.pid.map(Process::open) {
            process.signal(KILL).ok();
            process.wait().ok();
        }
        if let Some(cgroup) = &self.cgroup {
            cgroup.kill_all().ok();
            cgroup.remove();
        }
    }
}

/// The namespaces that criu joins by a descriptor, by what they are called on disk.
fn joined(spec: &Spec) -> Result<Vec<(&'static str, File)>, OciError> {
    let taken =
        joined_namespaces(spec).filter_map(|(kind, path)| Some((external_key(kind)?, path)));
    taken
        .map(|(key, path)| Ok((key, File::open(path).map_err(OciError::file("open", path))?)))
        .collect()
}

/// What of the container is found outside it.
fn describe(
    options: &mut Options,
    spec: &Spec,
    namespaces: &[(&str, File)],
) -> Result<(), OciError> {
    configure(options, spec);
    for mount in gantry_runtime::external_mounts(spec)? {
        options.external_mount(&mount, &mount.source);
    }
    for (key, file) in namespaces {
        options.inherit(key, file.as_raw_fd());
    }
    for (kind, path) in joined_namespaces(spec) {
        match kind {
            LinuxNamespaceType::Cgroup => {
                return Err(OciError::Contradiction {
                    reason: "a container that joined a cgroup namespace cannot be restored: criu \
                        does not join them",
                });
            }
            kind if external_key(kind).is_none() => options.join(criu_name(kind), path),
            _ => {}
        }
    }
    Ok(())
}

/// The pipes among the standard streams are those of this process from now on.
fn inherit_streams(options: &mut Options, images: &Path) -> Result<(), OciError> {
    let path = images.join(DESCRIPTORS);
    let streams: Vec<String> = crate::bundle::read_document(&path)?;
    for (number, stream) in (0..3).zip(&streams) {
        if stream.starts_with("pipe:") {
            options.inherit(stream, number);
        }
    }
    Ok(())
}

/// Says where the cgroups are that criu is in already: what it makes is there too.
fn name_cgroups(pid: i32, options: &mut Options) -> Result<(), OciError> {
    let path = format!("/proc/{pid}/cgroup");
    let text = fs::read_to_string(&path).map_err(OciError::file("read", path))?;
    for (controllers, path) in memberships(&text) {
        for controller in controllers.split(',') {
            options.cgroup_root(controller, path);
        }
    }
    Ok(())
}

/// The controllers of each hierarchy, with the path of a process's cgroup in it (cgroups(7)).
fn memberships(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines()
        .filter_map(|line| line.split_once(':')?.1.split_once(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memberships_are_read() {
        let text = "9:name=systemd:/a\n4:cpu,cpuacct:/b:c\n0::/d\n";
        let read: Vec<_> = memberships(text).collect();
        assert_eq!(
            read,
            [("name=systemd", "/a"), ("cpu,cpuacct", "/b:c"), ("", "/d")]
        );
    }
}
