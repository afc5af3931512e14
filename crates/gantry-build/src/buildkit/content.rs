//! Digests of files as BuildKit makes them: names, kinds, permissions, owners, extended attributes
//! and content, no times. A file is digested behind a header of its facts, a directory by the
//! digests of what it has, a selection by names and digests one after the other.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;

use gantry_model::Digest;
use rustix::fs::FileType;
use sha2::{Digest as _, Sha256};

use super::operation::digest;
use crate::tree::{Entry, Match, Target, Tree, attributes, copy_and_digest};

/// How a path selects files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Selection {
    /// What is there.
    Whole,
    /// What is there without what is left out: each file counts for itself, by its last name.
    Filtered,
    /// What fits the pattern, in the same way.
    Pattern,
}

/// What is looked at of a tree through one path.
#[derive(Debug)]
pub(crate) struct Part<'p> {
    /// The path, absolute.
    pub(crate) path: String,
    pub(crate) selection: Selection,
    /// What it means.
    pub(crate) found: &'p [Match],
}

/// Digests of the files of a tree.
#[derive(Debug)]
pub(crate) struct Content<'t> {
    pub(crate) tree: &'t Tree,
    /// Whether it is a context, whose files are root's whoever has them.
    pub(crate) is_context: bool,
}

/// Entries by the directory that they are in.
type Below<'m> = BTreeMap<&'m OsStr, Vec<&'m Entry>>;

