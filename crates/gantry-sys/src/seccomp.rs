//! System call filters: a compiler from OCI profiles to classic BPF, and loading one.
//!
//! No libseccomp: a [`Profile`] is the OCI runtime specification's model, a
//! [`ConditionalProfile`] is Docker's file format, and [`Filter::compile`] does what runc with
//! libseccomp would: unknown names are skipped, and calls newer than anything the profile
//! names fail with `ENOSYS`, so that a C library that probes for them falls back.
//!
//! A filter is plain data: it can be compiled before a fork, kept in a cache
//! ([`Filter::to_bytes`]) and loaded in a child, where [`Filter::load`] allocates nothing.

mod assemble;
mod compile;
mod docker;
mod profile;
mod syscalls;

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use thiserror::Error;

pub use assemble::Instruction;
pub use docker::profile as docker_default;
pub use profile::{
    Action, Arch, ArgCheck, Condition, ConditionalProfile, ConditionalRule, DEFAULT_ERRNO,
    LoadFlags, Op, Profile, Rule, Target,
};

/// Why a profile cannot become a filter.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CompileError {
    /// System calls have six arguments.
    #[error("seccomp rule for {syscall} checks argument {index}, but arguments are 0 to 5")]
    NoSuchArgument {
        /// The first call the rule names.
        syscall: String,
        /// The argument it asks about.
        index: u32,
    },
    /// `SCMP_ACT_NOTIFY`.
    #[error("seccomp action SCMP_ACT_NOTIFY is not supported: there is no listener")]
    ListenerUnsupported,
    /// More than the kernel takes.
    #[error("seccomp profile becomes {instructions} instructions, the kernel takes 4096")]
    TooLong {
        /// How many there would be.
        instructions: usize,
    },
}

/// A compiled filter, ready to load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    instructions: Vec<Instruction>,
    flags: LoadFlags,
}

impl Filter {
    /// Compiles `profile` for this machine.
    pub fn compile(profile: &Profile) -> Result<Filter, CompileError> {
        Filter::compile_for(profile, Arch::NATIVE)
    }

    /// Compiles `profile` for a machine of another native architecture.
    pub fn compile_for(profile: &Profile, native: Arch) -> Result<Filter, CompileError> {
        if !profile.flags.contains(LoadFlags::LISTENER) && profile.notifies() {
            return Err(CompileError::ListenerUnsupported);
        }
        let instructions = compile::compile(profile, native)?;
        Ok(Filter {
            instructions,
            flags: profile.flags,
        })
    }

    /// The program.
    pub fn instructions(&self) -> &[Instruction] {
        &self.instructions
    }

    /// The flags it is loaded with.
    pub fn flags(&self) -> LoadFlags {
        self.flags
    }

    /// The filter as bytes, for a cache on this machine.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(4 + 8 * self.instructions.len());
        bytes.extend(self.flags.bits().to_ne_bytes());
        for instruction in &self.instructions {
            bytes.extend(instruction.code.to_ne_bytes());
            bytes.push(instruction.jump_true);
            bytes.push(instruction.jump_false);
            bytes.extend(instruction.k.to_ne_bytes());
        }
        bytes
    }

    /// A filter from [`Filter::to_bytes`]; `None` when they cannot be one. The kernel checks
    /// the program itself again when it is loaded.
    pub fn from_bytes(bytes: &[u8]) -> Option<Filter> {
        let (flags, program) = bytes.split_first_chunk::<4>()?;
        let (chunks, rest) = program.as_chunks::<8>();
        if !rest.is_empty() || chunks.is_empty() {
            return None;
        }
        let instructions = chunks
            .iter()
            .map(
                |&[c0, c1, jump_true, jump_false, k0, k1, k2, k3]| Instruction {
                    code: u16::from_ne_bytes([c0, c1]),
                    jump_true,
                    jump_false,
                    k: u32::from_ne_bytes([k0, k1, k2, k3]),
                },
            )
            .collect();
        let flags = LoadFlags::from_bits(u32::from_ne_bytes(*flags))?;
        Some(Filter {
            instructions,
            flags,
        })
    }

    /// Puts the filter on the calling thread, for good. Needs `no_new_privs` or
    /// `CAP_SYS_ADMIN` in the thread's user namespace.
    ///
    /// Allocates nothing and takes no lock: fit for a child between clone and exec.
    pub fn load(&self) -> io::Result<()> {
        // Nobody would hold the descriptor.
        if self.listens() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        match self.put(self.flags.bits())? {
            0 => Ok(()),
            // With TSYNC a positive answer names the thread that could not be brought along.
            _ => Err(io::Error::from_raw_os_error(libc::ESRCH)),
        }
    }

    /// Whether loading gives a descriptor to decide through ([`LoadFlags::LISTENER`]).
    pub fn listens(&self) -> bool {
        self.flags.contains(LoadFlags::LISTENER)
    }

    /// Puts a filter that [`listens`](Filter::listens) on the calling thread, for good; returns the
    /// descriptor to decide through, which is closed on exec.
    pub fn load_listening(&self) -> io::Result<OwnedFd> {
        if !self.listens() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut flags = self.flags.bits();
        if self.flags.contains(LoadFlags::TSYNC) {
            // The answer cannot be a thread and a descriptor.
            const TSYNC_ESRCH: u32 = 16;
            flags |= TSYNC_ESRCH;
        }
        let answer = self.put(flags)?;
        let number = RawFd::try_from(answer).map_err(|_| io::ErrorKind::InvalidData)?;
        // SAFETY: the kernel has just opened it, and nobody else owns it.
        Ok(unsafe { OwnedFd::from_raw_fd(number) })
    }

    fn put(&self, flags: u32) -> io::Result<libc::c_long> {
        const SECCOMP_SET_MODE_FILTER: libc::c_uint = 1;
        let length = u16::try_from(self.instructions.len())
            .map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
        let program = libc::sock_fprog {
            len: length,
            filter: self
                .instructions
                .as_ptr()
                .cast::<libc::sock_filter>()
                .cast_mut(),
        };
        // SAFETY: `program` points to `length` instructions that outlive the call and have
        // the layout of `struct sock_filter` (repr(C), same fields); the kernel copies them.
        let result = unsafe {
            libc::syscall(
                libc::SYS_seccomp,
                SECCOMP_SET_MODE_FILTER,
                flags,
                std::ptr::from_ref(&program),
            )
        };
        match result {
            0.. => Ok(result),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

#[cfg(test)]
mod tests;
