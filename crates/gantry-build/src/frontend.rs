//! The front end: where the Dockerfile of a request is, its text and its tree.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gantry_dockerfile::{Dockerfile, SourceFile};
use gantry_http::address::small_scheme;
use gantry_sys::path::{Directory, if_there};

use crate::error::BuildError;
use crate::graph::HttpSource;
use crate::ops::view;
use crate::remote::Behalf;
use crate::remote::address::{file_name, shown};
use crate::report::{Reporter, titled};
use crate::request::{BuildRequest, DockerfileSource};
use crate::setting::Setting;

/// What the Dockerfile of a request is looked for in.
#[derive(Debug)]
pub(crate) enum Main<'c> {
    /// Nowhere but where the request says.
    Nothing,
    /// A folder of the client.
    Folder(&'c Path),
    /// A folder that came from elsewhere: no link of it may lead out.
    Foreign(&'c Path),
    /// What came was the Dockerfile.
    Dockerfile(&'c [u8]),
}

/// Most bytes of a Dockerfile or an ignore file.
pub(crate) const LARGEST: u64 = 8 << 20;

/// A Dockerfile that was read.
#[derive(Debug, Clone)]
pub(crate) struct Loaded {
    /// The text, for messages.
    pub(crate) source: Arc<SourceFile>,
    /// The tree.
    pub(crate) dockerfile: Dockerfile,
}

/// Reads and parses the Dockerfile of a request, whose context is `main` and whose number stands in
/// `origin`; `title` is the target's name where there are several.
pub(crate) fn load(
    request: &BuildRequest,
    title: Option<&str>,
    main: &Main<'_>,
    origin: (&Setting, usize),
    reporter: &Reporter<'_>,
) -> Result<Loaded, BuildError> {
    let read = fetched(request, main, origin, reporter)?;
    told(read, title, reporter, parse)
}

/// Reads the Dockerfile of a request, wherever it is.
pub(crate) fn source_from(
    request: &BuildRequest,
    main: &Main<'_>,
    setting: &Setting,
    reporter: &Reporter<'_>,
) -> Result<SourceFile, BuildError> {
    let read = fetched(request, main, (setting, 0), reporter)?;
    told(read, None, reporter, Ok)
}

/// Reads the Dockerfile of a request that is on this machine.
pub(crate) fn source(
    request: &BuildRequest,
    main: &Main<'_>,
    reporter: &Reporter<'_>,
) -> Result<SourceFile, BuildError> {
    told(dockerfile_bytes(request, main)?, None, reporter, Ok)
}

fn fetched(
    request: &BuildRequest,
    main: &Main<'_>,
    origin: (&Setting, usize),
    reporter: &Reporter<'_>,
) -> Result<(String, Vec<u8>), BuildError> {
    match &request.dockerfile {
        Some(DockerfileSource::Remote(url)) => Ok((file_name(url), remote(url, origin, reporter)?)),
        _ => dockerfile_bytes(request, main),
    }
}

/// Makes something of a Dockerfile, told as one vertex.
fn told<T>(
    (name, bytes): (String, Vec<u8>),
    title: Option<&str>,
    reporter: &Reporter<'_>,
    make: impl FnOnce(SourceFile) -> Result<T, BuildError>,
) -> Result<T, BuildError> {
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
fn dockerfile_bytes(
    request: &BuildRequest,
    main: &Main<'_>,
) -> Result<(String, Vec<u8>), BuildError> {
    let path = match (&request.dockerfile, main) {
        (Some(DockerfileSource::Inline { name, bytes }), _) => {
            return Ok((name.clone(), bytes.clone()));
        }
        (None, Main::Dockerfile(bytes)) => return Ok(("Dockerfile".to_owned(), bytes.to_vec())),
        (written, Main::Foreign(context)) => return foreign(context, written.as_ref()),
        (Some(DockerfileSource::File(path)), _) => path.clone(),
        (None, Main::Folder(context)) => {
            if !context.is_dir() {
                return Err(BuildError::NoContext {
                    path: (*context).to_owned(),
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
        (Some(DockerfileSource::Remote(_)), _) | (None, Main::Nothing) => {
            PathBuf::from("Dockerfile")
        }
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

/// The Dockerfile of a context that came from elsewhere: in it, links followed inside.
fn foreign(
    context: &Path,
    written: Option<&DockerfileSource>,
) -> Result<(String, Vec<u8>), BuildError> {
    let failed = |source| BuildError::Io {
        action: "open",
        path: context.to_owned(),
        source,
    };
    let top = Directory::open(context).map_err(failed)?;
    let names = match written {
        Some(DockerfileSource::File(path)) => vec![path.to_string_lossy().into_owned()],
        _ => vec!["Dockerfile".to_owned(), "dockerfile".to_owned()],
    };
    for name in &names {
        let found = view::read(&top, name, LARGEST + 1).map_err(|source| BuildError::Io {
            action: "read",
            path: PathBuf::from(name),
            source,
        })?;
        let Some(bytes) = found else { continue };
        let shown = name.rsplit('/').next().unwrap_or(name);
        return bounded(bytes, name).map(|bytes| (shown.to_owned(), bytes));
    }
    Err(BuildError::NoDockerfile {
        path: names[0].clone().into(),
    })
}

/// A Dockerfile over HTTP.
fn remote(
    url: &str,
    (setting, request): (&Setting, usize),
    reporter: &Reporter<'_>,
) -> Result<Vec<u8>, BuildError> {
    let step = format!("[internal] load {}", shown(url));
    let vertex = reporter.begin(&step);
    let source = HttpSource {
        url: small_scheme(url),
        name: "Dockerfile".to_owned(),
        checksum: None,
    };
    let on = Behalf {
        secrets: &setting.origins[request].secrets,
        agent: None,
        anew: false,
        reporter,
        vertex: Some(vertex),
    };
    let layer = setting.remote.file(&source, &on).map_err(|source| {
        reporter.failed(vertex, &source.to_string());
        BuildError::Step {
            step,
            source: Box::new(source),
            rendered: String::new(),
        }
    })?;
    reporter.done(vertex);
    let path = setting.store.layers().tree(&layer).join("Dockerfile");
    Ok(read(&path)?.unwrap_or_default())
}

fn bounded(bytes: Vec<u8>, path: &str) -> Result<Vec<u8>, BuildError> {
    if bytes.len() as u64 > LARGEST {
        return Err(BuildError::DockerfileTooLarge {
            path: path.to_owned(),
            limit: LARGEST,
        });
    }
    Ok(bytes)
}

/// A small file; `None` where there is none.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, BuildError> {
    let failed = |source| BuildError::Io {
        action: "read",
        path: path.to_owned(),
        source,
    };
    let Some(file) = if_there(File::open(path)).map_err(failed)? else {
        return Ok(None);
    };
    let mut bytes = Vec::new();
    file.take(LARGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    bounded(bytes, &path.display().to_string()).map(Some)
}
