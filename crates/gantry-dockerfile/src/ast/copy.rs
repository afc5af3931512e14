//! `COPY` and `ADD`.

use super::{Heredoc, Word};

/// One source of `COPY` or `ADD`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopySource {
    /// A path, a wildcard, and for `ADD` perhaps a URL.
    Path(Word),
    /// A file whose content stands in the Dockerfile.
    ///
    /// Before expansion the content is as written; after it, tabs are stripped and variables
    /// expanded as the heredoc asks, and the content is the file.
    Inline(Heredoc),
}

/// `COPY`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// What to copy; at least one.
    pub sources: Vec<CopySource>,
    /// Where to.
    pub destination: Word,
    /// `--from`: a stage, a number of a stage, a named context or an image.
    pub from: Option<Word>,
    /// `--chown`, see [`crate::owner`].
    pub chown: Option<Word>,
    /// `--chmod`, see [`crate::mode`].
    pub chmod: Option<Word>,
    /// `--link`
    pub link: bool,
    /// `--parents`
    pub parents: bool,
    /// `--exclude`, each once.
    pub exclude: Vec<Word>,
}

/// `ADD`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Add {
    /// What to add; at least one.
    pub sources: Vec<CopySource>,
    /// Where to.
    pub destination: Word,
    /// `--chown`, see [`crate::owner`].
    pub chown: Option<Word>,
    /// `--chmod`, see [`crate::mode`].
    pub chmod: Option<Word>,
    /// `--link`
    pub link: bool,
    /// `--exclude`, each once.
    pub exclude: Vec<Word>,
    /// `--keep-git-dir`; `None` where it is not given.
    pub keep_git_dir: Option<bool>,
    /// `--checksum`: the digest a downloaded file (or the commit a repository) must have.
    pub checksum: Option<Word>,
    /// `--unpack`; `None` where it is not given: local archives are unpacked, remote ones not.
    pub unpack: Option<bool>,
}
