//! What one step worked on: kept with its record, so that a later build can say what changed.
//!
//! Values that may be secrets (variables, scripts, content) are kept as digests only.

use std::borrow::Cow;
use std::io::{BufWriter, Read};

use gantry_model::digest::hex_encode;
use rustix::fs::FileType;
use serde::{Deserialize, Serialize};

use crate::graph::{
    CacheSharing, FileOperation, FileSource, MakeDirectory, Mount, Network, Operation, RunOperation,
};
use crate::permissions::Change;
use crate::tree::{Entry, Match};

/// Most files that are kept one by one; where there are more, directories stand for what is below
/// them.
const MOST_FILES: usize = 50_000;
/// Most bytes of a text that is kept as it is.
const MOST_TEXT: usize = 4096;
/// Most bytes that are taken for the inputs of a step when they are read.
const LARGEST: u64 = 64 << 20;
/// Bytes of text that are compressed at once.
const BUFFER: usize = 32 << 10;
/// How hard they are compressed: they are written on the way of a build.
const LEVEL: i32 = 1;

/// What a step worked on, its layers below aside.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Inputs {
    /// What the instruction says and what it is given.
    pub(crate) facts: Vec<Fact>,
    /// The files that are copied, in the order of their paths.
    pub(crate) files: Vec<File>,
}

/// What a fact is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum What {
    /// The command of a `RUN`.
    Command,
    /// A document of the Dockerfile that is run or copied.
    Document,
    /// A variable that an `ARG` gives.
    Argument,
    /// A variable of the environment.
    Variable,
    /// The working directory.
    Directory,
    /// The user.
    User,
    /// The network.
    Network,
    /// A mount.
    Mount,
    /// A line of `/etc/hosts`.
    Host,
    /// Where files are copied to.
    Destination,
    /// A flag of the instruction.
    Flag,
}

/// Something that a step was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fact {
    pub(crate) what: What,
    /// Which of its kind; empty where there is only one.
    pub(crate) name: String,
    pub(crate) value: Value,
}

/// The value of a fact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Value {
    /// May be shown.
    Shown(String),
    /// The digest of what may be a secret.
    Hidden(String),
}

/// A file that was copied, or a directory that stands for what is below it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct File {
    pub(crate) path: String,
    /// Type and permissions, as `stat` gives them.
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    pub(crate) content: Content,
}

/// What is in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Content {
    /// Nothing that would have a digest: a directory, a device.
    None,
    /// The first bytes of the digest of content and attributes.
    Digest(String),
    /// Where a symbolic link leads.
    Link(String),
    /// The digest of all that is below a directory, and how many files these are.
    Below(String, usize),
}

impl Inputs {
    /// Those of a `RUN`.
    pub(crate) fn of_run(run: &RunOperation) -> Self {
        let mut facts = vec![
            Fact::shown(What::Command, "", run.arguments.join(" ")),
            Fact::shown(What::Directory, "", run.directory.clone()),
            Fact::shown(What::User, "", run.user.clone()),
            Fact::shown(What::Network, "", network(run.network).to_owned()),
        ];
        if let Some(script) = &run.script {
            facts.push(Fact::hidden(What::Document, &script.name, &script.content));
        }
        for (name, value) in &run.environment {
            let declared = run.declared.iter().any(|argument| argument == name);
            let what = if declared {
                What::Argument
            } else {
                What::Variable
            };
            facts.push(Fact::hidden(what, name, value));
        }
        for mount in &run.mounts {
            let (target, text) = described(mount);
            facts.push(Fact::shown(What::Mount, target, text));
        }
        let flag = |name: &str, value: String| Fact::shown(What::Flag, name, value);
        if !run.confinement.is_empty() {
            facts.push(flag("--security-opt", run.confinement.join(" ")));
        }
        facts.extend(
            run.shm_size
                .map(|size| flag("--shm-size", size.to_string())),
        );
        for device in &run.devices {
            facts.push(flag(
                &format!("--device {}", device.name),
                device.required.to_string(),
            ));
        }
        for limit in &run.ulimits {
            let name = format!("--ulimit {}", limit.name);
            facts.push(flag(&name, limit.to_string()));
        }
        for (name, address) in &run.extra_hosts {
            facts.push(Fact::shown(What::Host, name, address.to_string()));
        }
        Self {
            facts,
            files: Vec::new(),
        }
    }

