//! Base images made of packages, and folders of real programs to build.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cache::kept;

fn succeed(command: &mut Command) {
    let answer = crate::environment::answer(command);
    assert_eq!(
        answer.code, 0,
        "{command:?} failed:\n{}\n{}",
        answer.stdout, answer.stderr
    );
}

fn pack(folder: &Path, archive: &Path) {
    succeed(
        Command::new("tar")
            .args([
                "--numeric-owner",
                "--one-file-system",
                "--xattrs",
                "--create",
                "--file",
            ])
            .arg(archive)
            .arg("--directory")
            .arg(folder)
            .arg("."),
    );
}

/// The tar of a root file system with the host's static busybox (Debian's `busybox-static`).
#[must_use]
pub fn busybox() -> PathBuf {
    kept("busybox.tar", busybox_archive)
}

/// Packs a root file system of the host's static busybox with a link for each applet.
///
/// # Panics
/// When the host has no static busybox.
pub fn busybox_archive(archive: &Path) {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let root = folder.path().join("root");
    for name in ["bin", "etc", "root", "home", "tmp", "var", "usr/bin"] {
        fs::create_dir_all(root.join(name)).expect("a folder can be made");
    }
    install_busybox(&root.join("bin"));
    let passwd = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\n";
    fs::write(root.join("etc/passwd"), passwd).expect("a file can be written");
    fs::write(root.join("etc/group"), "root:x:0:\nnogroup:x:65534:\n")
        .expect("a file can be written");
    succeed(Command::new("chmod").arg("1777").arg(root.join("tmp")));
    pack(&root, archive);
}

/// Puts the host's static busybox into a folder, with a link for each applet.
///
/// # Panics
/// When the host has none.
pub fn install_busybox(folder: &Path) {
    fs::create_dir_all(folder).expect("a folder can be made");
    let binary = folder.join("busybox");
    fs::copy("/bin/busybox", &binary).expect("the package busybox-static is installed");
    let list = Command::new(&binary)
        .arg("--list")
        .output()
        .expect("busybox runs");
    for applet in String::from_utf8_lossy(&list.stdout)
        .lines()
        .filter(|a| *a != "busybox")
    {
        symlink("busybox", folder.join(applet)).expect("a link can be made");
    }
}

/// The tar of a minimal Debian, made by debootstrap from the host's own mirror.
#[must_use]
pub fn debian() -> PathBuf {
    kept("debian-bookworm.tar", |archive| {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let root = folder.path().join("root");
        succeed(
            Command::new("debootstrap")
                .args([
                    "--variant=minbase",
                    "--include=ca-certificates,libstdc++6,libatomic1",
                ])
                .arg("bookworm")
                .arg(&root),
        );
        // As the official image: no package lists, no downloaded packages, no logs.
        for path in ["var/lib/apt/lists", "var/cache/apt/archives", "var/log"] {
            fs::remove_dir_all(root.join(path)).expect("a folder can be removed");
            fs::create_dir_all(root.join(path)).expect("a folder can be made");
        }
        pack(&root, archive);
    })
}

/// A folder with `node` and `npm` as the npm registry's packages carry them, laid out to be
/// copied to `/usr/local`.
#[must_use]
pub fn node() -> PathBuf {
    kept("node", |folder| {
        let scratch = tempfile::tempdir().expect("a temporary folder can be made");
        let unpack = |package: &str, target: &Path| {
            let answer = crate::environment::answer(
                Command::new("npm")
                    .args(["pack", "--silent", package])
                    .current_dir(scratch.path()),
            );
            let archive = answer.ok();
            let archive = scratch
                .path()
                .join(archive.lines().last().expect("npm names the file"));
            fs::create_dir_all(target).expect("a folder can be made");
            succeed(
                Command::new("tar")
                    .args([
                        "--extract",
                        "--no-same-owner",
                        "--strip-components=1",
                        "--file",
                    ])
                    .arg(archive)
                    .arg("--directory")
                    .arg(target),
            );
        };
        let architecture = if cfg!(target_arch = "aarch64") {
            "arm64"
        } else {
            "x64"
        };
        let runtime = scratch.path().join("runtime");
        unpack(&format!("node-linux-{architecture}@20"), &runtime);
        fs::create_dir_all(folder.join("bin")).expect("a folder can be made");
        fs::copy(runtime.join("bin/node"), folder.join("bin/node")).expect("the package has node");
        unpack("npm@10", &folder.join("lib/node_modules/npm"));
        symlink(
            "../lib/node_modules/npm/bin/npm-cli.js",
            folder.join("bin/npm"),
        )
        .expect("a link can be made");
    })
}

/// The host's certificates in one file, for builds behind a proxy that signs anew.
///
/// # Panics
/// When the host has none.
#[must_use]
pub fn certificates() -> PathBuf {
    let path = PathBuf::from("/etc/ssl/certs/ca-certificates.crt");
    assert!(
        path.exists(),
        "the package ca-certificates is not installed"
    );
    path
}

/// `e_machine` of 64-bit ARM programs.
pub const AARCH64: u16 = 183;
/// `e_machine` of RISC-V programs.
pub const RISCV: u16 = 243;

/// A program for another machine of 64 bits. That for [`AARCH64`] writes `aarch64` into the file
/// `/made`; those for others have no instructions that mean anything.
#[must_use]
pub fn foreign_program(machine: u16) -> Vec<u8> {
    const INSTRUCTIONS: [u32; 13] = [
        0x9280_0c60, // movn x0, #99          the working directory
        0x1000_0181, // adr  x1, path
        0xd280_4822, // movz x2, #0x241       O_WRONLY | O_CREAT | O_TRUNC
        0xd280_3483, // movz x3, #0o644
        0xd280_0708, // movz x8, #56          openat
        0xd400_0001, // svc  #0
        0x1000_0121, // adr  x1, text
        0xd280_0102, // movz x2, #8
        0xd280_0808, // movz x8, #64          write
        0xd400_0001, // svc  #0
        0xd280_0000, // movz x0, #0
        0xd280_0ba8, // movz x8, #93          exit
        0xd400_0001, // svc  #0
    ];
    const HEADERS: u64 = 64 + 56;
    const BASE: u64 = 0x40_0000;
    let mut code: Vec<u8> = INSTRUCTIONS.iter().flat_map(|i| i.to_le_bytes()).collect();
    code.extend_from_slice(b"/made\0\0\0aarch64\n");
    let size = HEADERS + code.len() as u64;
    let mut program = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let mut short = |value: u16| program.extend_from_slice(&value.to_le_bytes());
    short(2);
    short(machine);
    program.extend_from_slice(&1_u32.to_le_bytes());
    for value in [BASE + HEADERS, 64, 0] {
        program.extend_from_slice(&value.to_le_bytes());
    }
    program.extend_from_slice(&0_u32.to_le_bytes());
    for value in [64_u16, 56, 1, 64, 0, 0] {
        program.extend_from_slice(&value.to_le_bytes());
    }
    // One segment that is loaded, to be read and executed.
    for value in [1_u32, 5] {
        program.extend_from_slice(&value.to_le_bytes());
    }
    for value in [0, BASE, BASE, size, size, 0x1000] {
        program.extend_from_slice(&value.to_le_bytes());
    }
    program.extend(code);
    program
}
