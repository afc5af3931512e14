//! Build contexts: what is copied from that is neither a stage nor an image.
//!
//! They are numbered before anything is lowered, so that equal copies out of one context are one
//! node whoever asks for them, and opened afterwards, if anything that is needed copies from them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gantry_dockerfile::ignore::IgnoreFile;

use crate::error::BuildError;
use crate::frontend;
use crate::report::{Reporter, titled};
use crate::request::{BuildRequest, DockerfileSource};
use crate::solve::Setting;
use crate::tree::{StatCache, Tree};

/// A context of a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ContextId(pub(crate) usize);

/// Where the files of a context come from.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// From nowhere: the request has a Dockerfile alone.
    Nowhere,
    /// A folder of the client.
    Folder {
        path: PathBuf,
        /// The ignore file that belongs to the Dockerfile; that of the folder without.
        ignore: Option<PathBuf>,
    },
}

#[derive(Debug)]
struct Context {
    place: Place,
    /// The target that names it first, where there are several.
    title: Option<String>,
}

/// The contexts of all requests of a build, equal ones once.
#[derive(Debug, Default)]
pub(crate) struct Contexts {
    known: Vec<Context>,
}

/// Contexts by their numbers: those that are needed and have files are open.
pub(crate) type OpenContexts = Vec<Option<Arc<Tree>>>;

impl Contexts {
    /// The context of a request.
    pub(crate) fn of(&mut self, request: &BuildRequest, title: Option<&str>) -> ContextId {
        let place = match &request.context {
            None => Place::Nowhere,
            Some(path) => Place::Folder {
                path: path.clone(),
                ignore: own_ignore_file(path, request.dockerfile.as_ref()),
            },
        };
        self.add(place, title)
    }

    fn add(&mut self, place: Place, title: Option<&str>) -> ContextId {
        let known = self.known.iter().position(|known| known.place == place);
        ContextId(known.unwrap_or_else(|| {
            self.known.push(Context {
                place,
                title: title.map(str::to_owned),
            });
            self.known.len() - 1
        }))
    }

    /// What the reading of a context is called.
    pub(crate) fn vertex(&self, id: ContextId) -> String {
        self.titled(id, "[internal] load build context")
    }

    fn titled(&self, id: ContextId, name: &str) -> String {
        titled(self.known[id.0].title.as_deref(), name)
    }

    /// Opens those that are needed.
    pub(crate) fn open(
        &self,
        needed: &BTreeSet<ContextId>,
        setting: &Setting,
        reporter: &Reporter<'_>,
    ) -> Result<OpenContexts, BuildError> {
        let open = |number: usize, context: &Context| match &context.place {
            Place::Folder { path, ignore } if needed.contains(&ContextId(number)) => {
                let vertex = self.titled(ContextId(number), "[internal] load .dockerignore");
                let tree = open_folder(path, ignore.as_deref(), &vertex, setting, reporter)?;
                Ok(Some(Arc::new(tree)))
            }
            _ => Ok(None),
        };
        let numbered = self.known.iter().enumerate();
        numbered
            .map(|(number, context)| open(number, context))
            .collect()
    }
}

/// `Dockerfile.dockerignore` beside the Dockerfile, where there is one.
fn own_ignore_file(context: &Path, dockerfile: Option<&DockerfileSource>) -> Option<PathBuf> {
    let mut path = match dockerfile {
        Some(DockerfileSource::File(path)) => path.clone(),
        Some(DockerfileSource::Inline { .. }) => return None,
        None => context.join("Dockerfile"),
    };
    path.as_mut_os_string().push(".dockerignore");
    path.exists().then_some(path)
}

/// The names at the top of a request's context, and its ignore file; `None` where it is no folder.
pub(crate) fn view(
    request: &BuildRequest,
) -> Result<Option<(Vec<String>, IgnoreFile)>, BuildError> {
    let Some(folder) = &request.context else {
        return Ok(None);
    };
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Ok(None);
    };
    let names = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    let own = own_ignore_file(folder, request.dockerfile.as_ref());
    let (_, ignore) = read_ignore_file(folder, own.as_deref())?;
    Ok(Some((names, ignore)))
}

/// Reads an ignore file, that of the folder unless there is another; its size and what it says.
fn read_ignore_file(folder: &Path, own: Option<&Path>) -> Result<(u64, IgnoreFile), BuildError> {
    let name = own.map_or_else(|| folder.join(".dockerignore"), Path::to_owned);
    let bytes = frontend::read(&name)?.unwrap_or_default();
    let ignore = IgnoreFile::parse(&bytes).map_err(|source| BuildError::IgnoreFile {
        path: name.display().to_string(),
        source,
    })?;
    Ok((bytes.len() as u64, ignore))
}

/// Opens a folder with its ignore file.
fn open_folder(
    path: &Path,
    ignore: Option<&Path>,
    vertex: &str,
    setting: &Setting,
    reporter: &Reporter<'_>,
) -> Result<Tree, BuildError> {
    let vertex = reporter.begin(vertex);
    let (size, ignore) = read_ignore_file(path, ignore)?;
    reporter.bytes(vertex, "transferring context:", size, None, true);
    reporter.done(vertex);
    let missing = |_| BuildError::NoContext {
        path: path.to_owned(),
    };
    let absolute = std::fs::canonicalize(path).map_err(missing)?;
    let cache = StatCache::open(&setting.root.join("build/stat"), &absolute);
    let tree = Tree::context(&absolute, ignore, cache, setting.threads).map_err(missing)?;
    Ok(if setting.knows_nothing {
        tree.unread()
    } else {
        tree
    })
}
