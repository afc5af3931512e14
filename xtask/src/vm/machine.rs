//! The emulated machine.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::say;

/// Seconds after which a machine that says nothing more is given up.
const LONGEST: &str = "3600";

/// Boots a machine with these options and passes on what it says in lines of `vm: `; an error when
/// a check failed.
pub(super) fn boot(
    kernel: &Path,
    initramfs: &Path,
    command_line: &str,
    options: &[OsString],
) -> Result<()> {
    let mut machine = Command::new("timeout")
        .args([
            LONGEST,
            "qemu-system-x86_64",
            "-accel",
            "tcg,thread=multi",
            "-cpu",
            "max",
        ])
        .args(["-smp", "2", "-nographic", "-nic", "none", "-kernel"])
        .arg(kernel)
        .arg("-initrd")
        .arg(initramfs)
        .args(["-append", command_line])
        .args(options)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the emulator")?;
    let console = machine.stdout.take().context("the console is a pipe")?;
    let mut passed = None;
    let mut lines = BufReader::new(console.take(16 << 20));
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end();
        if let Some((_, checked)) = text.split_once("vm: ") {
            say(&format!("vm: {checked}"));
            match checked {
                "all passed" => passed = Some(true),
                "failed" => passed = Some(false),
                _ => {}
            }
        }
        line.clear();
    }
    machine.wait()?;
    match passed {
        Some(true) => Ok(()),
        Some(false) => bail!("a check failed on the machine"),
        None => bail!("the machine ended before its checks did"),
    }
}
