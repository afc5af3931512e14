//! Build contexts: what is copied from that is neither a stage nor an image.
//!
//! They are numbered before anything is lowered, so that equal copies out of one context are one
//! node whoever asks for them, and opened afterwards, if anything that is needed copies from them.
//! What is not a folder of this machine is brought into the store first (`load`).

mod load;

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gantry_dockerfile::ignore::IgnoreFile;
use gantry_sys::path::Directory;

use crate::error::BuildError;
use crate::frontend::{self, Main};
use crate::graph::ContextId;
use crate::ops::view;
use crate::report::{Reporter, titled};
use crate::request::{BuildRequest, ContextSource, DockerfileSource};
use crate::setting::Setting;
use crate::tree::{StatCache, Tree};
use load::{Loaded, Loading};

#[derive(Debug)]
struct Context {
    /// Where its files come from; the request may have a Dockerfile alone.
    source: Option<ContextSource>,
    /// Its name, where it has one.
    name: Option<String>,
    /// The ignore file that belongs to the Dockerfile, where there is one: a path of this machine
    /// for a folder, one in the context else.
    ignore: Option<PathBuf>,
    /// The request that names it first, its title where there are several, and whether nothing is
    /// taken from a cache for it.
    request: usize,
    title: Option<String>,
    fresh: bool,
    /// Whether the repository of a git context stays, where its address does not say.
    keep_git_dir: bool,
}

/// How a context looks to the rules.
#[derive(Debug)]
pub(crate) struct View {
    /// The names at its top, ignored ones included.
    pub(crate) names: Vec<String>,
    /// What is taken out of it.
    pub(crate) ignore: IgnoreFile,
}

/// The contexts of all requests of a build, equal ones once.
#[derive(Debug, Default)]
pub(crate) struct Contexts {
    known: Vec<Context>,
    loaded: HashMap<ContextId, Loaded>,
}

/// Contexts by their numbers: those that are needed and have files are open.
pub(crate) type OpenContexts = Vec<Option<Arc<Tree>>>;

impl Contexts {
    /// The context of a request, which is of this number.
    pub(crate) fn of(
        &mut self,
        request: &BuildRequest,
        number: usize,
        title: Option<&str>,
    ) -> ContextId {
        let ignore = match &request.context {
            Some(ContextSource::Folder(path)) => {
                own_ignore_file(path, request.dockerfile.as_ref()).filter(|path| path.exists())
            }
            Some(_) => own_ignore_file(Path::new(""), request.dockerfile.as_ref()),
            None => None,
        };
        self.add(Context {
            source: request.context.clone(),
            name: None,
            ignore,
            request: number,
            title: title.map(str::to_owned),
            fresh: request.no_cache,
            keep_git_dir: request.is_on("BUILDKIT_CONTEXT_KEEP_GIT_DIR"),
        })
    }

    /// A context that a request gives a name.
    pub(crate) fn named(
        &mut self,
        request: &BuildRequest,
        number: usize,
        title: Option<&str>,
        name: &str,
        source: &ContextSource,
    ) -> ContextId {
        self.add(Context {
            source: Some(source.clone()),
            name: Some(name.to_owned()),
            ignore: None,
            request: number,
            title: title.map(str::to_owned),
            fresh: request.no_cache,
            keep_git_dir: false,
        })
    }

    fn add(&mut self, context: Context) -> ContextId {
        let equal = |known: &Context| {
            (
                &known.source,
                &known.name,
                &known.ignore,
                known.keep_git_dir,
            ) == (
                &context.source,
                &context.name,
                &context.ignore,
                context.keep_git_dir,
            )
        };
        let known = self.known.iter().position(equal);
        ContextId(known.unwrap_or_else(|| {
            self.known.push(context);
            self.known.len() - 1
        }))
    }

    /// What the reading of a context is called.
    pub(crate) fn vertex(&self, id: ContextId) -> String {
        let context = &self.known[id.0];
        match &context.name {
            Some(name) => context.titled(&format!("[context {name}] load from client")),
            None => context.titled("[internal] load build context"),
        }
    }

