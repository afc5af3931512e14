//! File systems that are an interface of the kernel. What a container can lead a copy to in
//! them would be read and written with the rights of whoever copies.

use std::collections::HashMap;
use std::io;

use super::place::Found;

/// By the magic numbers of statfs(2).
const KERNEL: [u64; 16] = [
    0x9fa0,      // proc
    0x6265_6572, // sysfs
    0x0027_e0eb, // cgroup
    0x6367_7270, // cgroup2
    0x1cd1,      // devpts
    0x6462_6720, // debugfs
    0x7472_6163, // tracefs
    0x7363_6673, // securityfs
    0xcafe_4a11, // bpf
    0x6265_6570, // configfs
    0x1980_0202, // mqueue
    0x6165_676c, // pstore
    0xde5e_81e4, // efivarfs
    0xf97c_ff8c, // selinuxfs
    0x4249_4e4d, // binfmt_misc
    0x6e73_6673, // nsfs
];

/// Tells them apart; what is known of a device is asked once.
#[derive(Debug, Default)]
pub(super) struct KernelFiles(HashMap<u64, bool>);

impl KernelFiles {
    /// Whether this lies in one.
    pub(super) fn holds(&mut self, found: &Found) -> io::Result<bool> {
        if let Some(known) = self.0.get(&found.status.st_dev) {
            return Ok(*known);
        }
        let magic = gantry_sys::system::file_system_magic(&found.file)?;
        let kernel = KERNEL.contains(&magic);
        self.0.insert(found.status.st_dev, kernel);
        Ok(kernel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{Mode, OFlags};

    #[test]
    fn procfs_is_the_kernels() {
        let mut files = KernelFiles::default();
        let mut holds = |path: &str| {
            let file = rustix::fs::open(path, OFlags::PATH, Mode::empty()).unwrap();
            files.holds(&Found::new(file).unwrap()).unwrap()
        };
        assert!(holds("/proc/self/status"));
        assert!(holds("/proc/version"));
        assert!(!holds("/"));
        assert!(!holds("/usr"));
    }
}
