//! Where the files of a build come from.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use gantry_model::layout::LayoutReference;

use crate::remote::address::Address;

/// Where the files of a context come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContextSource {
    /// A folder, read where it lies.
    Folder(PathBuf),
    /// A folder of what was fetched: no link of it leads out.
    Fetched(PathBuf),
    /// An open file: an archive, compressed or not, else a Dockerfile alone.
    Input(Input),
    /// The address of such a file, or of a git repository.
    Remote(String),
}

impl ContextSource {
    /// What a text of the command line names; a folder, where it is no address.
    ///
    /// # Errors
    /// It is an address that cannot be right; says why.
    pub fn parse(text: &str) -> Result<Self, String> {
        Ok(match Address::of_context(text)? {
            Some(_) => Self::Remote(text.to_owned()),
            None => Self::Folder(text.into()),
        })
    }
}

impl From<PathBuf> for ContextSource {
    fn from(path: PathBuf) -> Self {
        Self::Folder(path)
    }
}

/// An open file, equal only to itself.
#[derive(Debug, Clone)]
pub struct Input {
    /// How messages call it.
    pub name: String,
    file: Arc<File>,
}

impl Input {
    /// What messages call standard input.
    pub const STDIN: &str = "STDIN";

    /// A file that is read from where it stands.
    #[must_use]
    pub fn new(name: impl Into<String>, file: File) -> Self {
        Self {
            name: name.into(),
            file: Arc::new(file),
        }
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }
}

impl PartialEq for Input {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.file, &other.file)
    }
}

impl Eq for Input {}

/// What a name of `--build-context` stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamedContext {
    /// Files.
    Files(ContextSource),
    /// An image by its reference.
    Image(String),
    /// An image of an OCI layout on this machine.
    Layout(LayoutReference),
    /// What another request of the same build makes, by that request's name.
    Target(String),
}
