//! Emulators: which programs of other machines this one runs, and by what.
//!
//! The kernel starts an emulator of QEMU's instead of a program of another machine, once it has been
//! told how to recognise one. The emulator is opened when it is registered (flag `F`), so that
//! containers need not have it in their files.

use std::io;
use std::path::{Path, PathBuf};

use gantry_model::{Fault, FaultKind, Platform};
use gantry_sys::binfmt::{self, Handler};
use gantry_sys::elf;

use super::System;

/// Where distributions put emulators.
const FOLDERS: [&str; 3] = ["/usr/bin", "/usr/local/bin", "/usr/libexec/qemu-binfmt"];
/// `P`: the program sees its own name as it was called; `F`: the emulator is opened once.
const FLAGS: &str = "PF";

/// What can go wrong with emulators.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BinfmtError {
    /// It is none of the known architectures.
    #[error("architecture {name:?} is not known, expected one of {}", names())]
    Architecture {
        /// As it was written.
        name: String,
    },
    /// The host has no emulator for it.
    #[error("there is no emulator for {architecture} on this host: {program} is not installed")]
    NoEmulator {
        /// Docker's name of the architecture.
        architecture: &'static str,
        /// The program that was looked for.
        program: String,
    },
    /// The kernel's handlers cannot be read or changed.
    #[error("cannot {action}")]
    Kernel {
        /// What was tried.
        action: String,
        /// Why not.
        source: io::Error,
    },
}

impl Fault for BinfmtError {
    fn kind(&self) -> FaultKind {
        match self {
            Self::Architecture { .. } => FaultKind::Invalid,
            Self::NoEmulator { .. } => FaultKind::NotFound,
            Self::Kernel { source, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied => FaultKind::Forbidden,
                _ => FaultKind::Internal,
            },
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::NoEmulator { .. } => {
                vec![
                    "install Debian's package qemu-user-static, or what has it elsewhere"
                        .to_owned(),
                ]
            }
            Self::Kernel { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                vec!["only root tells the kernel how to run programs of other machines".to_owned()]
            }
            _ => Vec::new(),
        }
    }
}

/// An architecture, and how its programs begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Architecture {
    /// Docker's name.
    name: &'static str,
    /// QEMU's name.
    qemu: &'static str,
    /// Whether addresses have 64 bits.
    wide: bool,
    /// Whether the largest byte of a number comes first.
    big: bool,
    /// `e_machine` of the ELF header.
    machine: u16,
}

const fn architecture(
    name: &'static str,
    qemu: &'static str,
    wide: bool,
    big: bool,
    machine: u16,
) -> Architecture {
    Architecture {
        name,
        qemu,
        wide,
        big,
        machine,
    }
}

/// Those that Docker has names for and QEMU emulators of.
const ARCHITECTURES: [Architecture; 10] = [
    architecture("386", "i386", false, false, 3),
    architecture("amd64", "x86_64", true, false, 62),
    architecture("arm", "arm", false, false, 40),
    architecture("arm64", "aarch64", true, false, 183),
    architecture("loong64", "loongarch64", true, false, 258),
    architecture("mips64", "mips64", true, true, 8),
    architecture("mips64le", "mips64el", true, false, 8),
    architecture("ppc64le", "ppc64le", true, false, 21),
    architecture("riscv64", "riscv64", true, false, 243),
    architecture("s390x", "s390x", true, true, 22),
];

fn names() -> String {
    let names = ARCHITECTURES.map(|architecture| architecture.name);
    names.join(", ")
}

