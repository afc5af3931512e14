//! What a builder makes of a Dockerfile, as a text that can be compared.
//!
//! `cases/<group>.cases` holds Dockerfiles, each after a line `=== name flags…`. All are built in
//! one context ([`lay_out_context`]) over one base image. What came out of a build is its
//! configuration, its history and its layers above the base ([`describe`]); the times of files and
//! of the build are not part of it.

use std::fmt::Write;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::environment::answer;

mod expected;

pub use expected::{Expected, alike};

/// One Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// The file it stands in, without its ending.
    pub group: String,
    /// Unique within the group.
    pub name: String,
    /// Flags of `build` beside those every build has.
    pub flags: Vec<String>,
    /// The text.
    pub dockerfile: String,
}

impl Case {
    /// Its name among those of all groups.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}/{}", self.group, self.name)
    }
}

/// The groups below a folder, in order of their names.
///
/// # Panics
/// When the folder cannot be read.
#[must_use]
pub fn groups(folder: &Path) -> Vec<String> {
    let files = fs::read_dir(folder).expect("the cases can be listed");
    let mut names: Vec<String> = files
        .map(|file| file.expect("the cases can be listed").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "cases"))
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    names
}

/// The cases of a group.
///
/// # Panics
/// When the file cannot be read or a name occurs twice.
#[must_use]
pub fn cases(folder: &Path, group: &str) -> Vec<Case> {
    let path = folder.join(group).with_extension("cases");
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut cases: Vec<Case> = Vec::new();
    for line in text.split_inclusive('\n') {
        if let Some(head) = line.strip_prefix("=== ") {
            let mut words = head.split_whitespace().map(str::to_owned);
            let name = words.next().expect("a case has a name");
            let known = cases.iter().any(|case| case.name == name);
            assert!(!known, "{group} has {name} twice");
            cases.push(Case {
                group: group.to_owned(),
                name,
                flags: words.collect(),
                dockerfile: String::new(),
            });
        } else {
            let case = cases.last_mut().expect("a file begins with a case");
            case.dockerfile.push_str(line);
        }
    }
    cases
}

/// Where the expected result of a case is kept.
#[must_use]
pub fn expected_path(folder: &Path, case: &Case) -> PathBuf {
    folder.join(&case.group).join(format!("{}.txt", case.name))
}

/// Lays out the context of all cases.
///
/// # Panics
/// When a file cannot be made.
pub fn lay_out_context(folder: &Path) {
    let write = |path: &str, content: &str, mode: u32| {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().expect("a file has a folder")).expect("a folder");
        fs::write(&path, content).expect("a file");
        fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("a mode");
    };
    let link = |target: &str, path: &str| {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().expect("a link has a folder")).expect("a folder");
        symlink(target, path).expect("a link");
    };
    for (path, content) in [
        ("a", "content of a\n"),
        ("b.txt", "content of b\n"),
        ("with blank", "blank\n"),
        ("sub/c.txt", "c\n"),
        ("sub/deep/e", "e\n"),
        ("sub/mid/e", "another e\n"),
        ("odd/[x]", "brackets\n"),
        ("odd/ü", "umlaut\n"),
        ("odd/a*b", "star\n"),
        ("odd/-dash", "dash\n"),
        ("hard/x", "hard\n"),
        ("ignored/keep", "keep\n"),
        ("ignored/drop.log", "drop\n"),
        ("ignored/sub/drop.log", "drop\n"),
        ("ignored/sub/again.log", "kept by an exception\n"),
        ("not-an-archive.tar.gz", "no archive\n"),
        (
            ".dockerignore",
            "# comment\n**/*.log\n!ignored/sub/again.log\n",
        ),
    ] {
        write(path, content, 0o644);
    }
    for mode in [0o600, 0o644, 0o755, 0o4755, 0o2711, 0o444] {
        write(&format!("modes/{mode:04o}"), "mode\n", mode);
    }
    for (path, mode) in [("empty", 0o755), ("modes/sticky", 0o1777)] {
        let path = folder.join(path);
        fs::create_dir_all(&path).expect("a folder");
        fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("a mode");
    }
    fs::hard_link(folder.join("hard/x"), folder.join("hard/y")).expect("a hard link");
    link("a", "link");
    link("sub", "dirlink");
    link("../a", "links/relative");
    link("/etc/passwd", "links/absolute");
    link("nowhere", "links/dangling");
    link("loop", "links/loop");
    lay_out_archives(folder);
}

