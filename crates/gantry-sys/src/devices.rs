//! Device numbers.

/// The number of a device from its two parts.
pub fn make(major: u32, minor: u32) -> u64 {
    rustix::fs::makedev(major, minor)
}

/// The two parts of a device number: major and minor.
pub fn split(device: u64) -> (u32, u32) {
    (rustix::fs::major(device), rustix::fs::minor(device))
}
