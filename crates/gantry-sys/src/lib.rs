//! The kernel in one room: every raw system call of Gantry, and all of its `unsafe`.
//!
//! Each module wraps one idea of Linux (a process, a mount, a cgroup, a path below a directory
//! that cannot be escaped) into a safe interface that says what the kernel said: errors are the
//! kernel's errno, with the place where it happened where that is not obvious.
//!
//! This crate never knows what an image, a container or an OCI document is.

pub mod binfmt;
pub mod capability;
pub mod cgroup;
pub mod crew;
pub mod damage;
pub mod devices;
pub mod elf;
pub mod event;
pub mod fd;
pub mod lock;
pub mod lsm;
pub mod memory;
pub mod mount;
pub mod netlink;
pub mod nftables;
pub mod path;
pub mod process;
pub mod pty;
pub mod rlimit;
pub mod scheduling;
pub mod seccomp;
pub mod signal;
pub mod system;
pub mod usage;
pub mod users;
pub mod xattr;
