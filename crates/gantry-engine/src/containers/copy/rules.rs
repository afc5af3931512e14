//! Where a copy goes: Docker's rules for the forms of source and destination. Pure.

use super::CopyError;

/// What is at the destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Existing {
    Nothing,
    Directory,
    Other,
}

/// Where the source is put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// Into the destination, under the source's own name.
    Inside,
    /// What the source holds, into the destination.
    Contents,
    /// In the place of the destination, under the destination's name.
    As,
}

/// Decides by the source (its path as written, and whether it is a directory) and by the
/// destination (the same, and what is there).
pub(super) fn target(
    source: &str,
    source_is_directory: bool,
    destination: &str,
    existing: Existing,
) -> Result<Target, CopyError> {
    match existing {
        Existing::Directory if means_contents(source) => Ok(Target::Contents),
        Existing::Directory => Ok(Target::Inside),
        Existing::Other if source_is_directory => Err(CopyError::DirectoryOverFile),
        Existing::Other => Ok(Target::As),
        Existing::Nothing if !source_is_directory && means_directory(destination) => {
            Err(CopyError::NoSuchDirectory)
        }
        Existing::Nothing => Ok(Target::As),
    }
}

/// Whether the path says "what is in it": it ends in `.`.
pub(super) fn means_contents(path: &str) -> bool {
    path == "." || path.ends_with("/.")
}

/// Whether the path can only be that of a directory.
pub(super) fn means_directory(path: &str) -> bool {
    path.is_empty() || path.ends_with('/') || means_contents(path) || ends_in_parent(path)
}

fn ends_in_parent(path: &str) -> bool {
    path == ".." || path.ends_with("/..")
}

/// Size of the archive Docker would send for a file of this size: what its messages count.
pub(super) fn archived_size(size: u64) -> u64 {
    512 + size.div_ceil(512) * 512
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dockers_table() {
        use Existing::{Directory, Nothing, Other};
        // Source, is it a directory, destination, what is there, what is done (`None`: refused).
        let table = [
            ("f", false, "new", Nothing, Some(Target::As)),
            ("f", false, "new/", Nothing, None),
            ("f", false, "", Nothing, None),
            ("f", false, "old", Other, Some(Target::As)),
            ("f", false, "dir", Directory, Some(Target::Inside)),
            ("f", false, "dir/", Directory, Some(Target::Inside)),
            ("d", true, "new", Nothing, Some(Target::As)),
            ("d", true, "new/", Nothing, Some(Target::As)),
            ("d/.", true, "new", Nothing, Some(Target::As)),
            ("d", true, "old", Other, None),
            ("d/.", true, "old", Other, None),
            ("d", true, "dir", Directory, Some(Target::Inside)),
            ("d/", true, "dir", Directory, Some(Target::Inside)),
            ("d/.", true, "dir", Directory, Some(Target::Contents)),
            (".", true, "dir/.", Directory, Some(Target::Contents)),
        ];
        for (source, is_directory, destination, existing, want) in table {
            let got = target(source, is_directory, destination, existing).ok();
            assert_eq!(got, want, "{source} to {destination} ({existing:?})");
        }
    }

    #[test]
    fn sizes_are_those_of_an_archive() {
        assert_eq!(archived_size(0), 512);
        assert_eq!(archived_size(1), 1024);
        assert_eq!(archived_size(512), 1024);
        assert_eq!(archived_size(513), 1536);
    }
}
