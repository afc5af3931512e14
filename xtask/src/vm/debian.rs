//! A whole Debian that systemd runs, with cgroup v2 alone: the tests of the command line in it, and
//! what only systemd can show.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::archive::Archive;
use super::kernel::Kernel;
use super::{machine, script};
use crate::packages::{self, Needed};
use crate::{cargo, say};

const INIT: &str = include_str!("debian/init.sh");
/// Run within the new system before it is an image.
const SETUP: &str = include_str!("debian/setup.sh");
/// The checks that need systemd.
const CHECKS: &str = include_str!("debian/checks.sh");
/// What an ordinary user does in them.
const USERS: &str = include_str!("debian/user.sh");

/// What the system has beyond the least.
const PACKAGES: &str = "systemd,systemd-sysv,dbus,dbus-user-session,libpam-systemd,podman,crun,\
    conmon,netavark,buildah,docker.io,busybox-static,uidmap,passt,slirp4netns,iproute2,nftables,\
    iptables,procps,kmod,ca-certificates,polkitd,python3-minimal";

/// Modules for its disks; the others are on them.
const MODULES: [&str; 2] = ["virtio_pci", "virtio_blk"];

/// The tests that run in it unless others are named: what cgroups decide. The emulated clock loses
/// ticks, so that shares of processor time cannot be told.
const TESTS: [&str; 7] = [
    "limits::",
    "live::",
    "health::",
    "events::",
    "runtime::",
    "--skip",
    "live::root_what_a_container_uses_is_shown",
];

/// Runs tests of the command line and the checks in it.
pub(super) fn run(kernel: &Kernel, tests: &[String]) -> Result<()> {
    packages::ensure(&[
        Needed {
            program: "debootstrap",
            package: "debootstrap",
        },
        Needed {
            program: "mkfs.ext4",
            package: "e2fsprogs",
        },
        Needed {
            program: "strip",
            package: "binutils",
        },
    ])?;
    let disk = gantry_testkit::cache::kept("debian-systemd.img", |image| {
        make_disk(kernel, image).expect("the system can be made");
    });
    let folder = tempfile::tempdir()?;
    let payload = folder.path().join("payload.tar");
    let tests = match tests {
        [] => TESTS.map(str::to_owned).to_vec(),
        named => named.to_vec(),
    };
    write_payload(&folder.path().join("payload"), &payload, &tests)?;
    let initramfs = folder.path().join("initramfs");
    write_initramfs(kernel, &initramfs)?;
    let drive = |path: &Path, options: &str| {
        let mut value = OsString::from("file=");
        value.push(path);
        value.push(",if=virtio,format=raw");
        value.push(options);
        value
    };
    let mut options: Vec<OsString> = ["-m", "2048", "-snapshot", "-drive"].map(Into::into).into();
    options.push(drive(&disk, ""));
    options.push("-drive".into());
    options.push(drive(&payload, ",readonly=on"));
    machine::boot(
        &kernel.image,
        &initramfs,
        "console=ttyS0 quiet apparmor=0 systemd.show_status=0",
        &options,
    )
}

/// The system as the image of a disk.
fn make_disk(kernel: &Kernel, image: &Path) -> Result<()> {
    say("making a Debian with systemd, once");
    let folder = tempfile::tempdir()?;
    let root = folder.path().join("root");
    cargo::run(
        Command::new("debootstrap")
            .args(["--variant=minbase", &format!("--include={PACKAGES}")])
            .arg("bookworm")
            .arg(&root),
    )?;
    let version = kernel.modules.file_name().context("modules of a version")?;
    cargo::run(
        Command::new("cp")
            .args(["-a", "--parents"])
            .arg(Path::new("lib/modules").join(version))
            .arg(&root)
            .current_dir(kernel.root()?),
    )?;
    fs::write(root.join("setup.sh"), SETUP)?;
    cargo::run(
        Command::new("chroot")
            .arg(&root)
            .args(["sh", "/setup.sh"])
            .arg(version),
    )?;
    cargo::run(Command::new("truncate").args(["-s", "6G"]).arg(image))?;
    cargo::run(
        Command::new("mkfs.ext4")
            .args(["-q", "-O", "^has_journal", "-d"])
            .arg(&root)
            .arg(image),
    )
}

/// What mounts the disk and goes on from there.
fn write_initramfs(kernel: &Kernel, image: &Path) -> Result<()> {
    let mut archive = Archive::new(fs::File::create(image)?);
    for folder in ["bin", "dev", "modules", "root.new"] {
        archive.add(folder, 0o040_755, &[])?;
    }
    let busybox = packages::find("busybox").context("busybox is not on the PATH")?;
    archive.add("bin/busybox", 0o100_755, &fs::read(busybox)?)?;
    archive.add("init", 0o100_755, INIT.as_bytes())?;
    kernel.add_modules(&mut archive, &MODULES)?;
    archive.finish()
}

/// The binaries where they lie on this machine too, the base image and the scripts, as a tar that
/// is a disk of its own.
fn write_payload(folder: &Path, archive: &Path, tests: &[String]) -> Result<()> {
    let (gantry, cli) = binaries()?;
    let place = |path: &Path| -> Result<PathBuf> {
        let place = folder.join(path.strip_prefix("/").unwrap_or(path));
        fs::create_dir_all(place.parent().context("a file lies in a folder")?)?;
        Ok(place)
    };
    for (from, to) in [
        (&gantry, gantry.as_path()),
        (&cli, Path::new("/usr/local/bin/cli")),
    ] {
        cargo::run(Command::new("strip").arg("-o").arg(place(to)?).arg(from))?;
    }
    for name in ["gantry", "gantry-runtime"] {
        let link = place(&Path::new("/usr/local/bin").join(name))?;
        std::os::unix::fs::symlink(&gantry, link)?;
    }
    fs::copy(
        gantry_testkit::fixture::busybox(),
        place(Path::new("/root/.cache/gantry-test/busybox.tar"))?,
    )?;
    // The tests run in the folder of their crate.
    let crate_folder = cargo::root().join("crates/gantry");
    fs::create_dir_all(place(&crate_folder)?)?;
    let run = format!("cd {} && cli {}", crate_folder.display(), tests.join(" "));
    fs::write(place(Path::new("/tests.sh"))?, run)?;
    fs::write(place(Path::new("/checks.sh"))?, script(CHECKS))?;
    fs::write(place(Path::new("/user.sh"))?, USERS)?;
    cargo::run(
        Command::new("tar")
            .arg("-C")
            .arg(folder)
            .arg("-cf")
            .arg(archive)
            .arg("."),
    )
}

/// The binary and the tests of its command line.
fn binaries() -> Result<(PathBuf, PathBuf)> {
    let messages = cargo::output(cargo::cargo().args([
        "test",
        "--locked",
        "--package",
        "gantry",
        "--test",
        "cli",
        "--no-run",
        "--message-format",
        "json",
    ]))?;
    let executable = |name: &str| {
        let mut built = messages.lines().filter_map(|line| {
            let message: Value = serde_json::from_str(line).ok()?;
            let found = message["target"]["name"] == name;
            let path = message["executable"].as_str().filter(|_| found)?;
            Some(PathBuf::from(path))
        });
        built
            .next_back()
            .with_context(|| format!("cargo built no {name}"))
    };
    Ok((executable("gantry")?, executable("cli")?))
}
