//! Overlays by fuse-overlayfs, where the kernel mounts none in a user namespace: Linux before 5.13,
//! and writable layers on file systems that it does not take (NFS, an overlay over another).

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use super::overlay::{Overlay, escape};
use super::{Attributes, Change, Mount, MountError};

/// Debian's package has its name.
const PROGRAM: &str = "fuse-overlayfs";

/// Whether another implementation may have what the kernel has not.
pub(super) fn may_help(refused: &MountError) -> bool {
    let errno = refused.source.raw_os_error().unwrap_or_default();
    [libc::EPERM, libc::EINVAL, libc::ENODEV, libc::EOPNOTSUPP].contains(&errno)
}

/// Has the program mount an overlay that the kernel refused, for a moment on its own upper
/// directory; it serves until the mount is gone from everywhere.
pub(super) fn mount(
    overlay: &Overlay<'_>,
    attributes: Attributes,
    mut refused: MountError,
) -> Result<Mount, MountError> {
    let lacks = !overlay.data.is_empty() || overlay.label.is_some();
    if lacks {
        let detail = format!("and {PROGRAM} has neither data directories nor labels");
        refused.log.push(detail);
        return Err(refused);
    }
    let mut read_only = None;
    let place = match (overlay.upper, overlay.lowers) {
        (Some((upper, _)), _) => upper,
        (None, [top, ..]) => {
            read_only = Some(",ro");
            top.as_path()
        }
        (None, []) => return Err(refused),
    };
    let mut options = OsString::from("lowerdir=");
    for (index, lower) in overlay.lowers.iter().enumerate() {
        if index > 0 {
            options.push(":");
        }
        options.push(escape(lower.as_os_str()));
    }
    if let Some((upper, work)) = overlay.upper {
        for (key, path) in [(",upperdir=", upper), (",workdir=", work)] {
            options.push(key);
            options.push(escape(path.as_os_str()));
        }
    }
    for flag in [overlay.volatile.then_some(",volatile"), read_only] {
        options.push(flag.unwrap_or_default());
    }
    if let Err(said) = run(&options, place) {
        refused.log.push(said);
        return Err(refused);
    }
    let mount = Mount::copy_of(place, false);
    super::detach(place)?;
    let mount = mount?;
    let change = Change {
        set: attributes,
        ..Change::default()
    };
    if !change.is_empty() {
        mount.change(&change, false)?;
    }
    Ok(mount)
}

/// Returns when the mount is there; what the program says otherwise.
fn run(options: &OsString, place: &Path) -> Result<(), String> {
    let answer = Command::new(PROGRAM)
        .arg("-o")
        .arg(options)
        .arg(place)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .output();
    match answer {
        Ok(answer) if answer.status.success() => Ok(()),
        Ok(answer) => {
            let said = String::from_utf8_lossy(&answer.stderr);
            let last = said.lines().rfind(|line| !line.trim().is_empty());
            Err(last.unwrap_or(PROGRAM).to_owned())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(format!(
            "the kernel mounts no overlay here; install {PROGRAM}, which does"
        )),
        Err(error) => Err(format!("{PROGRAM}: {error}")),
    }
}
