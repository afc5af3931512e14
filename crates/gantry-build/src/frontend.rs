//! The front end: where the Dockerfile of a request is, its text and its tree.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gantry_dockerfile::{Dockerfile, SourceFile};

use crate::error::BuildError;
use crate::report::{Reporter, titled};
use crate::request::{BuildRequest, DockerfileSource};

/// Most bytes of a Dockerfile or an ignore file.
const LARGEST: u64 = 8 << 20;

/// A Dockerfile that was read.
#[derive(Debug, Clone)]
pub(crate) struct Loaded {
    /// The text, for messages.
    pub(crate) source: Arc<SourceFile>,
    /// The tree.
    pub(crate) dockerfile: Dockerfile,
}

/// Reads and parses the Dockerfile of a request; `title` is the target's name where there are
/// several.
pub(crate) fn load(
    request: &BuildRequest,
    title: Option<&str>,
    reporter: &Reporter<'_>,
) -> Result<Loaded, BuildError> {
    read_as(request, title, reporter, parse)
}

/// Reads the Dockerfile of a request.
pub(crate) fn source(
    request: &BuildRequest,
    title: Option<&str>,
    reporter: &Reporter<'_>,
) -> Result<SourceFile, BuildError> {
    read_as(request, title, reporter, Ok)
}

/// Reads the Dockerfile of a request and makes something of it, told as one vertex.
fn read_as<T>(
    request: &BuildRequest,
    title: Option<&str>,
    reporter: &Reporter<'_>,
    make: impl FnOnce(SourceFile) -> Result<T, BuildError>,
) -> Result<T, BuildError> {
    let (name, bytes) = dockerfile_bytes(request)?;
    let vertex = reporter.begin(&titled(
        title,
        &format!("[internal] load build definition from {name}"),
    ));
    reporter.bytes(
        vertex,
        "transferring dockerfile:",
        bytes.len() as u64,
        None,
        true,
    );
    let made = SourceFile::from_bytes(name, bytes)
        .map_err(|invalid| BuildError::dockerfile(&invalid.source, &[invalid.diagnostic]))
        .and_then(make);
    match &made {
        Ok(_) => reporter.done(vertex),
        Err(error) => reporter.failed(vertex, &error.to_string()),
    }
    made
}

fn parse(source: SourceFile) -> Result<Loaded, BuildError> {
    let dockerfile = gantry_dockerfile::parse(&source)
        .map_err(|errors| BuildError::dockerfile(&source, &errors))?;
    check_syntax(&source, &dockerfile)?;
    Ok(Loaded {
        source: Arc::new(source),
        dockerfile,
    })
}

/// Front ends of Docker's own line are this one; another would have to be run.
fn check_syntax(source: &SourceFile, dockerfile: &Dockerfile) -> Result<(), BuildError> {
    let Some(syntax) = &dockerfile.directives.syntax else {
        return Ok(());
    };
    let name = syntax.value.trim();
    let own = name
        .parse::<gantry_model::Reference>()
        .is_ok_and(|reference| {
            reference.registry() == "docker.io"
                && matches!(
                    reference.repository(),
                    "docker/dockerfile" | "docker/dockerfile-upstream"
                )
                && reference.tag().is_none_or(|tag| {
                    tag == "latest" || tag == "labs" || tag.split(['.', '-']).next() == Some("1")
                })
        });
    if own {
        return Ok(());
    }
    let message =
        format!("the front end {name} is not supported, only docker/dockerfile up to 1.x is");
    Err(BuildError::unsupported(source, syntax.span, message))
}

/// The Dockerfile's name and bytes.
fn dockerfile_bytes(request: &BuildRequest) -> Result<(String, Vec<u8>), BuildError> {
    let path = match (&request.dockerfile, &request.context) {
        (Some(DockerfileSource::Inline { name, bytes }), _) => {
            return Ok((name.clone(), bytes.clone()));
        }
        (Some(DockerfileSource::File(path)), _) => path.clone(),
        (None, Some(context)) => {
            if !context.is_dir() {
                return Err(BuildError::NoContext {
                    path: context.clone(),
                });
            }
            let usual = context.join("Dockerfile");
            let lower = context.join("dockerfile");
            if !usual.exists() && lower.exists() {
                lower
            } else {
                usual
            }
        }
        (None, None) => PathBuf::from("Dockerfile"),
    };
    let name = path
        .file_name()
        .unwrap_or(path.as_os_str())
        .to_string_lossy()
        .into_owned();
    match read(&path)? {
        Some(bytes) => Ok((name, bytes)),
        None => Err(BuildError::NoDockerfile { path }),
    }
}

/// A small file; `None` where there is none.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, BuildError> {
    let failed = |source| BuildError::Io {
        action: "read",
        path: path.to_owned(),
        source,
    };
    let file = match File::open(path) {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(None);
        }
        other => other.map_err(failed)?,
    };
    let mut bytes = Vec::new();
    file.take(LARGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > LARGEST {
        return Err(BuildError::DockerfileTooLarge {
            path: path.display().to_string(),
            limit: LARGEST,
        });
    }
    Ok(Some(bytes))
}
