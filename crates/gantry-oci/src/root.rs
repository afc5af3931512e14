//! The state folder: one folder for each container.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::container::Container;
use crate::error::OciError;

/// The state folder of a runtime.
#[derive(Debug, Clone)]
pub struct Root(PathBuf);

impl Root {
    /// The folder at a path, which is made when the first container is.
    pub fn at(path: impl Into<PathBuf>) -> Root {
        Root(path.into())
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The folder of one container.
    pub(crate) fn folder(&self, id: &str) -> Result<PathBuf, OciError> {
        let allowed =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'+' | b'-' | b'.');
        if id.is_empty() || id.len() > 1024 || !id.bytes().all(allowed) || matches!(id, "." | "..")
        {
            return Err(OciError::InvalidId { id: id.to_owned() });
        }
        Ok(self.0.join(id))
    }

    /// Makes the folder of a new container. Of two that do it at once one fails.
    pub(crate) fn reserve(&self, id: &str) -> Result<PathBuf, OciError> {
        let folder = self.folder(id)?;
        let builder = |recursive| {
            let mut builder = fs::DirBuilder::new();
            builder.mode(0o700).recursive(recursive);
            builder
        };
        let made = match builder(false).create(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => builder(true)
                .create(&self.0)
                .and_then(|()| builder(false).create(&folder)),
            other => other,
        };
        match made {
            Ok(()) => Ok(folder),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(OciError::Exists { id: id.to_owned() })
            }
            Err(error) => Err(OciError::file("make", folder)(error)),
        }
    }

    /// Opens a container, without keeping others from it: to look.
    pub fn look(&self, id: &str) -> Result<Container, OciError> {
        Container::open(id, self.folder(id)?)
    }

    /// Opens a container and keeps others from changing it until it is dropped.
    pub fn take(&self, id: &str) -> Result<Container, OciError> {
        let mut container = self.look(id)?;
        container.lock()?;
        // It may have changed or gone while this process waited.
        container.reload()?;
        Ok(container)
    }

    /// As [`Root::take`], whatever its record is.
    pub(crate) fn take_unread(&self, id: &str) -> Result<Container, OciError> {
        let container = Container::open_unread(id, self.folder(id)?)?;
        container.lock()?;
        Ok(container)
    }

    /// Every container, by identifier, and why others cannot be shown. Those that go meanwhile
    /// are left out.
    pub fn containers(&self) -> Result<(Vec<Container>, Vec<OciError>), OciError> {
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok((Vec::new(), Vec::new()));
            }
            other => other.map_err(OciError::file("list", &self.0))?,
        };
        let mut ids = Vec::new();
        for entry in entries {
            let entry = entry.map_err(OciError::file("list", &self.0))?;
            ids.extend(entry.file_name().into_string().ok());
        }
        ids.sort();
        let (mut containers, mut damaged) = (Vec::new(), Vec::new());
        for id in ids {
            match self.look(&id) {
                Ok(container) => containers.push(container),
                Err(OciError::NotFound { .. } | OciError::InvalidId { .. }) => {}
                Err(error) => damaged.push(error),
            }
        }
        Ok((containers, damaged))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_names() {
        let root = Root::at("/x");
        for good in ["a", "libpod-0_1+2.3", "...", &"a".repeat(1024)] {
            assert!(root.folder(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a b", "ä", &"a".repeat(1025)] {
            assert!(root.folder(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_is_given_once() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::at(folder.path().join("state"));
        assert!(root.containers().unwrap().0.is_empty());
        let bad = root.reserve("bad").unwrap();
        root.reserve("one").unwrap();
        fs::write(bad.join("state.json"), "{").unwrap();
        let (whole, damaged) = root.containers().unwrap();
        assert_eq!((whole.len(), damaged.len()), (1, 1));
        assert_eq!(whole[0].id(), "one");
        assert!(matches!(root.reserve("one"), Err(OciError::Exists { .. })));
        assert!(matches!(root.look("two"), Err(OciError::NotFound { .. })));
    }
}
