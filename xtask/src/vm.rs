//! Gantry on machines with cgroup v2 alone: Debian's cloud kernel under emulation.
//!
//! Most developers' and CI machines have one kind of cgroups; this boots the other one. The small
//! machine has nothing but busybox and Gantry and says in a minute whether `checks.sh` holds; the
//! other (`vm systemd`) is a whole Debian that systemd runs ([`debian`]), where the tests of the
//! command line run as they are. Nothing of the host is shared with either.

mod archive;
mod debian;
mod kernel;
mod machine;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use archive::Archive;
use kernel::Kernel;

use crate::cargo;
use crate::packages::{self, Needed};

const CHECKS: &str = include_str!("vm/checks.sh");
const INIT: &str = include_str!("vm/init.sh");
/// What both scripts of checks begin with.
const PRELUDE: &str = include_str!("vm/prelude.sh");

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

/// What both machines need.
const NEEDED: [Needed; 3] = [
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
];

/// `args` may name the machine, `systemd`, or a static binary to use instead of building one.
pub(crate) fn run(args: &[String]) -> Result<()> {
    packages::ensure(&NEEDED)?;
    let kernel = Kernel::fetched()?;
    if let Some((word, tests)) = args.split_first()
        && word == "systemd"
    {
        return debian::run(&kernel, tests);
    }
    let folder = tempfile::tempdir()?;
    let image = folder.path().join("initramfs");
    let binary = match args.first() {
        Some(path) => PathBuf::from(path),
        None => cargo::release_binary()?,
    };
    write_initramfs(&kernel, &binary, &image)?;
    machine::boot(
        &kernel.image,
        &image,
        "console=ttyS0 quiet panic=-1 cgroup_no_v1=all",
        &["-m", "1024", "-no-reboot"].map(Into::into),
    )
}

/// A script of checks with what it begins with.
fn script(checks: &str) -> String {
    format!("{PRELUDE}{checks}")
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
    archive.add("checks.sh", 0o100_755, script(CHECKS).as_bytes())?;
    archive.add("init", 0o100_755, INIT.as_bytes())?;
    kernel.add_modules(&mut archive, &MODULES)?;
    archive.finish()
}
