//! OCI whiteouts (image-spec, `layer.md`, "Whiteouts") made overlayfs's.

use rustix::fs::{self, FileType, Mode};
use rustix::io::Errno;

use super::directories::{Missing, Parent, Spot, components};
use super::error::{UnpackError, show};
use super::unpacker::Unpacker;
use crate::tree;

const PREFIX: &[u8] = b".wh.";

/// What the name of an entry means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Meaning<'a> {
    /// A file as any other.
    Plain,
    /// Hides this name in its directory.
    Whiteout(&'a [u8]),
    /// Hides everything in its directory.
    Opaque,
    /// AUFS's own data, of no meaning here.
    Ignored,
    /// Hides nothing that can be, or lies in a whiteout.
    Malformed,
}

pub(crate) fn meaning(path: &[u8]) -> Meaning<'_> {
    if !path.windows(PREFIX.len()).any(|window| window == PREFIX) {
        return Meaning::Plain;
    }
    let (parent, name) = tree::split_last(path);
    for component in components(parent) {
        if component.starts_with(b".wh..wh.") {
            return Meaning::Ignored;
        }
        if component.starts_with(PREFIX) {
            return Meaning::Malformed;
        }
    }
    match name.strip_prefix(PREFIX) {
        None => Meaning::Plain,
        Some(b".wh..opq") => Meaning::Opaque,
        Some(hidden) if hidden.starts_with(b".wh.") => Meaning::Ignored,
        Some(b"" | b"." | b"..") => Meaning::Malformed,
        Some(hidden) => Meaning::Whiteout(hidden),
    }
}

impl Unpacker<'_> {
    pub(super) fn opaque(&mut self, path: &[u8]) -> Result<(), UnpackError> {
        let parent = self.parent_of(path)?;
        self.mark_opaque(&parent.path);
        Ok(())
    }

    fn mark_opaque(&mut self, path: &[u8]) {
        self.directories
            .known
            .entry(path.to_vec())
            .or_default()
            .opaque = true;
    }

    /// Hides `hidden` beside the whiteout `path`. What this archive itself has there stays:
    /// a whiteout speaks of the layers below.
    pub(super) fn whiteout(&mut self, path: &[u8], hidden: &[u8]) -> Result<(), UnpackError> {
        let parent = self.parent_of(path)?;
        match fs::mknodat(
            parent.fd(),
            hidden,
            FileType::CharacterDevice,
            Mode::empty(),
            0,
        ) {
            Ok(()) => Ok(()),
            Err(Errno::EXIST) => {
                let hidden_path = tree::join(&parent.path, hidden);
                if self.directories.known.contains_key(&hidden_path) {
                    self.mark_opaque(&hidden_path);
                }
                Ok(())
            }
            Err(errno) => Err(UnpackError::entry("make the whiteout", path, errno)),
        }
    }

    /// Whether a whiteout stood at this name, which is then taken away.
    pub(super) fn take_whiteout(
        &mut self,
        spot: &Spot<'_>,
        status: &fs::Stat,
    ) -> Result<bool, UnpackError> {
        if self.options.whiteouts.is_none() || !super::directories::is_whiteout(status) {
            return Ok(false);
        }
        spot.unlink()?;
        Ok(true)
    }

    /// Where an entry goes, in a directory that is made where it is only implied.
    pub(super) fn spot<'p>(&mut self, path: &'p [u8]) -> Result<Spot<'p>, UnpackError> {
        let parent = self.parent_of(path)?;
        let (_, name) = tree::split_last(path);
        Ok(Spot { parent, name, path })
    }

    /// The directory of an entry, made where it is only implied.
    pub(super) fn parent_of(&mut self, path: &[u8]) -> Result<Parent, UnpackError> {
        let (parent, _) = tree::split_last(path);
        match self.directories.find(parent, path, Missing::Create)? {
            Some(parent) => Ok(parent),
            None => Err(UnpackError::NotDirectory {
                path: show(path),
                parent: show(parent),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_mean_what_the_specification_says() {
        for (path, expected) in [
            (&b"a/b"[..], Meaning::Plain),
            (b"a/b.wh.c", Meaning::Plain),
            (b"a/.wh.b", Meaning::Whiteout(b"b")),
            (b".wh.b", Meaning::Whiteout(b"b")),
            (b"a/.wh..b", Meaning::Whiteout(b".b")),
            (b"a/.wh..wh..opq", Meaning::Opaque),
            (b".wh..wh.plnk", Meaning::Ignored),
            (b".wh..wh.plnk/1.2", Meaning::Ignored),
            (b".wh..wh.aufs", Meaning::Ignored),
            (b"a/.wh.", Meaning::Malformed),
            (b"a/.wh..", Meaning::Malformed),
            (b"a/.wh...", Meaning::Malformed),
            (b"a/.wh.b/c", Meaning::Malformed),
            (b"a/.wh....", Meaning::Whiteout(b"...")),
        ] {
            assert_eq!(meaning(path), expected, "{}", path.escape_ascii());
        }
    }
}