    /// Those of a `WORKDIR`.
    pub(crate) fn of_directory(directory: &MakeDirectory) -> Self {
        Self {
            facts: vec![
                Fact::shown(What::Directory, "", directory.path.clone()),
                Fact::shown(What::User, "", directory.user.clone()),
            ],
            files: Vec::new(),
        }
    }

    /// Those of a `COPY` or `ADD` of what was selected.
    pub(crate) fn of_files(
        operation: &FileOperation,
        selected: &[Vec<Match>],
        change: &Change,
    ) -> Self {
        let flag = |name: &str, value: String| Fact::shown(What::Flag, name, value);
        let mut facts = vec![Fact::shown(
            What::Destination,
            "",
            operation.destination.clone(),
        )];
        facts.extend(operation.owner.clone().map(|owner| flag("--chown", owner)));
        facts.extend(operation.mode.clone().map(|mode| flag("--chmod", mode)));
        facts.extend(
            operation
                .exclude
                .iter()
                .map(|pattern| flag("--exclude", pattern.clone())),
        );
        for (name, set) in [
            ("--parents", operation.parents),
            ("--link", operation.link),
            ("--unpack", operation.unpack),
        ] {
            facts.extend(set.then(|| flag(name, "true".to_owned())));
        }
        for source in &operation.sources {
            if let FileSource::Inline { name, content } = source {
                facts.push(Fact::hidden(What::Document, name, content));
            }
        }
        let nothing = Self {
            facts,
            files: Vec::new(),
        };
        nothing.with_files(selected.iter().flatten(), change)
    }

    /// These and the files that were found.
    pub(crate) fn with_files<'m>(
        self,
        found: impl IntoIterator<Item = &'m Match>,
        change: &Change,
    ) -> Self {
        let entries = found.into_iter().flat_map(Match::entries);
        let mut files: Vec<(Cow<'_, str>, &Entry)> = entries
            .map(|entry| (entry.path.to_string_lossy(), entry))
            .collect();
        files.sort_by(|(one, _), (other, _)| one.cmp(other));
        files.dedup_by(|(later, _), (first, _)| later == first);
        let depth = depth(files.iter().map(|(path, _)| &**path), MOST_FILES);
        let files = files.into_iter().map(|(_, entry)| File::of(entry, change));
        Self {
            files: coarsened(files, depth, MOST_FILES),
            ..self
        }
    }

    /// Those of a step of the graph, as far as its operation says them.
    pub(crate) fn of(operation: &Operation) -> Option<Self> {
        match operation {
            Operation::Run(run) => Some(Self::of_run(run)),
            Operation::MakeDirectory(directory) => Some(Self::of_directory(directory)),
            _ => None,
        }
    }

    /// As they are kept.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let write = || {
            // The text itself is never in memory as a whole.
            let encoder = zstd::Encoder::new(Vec::new(), LEVEL)?;
            let mut buffer = BufWriter::with_capacity(BUFFER, encoder);
            serde_json::to_writer(&mut buffer, self)?;
            buffer.into_inner()?.finish()
        };
        write().expect("texts and numbers are JSON, and memory can be compressed")
    }

    /// As they were kept; `None` where they cannot be read.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut text = Vec::new();
        let decoder = zstd::Decoder::new(bytes).ok()?;
        decoder.take(LARGEST).read_to_end(&mut text).ok()?;
        serde_json::from_slice(&text).ok()
    }
}

impl Fact {
    fn shown(what: What, name: &str, mut value: String) -> Self {
        if value.len() > MOST_TEXT {
            let digest = digest(value.as_bytes());
            value.truncate(value.floor_char_boundary(MOST_TEXT));
            value.push_str(&format!("… ({digest})"));
        }
        Self {
            what,
            name: name.to_owned(),
            value: Value::Shown(value),
        }
    }

