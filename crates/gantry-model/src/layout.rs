//! Images of OCI layouts in folders (OCI image specification, "Image Layout"), as people name them:
//! `oci-layout://PATH[:TAG|@DIGEST]`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::Digest;
use crate::digest::DigestError;

/// What stands before the path.
const SCHEME: &str = "oci-layout:";

/// An image in an OCI layout.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LayoutReference {
    /// The folder, as it was written.
    pub folder: PathBuf,
    /// Which of its images.
    pub entry: LayoutEntry,
}

/// Which image of a layout is meant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LayoutEntry {
    /// The one called `latest`, or the only one.
    Usual,
    /// The one whose `org.opencontainers.image.ref.name` is this.
    Tag(String),
    /// That of this manifest or index.
    Digest(Digest),
}

/// Why a text names no image of a layout.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// It begins with something else.
    #[error("it does not begin with oci-layout://")]
    Scheme,
    /// There is no path.
    #[error("it names no folder")]
    Folder,
    /// What stands behind `@` is no digest.
    #[error(transparent)]
    Digest(#[from] DigestError),
}

impl LayoutReference {
    /// Whether a text means such an image, whatever is wrong with it.
    #[must_use]
    pub fn is_meant(text: &str) -> bool {
        text.starts_with(SCHEME)
    }
}

impl FromStr for LayoutReference {
    type Err = LayoutError;

    fn from_str(text: &str) -> Result<Self, LayoutError> {
        let path = text.strip_prefix(SCHEME).ok_or(LayoutError::Scheme)?;
        let path = path.strip_prefix("//").unwrap_or(path);
        // A digest has a colon of its own; a folder may have any of these characters.
        let (path, digest) = match path.rsplit_once('@') {
            Some((path, digest)) if digest.contains(':') => (path, Some(digest.parse()?)),
            _ => (path, None),
        };
        let (folder, tag) = match path.rsplit_once(':') {
            Some((folder, tag)) if !tag.contains('/') => (folder, Some(tag)),
            _ => (path, None),
        };
        if folder.is_empty() {
            return Err(LayoutError::Folder);
        }
        Ok(Self {
            folder: folder.into(),
            entry: match (digest, tag) {
                (Some(digest), _) => LayoutEntry::Digest(digest),
                (None, Some(tag)) if !tag.is_empty() => LayoutEntry::Tag(tag.to_owned()),
                (None, _) => LayoutEntry::Usual,
            },
        })
    }
}

impl fmt::Display for LayoutReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "oci-layout://{}", self.folder.display())?;
        match &self.entry {
            LayoutEntry::Usual => Ok(()),
            LayoutEntry::Tag(tag) => write!(f, ":{tag}"),
            LayoutEntry::Digest(digest) => write!(f, "@{digest}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_of_layouts_are_named() {
        let hex = "sha256:".to_owned() + &"a".repeat(64);
        let digest = LayoutEntry::Digest(hex.parse().unwrap());
        let tag = |name: &str| LayoutEntry::Tag(name.to_owned());
        for (text, folder, entry) in [
            ("oci-layout://a/b".to_owned(), "a/b", LayoutEntry::Usual),
            ("oci-layout:///a:v1".to_owned(), "/a", tag("v1")),
            ("oci-layout://a:".to_owned(), "a", LayoutEntry::Usual),
            ("oci-layout://a:1/b".to_owned(), "a:1/b", LayoutEntry::Usual),
            (format!("oci-layout://a@{hex}"), "a", digest.clone()),
            (format!("oci-layout:a:v1@{hex}"), "a", digest),
        ] {
            let got: Result<LayoutReference, _> = text.parse();
            let want = LayoutReference {
                folder: folder.into(),
                entry,
            };
            assert_eq!(got.as_ref(), Ok(&want), "{text}");
        }
        assert_eq!(
            "oci-layout://".parse::<LayoutReference>(),
            Err(LayoutError::Folder)
        );
        assert_eq!("a".parse::<LayoutReference>(), Err(LayoutError::Scheme));
        assert!(
            "oci-layout://a@sha256:x"
                .parse::<LayoutReference>()
                .is_err()
        );
        let text = format!("oci-layout://a@{hex}");
        assert_eq!(text.parse::<LayoutReference>().unwrap().to_string(), text);
    }
}
