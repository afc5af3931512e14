//! Gantry on a machine with cgroup v2 alone: Debian's cloud kernel under emulation.
//!
//! Most developers' and CI machines have one kind of cgroups; this boots the other one in a few
//! seconds and runs `checks.sh` inside. Nothing of the host is shared with it.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::packages::{self, Needed};
use crate::{cargo, say};

const CHECKS: &str = include_str!("vm/checks.sh");
const INIT: &str = include_str!("vm/init.sh");

/// Modules that a container needs, with those that they need.
const MODULES: [&str; 12] = [
    "overlay",
    "bridge",
    "veth",
    "nf_tables",
    "nft_chain_nat",
    "nft_nat",
    "nft_masq",
    "nft_ct",
    "nft_fib_inet",
    "nft_reject_inet",
    "nft_compat",
    "br_netfilter",
];

/// `args` may name a static binary to use instead of building one.
pub(crate) fn run(args: &[String]) -> Result<()> {
    packages::ensure(&[
        Needed {
            program: "qemu-system-x86_64",
            package: "qemu-system-x86",
        },
        Needed {
            program: "dpkg-deb",
            package: "dpkg",
        },
        Needed {
            program: "busybox",
            package: "busybox-static",
        },
    ])?;
    let kernel = Kernel::fetched()?;
    let folder = tempfile::tempdir()?;
    let image = folder.path().join("initramfs");
    let binary = match args.first() {
        Some(path) => PathBuf::from(path),
        None => cargo::release_binary()?,
    };
    write_initramfs(&kernel, &binary, &image)?;
    boot(&kernel.image, &image)
}

/// A kernel unpacked from Debian's package.
struct Kernel {
    image: PathBuf,
    modules: PathBuf,
}

impl Kernel {
    /// Downloads and unpacks the package once; later runs find it in the cache.
    fn fetched() -> Result<Self> {
        let folder = gantry_testkit::cache::kept("kernel", |folder| {
            fetch_kernel(folder).expect("the kernel's package can be fetched");
        });
        let boot = fs::read_dir(folder.join("boot"))?.flatten();
        let image = boot
            .map(|entry| entry.path())
            .find(|path| {
                path.file_name()
                    .is_some_and(|n| n.to_string_lossy().starts_with("vmlinuz"))
            })
            .context("the package has no kernel image")?;
        let modules = fs::read_dir(folder.join("lib/modules"))?
            .flatten()
            .next()
            .context("the package has no modules")?
            .path();
        Ok(Self { image, modules })
    }

    /// The files of a module and of all it needs, in the order of loading.
    fn load_order(&self, module: &str, order: &mut Vec<PathBuf>) -> Result<()> {
        let name = format!("{module}.ko");
        let Some(path) = find(&self.modules, &name)? else {
            return Ok(()); // built in, or not there in this version
        };
        if order.contains(&path) {
            return Ok(());
        }
        for needed in needed_modules(&fs::read(&path)?) {
            self.load_order(&needed, order)?;
        }
        order.push(path);
        Ok(())
    }
}

/// The `depends=` field of a module's information section.
fn needed_modules(module: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let Some(at) = module.windows(KEY.len()).position(|window| window == KEY) else {
        return Vec::new();
    };
    let rest = &module[at + KEY.len()..];
    let end = rest.iter().position(|b| *b == 0).unwrap_or(rest.len());
    let text = String::from_utf8_lossy(&rest[..end]);
    text.split(',')
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

fn find(folder: &Path, name: &str) -> Result<Option<PathBuf>> {
    let dashed = name.replace('_', "-");
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            if let Some(found) = find(&entry.path(), name)? {
                return Ok(Some(found));
            }
        } else if entry.file_name().to_string_lossy() == name
            || entry.file_name().to_string_lossy() == dashed
        {
            return Ok(Some(entry.path()));
        }
    }
    Ok(None)
}

fn fetch_kernel(folder: &Path) -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let depends =
        cargo::output(Command::new("apt-cache").args(["depends", "linux-image-cloud-amd64"]))?;
    let package = depends
        .lines()
        .find_map(|line| line.trim().strip_prefix("Depends: "))
        .context("apt knows no cloud kernel: run apt-get update")?;
    cargo::run(
        Command::new("apt-get")
            .args(["-qq", "download", package])
            .current_dir(scratch.path()),
    )?;
    let archive = fs::read_dir(scratch.path())?
        .flatten()
        .next()
        .context("nothing was downloaded")?
        .path();
    cargo::run(
        Command::new("dpkg-deb")
            .arg("--extract")
            .arg(archive)
            .arg(folder),
    )
}