    fn hidden(what: What, name: &str, value: &str) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(name.as_bytes()).update(&[0]);
        hasher.update(value.as_bytes());
        Self {
            what,
            name: name.to_owned(),
            value: Value::Hidden(hex_encode(&hasher.finalize().as_bytes()[..8])),
        }
    }
}

impl File {
    fn of(entry: &Entry, change: &Change) -> Self {
        let permissions = change.permissions(entry);
        let content = match (entry.digest(), &entry.link) {
            (Some(digest), _) => Content::Digest(hex_encode(&digest[..8])),
            (None, Some(link)) => Content::Link(link.to_string_lossy().into_owned()),
            (None, None) => Content::None,
        };
        Self {
            path: entry.path.to_string_lossy().into_owned(),
            mode: entry.kind.as_raw_mode() | permissions.mode,
            owner: (permissions.uid, permissions.gid),
            content,
        }
    }

    /// What kind of file it is.
    pub(crate) fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.mode)
    }
}

fn digest(bytes: &[u8]) -> String {
    hex_encode(&blake3::hash(bytes).as_bytes()[..8])
}

fn network(network: Network) -> &'static str {
    match network {
        Network::Bridge => "default",
        Network::None => "none",
        Network::Host => "host",
    }
}

/// Where a mount is, and what it is.
fn described(mount: &Mount) -> (&str, String) {
    match mount {
        Mount::Tmpfs {
            target,
            size,
            read_only,
        } => (target, format!("tmpfs, size {size:?}, ro {read_only}")),
        Mount::Cache(cache) => {
            let sharing = match cache.sharing {
                CacheSharing::Shared => "shared",
                CacheSharing::Private => "private",
                CacheSharing::Locked => "locked",
            };
            let (id, mode) = (&cache.id, cache.mode);
            let (uid, gid, ro) = (cache.uid, cache.gid, cache.read_only);
            let mut text = format!("cache {id}, {sharing}, {mode:o} {uid}:{gid}, ro {ro}");
            if let Some(start) = &cache.start {
                text.push_str(&format!(", from {}", start.source));
            }
            (&cache.target, text)
        }
        Mount::Bind(bind) => {
            let text = format!("bind {}, rw {}", bind.source, bind.read_write);
            (&bind.target, text)
        }
        Mount::Secret(secret) => {
            let target = secret.target.as_deref().or(secret.env.as_deref());
            let (mode, uid, gid) = (secret.mode, secret.uid, secret.gid);
            let required = secret.required;
            let text = format!("secret {}, {mode:o} {uid}:{gid}, {required}", secret.id);
            (target.unwrap_or_default(), text)
        }
        Mount::Ssh(ssh) => {
            let (mode, uid, gid) = (ssh.mode, ssh.uid, ssh.gid);
            let text = format!("ssh {}, {mode:o} {uid}:{gid}, {}", ssh.id, ssh.required);
            (&ssh.target, text)
        }
    }
}

/// How many slashes of these sorted paths can be told apart if at most `most` are; `None` where all
/// can be.
fn depth<'p>(paths: impl Iterator<Item = &'p str> + Clone, most: usize) -> Option<usize> {
    if paths.clone().count() <= most {
        return None;
    }
    let slashes = |path: &str| path.bytes().filter(|byte| *byte == b'/').count();
    let deepest = paths.clone().map(slashes).max().unwrap_or(0);
    let fits = |depth: &usize| {
        let mut groups = 0;
        let mut last = None;
        for path in paths.clone() {
            let top = Some(upto(path, *depth));
            groups += usize::from(last != top);
            last = top;
        }
        groups <= most
    };
    Some((0..deepest).rev().find(fits).unwrap_or(0))
}

