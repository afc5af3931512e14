//! `RUN` and its options.

use super::{CommandLine, Heredoc, Word};
use crate::source::Span;

/// `RUN`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// What to run, as written; [`Run::program`] says what that means.
    pub command: CommandLine,
    /// The heredocs of the command line, in order.
    pub heredocs: Vec<Heredoc>,
    /// Every `--mount`, in order.
    pub mounts: Vec<Mount>,
    /// `--network`
    pub network: Network,
    /// `--security`
    pub security: Security,
    /// Every `--device`, in order.
    pub devices: Vec<Device>,
}

/// What a `RUN` runs, heredocs taken into account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunProgram {
    /// A string for the shell.
    Shell(String),
    /// Arguments, no shell.
    Exec(Vec<String>),
    /// A file with a `#!` line. It is laid at `/dev/pipes/<name>`, mode 0755, for the time of the
    /// run, and that path is given to the shell.
    Script {
        /// The file's name.
        name: String,
        /// The file's content.
        content: String,
    },
}

impl Run {
    /// What is to be run.
    pub fn program(&self) -> RunProgram {
        let script = match &self.command {
            CommandLine::Exec(arguments) => {
                return RunProgram::Exec(arguments.iter().map(|word| word.value.clone()).collect());
            }
            CommandLine::Shell(script) => &script.value,
        };
        let Some(first) = self.heredocs.first() else {
            return RunProgram::Shell(script.clone());
        };
        // `RUN <<EOF` alone: the body is the script. Anything more is a matter of the shell.
        if crate::parse::is_heredoc_marker(script) {
            if first.content.starts_with("#!") {
                return RunProgram::Script {
                    name: first.name.clone(),
                    content: first.body(),
                };
            }
            return RunProgram::Shell(first.body());
        }
        let mut whole = script.clone();
        for heredoc in &self.heredocs {
            whole.push('\n');
            whole.push_str(&heredoc.content);
            whole.push_str(&heredoc.name);
        }
        RunProgram::Shell(whole)
    }
}

/// `--network`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Network {
    /// The builder's usual network.
    #[default]
    Default,
    /// No network but loopback.
    None,
    /// The host's network.
    Host,
}

/// `--security`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Security {
    /// The usual confinement.
    #[default]
    Sandbox,
    /// Privileged.
    Insecure,
}

/// `--device`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// The device's name in the form of the Container Device Interface.
    pub name: String,
    /// Whether the build fails without it.
    pub required: bool,
    /// Where the option stands.
    pub span: Span,
}

/// `--mount`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The option's value as written (quotes gone), `type=cache,target=/x`.
    pub text: Word,
    /// What it says. Where the text holds variables this is final only after
    /// [`crate::expand_instruction`]; before it, fields with variables hold them as they are
    /// written (strings) or their default (numbers, switches). `from` never holds variables.
    pub spec: MountSpec,
}

/// The five types of `--mount`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountSpec {
    /// `type=bind`, the default.
    Bind(BindMount),
    /// `type=cache`
    Cache(CacheMount),
    /// `type=tmpfs`
    Tmpfs(TmpfsMount),
    /// `type=secret`
    Secret(SecretMount),
    /// `type=ssh`
    Ssh(SshMount),
}

impl MountSpec {
    /// `from`: the stage, context or image it takes files of.
    pub fn from(&self) -> Option<&str> {
        match self {
            Self::Bind(bind) => bind.from.as_deref(),
            Self::Cache(cache) => cache.from.as_deref(),
            Self::Tmpfs(_) | Self::Secret(_) | Self::Ssh(_) => None,
        }
    }
}

/// `type=bind`: files of the context, a stage or an image.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BindMount {
    /// Where to; relative to the working directory.
    pub target: String,
    /// Path in `from`; the root without one.
    pub source: Option<String>,
    /// Stage, named context or image; the build context without one.
    pub from: Option<String>,
    /// Whether it can be written; what is written is thrown away.
    pub read_write: bool,
}

/// `type=cache`: a folder that outlives the build.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CacheMount {
    /// Which cache; the target without one.
    pub id: Option<String>,
    /// Where to; relative to the working directory.
    pub target: String,
    /// Whether it cannot be written.
    pub read_only: bool,
    /// What builds at the same time do.
    pub sharing: CacheSharing,
    /// What a new cache begins with: stage, named context or image.
    pub from: Option<String>,
    /// Path in `from`; the root without one.
    pub source: Option<String>,
    /// Permissions of a new cache folder; 0755 without.
    pub mode: Option<u32>,
    /// Owner of a new cache folder; 0 without.
    pub uid: Option<u32>,
    /// Group of a new cache folder; 0 without.
    pub gid: Option<u32>,
}

/// What builds that want one cache at the same time do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CacheSharing {
    /// They write it together.
    #[default]
    Shared,
    /// Each further one gets its own.
    Private,
    /// Each further one waits.
    Locked,
}

/// `type=tmpfs`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TmpfsMount {
    /// Where to.
    pub target: String,
    /// Most bytes it may hold; 0 and `None`: no limit.
    pub size: Option<u64>,
    /// Whether it cannot be written.
    pub read_only: bool,
}

/// `type=secret`: a file or variable that stays out of the image.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SecretMount {
    /// Which secret; never empty after expansion.
    pub id: String,
    /// The file; `/run/secrets/<id>` where neither this nor `env` is given.
    pub target: Option<String>,
    /// The environment variable.
    pub env: Option<String>,
    /// Whether the build fails without it.
    pub required: bool,
    /// Permissions of the file; 0400 without.
    pub mode: Option<u32>,
    /// Owner of the file; 0 without.
    pub uid: Option<u32>,
    /// Group of the file; 0 without.
    pub gid: Option<u32>,
}

/// `type=ssh`: the socket of an agent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SshMount {
    /// Which agent; `default` without one.
    pub id: Option<String>,
    /// The socket; `/run/buildkit/ssh_agent.<n>` without one.
    pub target: Option<String>,
    /// Whether the build fails without it.
    pub required: bool,
    /// Permissions of the socket; 0600 without.
    pub mode: Option<u32>,
    /// Owner of the socket; 0 without.
    pub uid: Option<u32>,
    /// Group of the socket; 0 without.
    pub gid: Option<u32>,
}
