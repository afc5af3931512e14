//! A shell with tools in a container that has none (`debug`).
//!
//! A process joins every namespace of the container, but has a root of its own, made of a
//! toolbox: an image, or a static busybox of the host. What it writes there is thrown away.

mod stopped;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use gantry_model::record::Status;
use gantry_supervisor::protocol::{ExecRequest, Toolbox};
use gantry_sys::elf;

use super::error::{ContainerError, file};
use super::exec::{ExecSpec, Executing};
use super::folders::make_folder;
use super::{Containers, random_id};

/// Where the container's root is seen among the tools.
const CONTAINER: &str = "/container";
/// Places the tools need to have.
const FOLDERS: [&str; 7] = ["container", "dev", "proc", "sys", "tmp", "root", "etc"];
/// Empty files that the container's own are shown on.
const FILES: [&str; 2] = ["etc/hosts", "etc/resolv.conf"];
/// Where a static busybox is looked for.
const BUSYBOX: [&str; 4] = [
    "/bin/busybox",
    "/usr/bin/busybox",
    "/usr/local/bin/busybox",
    "/bin/busybox.static",
];

/// A process among tools in a container.
#[derive(Debug)]
pub struct Debugging {
    /// Its streams and its end.
    pub executing: Executing,
    kept: Kept,
}

/// What lasts as long as the process.
#[derive(Debug)]
enum Kept {
    /// What it writes among the tools.
    Folder(PathBuf),
    /// Nobody starts or removes the container whose files it sees.
    Stopped { _lock: File },
}

impl Drop for Debugging {
    fn drop(&mut self) {
        if let Kept::Folder(folder) = &self.kept {
            // Its mounts ended with the process. What cannot be removed goes with the next boot.
            drop(fs::remove_dir_all(folder));
        }
    }
}

impl Containers<'_> {
    /// Runs a command among tools in a container: those of `image`, of the image that the
    /// configuration names, or a static busybox of the host. The container's root is at
    /// `/container`. While it runs, its processes, network, host name and shared memory are the
    /// command's own; of one that is stopped there are the files alone, read-only.
    ///
    /// # Errors
    /// [`ContainerError::NoToolbox`], [`ContainerError::NoImage`] and others.
    pub fn debug(
        &self,
        name: &str,
        image: Option<&str>,
        spec: &ExecSpec,
    ) -> Result<Debugging, ContainerError> {
        let image = image.or(self.engine.config().debug_image.as_deref());
        let (record, state) = self.look(name)?;
        if matches!(state.status, Status::Created | Status::Exited) {
            return self.debug_stopped(&record, image, spec);
        }
        let (record, state, mut session) = self.running(name)?;
        let pid = state.pid.ok_or_else(|| ContainerError::NotRunning {
            name: name.to_owned(),
        })?;
        let id = random_id().map_err(file("read random numbers from", Path::new("the kernel")))?;
        let folder = self.engine.run_root().join("debug").join(id.short());
        let tools = self.tools(image)?;
        let parts = toolbox(&folder, &tools)?;
        let made = || -> Result<Executing, ContainerError> {
            let mut of = record.clone();
            // Root's usual powers and a look into other processes; the latter also keeps the
            // container's processes from looking into these.
            (of.spec.cap_add, of.spec.cap_drop) = (vec!["SYS_PTRACE".to_owned()], Vec::new());
            of.process.env.retain(|entry| !entry.starts_with("PATH="));
            of.process.env.extend(tools.path.clone());
            let spec = ExecSpec {
                user: Some(spec.user.clone().unwrap_or_else(|| "0".to_owned())),
                working_dir: Some(spec.working_dir.clone().unwrap_or_else(|| CONTAINER.into())),
                ..spec.clone()
            };
            let process = self.process(&of, pid, &spec)?;
            let pid = session.exec(ExecRequest {
                process,
                attach: spec.attach,
                toolbox: Some(parts),
            })?;
            Ok(Executing { pid, session })
        };
        match made() {
            Ok(executing) => Ok(Debugging {
                executing,
                kept: Kept::Folder(folder),
            }),
            Err(error) => {
                drop(fs::remove_dir_all(&folder));
                Err(error)
            }
        }
    }

    /// The files of the tools.
    fn tools(&self, image: Option<&str>) -> Result<Tools, ContainerError> {
        let Some(name) = image else {
            return Ok(Tools {
                path: None,
                lowers: vec![self.busybox()?],
            });
        };
        let (_, config) = self.image(name, None)?;
        let layers = self.engine.store()?.layers();
        let mut variables = config.config.env.into_iter();
        Ok(Tools {
            path: variables.find(|variable| variable.starts_with("PATH=")),
            lowers: layers.lowers(&config.rootfs.diff_ids)?,
        })
    }

    /// A folder with the host's static busybox under all its names, made once.
    fn busybox(&self) -> Result<PathBuf, ContainerError> {
        let found = BUSYBOX
            .iter()
            .map(Path::new)
            .find(|path| elf::is_static(path).unwrap_or(false))
            .ok_or(ContainerError::NoToolbox)?;
        let folder = self.engine.run_root().join("toolbox");
        if folder.join("bin/sh").exists() {
            return Ok(folder);
        }
        let aside = folder.with_extension(format!("{}", std::process::id()));
        let make = || -> io::Result<()> {
            let bin = aside.join("bin");
            fs::create_dir_all(&bin)?;
            fs::copy(found, bin.join("busybox"))?;
            let names = Command::new(found).arg("--list").output()?.stdout;
            for name in String::from_utf8_lossy(&names).lines() {
                if name != "busybox" && !name.contains('/') {
                    symlink("busybox", bin.join(name))?;
                }
            }
            match fs::rename(&aside, &folder) {
                // Somebody else made it at the same time.
                Err(_) if folder.join("bin/sh").exists() => fs::remove_dir_all(&aside),
                other => other,
            }
        };
        make().map_err(file("make", &folder))?;
        Ok(folder)
    }
}

/// Programs beside which a container is looked at.
struct Tools {
    /// The variable of the image.
    path: Option<String>,
    /// The folders of its layers, base first.
    lowers: Vec<PathBuf>,
}

/// A writable layer for the tools in a running container.
fn toolbox(folder: &Path, tools: &Tools) -> Result<Toolbox, ContainerError> {
    let lowers: Vec<PathBuf> = tools.lowers.iter().rev().cloned().collect();
    let (upper, work) = (folder.join("upper"), folder.join("work"));
    make_folder(&upper, 0o755)?;
    make_folder(&work, 0o700)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
        .map_err(file("protect", folder))?;
    fill(&upper, &lowers).map_err(file("prepare", &upper))?;
    Ok(Toolbox {
        lowers,
        upper,
        work,
    })
}

/// Makes what the tools lack to show the container's files on.
fn fill(upper: &Path, lowers: &[PathBuf]) -> io::Result<()> {
    let there = |path: &str| {
        let mut layers = lowers.iter();
        layers.any(|lower| fs::symlink_metadata(lower.join(path)).is_ok())
    };
    for path in FOLDERS.iter().filter(|path| !there(path)) {
        fs::create_dir(upper.join(path))?;
    }
    let folder = upper.join("etc");
    if !folder.exists() && FILES.iter().any(|path| !there(path)) {
        fs::create_dir(&folder)?;
    }
    for path in FILES.iter().filter(|path| !there(path)) {
        File::create(upper.join(path))?;
    }
    Ok(())
}
