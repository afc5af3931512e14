//! What the kernel tells about itself, its mounts and this process.

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// The version of the running kernel: major and minor.
pub fn kernel_version() -> (u32, u32) {
    let name = rustix::system::uname();
    parse_version(&name.release().to_string_lossy())
}

/// Major and minor of a kernel release such as `6.1.0-18-amd64`; what is not there counts as 0.
fn parse_version(release: &str) -> (u32, u32) {
    let mut numbers = release
        .split(|character: char| !character.is_ascii_digit())
        .map(|number| number.parse().unwrap_or_default());
    (
        numbers.next().unwrap_or_default(),
        numbers.next().unwrap_or_default(),
    )
}

/// Whether this process acts as user 0.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// This process's umask, read without changing it, since other threads make files, too; `None`
/// where `/proc` does not say.
pub fn umask() -> Option<u32> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let umask = status
        .lines()
        .find_map(|line| line.strip_prefix("Umask:"))?;
    u32::from_str_radix(umask.trim(), 8).ok()
}

/// One line of `/proc/<pid>/mountinfo` (proc(5)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountInfo {
    /// The mount's ID.
    pub id: u64,
    /// The ID of the mount it is mounted on.
    pub parent: u64,
    /// The device number, `major:minor`.
    pub device: (u32, u32),
    /// The directory of the file system that forms the root of the mount.
    pub root: PathBuf,
    /// Where it is mounted, relative to the root directory of the process.
    pub mount_point: PathBuf,
    /// The options of the mount.
    pub options: String,
    /// The optional fields: `shared:N`, `master:N`, `propagate_from:N`, `unbindable`.
    pub propagation: Vec<String>,
    /// The file system's type.
    pub fs_type: String,
    /// What is mounted.
    pub source: OsString,
    /// The options of the file system.
    pub super_options: String,
}

/// The mounts that this process sees.
pub fn mounts() -> io::Result<Vec<MountInfo>> {
    Ok(parse_mountinfo(&std::fs::read("/proc/self/mountinfo")?))
}

/// Parses a mountinfo table. Lines that do not have its form are left out.
pub fn parse_mountinfo(table: &[u8]) -> Vec<MountInfo> {
    table
        .split(|byte| *byte == b'\n')
        .filter_map(parse_mount)
        .collect()
}

fn parse_mount(line: &[u8]) -> Option<MountInfo> {
    let mut fields = line.split(|byte| *byte == b' ');
    let mut next = || fields.next().filter(|field| !field.is_empty());
    let id = number(next()?)?;
    let parent = number(next()?)?;
    let device = text(next()?);
    let (major, minor) = device.split_once(':')?;
    let root = unescape(next()?).into();
    let mount_point = unescape(next()?).into();
    let options = text(next()?);
    let mut propagation = Vec::new();
    loop {
        match next()? {
            b"-" => break,
            field => propagation.push(text(field)),
        }
    }
    Some(MountInfo {
        id,
        parent,
        device: (major.parse().ok()?, minor.parse().ok()?),
        root,
        mount_point,
        options,
        propagation,
        fs_type: text(next()?),
        // The source may be empty.
        source: unescape(fields.next()?),
        super_options: text(fields.next()?),
    })
}

fn number(field: &[u8]) -> Option<u64> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

fn text(field: &[u8]) -> String {
    String::from_utf8_lossy(field).into_owned()
}

/// The kernel writes space, tab, newline and backslash as three octal digits.
fn unescape(field: &[u8]) -> OsString {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, tail)) = rest.split_first() {
        let octal = tail
            .get(..3)
            .filter(|_| *first == b'\\')
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match octal {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[3..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    OsString::from_vec(bytes)
}

/// The value of one line of `/proc/<pid>/status`, such as `CapEff` or `NSpid`.
pub fn status_field<'a>(status: &'a str, field: &str) -> Option<&'a str> {
    status.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name == field).then(|| value.trim())
    })
}

