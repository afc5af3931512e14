//! The graph of a build: typed operations, each named by the digest of its definition.
//!
//! The vocabulary is closed. A node's definition digest covers what it does and the definition
//! digests of its inputs, so two stages that say the same are one node. What a step is called, and
//! where it stands in the Dockerfile, is not part of its definition.

mod definition;

use std::collections::HashMap;
use std::sync::Arc;

use gantry_dockerfile::{SourceFile, Span};
use gantry_model::ulimit::Ulimit;
use gantry_model::{Digest, Platform};

use crate::host_address::HostAddress;

pub(crate) use definition::{Definition, Fields};

/// A node of a [`Graph`]; inputs have smaller numbers than who uses them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct NodeId(pub(crate) usize);

/// A context of a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ContextId(pub(crate) usize);

/// What a node does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Nothing at all: an empty root file system.
    Scratch,
    /// An image whose layers are in the store.
    Image(ImageSource),
    /// A build context. No root file system, only something to copy from.
    Context(ContextId),
    /// A file over HTTP, as a root file system with nothing else in it.
    Http(HttpSource),
    /// The files of a commit.
    Git(GitSource),
    /// `RUN`. Input 0 is the root file system; the others are what its bind mounts show.
    Run(Box<RunOperation>),
    /// `COPY` and `ADD`. Input 0 is the root file system; what is copied from comes after it.
    File(Box<FileOperation>),
    /// `WORKDIR`. Input 0 is the root file system.
    MakeDirectory(MakeDirectory),
}

/// An image as a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ImageSource {
    /// Canonical reference, for people.
    pub(crate) reference: String,
    /// Its layers by diff ID, base first.
    pub(crate) layers: Vec<Digest>,
    /// What it was asked for; not part of the definition.
    pub(crate) platform: Platform,
}

impl ImageSource {
    /// The digest of the manifest or index that it was found by, where that is known.
    pub(crate) fn manifest(&self) -> Option<Digest> {
        self.reference.rsplit_once('@')?.1.parse().ok()
    }
}

/// A file over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HttpSource {
    /// Its address.
    pub(crate) url: String,
    /// What the file is called: one name.
    pub(crate) name: String,
    /// What its digest must be.
    pub(crate) checksum: Option<Digest>,
}

/// A commit of a git repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GitSource {
    /// What git is given.
    pub(crate) remote: String,
    /// Branch, tag, commit or full name of a reference; the default branch without.
    pub(crate) reference: Option<String>,
    /// What the commit must be, or begin with.
    pub(crate) commit: Option<String>,
    /// Whether the repository stays beside the files.
    pub(crate) keep_git_dir: bool,
    /// Whether submodules are fetched.
    pub(crate) submodules: bool,
}

/// A process that is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RunOperation {
    /// Arguments, the shell included.
    pub(crate) arguments: Vec<String>,
    /// The program of the stage's `SHELL`: for who looks at a failure, not part of the definition.
    pub(crate) shell: String,
    /// Environment in the order of names.
    pub(crate) environment: Vec<(String, String)>,
    /// The names of it, those that were set last at the end: how BuildKit orders them, not part of
    /// the definition.
    pub(crate) by_age: Vec<String>,
    /// Those names of it that an `ARG` gave: for explanations, not part of the definition.
    pub(crate) declared: Vec<String>,
    /// Working directory.
    pub(crate) directory: String,
    /// `user[:group]`, names or numbers; empty for root.
    pub(crate) user: String,
    /// The network.
    pub(crate) network: Network,
    /// Whether it is confined by nothing but its namespaces.
    pub(crate) insecure: bool,
    /// What else confines it otherwise than usual.
    pub(crate) confinement: Vec<String>,
    /// Bytes of `/dev/shm`, where these are not the usual 64 MiB.
    pub(crate) shm_size: Option<u64>,
    /// Limits of its processes in the order of names, each at most once.
    pub(crate) ulimits: Vec<Ulimit>,
    /// Devices of the machine.
    pub(crate) devices: Vec<WantedDevice>,
    /// A file laid at `/dev/pipes/<name>` for the time of the run.
    pub(crate) script: Option<Script>,
    /// Mounts in order.
    pub(crate) mounts: Vec<Mount>,
    /// Further lines of `/etc/hosts`.
    pub(crate) extra_hosts: Vec<(String, HostAddress)>,
    /// Proxy variables: they reach the process, and are not part of the definition.
    pub(crate) proxies: Vec<(String, String)>,
    /// What the process is for. Its files say it as well, so that it is not part of the definition.
    pub(crate) platform: Platform,
    /// The same, where that is another machine than this one. Its files say it as
    /// well, so that it is not part of the definition either.
    pub(crate) foreign: Option<Platform>,
}