    /// Brings the files of a context here, and says what a Dockerfile is looked for in.
    pub(crate) fn main(
        &mut self,
        id: ContextId,
        setting: &Setting,
        reporter: &Reporter<'_>,
    ) -> Result<Main<'_>, BuildError> {
        let context = &self.known[id.0];
        if let Some(source) = &context.source
            && !self.loaded.contains_key(&id)
        {
            let loaded = context.load(source, setting, reporter)?;
            self.loaded.insert(id, loaded);
        }
        Ok(match (&self.known[id.0].source, self.loaded.get(&id)) {
            (Some(ContextSource::Folder(path)), _) => Main::Folder(path),
            (_, Some(Loaded::Folder(path))) => Main::Foreign(path),
            (_, Some(Loaded::Dockerfile(bytes, _))) => Main::Dockerfile(bytes),
            (_, None) => Main::Nothing,
        })
    }

    /// How a context looks that is a folder of the client, or was brought here.
    pub(crate) fn view(&self, id: ContextId) -> Result<Option<View>, BuildError> {
        let context = &self.known[id.0];
        let (path, foreign) = match (&context.source, self.loaded.get(&id)) {
            (Some(ContextSource::Folder(path)), _) => (path, false),
            (Some(ContextSource::Fetched(path)), _) | (_, Some(Loaded::Folder(path))) => {
                (path, true)
            }
            _ => return Ok(None),
        };
        let Ok(entries) = std::fs::read_dir(path) else {
            return Ok(None);
        };
        let names = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        let (name, bytes) = context.ignore_file(path, foreign)?;
        let ignore = parsed(&name, &bytes)?;
        Ok(Some(View { names, ignore }))
    }

    /// Opens those that are needed.
    pub(crate) fn open(
        &mut self,
        needed: &BTreeSet<ContextId>,
        setting: &Setting,
        reporter: &Reporter<'_>,
    ) -> Result<OpenContexts, BuildError> {
        let mut open = Vec::new();
        for number in 0..self.known.len() {
            let id = ContextId(number);
            if !needed.contains(&id) {
                open.push(None);
                continue;
            }
            let folder = match self.main(id, setting, reporter)? {
                Main::Folder(path) => Some((path.to_owned(), false)),
                Main::Foreign(path) => Some((path.to_owned(), true)),
                Main::Dockerfile(_) => Some((self.beside(id, setting)?, true)),
                Main::Nothing => None,
            };
            let context = &self.known[number];
            open.push(match folder {
                Some((path, foreign)) => {
                    let tree = context.open(&path, foreign, setting, reporter)?;
                    Some(Arc::new(tree))
                }
                None => None,
            });
        }
        Ok(open)
    }

    /// What can be copied where a Dockerfile came alone: what its address was of, else nothing.
    fn beside(&self, id: ContextId, setting: &Setting) -> Result<PathBuf, BuildError> {
        if let Some(Loaded::Dockerfile(_, Some(folder))) = self.loaded.get(&id) {
            return Ok(folder.clone());
        }
        let empty = setting.empty();
        std::fs::create_dir_all(&empty).map_err(no_context(&empty))?;
        Ok(empty)
    }
}

impl Context {
    fn titled(&self, name: &str) -> String {
        titled(self.title.as_deref(), name)
    }

    fn load(
        &self,
        source: &ContextSource,
        setting: &Setting,
        reporter: &Reporter<'_>,
    ) -> Result<Loaded, BuildError> {
        let loading = Loading {
            setting,
            reporter,
            request: self.request,
            fresh: self.fresh,
            name: self.name.as_deref(),
            keep_git_dir: self.keep_git_dir,
        };
        loading.load(source, |step| self.titled(step))
    }

    /// The name and the text of the ignore file that counts for a folder.
    fn ignore_file(&self, path: &Path, foreign: bool) -> Result<(PathBuf, Vec<u8>), BuildError> {
        let usual = path.join(".dockerignore");
        if !foreign {
            let name = self.ignore.clone().unwrap_or(usual);
            let bytes = frontend::read(&name)?.unwrap_or_default();
            return Ok((name, bytes));
        }
        let top = Directory::open(path).map_err(no_context(path))?;
        let own = self.ignore.iter().map(PathBuf::as_path);
        let found = own.chain([Path::new(".dockerignore")]).find_map(|name| {
            let text = view::read(&top, &name.to_string_lossy(), frontend::LARGEST);
            text.ok().flatten().map(|bytes| (name.to_owned(), bytes))
        });
        Ok(found.unwrap_or((usual, Vec::new())))
    }

    /// Opens a folder with its ignore file.
    fn open(
        &self,
        path: &Path,
        foreign: bool,
        setting: &Setting,
        reporter: &Reporter<'_>,
    ) -> Result<Tree, BuildError> {
        let vertex = match &self.name {
            Some(name) => format!("[context {name}] load .dockerignore"),
            None => "[internal] load .dockerignore".to_owned(),
        };
        let vertex = reporter.begin(&self.titled(&vertex));
        let (name, bytes) = self.ignore_file(path, foreign)?;
        reporter.bytes(
            vertex,
            "transferring context:",
            bytes.len() as u64,
            None,
            true,
        );
        let ignore = parsed(&name, &bytes)?;
        reporter.done(vertex);
        let missing = no_context(path);
        let absolute = std::fs::canonicalize(path).map_err(&missing)?;
        let cache = StatCache::open(&setting.root.join("build/stat"), &absolute);
        let tree = Tree::context(&absolute, ignore, cache, setting.threads).map_err(missing)?;
        let tree = tree.until(setting.remote.stop());
        Ok(if setting.knows_nothing {
            tree.unread()
        } else {
            tree
        })
    }
}

/// Where `Dockerfile.dockerignore` would be, beside the Dockerfile.
fn own_ignore_file(context: &Path, dockerfile: Option<&DockerfileSource>) -> Option<PathBuf> {
    let mut path = match dockerfile {
        Some(DockerfileSource::File(path)) => path.clone(),
        Some(DockerfileSource::Inline { .. } | DockerfileSource::Remote(_)) => return None,
        None => context.join("Dockerfile"),
    };
    path.as_mut_os_string().push(".dockerignore");
    Some(path)
}

fn no_context(path: &Path) -> impl Fn(std::io::Error) -> BuildError {
    let path = path.to_owned();
    move |_| BuildError::NoContext { path: path.clone() }
}

fn parsed(name: &Path, bytes: &[u8]) -> Result<IgnoreFile, BuildError> {
    IgnoreFile::parse(bytes).map_err(|source| BuildError::IgnoreFile {
        path: name.display().to_string(),
        source,
    })
}
