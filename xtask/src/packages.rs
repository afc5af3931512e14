//! Programs that tests, demo and benchmarks need from the host's package manager.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{cargo, say};

/// A program the tests use, and Debian's package of it.
pub(crate) struct Needed {
    pub(crate) program: &'static str,
    pub(crate) package: &'static str,
}

/// The peers and tools of the test suite.
pub(crate) const FOR_TESTS: [Needed; 23] = [
    Needed {
        program: "busybox",
        package: "busybox-static",
    },
    Needed {
        program: "debootstrap",
        package: "debootstrap",
    },
    Needed {
        program: "skopeo",
        package: "skopeo",
    },
    Needed {
        program: "buildah",
        package: "buildah",
    },
    Needed {
        program: "podman",
        package: "podman",
    },
    Needed {
        program: "dockerd",
        package: "docker.io",
    },
    Needed {
        program: "docker-registry",
        package: "docker-registry",
    },
    Needed {
        program: "ip",
        package: "iproute2",
    },
    Needed {
        program: "nft",
        package: "nftables",
    },
    Needed {
        program: "npm",
        package: "npm",
    },
    Needed {
        program: "git",
        package: "git",
    },
    Needed {
        program: "pasta",
        package: "passt",
    },
    Needed {
        program: "slirp4netns",
        package: "slirp4netns",
    },
    Needed {
        program: "fuse-overlayfs",
        package: "fuse-overlayfs",
    },
    Needed {
        program: "newuidmap",
        package: "uidmap",
    },
    Needed {
        program: "python3",
        package: "python3",
    },
    Needed {
        program: "sshd",
        package: "openssh-server",
    },
    Needed {
        program: "mkfs.btrfs",
        package: "btrfs-progs",
    },
    Needed {
        program: "cc",
        package: "build-essential",
    },
    Needed {
        program: "bzip2",
        package: "bzip2",
    },
    Needed {
        program: "xz",
        package: "xz-utils",
    },
    Needed {
        program: "zstd",
        package: "zstd",
    },
    Needed {
        program: "qemu-aarch64-static",
        package: "qemu-user-static",
    },
];

/// Where a program lies on the `PATH`, the system folders included.
pub(crate) fn find(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(Into::into))
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
}

/// Installs what is missing of `needed` by apt; an error names it where that cannot be done.
pub(crate) fn ensure(needed: &[Needed]) -> Result<()> {
    let missing: Vec<&str> = needed
        .iter()
        .filter(|n| find(n.program).is_none())
        .map(|n| n.package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    if find("apt-get").is_none() || !Path::new("/etc/debian_version").exists() {
        bail!(
            "install these first (names of Debian's packages): {}",
            missing.join(" ")
        );
    }
    say(&format!("installing {}", missing.join(" ")));
    let apt = |args: &[&str]| {
        cargo::run(
            Command::new("apt-get")
                .args(["-qq", "-o", "Dpkg::Use-Pty=0"])
                .args(args)
                .env("DEBIAN_FRONTEND", "noninteractive"),
        )
    };
    apt(&["update"]).context("cannot update the package lists (root is needed)")?;
    let mut install = vec!["install", "--yes", "--no-install-recommends"];
    install.extend(missing);
    apt(&install)
}
