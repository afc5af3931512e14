//! What may be mounted on procfs: this runtime, the kernel's own tools and the container's
//! programs read and write there, and must find what they think they do (CVE-2025-52881).

use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use gantry_sys::path::Directory;
use rustix::fs::{OFlags, fstat, fstatfs};
use rustix::io::Errno;

use super::OrFail;
use crate::error::Step;
use crate::protocol::Failure;

/// Inode of the root of any procfs.
const ROOT: u64 = 1;

/// Files that programs cover to show a container its own limits; nothing is written to them.
const COVERABLE: [&str; 11] = [
    "cpuinfo",
    "diskstats",
    "loadavg",
    "meminfo",
    "net/dev",
    "slabinfo",
    "stat",
    "swaps",
    "sys/crypto/fips_enabled",
    "sys/kernel/ns_last_pid",
    "uptime",
];

/// Fails unless `made` may be mounted on `place`, which was reached by `path` inside the root.
pub(super) fn spare(
    root: &Directory,
    path: &Path,
    place: impl AsFd,
    made: impl AsFd,
) -> Result<(), Failure> {
    let refused = |detail: &str| Failure {
        detail: Some(detail.to_owned()),
        ..Failure::at(Step::Mount, path, &Errno::PERM.into())
    };
    let is_proc = is_procfs(&made).or_fail_at(Step::Mount, path)?;
    let stat = fstat(&place).or_fail_at(Step::Mount, path)?;
    let same = |name: &str| {
        root.open_beneath(name, OFlags::PATH, 0)
            .and_then(|found| Ok(fstat(found)?))
            .is_ok_and(|found| (found.st_dev, found.st_ino) == (stat.st_dev, stat.st_ino))
    };
    if !is_procfs(&place).or_fail_at(Step::Mount, path)? {
        return match !is_proc && same("proc") {
            true => Err(refused("only a proc file system may be mounted on /proc")),
            false => Ok(()),
        };
    }
    let coverable = || COVERABLE.iter().any(|name| same(&format!("proc/{name}")));
    if (is_proc && stat.st_ino == ROOT) || coverable() {
        return Ok(());
    }
    Err(refused("nothing may be mounted inside /proc"))
}

fn is_procfs(file: impl AsFd) -> io::Result<bool> {
    Ok(fstatfs(file)?.f_type == rustix::fs::PROC_SUPER_MAGIC)
}
