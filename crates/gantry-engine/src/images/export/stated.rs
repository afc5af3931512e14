//! What is said of the files of a build, as further files beside them.
//!
//! As BuildKit does it: each statement is a file, and it is about every regular file by its digest.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use gantry_model::Digest;
use gantry_model::digest::hex_encode;
use gantry_store::tar::{Entry, EntryKind, Timestamp};
use gantry_sys::path::{Directory, if_there};
use rustix::fs::{FileType, OFlags};
use sha2::{Digest as _, Sha256};

use super::attestation::{Attestation, Subject};
use crate::containers::view;
use crate::images::{ImageError, Images};

/// What is said of files.
#[derive(Debug, Clone, Default)]
pub struct FileStatements {
    /// Each becomes a file.
    pub attestations: Vec<Attestation>,
    /// What the names of these files begin with; without a slash.
    pub prefix: String,
}

/// A file that is added to those of the build.
#[derive(Debug)]
pub(super) struct Beside {
    /// Its header; the path is that below the root.
    pub(super) entry: Entry,
    pub(super) content: Vec<u8>,
}

impl Images<'_> {
    /// The files that say it of the files of these layers; of this time, in seconds since 1970,
    /// or of now.
    pub(super) fn stated(
        &self,
        layers: &[Digest],
        said: &FileStatements,
        time: Option<i64>,
    ) -> Result<Vec<Beside>, ImageError> {
        if said.attestations.is_empty() {
            return Ok(Vec::new());
        }
        let lowers = self.store()?.layers().lowers(layers)?;
        let names = said.names();
        let (subjects, taken) =
            seen(lowers, &names).map_err(ImageError::stream("read the files of the build"))?;
        if let Some(name) = taken {
            return Err(ImageError::Form {
                reason: format!(
                    "the build has a file {name} of its own, where an attestation would be: give \
                     attestation-prefix=TEXT to the output"
                ),
            });
        }
        let seconds = time.unwrap_or_else(|| jiff::Timestamp::now().as_second());
        let file = |(attestation, name): (&Attestation, String)| {
            let statement = attestation.of(subjects.clone());
            let content = serde_json::to_vec_pretty(&statement).expect("statements are JSON");
            let entry = Entry {
                mode: 0o600,
                size: content.len() as u64,
                mtime: Timestamp {
                    seconds,
                    nanoseconds: 0,
                },
                ..Entry::new(EntryKind::Regular, name)
            };
            Beside { entry, content }
        };
        Ok(said.attestations.iter().zip(names).map(file).collect())
    }
}

impl FileStatements {
    /// The names of the files, one for each attestation.
    fn names(&self) -> Vec<String> {
        let named = |one: &Attestation| format!("{}{}", self.prefix, one.file_name());
        self.attestations.iter().map(named).collect()
    }
}

/// The files that a statement about these layers is about, and which of the names is taken.
fn seen(lowers: Vec<PathBuf>, names: &[String]) -> io::Result<(Vec<Subject>, Option<String>)> {
    let mut subjects = Vec::new();
    let Some(root) = view::image_root(lowers.into())? else {
        return Ok((subjects, None));
    };
    for name in names {
        if if_there(root.status_of(name.as_ref()))?.is_some() {
            return Ok((subjects, Some(name.clone())));
        }
    }
    look(&root, Path::new(""), &mut subjects)?;
    Ok((subjects, None))
}

/// Finds the regular files below `directory`, by their names.
fn look(directory: &Directory, path: &Path, found: &mut Vec<Subject>) -> io::Result<()> {
    let mut names: Vec<PathBuf> = directory
        .entries()?
        .into_iter()
        .map(|entry| PathBuf::from(entry.name))
        .collect();
    names.sort();
    for name in names {
        let below = path.join(&name);
        let kind = FileType::from_raw_mode(directory.status_of(name.as_os_str())?.st_mode);
        if kind == FileType::Directory {
            look(&directory.directory_beneath(&name)?, &below, found)?;
        } else if kind == FileType::RegularFile {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW;
            let mut file = File::from(directory.open_entry(name.as_os_str(), flags)?);
            found.push(Subject {
                name: below.to_string_lossy().into_owned(),
                digest: [("sha256", hex_encode(&sum(&mut file)?))].into(),
            });
        }
    }
    Ok(())
}

fn sum(file: &mut File) -> io::Result<[u8; 32]> {
    let mut sum = Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(sum.finalize().into()),
            Ok(count) => sum.update(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
