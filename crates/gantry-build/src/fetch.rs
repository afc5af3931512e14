//! Files from elsewhere that are wanted before there is a build: definitions of builds.

use std::io;
use std::path::{Path, PathBuf};

use gantry_store::Lease;
use gantry_sys::path::Directory;

use crate::build::{orders, setting};
use crate::contexts::Contexts;
use crate::error::BuildError;
use crate::frontend::Main;
use crate::ops::view;
use crate::report::Reporter;
use crate::request::{BuildRequest, Builder, ContextSource};
use crate::stop::Stop;

/// What an address was of.
#[derive(Debug)]
pub enum Fetched {
    /// A repository, or an archive.
    Folder(FetchedFolder),
    /// A file that is no archive.
    File(Vec<u8>),
}

/// A folder that came from elsewhere. It stays as long as this value does.
#[derive(Debug)]
pub struct FetchedFolder {
    path: PathBuf,
    _kept: Lease,
}

/// Fetches what the context of a request is the address of, with what the request lends.
///
/// # Errors
/// See [`BuildError`].
pub fn fetch(
    builder: &Builder<'_>,
    request: &BuildRequest,
    reporter: &Reporter<'_>,
) -> Result<Fetched, BuildError> {
    let stop = Stop::new(builder.cancellation.clone()).map_err(|source| BuildError::Io {
        action: "make",
        path: PathBuf::from("an eventfd"),
        source,
    })?;
    let orders = orders(std::slice::from_ref(request))?;
    let project = crate::solve::project(std::slice::from_ref(request));
    let setting = setting(builder, &orders, project, &stop)?;
    let mut contexts = Contexts::default();
    let id = contexts.of(request, 0, None);
    let fetched = match contexts.main(id, &setting, reporter)? {
        Main::Foreign(path) => Some(path.to_owned()),
        Main::Dockerfile(bytes) => return Ok(Fetched::File(bytes.to_vec())),
        Main::Folder(_) | Main::Nothing => None,
    };
    let path = fetched.ok_or_else(|| BuildError::NoContext {
        path: PathBuf::new(),
    })?;
    Ok(Fetched::Folder(FetchedFolder {
        path,
        _kept: setting.lease,
    }))
}

impl FetchedFolder {
    /// The first bytes of a file in it, links followed inside; `None` where there is no such file.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(&self, name: &str, most: u64) -> io::Result<Option<Vec<u8>>> {
        view::read(&Directory::open(&self.path)?, name, most)
    }

    /// A folder in it as a context, by its relative path.
    ///
    /// # Errors
    /// It is not there, or a link leads to it.
    pub fn context(&self, path: &Path) -> io::Result<ContextSource> {
        if !path.as_os_str().is_empty() {
            Directory::open(&self.path)?.directory_beneath(path)?;
        }
        Ok(ContextSource::Fetched(self.path.join(path)))
    }
}
