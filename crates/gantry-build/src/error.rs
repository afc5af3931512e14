//! Why a build failed.

use std::io;
use std::path::PathBuf;

use gantry_dockerfile::diagnostic::Code;
use gantry_dockerfile::ignore::IgnoreError;
use gantry_dockerfile::resolve::ResolveError;
use gantry_dockerfile::{Diagnostic, SourceFile, Span};
use gantry_model::{Fault, FaultKind, Platform, Shortage};

use gantry_store::{PackError, StoreError, UnpackError};
use gantry_sys::mount::MountError;

use crate::base::BaseImageError;
use crate::tree::{FileError, SelectError};

/// Why a build failed.
///
/// [`BuildError::rendered`] is the text for a person where the failure has a place in the
/// Dockerfile: the lines around it with a marker, then the message and hints.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The Dockerfile is wrong, or asks for something that is not supported.
    #[error("{message}")]
    Dockerfile {
        /// The first complaint.
        message: String,
        /// All complaints with their lines.
        rendered: String,
        /// What to do.
        hints: Vec<String>,
        /// First and last line, from 1, that the first complaint is about.
        lines: Option<(usize, usize)>,
        /// Whether the file is right but Gantry cannot do it.
        unsupported: bool,
    },
    /// There is no Dockerfile.
    #[error("failed to read dockerfile: open {path}: no such file or directory")]
    NoDockerfile {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The Dockerfile is absurdly long.
    #[error("dockerfile {path} is larger than {limit} bytes")]
    DockerfileTooLarge {
        /// Which.
        path: String,
        /// Most bytes taken.
        limit: u64,
    },
    /// The context is no folder.
    #[error("unable to prepare context: path {path:?} not found or not a directory")]
    NoContext {
        /// What was given.
        path: PathBuf,
    },
    /// An ignore file cannot be read as one.
    #[error("{path}")]
    IgnoreFile {
        /// Which.
        path: String,
        /// What is wrong.
        source: IgnoreError,
    },
    /// A build argument that speaks to the builder has a wrong value.
    #[error("invalid {name}: {value:?} is not {wanted}")]
    Argument {
        /// Its name.
        name: &'static str,
        /// Its value.
        value: String,
        /// What it should be.
        wanted: &'static str,
    },
    /// The argument that says which rules are looked for is wrong.
    #[error("failed to parse build-arg:{argument}")]
    Check {
        /// Its name.
        argument: &'static str,
        /// What is wrong.
        source: gantry_dockerfile::lint::SettingsError,
    },
    /// A base image cannot be had.
    #[error("cannot resolve {image}")]
    BaseImage {
        /// Its name.
        image: String,
        /// Why.
        source: BaseImageError,
        /// The `FROM` line.
        rendered: String,
    },
    /// A file cannot be read or written.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// `--target` names no stage.
    #[error(transparent)]
    Target(ResolveError),
    /// A step failed.
    #[error("{step} failed")]
    Step {
        /// The step's name as shown.
        step: String,
        /// Why.
        source: Box<StepError>,
        /// The instruction with its lines and the reason; empty where it has no place.
        rendered: String,
    },
    /// The store fails.
    #[error("the store failed")]
    Store(#[source] Box<StoreError>),
    /// A target of a Bake file cannot be built.
    #[error("target {target}")]
    OfTarget {
        /// Its name.
        target: String,
        /// Why not.
        source: Box<BuildError>,
    },
    /// The build was cancelled.
    #[error("build canceled")]
    Canceled,
}

/// Most complaints about one Dockerfile that are shown.
const MOST_COMPLAINTS: usize = 5;

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StepError {
    /// A source of `COPY` or `ADD` does not exist.
    #[error("\"{path}\": not found{}", if *.ignored { ", it is excluded by the ignore file" } else { "" })]
    NotFound {
        /// The path in the context or stage.
        path: String,
        /// Whether it is there, but ignored.
        ignored: bool,
        /// A name that is near.
        similar: Option<String>,
    },
    /// Something is copied from the context, and there is none.
    #[error("there is no build context to copy from")]
    NoContext,
    /// A user of a `RUN` is not known to the image.
    #[error("unable to find {what} {name}: no matching entries in {file}")]
    UnknownUser {
        /// `user` or `group`.
        what: &'static str,
        /// The name.
        name: String,
        /// The file that was looked in.
        file: &'static str,
    },
    /// A source pattern is malformed.
    #[error("malformed pattern {pattern:?}")]
    Pattern {
        /// The pattern.
        pattern: String,
    },
    /// A directory would be copied over something else.
    #[error("cannot copy to non-directory: {path}")]
    NonDirectory {
        /// The path in the image.
        path: String,
    },
    /// A file would be copied over a directory.
    #[error("cannot replace directory {path} with file")]
    OverDirectory {
        /// The path in the image.
        path: String,
    },
    /// A file cannot be read or written.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The layers cannot be mounted.
    #[error("cannot mount the root file system")]
    Mount(#[source] MountError),
    /// The layers cannot be written or read.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// The layer cannot be packed.
    #[error("cannot make the layer")]
    Pack(#[from] PackError),
    /// The process of a `RUN` failed.
    #[error("process {command:?} did not complete successfully: exit code: {code}")]
    Process {
        /// The command line.
        command: String,
        /// Its exit code; 128 + n for a signal.
        code: i32,
        /// What its file system was short of when it ended.
        short: Option<Shortage>,
    },
    /// The kernel killed a process of a `RUN` for want of memory, and the step failed.
    #[error("process {command:?} did not complete successfully: exit code: {code}: {}", out_of_memory(*limit))]
    OutOfMemory {
        /// The command line.
        command: String,
        /// Its exit code; 128 + n for a signal.
        code: i32,
        /// The bytes that it was limited to, if it was.
        limit: Option<u64>,
    },
    /// The container of a `RUN` could not be started.
    #[error("cannot run {command:?}: {message}")]
    Start {
        /// The command line.
        command: String,
        /// The step of the start that failed, and why.
        message: String,
        /// What sort of failure it is.
        kind: FaultKind,
        /// What to do.
        hints: Vec<String>,
    },
    /// A program for another machine, which the kernel does not know how to run.
    #[error(
        "cannot run {command:?}: it is for {platform}, and this machine ({}) has no emulator for that",
        Platform::host()
    )]
    NoEmulator {
        /// The command line.
        command: String,
        /// What it is for.
        platform: Box<Platform>,
    },
    /// A secret cannot be read.
    #[error("cannot read the secret {id}")]
    Secret {
        /// Its id.
        id: String,
        /// Why.
        source: io::Error,
    },
    /// A step requires what the client did not give.
    #[error("{what} {id}: not found")]
    NotLent {
        /// `secret` or `ssh agent`.
        what: &'static str,
        /// Its id.
        id: String,
        /// How it is given.
        hint: String,
    },
    /// A secret of the build stands in what would become the image.
    #[error("the secret {id} is in {place}")]
    Leaked {
        /// Its id.
        id: String,
        /// Where: a file of a layer, or a part of the configuration.
        place: String,
    },
    /// Something outside of this machine cannot be had.
    #[error("cannot fetch {address}: {reason}")]
    Fetch {
        /// What, without the password that may stand in it.
        address: String,
        /// Why.
        reason: String,
        /// What sort of failure it is.
        kind: FaultKind,
        /// What to do.
        hints: Vec<String>,
    },
    /// An archive is wrong, or more than is accepted.
    #[error("cannot unpack {}", path.display())]
    Unpack {
        /// Which.
        path: PathBuf,
        /// Why.
        source: UnpackError,
    },
    /// An archive cannot be taken for what it is.
    #[error("cannot unpack {}: {reason}", path.display())]
    Archive {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The build was cancelled.
    #[error("canceled")]
    Canceled,
}

impl StepError {
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
        source: impl Into<io::Error>,
    ) -> Self {
        Self::Io {
            action,
            path: path.into(),
            source: source.into(),
        }
    }
}

impl From<StoreError> for BuildError {
    fn from(error: StoreError) -> Self {
        Self::Store(Box::new(error))
    }
}

impl From<SelectError> for StepError {
    fn from(error: SelectError) -> Self {
        match error {
            SelectError::NotFound {
                path,
                ignored,
                similar,
            } => Self::NotFound {
                path,
                ignored,
                similar,
            },
            SelectError::Pattern(error) => Self::Pattern {
                pattern: error.pattern,
            },
            SelectError::File(FileError {
                action,
                path,
                source,
            }) => Self::Io {
                action,
                path: path.into(),
                source,
            },
        }
    }
}

impl StepError {
    /// Whether the process of a `RUN` ran, and failed.
    pub(crate) fn is_of_process(&self) -> bool {
        matches!(self, Self::Process { .. } | Self::OutOfMemory { .. })
    }
}

/// What there was too little of.
fn out_of_memory(limit: Option<u64>) -> String {
    match limit {
        Some(limit) => format!(
            "out of memory: it needed more than --memory {}",
            in_short(limit)
        ),
        None => "out of memory: the machine had no more".to_owned(),
    }
}

/// A size as flags have it, in the largest unit without a fraction.
fn in_short(bytes: u64) -> String {
    let units = [(30, "g"), (20, "m"), (10, "k")];
    let fits = |(shift, _): &&(u32, &str)| bytes > 0 && bytes.is_multiple_of(1 << shift);
    units.iter().find(fits).map_or_else(
        || format!("{bytes}b"),
        |(shift, unit)| format!("{}{unit}", bytes >> shift),
    )
}

/// What a person can do about what is short, if that is the cause.
fn hint_of(error: &(dyn std::error::Error + 'static)) -> Vec<String> {
    let short = Shortage::of(error);
    short.iter().map(|short| short.hint().to_owned()).collect()
}

impl Fault for StepError {
    fn kind(&self) -> FaultKind {
        match self {
            Self::NotFound { .. } | Self::NotLent { .. } => FaultKind::NotFound,
            Self::Leaked { .. } => FaultKind::Forbidden,
            Self::Secret { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => FaultKind::NotFound,
                io::ErrorKind::PermissionDenied => FaultKind::Forbidden,
                _ => FaultKind::Invalid,
            },
            Self::NoContext
            | Self::UnknownUser { .. }
            | Self::Pattern { .. }
            | Self::NonDirectory { .. }
            | Self::OverDirectory { .. }
            | Self::Process { .. }
            | Self::OutOfMemory { .. } => FaultKind::Invalid,
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => FaultKind::Unavailable,
                io::ErrorKind::PermissionDenied => FaultKind::Forbidden,
                _ => FaultKind::Internal,
            },
            Self::Store(error) => error.kind(),
            Self::Start { kind, .. } | Self::Fetch { kind, .. } => *kind,
            Self::NoEmulator { .. } => FaultKind::Unsupported,
            Self::Unpack { source, .. } => source.kind(),
            Self::Archive { .. } => FaultKind::Corrupt,
            Self::Mount(_) | Self::Pack(_) | Self::Canceled => FaultKind::Internal,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::NotFound {
                similar: Some(similar),
                ..
            } => vec![format!("did you mean {similar}?")],
            Self::NotFound {
                ignored: true,
                path,
                ..
            } => {
                vec![format!(
                    "add !{} to the ignore file to bring it back",
                    path.trim_start_matches('/')
                )]
            }
            Self::Io { source, .. } => gantry_store::error::io_hints(source),
            Self::Process { short, .. } => {
                short.iter().map(|short| short.hint().to_owned()).collect()
            }
            Self::Mount(source) => hint_of(source),
            Self::Pack(source) => hint_of(source),
            Self::Store(error) => error.hints(),
            Self::Unpack { source, .. } => source.hints(),
            Self::Start { hints, .. } | Self::Fetch { hints, .. } => hints.clone(),
            Self::NoEmulator { platform, .. } => vec![format!(
                "register one, as root: gantry system binfmt install {}",
                platform.architecture
            )],
            Self::OutOfMemory { limit: Some(_), .. } => {
                vec!["give it more: --memory, and --memory-swap where there is swap".to_owned()]
            }
            Self::NotLent { hint, .. } => vec![hint.clone()],
            Self::Leaked { .. } => vec![
                "keep it out of the layer: read it where it is mounted, and write no file with it"
                    .to_owned(),
            ],
            _ => Vec::new(),
        }
    }
}

impl BuildError {
    /// The Dockerfile is wrong.
    pub(crate) fn dockerfile(source: &SourceFile, diagnostics: &[Diagnostic]) -> Self {
        let mut rendered: String = diagnostics
            .iter()
            .take(MOST_COMPLAINTS)
            .map(|diagnostic| diagnostic.render(source))
            .collect();
        match diagnostics.len().saturating_sub(MOST_COMPLAINTS) {
            0 => {}
            1 => rendered.push_str("… and 1 more error in this file\n"),
            more => rendered.push_str(&format!("… and {more} more errors in this file\n")),
        }
        let first = diagnostics.first();
        Self::Dockerfile {
            message: first.map(|first| first.message.clone()).unwrap_or_default(),
            rendered,
            hints: first.map(|first| first.hints.clone()).unwrap_or_default(),
            lines: first.map(|first| source.lines(first.span)),
            unsupported: false,
        }
    }

    /// A place in the Dockerfile is wrong.
    pub(crate) fn at(source: &SourceFile, span: Span, message: impl Into<String>) -> Self {
        Self::dockerfile(source, &[Diagnostic::error(Code::Arguments, message, span)])
    }

    /// The same with what to do about it.
    pub(crate) fn hinted(
        source: &SourceFile,
        span: Span,
        message: impl Into<String>,
        hints: &[String],
    ) -> Self {
        let mut complaint = Diagnostic::error(Code::Arguments, message, span);
        complaint.hints.extend_from_slice(hints);
        Self::dockerfile(source, &[complaint])
    }

    /// The same failure, of the target of this name.
    pub(crate) fn of_target(mut self, target: &str) -> Self {
        match &mut self {
            Self::Canceled | Self::OfTarget { .. } => return self,
            Self::Dockerfile { rendered, .. }
            | Self::BaseImage { rendered, .. }
            | Self::Step { rendered, .. }
                if !rendered.is_empty() =>
            {
                rendered.insert_str(0, &format!("target {target}: "));
                return self;
            }
            _ => {}
        }
        Self::OfTarget {
            target: target.to_owned(),
            source: Box::new(self),
        }
    }

    /// Warnings that the file, or the client, wants to be errors.
    pub(crate) fn violation(
        source: &SourceFile,
        complaints: &[Diagnostic],
        violated: String,
    ) -> Self {
        match Self::dockerfile(source, complaints) {
            Self::Dockerfile { rendered, .. } => Self::Dockerfile {
                rendered: format!("{rendered}{violated}\n"),
                message: violated,
                hints: Vec::new(),
                lines: None,
                unsupported: false,
            },
            other => other,
        }
    }

    /// A place in the Dockerfile asks for what Gantry cannot do.
    pub(crate) fn unsupported(source: &SourceFile, span: Span, message: impl Into<String>) -> Self {
        match Self::at(source, span, message) {
            Self::Dockerfile {
                message,
                rendered,
                hints,
                lines,
                ..
            } => Self::Dockerfile {
                message,
                rendered,
                hints,
                lines,
                unsupported: true,
            },
            other => other,
        }
    }

    /// An image that the Dockerfile names cannot be had; `similar` says what has nearly that name.
    pub(crate) fn base_image(
        source: &SourceFile,
        span: Span,
        image: String,
        similar: Vec<String>,
        error: BaseImageError,
    ) -> Self {
        let mut diagnostic =
            Diagnostic::error(Code::Arguments, format!("{image}: {}", chain(&error)), span);
        diagnostic.hints = similar;
        diagnostic.hints.extend(error.hints());
        Self::BaseImage {
            image,
            source: error,
            rendered: diagnostic.render(source),
        }
    }

    /// The lines of the Dockerfile with a marker, the message and the hints, ready to be shown;
    /// `None` where the failure has no place in the Dockerfile. Ends with a line end.
    #[must_use]
    pub fn rendered(&self) -> Option<&str> {
        match self {
            Self::Dockerfile { rendered, .. }
            | Self::BaseImage { rendered, .. }
            | Self::Step { rendered, .. } => {
                Some(rendered.as_str()).filter(|rendered| !rendered.is_empty())
            }
            _ => None,
        }
    }
}

impl Fault for BuildError {
    fn kind(&self) -> FaultKind {
        match self {
            Self::Dockerfile {
                unsupported: true, ..
            } => FaultKind::Unsupported,
            Self::Dockerfile { .. }
            | Self::DockerfileTooLarge { .. }
            | Self::IgnoreFile { .. }
            | Self::Argument { .. }
            | Self::Check { .. } => FaultKind::Invalid,
            Self::NoDockerfile { .. } | Self::NoContext { .. } => FaultKind::NotFound,
            Self::BaseImage { source, .. } => source.kind(),
            Self::Target(error) => error.kind(),
            Self::Step { source, .. } => source.kind(),
            Self::Store(error) => error.kind(),
            Self::OfTarget { source, .. } => source.kind(),
            Self::Io { .. } | Self::Canceled => FaultKind::Internal,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::OfTarget { source, .. } => match &**source {
                Self::NoDockerfile { .. } => {
                    vec!["name another file: dockerfile = \"…\"".to_owned()]
                }
                other => other.hints(),
            },
            // Already part of the rendered text.
            Self::Dockerfile { .. } => Vec::new(),
            Self::BaseImage { source, .. } => source.hints(),
            Self::Target(error) => error.hints(),
            // Already part of the rendered text, where there is one.
            Self::Step {
                source, rendered, ..
            } if rendered.is_empty() => source.hints(),
            Self::Store(error) => error.hints(),
            Self::NoDockerfile { .. } => vec!["name another file with -f".to_owned()],
            _ => Vec::new(),
        }
    }
}

/// An error with all its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