/// The whole machine as one archive: busybox, Gantry, the modules, a base image, the checks.
fn write_initramfs(kernel: &Kernel, gantry: &Path, image: &Path) -> Result<()> {
    let mut archive = Archive::new(fs::File::create(image)?);
    for folder in [
        "bin", "dev", "etc", "modules", "proc", "root", "run", "sys", "tmp", "var",
    ] {
        archive.add(folder, 0o040_755, &[])?;
    }
    let busybox = packages::find("busybox").context("busybox is not on the PATH")?;
    archive.add("bin/busybox", 0o100_755, &fs::read(busybox)?)?;
    archive.add("bin/gantry", 0o100_755, &fs::read(gantry)?)?;
    archive.add(
        "busybox.tar",
        0o100_644,
        &fs::read(gantry_testkit::fixture::busybox())?,
    )?;
    archive.add("checks.sh", 0o100_755, CHECKS.as_bytes())?;
    archive.add("init", 0o100_755, INIT.as_bytes())?;
    let mut order = Vec::new();
    for module in MODULES {
        kernel.load_order(module, &mut order)?;
    }
    let mut list = String::new();
    for path in &order {
        let name = path
            .file_name()
            .context("a module has a name")?
            .to_string_lossy();
        archive.add(&format!("modules/{name}"), 0o100_644, &fs::read(path)?)?;
        list.push_str(&name);
        list.push('\n');
    }
    archive.add("modules/order", 0o100_644, list.as_bytes())?;
    archive.finish()
}

/// A cpio archive in the "newc" format (kernel documentation, `initramfs-buffer-format.rst`).
struct Archive<W> {
    out: W,
    number: u32,
}

impl<W: Write> Archive<W> {
    fn new(out: W) -> Self {
        Self { out, number: 1 }
    }

    fn add(&mut self, name: &str, mode: u32, content: &[u8]) -> Result<()> {
        let size = u32::try_from(content.len()).context("a file of more than 4 GB")?;
        let name_size = u32::try_from(name.len() + 1)?;
        let fields = [
            self.number,
            mode,
            0,
            0,
            1,
            0,
            size,
            0,
            0,
            0,
            0,
            name_size,
            0,
        ];
        self.number += 1;
        self.out.write_all(b"070701")?;
        for field in fields {
            write!(self.out, "{field:08X}")?;
        }
        self.out.write_all(name.as_bytes())?;
        self.out
            .write_all(&[0; 4][..1 + padding(110 + name.len() + 1)])?;
        self.out.write_all(content)?;
        self.out.write_all(&[0; 4][..padding(content.len())])?;
        Ok(())
    }

    fn finish(mut self) -> Result<()> {
        self.add("TRAILER!!!", 0, &[])?;
        self.out.flush()?;
        Ok(())
    }
}

/// Zero bytes up to the next multiple of four.
const fn padding(length: usize) -> usize {
    (4 - length % 4) % 4
}

/// Boots the machine and passes on what it prints; an error when a check failed.
fn boot(kernel: &Path, initramfs: &Path) -> Result<()> {
    let mut machine = Command::new("qemu-system-x86_64")
        .args([
            "-accel",
            "tcg,thread=multi",
            "-cpu",
            "max",
            "-smp",
            "2",
            "-m",
            "1024",
        ])
        .args(["-nographic", "-no-reboot", "-nic", "none", "-kernel"])
        .arg(kernel)
        .arg("-initrd")
        .arg(initramfs)
        .args(["-append", "console=ttyS0 quiet panic=-1 cgroup_no_v1=all"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the emulator")?;
    let console = machine.stdout.take().context("the console is a pipe")?;
    let mut passed = None;
    let mut lines = BufReader::new(console.take(4 << 20));
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
        Some(false) => bail!("a check failed on the machine with cgroup v2"),
        None => bail!("the machine with cgroup v2 ended before its checks did"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_are_aligned() {
        let mut bytes = Vec::new();
        let mut archive = Archive::new(&mut bytes);
        archive.add("a", 0o100_644, b"xyz").unwrap();
        archive.add("dir", 0o040_755, b"").unwrap();
        archive.finish().unwrap();
        assert_eq!(bytes.len() % 4, 0);
        assert!(bytes.starts_with(b"070701"));
        let second = bytes
            .windows(6)
            .skip(1)
            .position(|w| w == b"070701")
            .unwrap()
            + 1;
        assert_eq!(second % 4, 0);
    }

    #[test]
    fn a_modules_needs_are_read() {
        assert_eq!(
            needed_modules(b"x\0depends=llc,stp\0name=bridge\0"),
            ["llc", "stp"]
        );
        assert!(needed_modules(b"x\0depends=\0").is_empty());
        assert!(needed_modules(b"none").is_empty());
    }
}