impl Content<'_> {
    /// The digest of what is looked at; `None` where BuildKit has none, where its digest would be
    /// that of other files in other places as well, or where a file is not what it was when it was
    /// selected.
    pub(crate) fn of(&self, mut parts: Vec<Part<'_>>) -> io::Result<Option<Digest>> {
        parts.sort_by(|a, b| a.path.cmp(&b.path));
        let is_within = |part: &Part<'_>, other: &Part<'_>| {
            let rest = part.path.strip_prefix(other.path.trim_end_matches('/'));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        // Of these BuildKit digests the outer one, wherever in it the inner one is.
        let is_nested = |number: usize| {
            let others = parts.iter().enumerate();
            others
                .filter(|(other, _)| *other != number)
                .any(|(_, other)| {
                    other.selection == Selection::Whole && is_within(&parts[number], other)
                })
        };
        if (0..parts.len()).any(is_nested) {
            return Ok(None);
        }
        let mut digests = Vec::new();
        for part in &parts {
            let Some(found) = self.part(part)? else {
                return Ok(None);
            };
            digests.push(found.to_string());
        }
        Ok(Some(digest(digests.join("\0").as_bytes())))
    }

    fn part(&self, part: &Part<'_>) -> io::Result<Option<Digest>> {
        if part.selection != Selection::Whole {
            return self.list(part);
        }
        let [found] = part.found else {
            return Ok(None);
        };
        if found.top.kind != FileType::Directory {
            return self.file(&found.top);
        }
        let mut below: Below<'_> = BTreeMap::new();
        for entry in found.below.iter() {
            below.entry(entry.parent()).or_default().push(entry);
        }
        for entries in below.values_mut() {
            entries.sort_by_key(|entry| entry.name());
        }
        self.directory(&found.top, &below)
    }

    /// A directory by its header, and by names and digests of what it has.
    fn directory(&self, top: &Entry, below: &Below<'_>) -> io::Result<Option<Digest>> {
        let mut hasher = Sha256::new();
        let mut add = |name: &[u8], digest: &Digest| {
            hasher.update([0]);
            hasher.update(name);
            hasher.update(digest.to_string());
        };
        let Some(header) = self.header(top)? else {
            return Ok(None);
        };
        add(b"", &header);
        for entry in below.get(&*top.path).into_iter().flatten() {
            let found = if entry.kind == FileType::Directory {
                self.directory(entry, below)?
            } else {
                self.file(entry)?
            };
            let Some(found) = found else {
                return Ok(None);
            };
            add(entry.name().as_bytes(), &found);
        }
        Ok(Some(Digest::from_bytes(hasher.finalize().into())))
    }

    /// The header of a directory. That of a context itself is nobody's.
    fn header(&self, entry: &Entry) -> io::Result<Option<Digest>> {
        if entry.path.is_empty() && self.is_context {
            return Ok(Some(digest(b"")));
        }
        self.file(entry)
    }

    /// Files in the order of their paths, by their names alone. With folders among them that could
    /// be the list of another tree.
    fn list(&self, part: &Part<'_>) -> io::Result<Option<Digest>> {
        let mut listed = Vec::new();
        let base = |path: &[u8]| {
            let start = path.iter().rposition(|byte| *byte == b'/');
            path[start.map_or(0, |at| at + 1)..].to_vec()
        };
        for found in part.found {
            for (number, entry) in found.entries().enumerate() {
                // All of the tree has no name of its own.
                if entry.path.is_empty() {
                    continue;
                }
                let is_top = number == 0 && part.selection == Selection::Filtered;
                if entry.kind == FileType::Directory && !is_top {
                    return Ok(None);
                }
                let Some(digest) = self.file(entry)? else {
                    return Ok(None);
                };
                let name = if number == 0 {
                    found.name.as_bytes().to_vec()
                } else {
                    base(entry.path.as_bytes())
                };
                let place: Vec<Vec<u8>> = entry
                    .path
                    .as_bytes()
                    .split(|byte| *byte == b'/')
                    .map(<[u8]>::to_vec)
                    .collect();
                listed.push((place, name, digest));
            }
        }
        listed.sort();
        if let [(_, name, digest)] = &listed[..]
            && *name == base(part.path.as_bytes())
        {
            return Ok(Some(*digest));
        }
        let mut hasher = Sha256::new();
        for (number, (_, name, digest)) in listed.iter().enumerate() {
            if number > 0 {
                hasher.update([0]);
            }
            hasher.update(name);
            hasher.update(digest.to_string());
        }
        Ok(Some(Digest::from_bytes(hasher.finalize().into())))
    }

    /// An entry by its facts and, where it is a file, its content.
    fn file(&self, entry: &Entry) -> io::Result<Option<Digest>> {
        let (kind, size, link) = match entry.kind {
            FileType::RegularFile => ("0", entry.stat.size, None),
            FileType::Symlink => ("2", 0, entry.link.as_deref()),
            FileType::Directory => ("5", 0, None),
            FileType::Fifo => ("6", 0, None),
            // Devices and sockets: rare, and told of differently by what BuildKit reads them with.
            _ => return Ok(None),
        };
        let owner = match self.is_context {
            true => (0, 0),
            false => (entry.stat.uid, entry.stat.gid),
        };
        let mut hasher = Sha256::new();
        hasher.update(format!(
            "namemode{}uid{}gid{}size{size}typeflag{kind}linkname",
            entry.stat.mode, owner.0, owner.1
        ));
        hasher.update(link.unwrap_or_default().as_bytes());
        hasher.update("unamegnamedevmajor0devminor0");
        let mut told = |attributes: &[(Vec<u8>, Vec<u8>)]| {
            for (name, value) in attributes {
                hasher.update(name);
                hasher.update(value);
            }
        };
        match entry.kind {
            FileType::Directory => {
                told(&attributes(
                    &self.tree.root().directory_beneath(&entry.path)?,
                )?);
            }
            FileType::RegularFile => {
                let file = self.tree.open_file(&entry.path)?;
                told(&attributes(&file)?);
                let goes_on = || self.tree.goes_on();
                let copied =
                    copy_and_digest(&file, size, &file, &mut Hashing(&mut hasher), &goes_on)?;
                // Whoever writes to a context while it is read is told apart by that.
                let is_same = entry.digest() == Some(&copied.digest);
                if !is_same || file.metadata()?.len() != size {
                    return Ok(None);
                }
            }
            _ => {}
        }
        Ok(Some(Digest::from_bytes(hasher.finalize().into())))
    }
}

/// Hashes what is read.
struct Hashing<'h>(&'h mut Sha256);

impl Target for Hashing<'_> {
    fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.update(bytes);
        Ok(())
    }

    fn zeros(&mut self, mut count: u64) -> io::Result<()> {
        const ZEROS: [u8; 4096] = [0; 4096];
        while count > 0 {
            let some = usize::try_from(count).map_or(ZEROS.len(), |count| count.min(ZEROS.len()));
            self.0.update(&ZEROS[..some]);
            count -= some as u64;
        }
        Ok(())
    }
}
