//! Device numbers.

use rustix::fs::{FileType, Stat};

/// Whether a file is the null device.
pub fn is_null(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == make(1, 3)
}

/// The number of a device from its two parts.
pub fn make(major: u32, minor: u32) -> u64 {
    rustix::fs::makedev(major, minor)
}

/// The two parts of a device number: major and minor.
pub fn split(device: u64) -> (u32, u32) {
    (rustix::fs::major(device), rustix::fs::minor(device))
}
