//! Dockerfiles that other people wrote: those of the source packages in [`ARCHIVES`].
//!
//! They are fetched from the Debian mirror that the host's package manager uses, once, and kept.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

mod buildable;
mod verdict;

pub use buildable::{Buildable, buildable};
pub use verdict::{Verdict, expectations};

use crate::cache::kept;
use crate::environment::answer;

/// A source package's archive.
#[derive(Debug, Clone, Copy)]
pub struct Archive {
    /// Where it lies below a mirror's `pool/main/`.
    pub path: &'static str,
    /// SHA-256 of its bytes, in hexadecimal.
    pub sha256: &'static str,
}

/// What is fetched: 20 MB in all.
pub const ARCHIVES: [Archive; 12] = [
    Archive {
        path: "g/golang-github-containers-buildah/golang-github-containers-buildah_1.39.3+ds1.orig.tar.xz",
        sha256: "6b922efcd4b7eb138c09c8de17b4484d0b50e54e761759efe264964d6871b14d",
    },
    Archive {
        path: "g/golang-github-openshift-imagebuilder/golang-github-openshift-imagebuilder_1.2.15+ds1.orig.tar.xz",
        sha256: "decd3f2744b925bdab8633eca67dd56e51892f2689807f4d4372956b513ac634",
    },
    Archive {
        path: "d/docker.io/docker.io_26.1.5+dfsg1.orig-buildkit.tar.xz",
        sha256: "3a4a472c237b1caf456aac2cae810fea2b4fae9d0e9e71af5540645b510ff10c",
    },
    Archive {
        path: "d/docker.io/docker.io_26.1.5+dfsg1.orig-cli.tar.xz",
        sha256: "477e396c50ea9e617cf6a9d70eef9509e587508faeaa5ab8e0304d600612c11b",
    },
    Archive {
        path: "d/docker.io/docker.io_20.10.24+dfsg1.orig.tar.xz",
        sha256: "952f68f219a5aac7c293d2dfb26fb4c641b60f6d8c5eebf8cbf32a3f1429d2ce",
    },
    Archive {
        path: "d/docker-buildx/docker-buildx_0.13.1+ds1.orig.tar.xz",
        sha256: "2be9298619e8c6756099a3ad625bf2bf37f6dcf1d33f24e82d872098fb36ec4a",
    },
    Archive {
        path: "d/docker-compose/docker-compose_2.26.1.orig.tar.xz",
        sha256: "9b2f3ec4ccced49125d8ae46e09d45d435623a4c58ba609b3ec160baeb400242",
    },
    Archive {
        path: "d/docker-compose/docker-compose_1.29.2.orig.tar.gz",
        sha256: "99a9b91d476062d280c889ae4e9993d7dd6a186327bafb2bb39521f9351b96eb",
    },
    Archive {
        path: "d/docker-registry/docker-registry_2.8.3+ds1.orig.tar.xz",
        sha256: "7e10b473987baed34e2fc42dfaad9955a5553a857dd5b00acd5ae6bffaf806db",
    },
    Archive {
        path: "libp/libpod/libpod_4.3.1+ds1.orig.tar.xz",
        sha256: "2785fcade807395d6d1bf2a31a910cf051f2b3e723e98109dfe1803236a76e50",
    },
    Archive {
        path: "f/freeradius/freeradius_3.2.1+dfsg.orig.tar.xz",
        sha256: "f28a7c4dc0515d24b323c157a46c7d0f0fa7cdc76bf25e4044251d33d9d52832",
    },
    Archive {
        path: "g/grpc/grpc_1.51.1.orig.tar.gz",
        sha256: "b55696fb249669744de3e71acc54a9382bea0dce7cd5ba379b356b12b82d4229",
    },
];

/// What the archives are unpacked for: Dockerfiles by their name, and the contexts of those that
/// are tests of a builder.
const WANTED: [&str; 5] = [
    "*dockerfile*",
    "*containerfile*",
    "*/tests/bud/*",
    "*/tests/conformance/testdata/*",
    "*/dockerclient/testdata/*",
];

/// Endings of files that are about Dockerfiles without being some.
const OTHERS: [&str; 17] = [
    "go",
    "md",
    "rb",
    "py",
    "json",
    "rst",
    "yml",
    "yaml",
    "in",
    "js",
    "sh",
    "patch",
    "txt",
    "hcl",
    "include",
    "dockerignore",
    "containerignore",
];