/// How full a file system is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskSpace {
    /// Bytes in all.
    pub total: u64,
    /// Bytes that an unprivileged process can still write.
    pub available: u64,
    /// Inodes in all.
    pub inodes: u64,
    /// Inodes that are free.
    pub inodes_free: u64,
}

/// How full the file system of `path` is.
pub fn disk_space(path: &Path) -> io::Result<DiskSpace> {
    let stat = rustix::fs::statvfs(path)?;
    Ok(DiskSpace {
        total: stat.f_blocks.saturating_mul(stat.f_frsize),
        available: stat.f_bavail.saturating_mul(stat.f_frsize),
        inodes: stat.f_files,
        inodes_free: stat.f_favail,
    })
}

/// Writes everything of one file system to its disk.
pub fn sync_file_system(file: impl AsFd) -> io::Result<()> {
    Ok(rustix::fs::syncfs(file)?)
}

/// The magic numbers of `statfs` for the file systems that must be told apart.
pub mod magic {
    /// procfs.
    pub const PROC: u64 = 0x9fa0;
    /// devpts.
    pub const DEVPTS: u64 = 0x1cd1;
    /// tmpfs.
    pub const TMPFS: u64 = 0x0102_1994;
    /// cgroup version 2.
    pub const CGROUP2: u64 = 0x6367_7270;
    /// overlayfs.
    pub const OVERLAY: u64 = 0x794c_7630;
    /// Namespace files.
    pub const NSFS: u64 = 0x6e73_6673;
}

/// The magic number of the file system that an open file is on (see [`magic`]).
pub fn file_system_magic(file: impl AsFd) -> io::Result<u64> {
    let stat = rustix::fs::fstatfs(file)?;
    // The field is a signed word on some architectures; the numbers have 32 bits.
    Ok(u64::from_ne_bytes(stat.f_type.to_ne_bytes()) & 0xffff_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_parse() {
        let cases = [
            ("6.1.0-18-amd64", (6, 1)),
            ("6.18.44-fc", (6, 18)),
            ("5.10", (5, 10)),
            ("7", (7, 0)),
            ("", (0, 0)),
        ];
        for (release, version) in cases {
            assert_eq!(parse_version(release), version, "{release}");
        }
    }

    #[test]
    fn mount_lines_parse() {
        let table = b"36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 shared:7 - ext3 /dev/ro\\134ot rw,errors=continue\n\
            37 35 0:5 / / ro - tmpfs  rw\nnonsense\n1 2 3:4 / /\n";
        let mounts = parse_mountinfo(table);
        assert_eq!(mounts.len(), 2);
        assert_eq!(mounts[0].mount_point, Path::new("/mnt 2"));
        assert_eq!(mounts[0].propagation, ["master:1", "shared:7"]);
        assert_eq!(mounts[0].source, "/dev/ro\\ot");
        assert_eq!(mounts[0].device, (98, 0));
        assert_eq!(mounts[1].source, "");
        assert_eq!(mounts[1].super_options, "rw");
    }

    proptest::proptest! {
        #[test]
        fn any_table_parses_to_something(table in proptest::collection::vec(0u8.., 0..400)) {
            parse_mountinfo(&table);
        }

        #[test]
        fn escaped_names_come_back(name in "[ -~\\t\\n]{0,40}") {
            let escaped: String = name
                .bytes()
                .map(|byte| match byte {
                    b' ' | b'\t' | b'\n' | b'\\' => format!("\\{byte:03o}"),
                    other => char::from(other).to_string(),
                })
                .collect();
            proptest::prop_assert_eq!(unescape(escaped.as_bytes()), OsString::from(name));
        }
    }

    #[test]
    fn status_parses() {
        let status = "Name:\tx\nCapEff:\t00ff\nNSpid:\t10\t1\n";
        assert_eq!(status_field(status, "CapEff"), Some("00ff"));
        assert_eq!(status_field(status, "Cap"), None);
    }
}
