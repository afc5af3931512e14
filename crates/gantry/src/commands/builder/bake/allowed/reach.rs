//! The files and folders of this machine that a target reads and writes.

use std::path::PathBuf;

use gantry_bake::Target;
use gantry_build::{ContextSource, DockerfileSource, NamedContext, SecretSource};
use gantry_engine::caches::CachePlace;
use gantry_model::layout::LayoutReference;

use super::super::order::{Spelt, local_dockerfile};
use super::super::origin::{Origin, Place};
use crate::commands::builder::build::bounds::{is_within, resolved};
use crate::commands::builder::build::caches;
use crate::commands::builder::build::outputs::{self, Output, Shorthands};
use crate::failure::Failure;

/// Paths, by what is done with them.
#[derive(Debug, Clone, Default)]
pub(super) struct Reach {
    pub(super) read: Vec<PathBuf>,
    pub(super) write: Vec<PathBuf>,
}

impl Reach {
    /// What a target names.
    pub(super) fn of_target(target: &Target, origin: &Origin) -> Self {
        Self {
            read: read_paths(target, origin),
            write: written_paths(target),
        }
    }

    /// What a build reaches, but for the keys of its SSH agents.
    pub(super) fn of_build(build: &Spelt) -> Result<Self, Failure> {
        Ok(Self {
            read: read_by(build)?,
            write: written_by(build)?,
        })
    }

    /// The same, with all links followed.
    pub(super) fn resolved(&self) -> Result<Self, Failure> {
        let all = |paths: &[PathBuf]| -> Result<Vec<_>, _> {
            paths.iter().map(|path| resolved(path)).collect()
        };
        Ok(Self {
            read: all(&self.read)?,
            write: all(&self.write)?,
        })
    }

    /// What is not within the granted paths, as `--allow` spells it.
    pub(super) fn beyond(&self, granted: &Self) -> impl Iterator<Item = String> {
        let missing = |key, paths: &[PathBuf], roots: &[PathBuf]| -> Vec<String> {
            let outside = paths.iter().filter(|path| !is_within(path, roots));
            outside
                .map(|path| format!("{key}={}", path.display()))
                .collect()
        };
        let read = missing("fs.read", &self.read, &granted.read);
        let write = missing("fs.write", &self.write, &granted.write);
        read.into_iter().chain(write)
    }
}

fn read_paths(target: &Target, origin: &Origin) -> Vec<PathBuf> {
    let local = |text: &str| match (text.parse::<LayoutReference>(), origin.place(text)) {
        (Ok(layout), _) => Some(layout.folder),
        (Err(_), Place::Here(path)) => Some(PathBuf::from(path)),
        (Err(_), _) => None,
    };
    let context = target.context.as_deref().into_iter();
    let contexts = target.contexts.values().map(String::as_str);
    let folders = context.chain(contexts).filter_map(local);
    let dockerfile = local_dockerfile(target, origin);
    let secrets = target.secrets.iter().flatten();
    let secrets = secrets.filter_map(|secret| secret.file.as_ref());
    let keys = target.ssh.iter().flatten().flat_map(|agent| &agent.paths);
    let caches = target.cache_from.iter().flatten();
    let caches = caches
        .filter(|cache| cache.kind == "local")
        .filter_map(|cache| cache.attributes.get("src"));
    let files = secrets.chain(keys).chain(caches).cloned().chain(dockerfile);
    folders.chain(files.map(PathBuf::from)).collect()
}

fn written_paths(target: &Target) -> Vec<PathBuf> {
    let outputs = target.outputs.iter().flatten();
    let places = outputs
        .filter_map(|output| output.destination.as_ref())
        .filter(|place| *place != "-");
    let caches = target.cache_to.iter().flatten();
    let caches = caches
        .filter(|cache| cache.kind == "local")
        .filter_map(|cache| cache.attributes.get("dest"));
    places.chain(caches).map(PathBuf::from).collect()
}

fn read_by(build: &Spelt) -> Result<Vec<PathBuf>, Failure> {
    let request = &build.request;
    let source = |source: &ContextSource| match source {
        ContextSource::Folder(path) => Some(path.clone()),
        ContextSource::Input(input) => Some(PathBuf::from(&input.name)),
        ContextSource::Fetched(_) | ContextSource::Remote(_) => None,
    };
    let mut paths: Vec<PathBuf> = request.context.iter().filter_map(source).collect();
    let own_folder = matches!(request.context, Some(ContextSource::Folder(_)) | None);
    if let (true, Some(DockerfileSource::File(path))) = (own_folder, &request.dockerfile) {
        paths.push(path.clone());
    }
    let named = request.named_contexts.values();
    paths.extend(named.filter_map(|named| match named {
        NamedContext::Files(files) => source(files),
        NamedContext::Layout(layout) => Some(layout.folder.clone()),
        NamedContext::Image(_) | NamedContext::Target(_) => None,
    }));
    paths.extend(request.secrets.values().filter_map(|secret| match secret {
        SecretSource::File(path) => Some(path.clone()),
        SecretSource::Env(_) => None,
    }));
    let caches = caches::sources(&build.args.cache_from)?;
    paths.extend(caches.iter().filter_map(folder_of));
    Ok(paths)
}

fn written_by(build: &Spelt) -> Result<Vec<PathBuf>, Failure> {
    let outputs = outputs::parse(&build.args.output, Shorthands::default())?;
    let mut paths: Vec<PathBuf> = outputs.iter().filter_map(Output::path).collect();
    let caches = caches::targets(&build.args.cache_to)?;
    let places = caches.iter().filter_map(|cache| cache.place.as_ref());
    paths.extend(places.filter_map(folder_of));
    Ok(paths)
}

fn folder_of(cache: &CachePlace) -> Option<PathBuf> {
    match cache {
        CachePlace::Folder { folder, .. } => Some(folder.clone()),
        CachePlace::Registry(_) => None,
    }
}
