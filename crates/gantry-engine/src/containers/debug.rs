//! A shell with tools in a container that has none (`debug`).
//!
//! A process joins every namespace of the container, but has a root of its own, made of a
//! toolbox: an image, or a static busybox of the host. What it writes there is thrown away.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use gantry_supervisor::protocol::{ExecRequest, Toolbox};

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
    folder: PathBuf,
}

impl Drop for Debugging {
    fn drop(&mut self) {
        // Its mounts ended with the process. What cannot be removed goes with the next boot.
        drop(fs::remove_dir_all(&self.folder));
    }
}

impl Containers<'_> {
    /// Runs a command among tools in a running container: those of an image that is here, or a
    /// static busybox of the host. The container's root is at `/container`; its processes,
    /// network, host name and shared memory are the command's own.
    ///
    /// # Errors
    /// [`ContainerError::NotRunning`], [`ContainerError::NoToolbox`],
    /// [`ContainerError::NoImage`] and others.
    pub fn debug(
        &self,
        name: &str,
        image: Option<&str>,
        spec: &ExecSpec,
    ) -> Result<Debugging, ContainerError> {
        let (record, state, mut session) = self.running(name)?;
        let pid = state.pid.ok_or_else(|| ContainerError::NotRunning {
            name: name.to_owned(),
        })?;
        let id = random_id().map_err(file("read random numbers from", Path::new("the kernel")))?;
        let folder = self.engine.run_root().join("debug").join(id.short());
        let toolbox = self.toolbox(&folder, image)?;
        let made = || -> Result<Executing, ContainerError> {
            let mut of = record.clone();
            // Root's usual powers and a look into other processes; the latter also keeps the
            // container's processes from looking into these.
            (of.spec.cap_add, of.spec.cap_drop) = (vec!["SYS_PTRACE".to_owned()], Vec::new());
            of.process.env.retain(|entry| !entry.starts_with("PATH="));
            of.process.env.extend(toolbox.path.clone());
            let spec = ExecSpec {
                user: Some(spec.user.clone().unwrap_or_else(|| "0".to_owned())),
                working_dir: Some(spec.working_dir.clone().unwrap_or_else(|| CONTAINER.into())),
                ..spec.clone()
            };
            let process = self.process(&of, pid, &spec)?;
            let pid = session.exec(ExecRequest {
                process,
                attach: spec.attach,
                toolbox: Some(toolbox.parts),
            })?;
            Ok(Executing { pid, session })
        };
        match made() {
            Ok(executing) => Ok(Debugging { executing, folder }),
            Err(error) => {
                drop(fs::remove_dir_all(&folder));
                Err(error)
            }
        }
    }

    fn toolbox(&self, folder: &Path, image: Option<&str>) -> Result<Tools, ContainerError> {
        let (lowers, path) = match image {
            Some(name) => {
                let (_, config) = self.image(name)?;
                let mut lowers = self
                    .engine
                    .store()?
                    .layers()
                    .lowers(&config.rootfs.diff_ids)?;
                lowers.reverse();
                let path = config
                    .config
                    .env
                    .into_iter()
                    .find(|e| e.starts_with("PATH="));
                (lowers, path)
            }
            None => (vec![self.busybox()?], None),
        };
        let (upper, work) = (folder.join("upper"), folder.join("work"));
        make_folder(&upper, 0o755)?;
        make_folder(&work, 0o700)?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
            .map_err(file("protect", folder))?;
        fill(&upper, &lowers).map_err(file("prepare", &upper))?;
        Ok(Tools {
            path,
            parts: Toolbox {
                lowers,
                upper,
                work,
            },
        })
    }

    /// A folder with the host's static busybox under all its names, made once.
    fn busybox(&self) -> Result<PathBuf, ContainerError> {
        let found = BUSYBOX
            .iter()
            .map(Path::new)
            .find(|path| is_static(path).unwrap_or(false))
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

struct Tools {
    /// The variable of the image.
    path: Option<String>,
    parts: Toolbox,
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

/// Whether a program needs no interpreter (no `PT_INTERP` among its headers).
fn is_static(path: &Path) -> io::Result<bool> {
    const INTERPRETER: u32 = 3;
    let mut head = Vec::new();
    File::open(path)?.take(64 << 10).read_to_end(&mut head)?;
    let number = |at: usize, length: usize| -> Option<u64> {
        let bytes = head.get(at..at + length)?;
        Some(
            bytes
                .iter()
                .rev()
                .fold(0, |all, byte| all << 8 | u64::from(*byte)),
        )
    };
    let parse = || -> Option<bool> {
        // 64 bits, least significant byte first.
        if head.get(..6)? != b"\x7fELF\x02\x01" {
            return None;
        }
        let (start, size) = (usize::try_from(number(32, 8)?).ok()?, number(54, 2)?);
        let count = number(56, 2)?;
        for index in 0..count {
            let at = start.checked_add(usize::try_from(index * size).ok()?)?;
            if number(at, 4)? == u64::from(INTERPRETER) {
                return Some(false);
            }
        }
        Some(true)
    };
    Ok(parse().unwrap_or(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn static_programs_are_told_apart() {
        assert!(is_static(Path::new("/bin/busybox")).unwrap());
        assert!(!is_static(Path::new("/bin/sh")).unwrap());
        assert!(!is_static(Path::new("/etc/passwd")).unwrap());
        assert!(is_static(Path::new("/nonesuch")).is_err());
    }
}