fn lay_out_archives(folder: &Path) {
    let content = tempfile::tempdir().expect("a folder");
    let root = content.path();
    fs::create_dir_all(root.join("etc/inner")).expect("a folder");
    fs::write(root.join("etc/inner/f"), "from the archive\n").expect("a file");
    fs::write(root.join("top"), "top\n").expect("a file");
    symlink("top", root.join("l")).expect("a link");
    fs::hard_link(root.join("top"), root.join("h")).expect("a hard link");
    let pack = |flag: &str, name: &str| {
        let archive = folder.join(name);
        fs::create_dir_all(archive.parent().expect("a file has a folder")).expect("a folder");
        let made = answer(
            Command::new("tar")
                .args(["--sort=name", "--mtime=@1", "--owner=3", "--group=4"])
                .args(["--numeric-owner", flag])
                .arg(archive)
                .arg("--directory")
                .arg(root)
                .args(["etc", "h", "l", "top"]),
        );
        drop(made.ok());
    };
    pack("-cf", "archive.tar");
    pack("-czf", "archive.tar.gz");
    pack("-cf", "archives/inner.tar");
}

/// The image of an archive as `docker save` writes it.
///
/// ```text
/// config {…}
/// history "created by" (comment) [no layer]
/// layer
///   d 0755 0:0 app/
///   f 0644 0:0 13 crc a/b
///   l 0777 0:0 app/link -> target
/// ```
/// A file with several names is written once; the others are `h name = first name`. Layers of the
/// base image (`base`: its diff IDs) are one line each. Empty mount points that builders leave in
/// layers are left out, and so is the mode of whiteouts.
///
/// # Panics
/// When the archive is not one.
#[must_use]
pub fn describe(archive: &Path, base: &[String]) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    unpack(archive, folder.path());
    let json = |name: &str| -> Value {
        let text = fs::read(folder.path().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        serde_json::from_slice(&text).unwrap_or_else(|e| panic!("{name}: {e}"))
    };
    let manifest = &json("manifest.json")[0];
    let image = json(manifest["Config"].as_str().expect("a configuration"));
    let mut text = String::new();
    let platform = format!("{}/{}", image["os"], image["architecture"]).replace('"', "");
    writeln!(text, "platform {platform}").expect("a string");
    let mut config = image["config"].clone();
    prune(&mut config);
    let pretty = serde_json::to_string_pretty(&config).expect("JSON");
    writeln!(text, "config {pretty}").expect("a string");
    for entry in image["history"].as_array().into_iter().flatten() {
        let word = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
        let empty = entry["empty_layer"] == Value::Bool(true);
        let note = if empty { " [no layer]" } else { "" };
        let comment = word("comment");
        // The base's, which names the archive.
        if comment.starts_with("Imported from ") {
            continue;
        }
        writeln!(text, "history {:?} ({comment}){note}", word("created_by")).expect("a string");
    }
    let diff_ids = image["rootfs"]["diff_ids"].as_array().into_iter().flatten();
    let layers = manifest["Layers"].as_array().into_iter().flatten();
    for (diff_id, layer) in diff_ids.zip(layers) {
        let diff_id = diff_id.as_str().expect("a digest");
        if base.iter().any(|known| known == diff_id) {
            text.push_str("layer of the base\n");
            continue;
        }
        text.push_str("layer\n");
        let root = tempfile::tempdir().expect("a folder");
        let layer = layer.as_str().expect("a path");
        unpack(&folder.path().join(layer), root.path());
        text.push_str(&listing(root.path()));
    }
    text
}

/// The diff IDs of the image in an archive.
///
/// # Panics
/// When the archive is not one.
#[must_use]
pub fn diff_ids(archive: &Path) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    unpack(archive, folder.path());
    let read = |name: &str| -> Value {
        let text = fs::read(folder.path().join(name)).expect("the archive is complete");
        serde_json::from_slice(&text).expect("JSON")
    };
    let manifest = read("manifest.json");
    let image = read(manifest[0]["Config"].as_str().expect("a configuration"));
    let ids = image["rootfs"]["diff_ids"].as_array().into_iter().flatten();
    ids.filter_map(|id| Some(id.as_str()?.to_owned())).collect()
}

