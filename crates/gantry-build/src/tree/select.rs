//! Which files a source of `COPY` means.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;

use gantry_dockerfile::ignore::{IgnoreFile, Verdict};
use gantry_dockerfile::wildcard::{Component, PatternError, SourcePattern};
use gantry_sys::path::Directory;
use rustix::fs::FileType;

use super::walk::{FileError, Filter};
use super::{Below, Entry, Tree, join, split};

/// Most links followed on the way to one file, as in the kernel.
const MOST_LINKS: usize = 40;

/// One thing that a source pattern means.
#[derive(Debug, Clone)]
pub(crate) struct Match {
    /// Its name as the pattern reached it: what a copy in a directory is called.
    pub(crate) name: OsString,
    /// The file or directory itself, links followed.
    pub(crate) top: Entry,
    /// What is below it, if it is a directory.
    pub(crate) below: Below,
    /// The directory from which on `--parents` keeps the path; the tree's own is empty.
    pub(crate) pivot: OsString,
}

impl Match {
    /// The path of an entry relative to the directory that was matched.
    pub(crate) fn relative<'e>(&self, entry: &'e Entry) -> &'e OsStr {
        beneath(&entry.path, &self.top.path)
    }

    /// The path of the match that `--parents` keeps.
    pub(crate) fn kept(&self) -> &OsStr {
        beneath(&self.top.path, &self.pivot)
    }

    /// All entries, the top first.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        std::iter::once(&self.top).chain(self.below.iter())
    }
}

/// The path relative to a directory that it is in.
fn beneath<'p>(path: &'p OsStr, directory: &OsStr) -> &'p OsStr {
    let skip = match directory.len() {
        0 => 0,
        length => length + 1,
    };
    OsStr::from_bytes(path.as_bytes().get(skip..).unwrap_or_default())
}

/// Why a source cannot be had.
#[derive(Debug)]
pub(crate) enum SelectError {
    /// There is nothing at that path.
    NotFound {
        /// The path as an absolute one of the tree.
        path: String,
        /// Whether it is there, but ignored.
        ignored: bool,
        /// A name that is near.
        similar: Option<String>,
    },
    /// The pattern is malformed.
    Pattern(PatternError),
    /// The kernel refuses.
    File(FileError),
}

impl From<FileError> for SelectError {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

/// What is at a path when links are followed.
enum Resolved {
    Found(OsString),
    Missing,
}

impl Tree {
    /// What `pattern` means, with the digests of all files. No match of a pattern with wildcards is
    /// no error: such a source is optional.
    pub(crate) fn select(
        &self,
        pattern: &str,
        exclude: &IgnoreFile,
    ) -> Result<Vec<Match>, SelectError> {
        let parsed = SourcePattern::new(pattern).map_err(SelectError::Pattern)?;
        self.select_parsed(&parsed, pattern, exclude)
    }

    /// What is at exactly this path, with the digests of all files.
    pub(crate) fn select_exact(
        &self,
        path: &str,
        exclude: &IgnoreFile,
    ) -> Result<Vec<Match>, SelectError> {
        self.select_parsed(&SourcePattern::exact(path), path, exclude)
    }

    /// What a source of `COPY --parents` means: links are followed up to `/./`, and no more from
    /// there.
    pub(crate) fn select_with_parents(
        &self,
        pattern: &str,
        exclude: &IgnoreFile,
    ) -> Result<Vec<Match>, SelectError> {
        let (before, kept) = SourcePattern::around_pivot(pattern).map_err(SelectError::Pattern)?;
        let is_wild = before.is_wild() || kept.is_wild();
        let mut matches = Vec::new();
        for reached in self.reach(&before, pattern)? {
            let Resolved::Found(pivot) = self.resolve(&reached)? else {
                if is_wild {
                    continue;
                }
                return Err(self.not_found(&reached));
            };
            for path in self.reach_from(pivot.clone(), kept.components())? {
                if let Some(mut found) = self.matched(&path, &path, exclude)? {
                    found.pivot.clone_from(&pivot);
                    matches.push(found);
                }
            }
            if matches.is_empty() && !is_wild {
                let names = kept.components().iter().filter_map(Component::literal);
                let path = names.fold(pivot, |path, name| join(&path, OsStr::new(name)));
                return Err(self.not_found(&path));
            }
        }
        Ok(matches)
    }

