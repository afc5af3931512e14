//! Overlay file systems with any number of layers and any length of path.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use super::attributes::Attributes;
use super::context::FsContext;
use super::{Mount, MountError};

/// As many layers as the kernel takes.
pub const MOST_LOWERS: usize = 500;

/// A parameter longer than this is refused by the kernel.
const LONGEST: usize = 255;

/// The parts of an overlay.
#[derive(Debug, Clone, Copy)]
pub struct Overlay<'a> {
    /// The read-only directories, top first.
    pub lowers: &'a [PathBuf],
    /// The writable directory and the work directory beside it; `None` = a read-only overlay,
    /// which needs at least two lowers on older kernels.
    pub upper: Option<(&'a Path, &'a Path)>,
    /// Never sync to disk.
    pub volatile: bool,
    /// Keep the marks in `user.` instead of `trusted.` attributes, as it must be in a user
    /// namespace.
    pub user_attributes: bool,
}

impl Overlay<'_> {
    /// Makes the file system and a detached mount of it.
    pub fn mount(&self, attributes: Attributes) -> Result<Mount, MountError> {
        if self.lowers.len() > MOST_LOWERS {
            let source = io::Error::from_raw_os_error(libc::E2BIG);
            return Err(MountError::new("mount more than 500 layers", source));
        }
        match self.configure(&Lowers::OneByOne) {
            // Linux before 6.8 knows only the list, which must not be longer than 255 bytes.
            Err(error) if error.errno() == libc::EINVAL && !self.lowers.is_empty() => {
                match self.configure(&Lowers::List) {
                    Ok(context) => context.mount(attributes),
                    Err(_) => Err(error),
                }
            }
            other => other?.mount(attributes),
        }
    }

    fn configure(&self, lowers: &Lowers) -> Result<FsContext, MountError> {
        let context = FsContext::new(OsStr::new("overlay"))?;
        context.string("source", OsStr::new("overlay"))?;
        // Descriptors must stay open until the file system has been made.
        let mut opened = Vec::new();
        let mut short = |path: &Path| short_name(path, &mut opened);
        match lowers {
            Lowers::OneByOne => {
                for lower in self.lowers {
                    context.string("lowerdir+", &short(lower)?)?;
                }
            }
            Lowers::List => {
                let names = self
                    .lowers
                    .iter()
                    .map(|lower| short(lower).map(|name| escape(&name)))
                    .collect::<Result<Vec<_>, _>>()?;
                let list = names.join(OsStr::new(":"));
                context.string("lowerdir", &list)?;
            }
        }
        if let Some((upper, work)) = self.upper {
            // These two are unescaped by the kernel, unlike lowerdir+.
            context.string("upperdir", &escape(&short(upper)?))?;
            context.string("workdir", &escape(&short(work)?))?;
        }
        if self.volatile {
            context.flag("volatile")?;
        }
        if self.user_attributes {
            context.flag("userxattr")?;
        }
        context.create()?;
        Ok(context)
    }
}

enum Lowers {
    OneByOne,
    List,
}

/// The path itself if the kernel takes it, else a short name for the opened directory.
fn short_name(path: &Path, opened: &mut Vec<OwnedFd>) -> Result<OsString, MountError> {
    let bytes = path.as_os_str().as_bytes();
    if bytes.len() * 2 <= LONGEST || (bytes.len() <= LONGEST && !needs_escape(bytes)) {
        return Ok(path.as_os_str().to_owned());
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(path, flags, Mode::empty())
        .map_err(|errno| MountError::new("open the layer", errno))?;
    let name = format!("/proc/self/fd/{}", directory.as_raw_fd());
    opened.push(directory);
    Ok(name.into())
}

fn needs_escape(path: &[u8]) -> bool {
    path.iter().any(|byte| matches!(byte, b'\\' | b':' | b','))
}

/// Overlayfs splits at colons and unescapes backslashes.
fn escape(path: &OsStr) -> OsString {
    use std::os::unix::ffi::OsStringExt;
    let bytes = path.as_bytes();
    if !needs_escape(bytes) {
        return path.to_owned();
    }
    let mut escaped = Vec::with_capacity(bytes.len() + 8);
    for byte in bytes {
        if needs_escape(&[*byte]) {
            escaped.push(b'\\');
        }
        escaped.push(*byte);
    }
    OsString::from_vec(escaped)
}