/// A device of a [`RunOperation`], by its name in the Dockerfile or what that stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WantedDevice {
    pub(crate) name: String,
    /// Whether the step cannot do without.
    pub(crate) required: bool,
}

/// The network of a [`RunOperation`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Network {
    /// The bridge.
    Bridge,
    /// Loopback only.
    None,
    /// The host's.
    Host,
}

/// A script of a heredoc with `#!`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Script {
    pub(crate) name: String,
    pub(crate) content: String,
}

/// A mount of a [`RunOperation`], target absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mount {
    /// Memory.
    Tmpfs {
        target: String,
        size: Option<u64>,
        read_only: bool,
    },
    /// A folder that outlives the build.
    Cache(CacheMount),
    /// Files of another root file system.
    Bind(BindMount),
    /// Something only this step may know. What it is, is not part of the definition.
    Secret(SecretMount),
    /// The socket of an SSH agent.
    Ssh(SshMount),
}

/// `type=bind`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BindMount {
    /// Which input of the step.
    pub(crate) input: usize,
    /// Absolute path in it.
    pub(crate) source: String,
    pub(crate) target: String,
    /// Whether the step may write; what it writes is thrown away.
    pub(crate) read_write: bool,
}

/// `type=secret`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SecretMount {
    pub(crate) id: String,
    /// The file it is laid at.
    pub(crate) target: Option<String>,
    /// The variable it is put into.
    pub(crate) env: Option<String>,
    pub(crate) required: bool,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// `type=ssh`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SshMount {
    pub(crate) id: String,
    pub(crate) target: String,
    pub(crate) required: bool,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// `type=cache`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CacheMount {
    pub(crate) id: String,
    pub(crate) target: String,
    pub(crate) read_only: bool,
    pub(crate) sharing: CacheSharing,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// What a new folder has; nothing without.
    pub(crate) start: Option<CacheStart>,
}

/// The files that a cache begins with. Those with other ones are other caches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CacheStart {
    /// Which input of the step.
    pub(crate) input: usize,
    /// Absolute path of a directory in it.
    pub(crate) source: String,
}

/// What builds that want one cache at the same time do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CacheSharing {
    /// They write it together.
    Shared,
    /// Each further one gets its own.
    Private,
    /// Each further one waits.
    Locked,
}

impl CacheSharing {
    /// As Dockerfiles say it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Private => "private",
            Self::Locked => "locked",
        }
    }
}

impl FileSource {
    /// The input that it is in; `None` for what needs none.
    pub(crate) fn input(&self) -> Option<usize> {
        match self {
            Self::Path(_) | Self::Exact(_) => Some(1),
            Self::Fetched { input, .. } => Some(*input),
            Self::Inline { .. } => None,
        }
    }
}

/// Files that are laid into a root file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileOperation {
    /// What is copied, in order.
    pub(crate) sources: Vec<FileSource>,
    /// Where to: absolute; ends with `/` where only a directory will do.
    pub(crate) destination: String,
    /// `--chown` as written.
    pub(crate) owner: Option<String>,
    /// `--chmod` as written.
    pub(crate) mode: Option<String>,
    /// Whether archives of input 1 are unpacked.
    pub(crate) unpack: bool,
    /// `--exclude`.
    pub(crate) exclude: Vec<String>,
    /// `--parents`: the path of a source is kept below the destination.
    pub(crate) parents: bool,
    /// `--link`: the layer does not depend on what lies below it.
    pub(crate) link: bool,
}

impl FileOperation {
    /// Whether it unpacks what is an archive.
    pub(crate) fn unpacks(&self) -> bool {
        let fetched =
            |source: &FileSource| matches!(source, FileSource::Fetched { unpack: true, .. });
        self.unpack || self.sources.iter().any(fetched)
    }

    /// Nothing of input 1 is copied: what was fetched takes its place.
    pub(crate) fn without_first_input(&mut self) {
        for source in &mut self.sources {
            if let FileSource::Fetched { input, .. } = source {
                *input -= 1;
            }
        }
    }
}

/// One thing that is copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FileSource {
    /// A path or wildcard in input 1.
    Path(String),
    /// A path in input 1, whatever characters are in it.
    Exact(String),
    /// A file whose content stands in the Dockerfile.
    Inline { name: String, content: String },
    /// A path in another input, which holds what was fetched.
    Fetched {
        input: usize,
        path: String,
        /// Whether an archive is unpacked.
        unpack: bool,
    },
}