/// A Dockerfile as somebody wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RealFile {
    /// SHA-256 of its bytes, in hexadecimal.
    pub sha256: String,
    /// The package and the path in its archive.
    pub origin: String,
    /// Where it was unpacked.
    pub path: PathBuf,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl RealFile {
    /// What is given to builders: without a `syntax` directive, which sends for a frontend from a
    /// registry. The lines stay where they are; the directive becomes an ordinary comment.
    #[must_use]
    pub fn given(&self) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        let mut at = 0;
        while let Some(line) = bytes[at..].split_inclusive(|byte| *byte == b'\n').next() {
            let length = line.len();
            let comment = line.trim_ascii().strip_prefix(b"#");
            let Some(word) = comment.map(|rest| rest.trim_ascii_start().to_ascii_lowercase())
            else {
                break;
            };
            if word.starts_with(b"syntax") {
                let start = at
                    + line
                        .to_ascii_lowercase()
                        .iter()
                        .position(|b| *b == b's')
                        .unwrap_or(0);
                bytes[start..start + 6].copy_from_slice(b"former");
                break;
            }
            at += length;
        }
        bytes
    }
}

/// All of them, each content once, in the order of the archives and paths.
///
/// # Panics
/// When the archives cannot be fetched.
#[must_use]
pub fn all() -> Vec<RealFile> {
    let root = folder();
    let mut files: Vec<RealFile> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for archive in ARCHIVES {
        let mut paths = Vec::new();
        collect(&root.join(name(&archive)), &mut paths);
        paths.sort();
        for path in paths {
            let bytes = fs::read(&path).expect("an unpacked file can be read");
            let sha256 = hex(&bytes);
            if seen.insert(sha256.clone()) {
                let origin = path.strip_prefix(&root).expect("it lies in the folder");
                files.push(RealFile {
                    sha256,
                    origin: origin.display().to_string(),
                    path,
                    bytes,
                });
            }
        }
    }
    files
}

/// The folder with a folder for each archive, by its [`name`].
///
/// # Panics
/// When the archives cannot be fetched.
#[must_use]
pub fn folder() -> PathBuf {
    let pins = format!("{ARCHIVES:?} {WANTED:?}");
    kept(
        &format!("dockerfiles-{}", &hex(pins.as_bytes())[..16]),
        |folder| {
            let scratch = tempfile::tempdir().expect("a temporary folder can be made");
            for archive in ARCHIVES {
                let tar = scratch.path().join("archive.tar");
                fetch(&archive, &tar);
                unpack(&tar, &folder.join(name(&archive)));
            }
        },
    )
}

/// The name of the package with its version.
#[must_use]
pub fn name(archive: &Archive) -> &'static str {
    let file = archive.path.rsplit('/').next().unwrap_or_default();
    let end = file.find(".tar").unwrap_or(file.len());
    file[..end].trim_end_matches(".orig")
}

/// Downloads an archive from the first of the host's mirrors that has it; apt checks its digest.
fn fetch(archive: &Archive, target: &Path) {
    let mut said = String::new();
    for mirror in mirrors() {
        let address = format!("{mirror}pool/main/{}", archive.path.replace('+', "%2b"));
        let fetched = answer(
            Command::new("/usr/lib/apt/apt-helper")
                .args(["-o", "Acquire::Retries=3", "download-file"])
                .arg(address)
                .arg(target)
                .arg(format!("SHA256:{}", archive.sha256)),
        );
        if fetched.code == 0 {
            return;
        }
        said.push_str(&fetched.stderr);
    }
    panic!(
        "cannot fetch Debian's source package {} from a mirror of /etc/apt: {said}",
        archive.path
    );
}

/// The addresses of the host's Debian mirrors, each with a slash at its end.
fn mirrors() -> Vec<String> {
    let targets = answer(Command::new("apt-get").args([
        "indextargets",
        "--format",
        "$(REPO_URI)",
        "Created-By: Packages",
        "Component: main",
    ]));
    let mut mirrors: Vec<String> = Vec::new();
    for line in targets.ok().lines() {
        let mirror = format!("{}/", line.trim_end_matches('/'));
        if !mirrors.contains(&mirror) {
            mirrors.push(mirror);
        }
    }
    mirrors
}

fn unpack(archive: &Path, folder: &Path) {
    fs::create_dir_all(folder).expect("a folder can be made");
    let unpacked = answer(
        Command::new("tar")
            .args(["--extract", "--no-same-owner", "--strip-components=1"])
            .args(["--wildcards", "--ignore-case", "--no-anchored", "--file"])
            .arg(archive)
            .arg("--directory")
            .arg(folder)
            .args(WANTED),
    );
    // A pattern that an archive has nothing for is an error of tar's: what counts is that there
    // is something.
    let some = fs::read_dir(folder).expect("a folder can be read").next();
    assert!(some.is_some(), "{}: {}", archive.display(), unpacked.stderr);
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder can be read") {
        let entry = entry.expect("a folder can be read");
        let kind = entry.file_type().expect("an entry has a kind");
        if kind.is_dir() {
            collect(&entry.path(), paths);
        } else if kind.is_file() && is_dockerfile(&entry.file_name().to_string_lossy()) {
            paths.push(entry.path());
        }
    }
}

fn is_dockerfile(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    (name.contains("dockerfile") || name.contains("containerfile")) && !OTHERS.contains(&ending)
}

fn hex(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