    fn select_parsed(
        &self,
        parsed: &SourcePattern,
        pattern: &str,
        exclude: &IgnoreFile,
    ) -> Result<Vec<Match>, SelectError> {
        let mut matches = Vec::new();
        for reached in self.reach(parsed, pattern)? {
            let found = match self.resolve(&reached)? {
                Resolved::Found(path) => self.matched(&reached, &path, exclude)?,
                Resolved::Missing => None,
            };
            match found {
                Some(found) => matches.push(found),
                None if parsed.is_wild() => {}
                None => return Err(self.not_found(&reached)),
            }
        }
        Ok(matches)
    }

    /// The paths that fit a pattern, before the last link is followed.
    fn reach(&self, pattern: &SourcePattern, text: &str) -> Result<Vec<OsString>, SelectError> {
        let components = pattern.components();
        let wild_at = components
            .iter()
            .position(|component| matches!(component, Component::Wild(_)));
        let mut fixed = OsString::new();
        for component in &components[..wild_at.unwrap_or(components.len())] {
            if let Some(name) = component.literal() {
                fixed = join(&fixed, OsStr::new(name));
            }
        }
        let Some(wild_at) = wild_at else {
            return Ok(vec![fixed]);
        };
        // Links are followed up to the first wildcard, and no more from there.
        let Resolved::Found(start) = self.resolve(&fixed)? else {
            return Ok(Vec::new());
        };
        debug_assert!(!text.is_empty());
        Ok(self.reach_from(start, &components[wild_at..])?)
    }

    /// The paths below a directory that fit a pattern, in order; no link is followed.
    fn reach_from(
        &self,
        start: OsString,
        components: &[Component],
    ) -> Result<Vec<OsString>, FileError> {
        // Two `**` reach a path in several ways: it goes on from there once.
        let mut reached = BTreeSet::from([start]);
        let mut before = None;
        for (number, component) in components.iter().enumerate() {
            if before.replace(component) == Some(component) && *component == Component::AnyDepth {
                continue;
            }
            if *component == Component::AnyDepth {
                let mut open: Vec<OsString> = reached.iter().cloned().collect();
                while let Some(directory) = open.pop() {
                    for below in self.children(&directory, component, false)? {
                        if reached.insert(below.clone()) {
                            open.push(below);
                        }
                    }
                }
                continue;
            }
            let last = number + 1 == components.len();
            let mut next = BTreeSet::new();
            for directory in &reached {
                next.extend(self.children(directory, component, last)?);
            }
            reached = next;
        }
        Ok(reached.into_iter().collect())
    }

    /// The children of a directory that fit a component; only directories where more must follow.
    fn children(
        &self,
        directory: &OsStr,
        component: &Component,
        last: bool,
    ) -> Result<Vec<OsString>, FileError> {
        let failed = |error| FileError::new("open", directory, error);
        self.goes_on().map_err(failed)?;
        let opened = match self.root.directory_beneath(directory) {
            Err(error) if matches!(error.raw_os_error(), Some(code) if is_absence(code)) => {
                return Ok(Vec::new());
            }
            other => other.map_err(failed)?,
        };
        let mut found = Vec::new();
        for entry in opened.entries().map_err(failed)? {
            let fits = component.matches(entry.name.as_bytes());
            if fits && (last || matches!(entry.kind, FileType::Directory | FileType::Unknown)) {
                let path = join(directory, &entry.name);
                if self.is_visible(&path)? {
                    found.push(path);
                }
            }
        }
        Ok(found)
    }

    /// Follows the links of a path; absolute ones start at the top, and none leaves it.
    fn resolve(&self, path: &OsStr) -> Result<Resolved, FileError> {
        let mut done = OsString::new();
        let mut links = 0;
        let mut open: Vec<OsString> = names(path).rev().collect();
        while let Some(name) = open.pop() {
            if name == ".." {
                done = split(&done).0.to_owned();
                continue;
            }
            let next = join(&done, &name);
            let directory = match self.root.directory_beneath(&done) {
                Err(error) if matches!(error.raw_os_error(), Some(code) if is_absence(code)) => {
                    return Ok(Resolved::Missing);
                }
                other => other.map_err(|error| FileError::new("open", &done, error))?,
            };
            let entry = match self.entry(&directory, next) {
                Err(error) if error.source.kind() == io::ErrorKind::NotFound => {
                    return Ok(Resolved::Missing);
                }
                other => other?,
            };
            match entry.link {
                None => done = entry.path.into_os_string(),
                Some(target) => {
                    links += 1;
                    if links > MOST_LINKS {
                        return Err(FileError::new(
                            "follow the links of",
                            path,
                            rustix::io::Errno::LOOP,
                        ));
                    }
                    if target.as_bytes().starts_with(b"/") {
                        done = OsString::new();
                    }
                    open.extend(names(&target).rev());
                }
            }
        }
        Ok(Resolved::Found(done))
    }

