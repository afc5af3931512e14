//! Overlay file systems with any number of layers and any length of path.

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::mount::MountFlags;

use super::attributes::{Attributes, Change};
use super::context::FsContext;
use super::{Mount, MountError, program};

/// As many layers as the kernel takes.
pub const MOST_LOWERS: usize = 500;

/// A parameter longer than this is refused by the kernel.
const LONGEST: usize = 255;

/// The parts of an overlay.
#[derive(Debug, Clone, Copy, Default)]
pub struct Overlay<'a> {
    /// The read-only directories, top first.
    pub lowers: &'a [PathBuf],
    /// Directories that files of `lowers` name as the places of their contents, by the attributes
    /// `overlay.metacopy` and `overlay.redirect`. Needs Linux 6.8, in a user namespace 6.16.
    pub data: &'a [PathBuf],
    /// The writable directory and the work directory beside it; `None` = a read-only overlay,
    /// which needs at least two lowers on older kernels.
    pub upper: Option<(&'a Path, &'a Path)>,
    /// Never sync to disk.
    pub volatile: bool,
    /// The SELinux label of all files.
    pub label: Option<&'a str>,
    /// Have fuse-overlayfs mount it in a user namespace in which the kernel refuses. Not from
    /// within a container: the program is one more process there, and has the layers open.
    pub or_program: bool,
}

/// Whether the marks are kept in `user.` instead of `trusted.` attributes: in a user namespace
/// nobody can write the latter, nor even see them.
fn user_attributes() -> bool {
    !crate::process::is_in_initial_user_namespace()
}

impl Overlay<'_> {
    /// The trees of layers, top first, merged for reading: at least two `lowers`, or one and
    /// `data`. Mounted as by [`Overlay::mount`], with the program's help where the kernel refuses.
    pub fn to_read(lowers: &[PathBuf], data: &[PathBuf]) -> Result<Mount, MountError> {
        let overlay = Overlay {
            lowers,
            data,
            or_program: true,
            ..Overlay::default()
        };
        overlay.mount(Attributes::READ_ONLY)
    }

    /// Makes the file system and a detached mount of it. On Linux before 6.8, and by a program, it
    /// is for a moment mounted on its own upper directory, and the working directory is for a
    /// moment another: call it in a mount namespace of one's own, from a process with one thread.
    pub fn mount(&self, attributes: Attributes) -> Result<Mount, MountError> {
        match self.by_kernel(attributes) {
            Err(refused) if self.or_program && user_attributes() && program::may_help(&refused) => {
                program::mount(self, attributes, refused)
            }
            answer => answer,
        }
    }

    fn by_kernel(&self, attributes: Attributes) -> Result<Mount, MountError> {
        if self.lowers.len() > MOST_LOWERS {
            let source = io::Error::from_raw_os_error(libc::E2BIG);
            return Err(MountError::new("mount more than 500 layers", source));
        }
        match self.configure() {
            Ok(context) => context.mount(attributes),
            // Layers can be given one by one since Linux 6.8; before 6.5 the kernel takes any
            // parameter and refuses them all in the end.
            Err((error, "lowerdir+")) if error.errno() == libc::EINVAL => self.classic(attributes),
            Err((error, "create"))
                if error.errno() == libc::EINVAL && crate::system::kernel_version() < (6, 8) =>
            {
                self.classic(attributes)
            }
            Err((error, _)) => Err(error),
        }
    }

    /// Sets every parameter; on failure says which one failed.
    fn configure(&self) -> Result<FsContext, (MountError, &'static str)> {
        let at = |key| move |error| (error, key);
        let context = FsContext::new(OsStr::new("overlay")).map_err(at("type"))?;
        let set = |key, value: &OsStr| context.string(key, value).map_err(at(key));
        set("source", OsStr::new("overlay"))?;
        // Descriptors must stay open until the file system has been made.
        let mut opened = Vec::new();
        let mut short = |path: &Path, key| short_name(path, &mut opened).map_err(at(key));
        for lower in self.lowers {
            set("lowerdir+", &short(lower, "lower")?)?;
        }
        for data in self.data {
            set("datadir+", &short(data, "data")?)?;
        }
        if let Some((upper, work)) = self.upper {
            // These two are unescaped by the kernel, unlike lowerdir+.
            set("upperdir", &escape(&short(upper, "upper")?))?;
            set("workdir", &escape(&short(work, "work")?))?;
        }
        for (wanted, key) in [
            (self.volatile, "volatile"),
            (user_attributes(), "userxattr"),
        ] {
            if wanted {
                context.flag(key).map_err(at(key))?;
            }
        }
        if let Some(label) = self.label {
            set("context", OsStr::new(label))?;
        }
        context.create().map_err(at("create"))?;
        Ok(context)
    }

    /// By mount(2), whose options all have to fit into one page: the directories are opened, and
    /// named by their numbers in `/proc/self/fd`.
    fn classic(&self, attributes: Attributes) -> Result<Mount, MountError> {
        let failed = |source: io::Error| MountError::new("mount the layers", source);
        let upper = self.upper.iter().flat_map(|(upper, work)| [*upper, *work]);
        let directories = self
            .lowers
            .iter()
            .map(PathBuf::as_path)
            .chain(upper)
            .map(open_directory)
            .collect::<Result<Vec<_>, _>>()?;
        let numbers: Vec<String> = directories
            .iter()
            .map(|directory| directory.as_raw_fd().to_string())
            .collect();
        let (lowers, above) = numbers.split_at(self.lowers.len());
        let mut options = format!("lowerdir={}", lowers.join(":"));
        if let [upper, work] = above {
            options += &format!(",upperdir={upper},workdir={work}");
        }
        for (wanted, key) in [
            (self.volatile, ",volatile"),
            (user_attributes(), ",userxattr"),
        ] {
            if wanted {
                options += key;
            }
        }
        if let Some(label) = self.label {
            // A label may have commas.
            options += &format!(",context=\"{label}\"");
        }
        let options = CString::new(options).map_err(|error| failed(error.into()))?;
        let place = self.upper.map_or_else(
            || self.lowers.first().map(PathBuf::as_path),
            |(upper, _)| Some(upper),
        );
        let place = place.ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
        let here = open_directory(Path::new("."))?;
        rustix::process::chdir("/proc/self/fd").map_err(|errno| failed(errno.into()))?;
        let mounted = rustix::mount::mount(
            "overlay",
            place,
            "overlay",
            MountFlags::empty(),
            options.as_c_str(),
        );
        rustix::process::fchdir(&here).map_err(|errno| failed(errno.into()))?;
        mounted.map_err(|errno| failed(errno.into()))?;
        let copy = Mount::copy_of(place, false);
        super::detach(place)?;
        let copy = copy?;
        let change = Change {
            set: attributes,
            ..Change::default()
        };
        if !change.is_empty() {
            copy.change(&change, false)?;
        }
        Ok(copy)
    }
}

