//! Programs of other machines: what the kernel's `binfmt_misc` runs them by.
//!
//! The kernel compares the first bytes of a program with those that were registered, and starts the
//! interpreter instead (Linux, `admin-guide/binfmt-misc.rst`). With the flag `F` it opens the
//! interpreter when it is registered, so that containers need not have it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::mount::{Attributes, FsContext, MountError};

/// Where the file system of the handlers is mounted.
pub const FOLDER: &str = "/proc/sys/fs/binfmt_misc";

/// A registered handler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handler {
    /// Its name.
    pub name: String,
    /// Whether it is in use.
    pub enabled: bool,
    /// What is started instead of the program.
    pub interpreter: PathBuf,
    /// Flags as the kernel shows them: `OPF`.
    pub flags: String,
    /// What a program begins with; empty for one that goes by the name's end.
    pub magic: Vec<u8>,
    /// Which bits of that count; all without.
    pub mask: Vec<u8>,
}

/// Mounts the file system of the handlers, unless it is mounted.
///
/// # Errors
/// The kernel has none, or the caller may not mount it.
pub fn mount() -> io::Result<()> {
    if Path::new(FOLDER).join("register").exists() {
        return Ok(());
    }
    let attach = || {
        let context = FsContext::new("binfmt_misc".as_ref())?;
        context.create()?;
        let attributes = Attributes::NO_SETUID
            .with(Attributes::NO_DEVICES)
            .with(Attributes::NO_EXECUTE);
        context.mount(attributes)
    };
    let failed = |error: MountError| io::Error::from_raw_os_error(error.errno());
    let mount = attach().map_err(failed)?;
    mount.attach(fs::File::open(FOLDER)?).map_err(failed)
}

/// The registered handlers by name; none where the file system is not mounted.
///
/// # Errors
/// They cannot be read.
pub fn handlers() -> io::Result<Vec<Handler>> {
    let mut all = Vec::new();
    let entries = match fs::read_dir(FOLDER) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(all),
        entries => entries?,
    };
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name == "register" || name == "status" {
            continue;
        }
        match fs::read_to_string(Path::new(FOLDER).join(&name)) {
            Ok(text) => all.push(parse(name, &text)),
            // Taken away meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    all.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(all)
}

fn parse(name: String, text: &str) -> Handler {
    let value = |key: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix([' ', ':']))
            .map_or("", str::trim)
    };
    Handler {
        name,
        enabled: text.lines().next() == Some("enabled"),
        interpreter: value("interpreter").into(),
        flags: value("flags").to_owned(),
        magic: hexadecimal(value("magic")),
        mask: hexadecimal(value("mask")),
    }
}

fn hexadecimal(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks_exact(2);
    digits
        .map_while(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

/// Registers a handler for programs that begin with `magic`, of which the bits of `mask` count.
///
/// # Errors
/// There is one of that name, the interpreter cannot be opened, or the caller may not.
pub fn register(
    name: &str,
    magic: &[u8],
    mask: &[u8],
    interpreter: &Path,
    flags: &str,
) -> io::Result<()> {
    let escaped =
        |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect() };
    let mut line = format!(":{name}:M::{}:{}:", escaped(magic), escaped(mask)).into_bytes();
    line.extend_from_slice(interpreter.as_os_str().as_bytes());
    line.extend_from_slice(format!(":{flags}").as_bytes());
    write("register", &line)
}

/// Takes a handler away.
///
/// # Errors
/// There is none of that name, or the caller may not.
pub fn remove(name: &str) -> io::Result<()> {
    write(name, b"-1")
}

/// The kernel takes an order in one write.
fn write(file: &str, order: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .open(Path::new(FOLDER).join(file))?;
    file.write_all(order)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handlers_are_read_as_the_kernel_writes_them() {
        let text = "enabled\ninterpreter /usr/bin/qemu-aarch64-static\nflags: OPF\noffset 0\n\
                    magic 7f454c46\nmask ffffff00\n";
        let handler = parse("qemu-aarch64".into(), text);
        assert!(handler.enabled);
        assert_eq!(
            handler.interpreter,
            Path::new("/usr/bin/qemu-aarch64-static")
        );
        assert_eq!(handler.flags, "OPF");
        assert_eq!(handler.magic, [0x7f, b'E', b'L', b'F']);
        assert_eq!(handler.mask, [0xff, 0xff, 0xff, 0]);
        let by_name = parse(
            "x".into(),
            "disabled\ninterpreter /x\nflags: \nextension .py\n",
        );
        assert!(!by_name.enabled && by_name.magic.is_empty());
    }
}