/// At most `most` files: of those deeper than `depth`, if there is one, the directory is kept at which
/// they part, with the digest of all below it.
fn coarsened(files: impl Iterator<Item = File>, depth: Option<usize>, most: usize) -> Vec<File> {
    let Some(depth) = depth else {
        return files.collect();
    };
    let mut coarse: Vec<File> = Vec::new();
    let mut below: Option<(blake3::Hasher, usize)> = None;
    for file in files {
        let top = upto(&file.path, depth);
        let same = coarse.last().is_some_and(|last| last.path == top);
        if !same {
            close(&mut coarse, below.take());
            let is_top = file.path == top;
            coarse.push(File {
                path: top.to_owned(),
                mode: if is_top {
                    file.mode
                } else {
                    FileType::Directory.as_raw_mode()
                },
                owner: if is_top { file.owner } else { (0, 0) },
                content: if is_top {
                    file.content.clone()
                } else {
                    Content::None
                },
            });
            if is_top {
                continue;
            }
        }
        let (hasher, count) = below.get_or_insert_with(|| (blake3::Hasher::new(), 0));
        let text = serde_json::to_vec(&file).expect("texts and numbers are JSON");
        hasher.update(&text);
        *count += 1;
    }
    close(&mut coarse, below);
    // One directory of more files than are kept: only their number and digest are left.
    coarse.truncate(most);
    coarse
}

fn close(coarse: &mut [File], below: Option<(blake3::Hasher, usize)>) {
    if let (Some(last), Some((hasher, count))) = (coarse.last_mut(), below) {
        let digest = hex_encode(&hasher.finalize().as_bytes()[..8]);
        last.content = Content::Below(digest, count);
    }
}

/// The first components of a path, `depth` slashes of it.
fn upto(path: &str, depth: usize) -> &str {
    match path.match_indices('/').nth(depth) {
        Some((at, _)) => &path[..at],
        None => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, content: &str) -> File {
        File {
            path: path.to_owned(),
            mode: 0o100_644,
            owner: (0, 0),
            content: Content::Digest(content.to_owned()),
        }
    }

    #[test]
    fn they_come_back_as_they_were_kept() {
        let inputs = Inputs {
            facts: vec![
                Fact::shown(What::Command, "", "make".into()),
                Fact::hidden(What::Variable, "TOKEN", "hunter2hunter2"),
            ],
            files: vec![file("a/b", "00"), file("a/c\n\"", "11")],
        };
        let kept = inputs.encode();
        assert_eq!(Inputs::decode(&kept), Some(inputs));
        assert!(!kept.windows(7).any(|part| part == b"hunter2"));
        for cut in 0..kept.len() {
            assert_eq!(Inputs::decode(&kept[..cut]), None, "{cut}");
        }
    }

    #[test]
    fn a_long_text_is_cut_and_still_told_apart() {
        let long = |end: char| Fact::shown(What::Command, "", "ä".repeat(5000) + &end.to_string());
        assert_ne!(long('a'), long('b'));
        assert!(matches!(long('a').value, Value::Shown(text) if text.len() < 4200));
    }

    #[test]
    fn too_many_files_are_told_of_by_directory() {
        let all = |changed: &str| -> Vec<File> {
            let mut files = Vec::new();
            for top in 0..5 {
                files.push(File {
                    mode: 0o040_755,
                    content: Content::None,
                    ..file(&format!("d{top}"), "")
                });
                for below in 0..20 {
                    let path = format!("d{top}/e/f{below:02}");
                    let content = if path == changed { "new" } else { "old" };
                    files.push(file(&path, content));
                }
            }
            files
        };
        let coarsened = |files: Vec<File>, most| {
            let depth = depth(files.iter().map(|file| &*file.path), most);
            coarsened(files.into_iter(), depth, most)
        };
        let before = coarsened(all(""), 30);
        let after = coarsened(all("d3/e/f07"), 30);
        assert!(before.len() <= 30, "{}", before.len());
        let changed: Vec<&str> = before
            .iter()
            .zip(&after)
            .filter(|(one, other)| one != other)
            .map(|(one, _)| one.path.as_str())
            .collect();
        assert_eq!(changed, ["d3/e"]);
        let e = before.iter().find(|file| file.path == "d3/e").unwrap();
        assert!(matches!(e.content, Content::Below(_, 20)), "{e:?}");
        assert_eq!(coarsened(all(""), 200), all(""));
    }
}