impl Architecture {
    /// The one of a name of Docker's, QEMU's or a platform's.
    fn named(name: &str) -> Result<&'static Self, BinfmtError> {
        let platform = name.parse::<Platform>().ok();
        let name = platform
            .as_ref()
            .map_or(name, |found| found.architecture.as_str());
        let found = ARCHITECTURES
            .iter()
            .find(|known| known.name == name || known.qemu == name);
        found.ok_or_else(|| BinfmtError::Architecture {
            name: name.to_owned(),
        })
    }

    /// Whether this machine's processor runs its programs by itself.
    fn is_native(&self) -> bool {
        let host = Platform::host().architecture;
        self.name == host || (host == "amd64" && self.name == "386")
    }

    /// The first 20 bytes of its programs, and which bits of them count: not the ABI, and a program
    /// may be position-independent (ELF header: `e_ident`, `e_type`, `e_machine`).
    fn recognised_by(&self) -> ([u8; 20], [u8; 20]) {
        let mut magic = [0; 20];
        magic[..4].copy_from_slice(b"\x7fELF");
        magic[4] = 1 + u8::from(self.wide);
        magic[5] = 1 + u8::from(self.big);
        magic[6] = 1;
        let number = |value: u16| match self.big {
            true => value.to_be_bytes(),
            false => value.to_le_bytes(),
        };
        magic[16..18].copy_from_slice(&number(2));
        magic[18..].copy_from_slice(&number(self.machine));
        let mut mask = [0xff; 20];
        mask[7] = 0;
        mask[16..18].copy_from_slice(&number(0xfffe));
        (magic, mask)
    }

    /// The host's emulator: one that needs no other file.
    fn emulator(&self) -> Result<PathBuf, BinfmtError> {
        let program = format!("qemu-{}-static", self.qemu);
        let names = [program.clone(), format!("qemu-{}", self.qemu)];
        FOLDERS
            .iter()
            .flat_map(|folder| names.iter().map(move |name| Path::new(folder).join(name)))
            .find(|path| elf::is_static(path).unwrap_or(false))
            .ok_or(BinfmtError::NoEmulator {
                architecture: self.name,
                program,
            })
    }

    /// The handler that runs its programs.
    fn handler<'h>(&self, handlers: &'h [Handler]) -> Option<&'h Handler> {
        let (magic, _) = self.recognised_by();
        handlers
            .iter()
            .find(|handler| handler.enabled && begins(handler, &magic))
    }
}

/// Whether a handler is meant for programs that begin like this.
fn begins(handler: &Handler, magic: &[u8]) -> bool {
    let bits = |at: usize| handler.mask.get(at).copied().unwrap_or(0xff);
    !handler.magic.is_empty()
        && handler.magic.len() <= magic.len()
        && handler
            .magic
            .iter()
            .enumerate()
            .all(|(at, byte)| (byte ^ magic[at]) & bits(at) == 0)
}

/// How the programs of one architecture are run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emulation {
    /// Docker's name of the architecture.
    pub architecture: &'static str,
    /// How.
    pub by: RunBy,
}

/// What runs the programs of an architecture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunBy {
    /// This machine's processor.
    Processor,
    /// An emulator that is registered.
    Handler(Handler),
    /// Nothing yet, but the host has an emulator.
    Installable(PathBuf),
    /// Nothing.
    Nothing,
}