/// A directory that must exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MakeDirectory {
    /// Absolute path.
    pub(crate) path: String,
    /// `user[:group]` who gets it when it is new; empty for root.
    pub(crate) user: String,
}

/// A node: an operation, what it takes, and where it comes from.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) operation: Operation,
    pub(crate) inputs: Vec<NodeId>,
    pub(crate) definition: Definition,
    pub(crate) label: Label,
}

/// What a node is to who asked for it first: nothing of it is part of the definition.
#[derive(Debug, Clone, Default)]
pub(crate) struct Label {
    /// `[build 2/4] RUN make`; empty for what is not shown.
    pub(crate) name: String,
    /// The instruction and the file it stands in.
    pub(crate) place: Option<(Arc<SourceFile>, Span)>,
    /// Order of display.
    pub(crate) position: Position,
    /// Which request it belongs to: what that lends is lent to it.
    pub(crate) request: usize,
    /// Whether it is run whatever the cache has. It is as soon as anybody asks for that.
    pub(crate) fresh: bool,
}

/// Where a node is shown: what is built, the stage in it, the step in that.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    /// Number of the target and platform, in the order of the requests.
    pub(crate) subject: usize,
    pub(crate) stage: usize,
    /// 0 for the base of a stage.
    pub(crate) step: usize,
}

/// The operations of a build.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    nodes: Vec<Node>,
    by_definition: HashMap<Definition, NodeId>,
}

impl Graph {
    /// Adds a node, or finds the equal one that is already there.
    pub(crate) fn add(
        &mut self,
        operation: Operation,
        inputs: Vec<NodeId>,
        label: Label,
    ) -> NodeId {
        let below: Vec<Definition> = inputs
            .iter()
            .map(|input| self.node(*input).definition)
            .collect();
        let definition = operation.definition(&below);
        if let Some(known) = self.by_definition.get(&definition) {
            self.nodes[known.0].label.fresh |= label.fresh;
            return *known;
        }
        let id = NodeId(self.nodes.len());
        self.nodes.push(Node {
            operation,
            inputs,
            definition,
            label,
        });
        self.by_definition.insert(definition, id);
        id
    }

    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// Names the node of an image after its first place.
    pub(crate) fn rename(&mut self, id: NodeId, position: Position, name: String) {
        let label = &mut self.nodes[id.0].label;
        if label.position == position {
            label.name = name;
        }
    }

    /// How many nodes there are.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// `targets` and everything they need, inputs first.
    pub(crate) fn needed(&self, targets: &[NodeId]) -> Vec<NodeId> {
        let mut wanted = vec![false; self.nodes.len()];
        let mut open = targets.to_vec();
        while let Some(id) = open.pop() {
            if !std::mem::replace(&mut wanted[id.0], true) {
                open.extend(&self.node(id).inputs);
            }
        }
        (0..self.nodes.len())
            .map(NodeId)
            .filter(|id| wanted[id.0])
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(path: &str) -> Operation {
        Operation::MakeDirectory(MakeDirectory {
            path: path.into(),
            user: String::new(),
        })
    }

    #[test]
    fn equal_work_is_one_node() {
        let mut graph = Graph::default();
        let scratch = graph.add(Operation::Scratch, vec![], Label::default());
        let first = graph.add(
            directory("/a"),
            vec![scratch],
            Label {
                name: "x".into(),
                ..Label::default()
            },
        );
        let same = graph.add(
            directory("/a"),
            vec![scratch],
            Label {
                name: "y".into(),
                ..Label::default()
            },
        );
        let other = graph.add(directory("/b"), vec![scratch], Label::default());
        let above = graph.add(directory("/b"), vec![first], Label::default());
        assert_eq!(first, same);
        assert_ne!(first, other);
        assert_ne!(other, above);
        assert_eq!(graph.len(), 4);
    }

    #[test]
    fn what_nobody_needs_is_left_out() {
        let mut graph = Graph::default();
        let scratch = graph.add(Operation::Scratch, vec![], Label::default());
        let first = graph.add(directory("/a"), vec![scratch], Label::default());
        let _unused = graph.add(directory("/b"), vec![scratch], Label::default());
        let target = graph.add(directory("/c"), vec![first], Label::default());
        assert_eq!(graph.needed(&[target]), [scratch, first, target]);
    }
}