    /// The match at a resolved path; `None` where it is ignored.
    fn matched(
        &self,
        reached: &OsStr,
        path: &OsStr,
        exclude: &IgnoreFile,
    ) -> Result<Option<Match>, FileError> {
        let directory = self.directory_of(path)?;
        let top = match self.entry(&directory, path.to_owned()) {
            Err(error) if error.source.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let verdict = self.verdict(path);
        let name = split(reached).1.to_owned();
        let mut found = Match {
            name,
            top,
            below: Below::default(),
            pivot: OsString::new(),
        };
        if found.top.kind != FileType::Directory {
            if verdict.is_ignored()
                || (!exclude.is_empty() && exclude.is_ignored(split(path).1.as_bytes()))
            {
                return Ok(None);
            }
            self.hash_top(&mut found.top)?;
            return Ok(Some(found));
        }
        let hidden = verdict.is_ignored();
        if hidden && self.ignore.can_skip(&verdict, path.as_bytes()) {
            return Ok(None);
        }
        let mut filters = Vec::new();
        let mut verdicts = Vec::new();
        if !self.ignore.is_empty() {
            filters.push(Filter {
                patterns: &self.ignore,
                skip: 0,
                is_ignore_file: true,
            });
            verdicts.push(verdict);
        }
        if !exclude.is_empty() {
            let skip = if path.is_empty() { 0 } else { path.len() + 1 };
            filters.push(Filter {
                patterns: exclude,
                skip,
                is_ignore_file: false,
            });
            verdicts.push(exclude.root());
        }
        found.below = self.walk(path, &filters, verdicts)?;
        if hidden && found.below.is_empty() {
            return Ok(None);
        }
        self.hash(&found.below)?;
        Ok(Some(found))
    }

    fn directory_of(&self, path: &OsStr) -> Result<Directory, FileError> {
        let parent = split(path).0;
        self.root
            .directory_beneath(parent)
            .map_err(|error| FileError::new("open", parent, error))
    }

    /// What the ignore file says of a path.
    fn verdict(&self, path: &OsStr) -> Verdict {
        let mut verdict = self.ignore.root();
        if self.ignore.is_empty() {
            return verdict;
        }
        let mut prefix = OsString::new();
        for name in names(path) {
            prefix = join(&prefix, &name);
            verdict = self.ignore.entry(&verdict, prefix.as_bytes());
        }
        verdict
    }

    /// Whether a path is there for a build: not ignored, or something below it is not.
    fn is_visible(&self, path: &OsStr) -> Result<bool, FileError> {
        let verdict = self.verdict(path);
        if !verdict.is_ignored() {
            return Ok(true);
        }
        if self.ignore.can_skip(&verdict, path.as_bytes()) {
            return Ok(false);
        }
        let nothing = IgnoreFile::from_patterns([]).expect("no pattern is wrong");
        Ok(self.matched(path, path, &nothing)?.is_some())
    }

    fn not_found(&self, path: &OsStr) -> SelectError {
        let ignored = matches!(self.resolve(path), Ok(Resolved::Found(_)));
        let (parent, name) = split(path);
        let names: BTreeSet<String> = self
            .root
            .directory_beneath(parent)
            .and_then(|directory| directory.entries())
            .map(|entries| {
                entries
                    .into_iter()
                    .filter_map(|entry| entry.name.into_string().ok())
                    .collect()
            })
            .unwrap_or_default();
        let similar = gantry_dockerfile::suggest::nearest(
            &name.to_string_lossy(),
            names.iter().map(String::as_str),
        );
        let similar = similar.filter(|_| !ignored).map(|near| {
            join(parent, OsStr::new(near))
                .to_string_lossy()
                .into_owned()
        });
        SelectError::NotFound {
            path: format!("/{}", path.to_string_lossy()),
            ignored,
            similar,
        }
    }
}

/// The components of a path that mean something.
fn names(path: &OsStr) -> impl DoubleEndedIterator<Item = OsString> {
    let parts: Vec<OsString> = path
        .as_bytes()
        .split(|byte| *byte == b'/')
        .filter(|name| !matches!(*name, b"" | b"."))
        .map(|name| OsStr::from_bytes(name).to_owned())
        .collect();
    parts.into_iter()
}

/// Whether an errno says that there is no directory of that name.
fn is_absence(code: i32) -> bool {
    use rustix::io::Errno;
    [Errno::NOENT, Errno::NOTDIR, Errno::LOOP]
        .iter()
        .any(|errno| errno.raw_os_error() == code)
}