impl System<'_> {
    /// How programs of the known architectures are run.
    ///
    /// # Errors
    /// The kernel's handlers cannot be read.
    pub fn emulations(&self) -> Result<Vec<Emulation>, BinfmtError> {
        let handlers = handlers()?;
        let emulation = |architecture: &Architecture| Emulation {
            architecture: architecture.name,
            by: match (architecture.handler(&handlers), architecture.emulator()) {
                _ if architecture.is_native() => RunBy::Processor,
                (Some(handler), _) => RunBy::Handler(handler.clone()),
                (None, Ok(path)) => RunBy::Installable(path),
                (None, Err(_)) => RunBy::Nothing,
            },
        };
        Ok(ARCHITECTURES.iter().map(emulation).collect())
    }

    /// Registers the host's emulators for these architectures; without any, for all that the host
    /// has emulators of. Those that something is registered for stay as they are. The result says
    /// how each is run now.
    ///
    /// # Errors
    /// [`BinfmtError`]; what was registered before stays.
    pub fn install_emulators(&self, names: &[String]) -> Result<Vec<Emulation>, BinfmtError> {
        let wanted = chosen(names)?;
        let failed = |source| BinfmtError::Kernel {
            action: "mount the kernel's binfmt_misc".to_owned(),
            source,
        };
        binfmt::mount().map_err(failed)?;
        let known = handlers()?;
        for architecture in &wanted {
            if architecture.is_native() || architecture.handler(&known).is_some() {
                continue;
            }
            let emulator = match architecture.emulator() {
                Err(BinfmtError::NoEmulator { .. }) if names.is_empty() => continue,
                emulator => emulator?,
            };
            let name = format!("qemu-{}", architecture.qemu);
            let (magic, mask) = architecture.recognised_by();
            match binfmt::register(&name, &magic, &mask, &emulator, FLAGS) {
                // Somebody else was faster, or left it switched off.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                other => other.map_err(|source| BinfmtError::Kernel {
                    action: format!("register {} for {}", emulator.display(), architecture.name),
                    source,
                })?,
            }
        }
        let wanted: Vec<&str> = wanted.iter().map(|one| one.name).collect();
        let mut all = self.emulations()?;
        all.retain(|one| wanted.contains(&one.architecture));
        Ok(all)
    }

    /// Takes the handlers of these architectures away, without any those of all; their names.
    ///
    /// # Errors
    /// [`BinfmtError`].
    pub fn uninstall_emulators(&self, names: &[String]) -> Result<Vec<String>, BinfmtError> {
        let mut removed = Vec::new();
        for architecture in chosen(names)? {
            let known = handlers()?;
            let Some(handler) = architecture.handler(&known) else {
                continue;
            };
            binfmt::remove(&handler.name).map_err(|source| BinfmtError::Kernel {
                action: format!("take {} away", handler.name),
                source,
            })?;
            removed.push(handler.name.clone());
        }
        Ok(removed)
    }
}

fn handlers() -> Result<Vec<Handler>, BinfmtError> {
    binfmt::handlers().map_err(|source| BinfmtError::Kernel {
        action: format!("read {}", binfmt::FOLDER),
        source,
    })
}

fn chosen(names: &[String]) -> Result<Vec<&'static Architecture>, BinfmtError> {
    if names.is_empty() {
        return Ok(ARCHITECTURES.iter().collect());
    }
    let words = names.iter().flat_map(|name| name.split(','));
    words
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(Architecture::named)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_recognised_by_their_header() {
        let arm64 = Architecture::named("linux/arm64").unwrap();
        assert_eq!(arm64, Architecture::named("aarch64").unwrap());
        let (magic, mask) = arm64.recognised_by();
        assert_eq!(&magic[..8], b"\x7fELF\x02\x01\x01\0");
        assert_eq!(&magic[16..], b"\x02\0\xb7\0");
        assert_eq!(&mask[16..], b"\xfe\xff\xff\xff");
        let (magic, mask) = Architecture::named("s390x").unwrap().recognised_by();
        assert_eq!(&magic[4..6], b"\x02\x02");
        assert_eq!(&magic[16..], b"\0\x02\0\x16");
        assert_eq!(&mask[16..], b"\xff\xfe\xff\xff");
        assert!(Architecture::named("z80").is_err());
    }

    #[test]
    fn a_handler_is_found_whatever_its_name() {
        let (magic, mask) = Architecture::named("arm64").unwrap().recognised_by();
        let handler = Handler {
            name: "mine".to_owned(),
            enabled: true,
            interpreter: "/x".into(),
            flags: "F".to_owned(),
            magic: magic.to_vec(),
            mask: mask.to_vec(),
        };
        let mut handlers = [handler];
        let found = |name: &str, handlers: &[Handler]| {
            Architecture::named(name)
                .unwrap()
                .handler(handlers)
                .is_some()
        };
        assert!(found("arm64", &handlers) && !found("riscv64", &handlers));
        handlers[0].enabled = false;
        assert!(!found("arm64", &handlers));
    }
}