fn unpack(archive: &Path, folder: &Path) {
    let unpacked = answer(
        Command::new("tar")
            .args(["--extract", "--preserve-permissions", "--numeric-owner"])
            .arg("--file")
            .arg(archive)
            .arg("--directory")
            .arg(folder),
    );
    drop(unpacked.ok());
}

/// Leaves out what is empty: some write it and some do not.
fn prune(value: &mut Value) {
    let Some(object) = value.as_object_mut() else {
        return;
    };
    object.values_mut().for_each(prune);
    object.retain(|key, value| match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty() || !matches!(key.as_str(), "Labels" | "Volumes"),
        Value::Bool(flag) => *flag,
        Value::Number(_) => true,
    });
}

/// Folders that builders make to mount something on, and files.
const MOUNT_POINTS: [&str; 5] = ["dev/", "proc/", "sys/", "etc/hosts", "etc/resolv.conf"];

fn listing(root: &Path) -> String {
    let mut lines: Vec<(String, String)> = Vec::new();
    let mut names: Vec<((u64, u64), String)> = Vec::new();
    walk(root, "", &mut lines, &mut names);
    let is_mount_point = |path: &str, line: &str| {
        MOUNT_POINTS.contains(&path) && (path.ends_with('/') || line.contains(" 0 "))
    };
    let has_content = |lines: &[(String, String)], folder: &str| {
        lines
            .iter()
            .any(|(path, _)| path != folder && path.starts_with(folder))
    };
    let all = lines.clone();
    lines.retain(|(path, line)| !is_mount_point(path, line) || has_content(&all, path));
    let left = lines.clone();
    lines.retain(|(path, _)| path != "etc/" || has_content(&left, path));
    lines
        .into_iter()
        .fold(String::new(), |text, (_, line)| text + "  " + &line + "\n")
}

fn walk(
    folder: &Path,
    prefix: &str,
    lines: &mut Vec<(String, String)>,
    names: &mut Vec<((u64, u64), String)>,
) {
    let entries = fs::read_dir(folder).expect("a layer can be read");
    let mut entries: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    entries.sort();
    for path in entries {
        let metadata = fs::symlink_metadata(&path).expect("an entry can be looked at");
        let name = path
            .file_name()
            .expect("an entry has a name")
            .to_string_lossy();
        let name = format!("{prefix}{name}");
        let kind = metadata.file_type();
        let rights = format!(
            "{:04o} {}:{}",
            metadata.mode() & 0o7777,
            metadata.uid(),
            metadata.gid()
        );
        if kind.is_dir() {
            let name = format!("{name}/");
            lines.push((name.clone(), format!("d {rights} {name}")));
            walk(&path, &name, lines, names);
            continue;
        }
        let line = if name
            .rsplit('/')
            .next()
            .is_some_and(|n| n.starts_with(".wh."))
        {
            format!("w {name}")
        } else if kind.is_symlink() {
            let target = fs::read_link(&path).expect("a link can be read");
            format!("l {rights} {name} -> {}", target.display())
        } else {
            let inode = (metadata.dev(), metadata.ino());
            if let Some((_, first)) = names.iter().find(|(known, _)| *known == inode) {
                lines.push((name.clone(), format!("h {name} = {first}")));
                continue;
            }
            if metadata.nlink() > 1 {
                names.push((inode, name.clone()));
            }
            if kind.is_file() {
                let content = fs::read(&path).expect("a file can be read");
                format!("f {rights} {} {:08x} {name}", content.len(), hash(&content))
            } else if kind.is_fifo() {
                format!("p {rights} {name}")
            } else {
                format!("n {rights} {:x} {name}", metadata.rdev())
            }
        };
        lines.push((name, line));
    }
}

/// FNV-1a: tells contents apart, protects against nobody.
fn hash(content: &[u8]) -> u32 {
    content.iter().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}