fn open_directory(path: &Path) -> Result<OwnedFd, MountError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
        .map_err(|errno| MountError::new("open the layer", errno))
}

/// The path itself if the kernel takes it, else a short name for the opened directory.
fn short_name(path: &Path, opened: &mut Vec<OwnedFd>) -> Result<OsString, MountError> {
    let bytes = path.as_os_str().as_bytes();
    if bytes.len() * 2 <= LONGEST || (bytes.len() <= LONGEST && !needs_escape(bytes)) {
        return Ok(path.as_os_str().to_owned());
    }
    let directory = open_directory(path)?;
    let name = format!("/proc/self/fd/{}", directory.as_raw_fd());
    opened.push(directory);
    Ok(name.into())
}

fn needs_escape(path: &[u8]) -> bool {
    path.iter().any(|byte| matches!(byte, b'\\' | b':' | b','))
}

/// Overlayfs splits at colons and unescapes backslashes.
pub(super) fn escape(path: &OsStr) -> OsString {
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// What older kernels need, in a thread with a mount namespace and a working directory of its
    /// own.
    fn classic_in_its_own_namespace(lowers: &[PathBuf], upper: &Path, work: &Path) {
        std::thread::scope(|scope| {
            let checked = scope.spawn(|| {
                // SAFETY: this new thread shares nothing but memory with the others afterwards.
                let result = unsafe { libc::unshare(libc::CLONE_FS | libc::CLONE_NEWNS) };
                assert_eq!(result, 0);
                crate::mount::change_everything(crate::mount::Propagation::Private)
                    .expect("private");
                let before = std::env::current_dir().expect("a directory");
                let overlay = Overlay {
                    lowers,
                    upper: Some((upper, work)),
                    ..Overlay::default()
                };
                let mount = overlay.classic(Attributes::NO_DEVICES).expect("mounted");
                assert_eq!(std::env::current_dir().expect("a directory"), before);
                let number = std::os::fd::AsFd::as_fd(&mount).as_raw_fd();
                let root = PathBuf::from(format!("/proc/self/fd/{number}"));
                assert_eq!(fs::read_to_string(root.join("top")).expect("read"), "0");
                assert!(root.join(format!("file{}", lowers.len() - 1)).exists());
                fs::write(root.join("new"), "x").expect("written");
                assert!(upper.join("new").exists(), "the place is free again");
            });
            checked.join().expect("checked");
        });
    }

    #[test]
    fn root_classic_mount_of_many_layers() {
        let folder = tempfile::tempdir().expect("a folder");
        let lowers: Vec<PathBuf> = (0..450)
            .map(|number| folder.path().join(format!("layer:{number}")))
            .collect();
        for (number, lower) in lowers.iter().enumerate() {
            fs::create_dir(lower).expect("a layer");
            fs::write(lower.join("top"), number.to_string()).expect("a file");
            fs::write(lower.join(format!("file{number}")), "").expect("a file");
        }
        let (upper, work) = (folder.path().join("upper"), folder.path().join("work"));
        fs::create_dir(&upper).expect("upper");
        fs::create_dir(&work).expect("work");
        classic_in_its_own_namespace(&lowers, &upper, &work);
    }

    #[test]
    fn names_are_escaped() {
        let escaped = escape(OsStr::new("/a:b,c\\d"));
        assert_eq!(escaped, "/a\\:b\\,c\\\\d");
        assert_eq!(escape(OsStr::new("/plain")), "/plain");
    }
}
