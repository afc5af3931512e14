//! The databases of rpm: in each of its three forms a heap of package headers.

mod bdb;
mod header;
mod ndb;
#[cfg(test)]
pub(super) mod sample;
mod sqlite;

use std::fs::File;
use std::io::{self, Read};

use self::header::Header;
use super::packages::Package;

/// How a database is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `rpmdb.sqlite`, since rpm 4.16.
    Sqlite,
    /// `Packages.db`: ndb, of SUSE.
    Ndb,
    /// `Packages`: a hash of Berkeley DB, of older systems.
    Bdb,
}

/// Where systems keep a database.
pub(super) const PLACES: [(&str, Form); 6] = [
    ("var/lib/rpm/rpmdb.sqlite", Form::Sqlite),
    ("var/lib/rpm/Packages.db", Form::Ndb),
    ("var/lib/rpm/Packages", Form::Bdb),
    ("usr/lib/sysimage/rpm/rpmdb.sqlite", Form::Sqlite),
    ("usr/lib/sysimage/rpm/Packages.db", Form::Ndb),
    ("usr/lib/sysimage/rpm/Packages", Form::Bdb),
];

/// Why packages of a database are not known.
#[derive(Debug, thiserror::Error)]
enum Unread {
    #[error("{0}")]
    File(#[from] io::Error),
    #[error("{0}")]
    Sqlite(#[from] rusqlite::Error),
    #[error("it has more than {} MiB", super::LIMIT >> 20)]
    Large,
    #[error("{0}")]
    Damaged(&'static str),
}

/// What is in a database.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) packages: Vec<Package>,
    /// Why there may be more.
    pub(super) gap: Option<String>,
}

/// Reads the whole of a database.
pub(super) fn read(file: &mut File, form: Form) -> Contents {
    let mut heap = Heap::default();
    let done = fill(&mut heap, file, form);
    let gap = match (done, heap.damaged) {
        (Err(reason), _) => Some(reason.to_string()),
        (Ok(()), 0) => None,
        (Ok(()), count) => Some(format!("{count} of its headers are damaged")),
    };
    Contents {
        packages: heap.packages,
        gap,
    }
}

fn fill(heap: &mut Heap, file: &mut File, form: Form) -> Result<(), Unread> {
    let size = file.metadata()?.len();
    if size > super::LIMIT {
        return Err(Unread::Large);
    }
    heap.left = size;
    if form == Form::Sqlite {
        return sqlite::read(file, heap);
    }
    let mut bytes = Vec::new();
    file.take(size).read_to_end(&mut bytes)?;
    match form {
        Form::Ndb => ndb::read(&bytes, heap),
        Form::Bdb | Form::Sqlite => bdb::read(&bytes, heap),
    }
}

/// The headers that were found so far.
#[derive(Debug, Default)]
struct Heap {
    packages: Vec<Package>,
    damaged: usize,
    /// Headers have together no more bytes than their file, unless a part of it counts twice.
    left: u64,
}

impl Heap {
    fn add(&mut self, blob: &[u8]) -> Result<(), Unread> {
        let more = Unread::Damaged("its headers overlap");
        // An empty one costs as well, so that there is an end.
        let size = blob.len().max(1) as u64;
        self.left = self.left.checked_sub(size).ok_or(more)?;
        match Header::parse(blob).and_then(|header| header.package()) {
            // Keys that packages are signed with are kept as packages.
            Ok(package) if package.name == "gpg-pubkey" => {}
            Ok(package) => self.packages.push(package),
            Err(header::Damaged) => self.damaged += 1,
        }
        Ok(())
    }
}

/// The little-endian number of four bytes at `at`.
fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let four = bytes.get(at..)?.first_chunk()?;
    usize::try_from(u32::from_le_bytes(*four)).ok()
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};

    use super::*;

    /// What a database of these bytes holds.
    fn of(bytes: &[u8], form: Form) -> Contents {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        read(file.as_file_mut(), form)
    }

    fn purls(contents: &Contents) -> Vec<String> {
        let mut all: Vec<String> = contents.packages.iter().map(Package::purl).collect();
        all.sort();
        all
    }

    const FORMS: [Form; 3] = [Form::Sqlite, Form::Ndb, Form::Bdb];

    #[test]
    fn each_form_tells_its_packages() {
        for form in FORMS {
            let contents = of(&sample::database(form), form);
            assert_eq!(contents.gap, None, "{form:?}");
            assert_eq!(
                purls(&contents),
                [
                    "pkg:rpm/bash@5.2-1?arch=x86_64&upstream=bash-5.2-1.src.rpm",
                    "pkg:rpm/tool@1%2Bx-2?arch=noarch&epoch=3",
                ],
                "{form:?}"
            );
        }
    }

    #[test]
    fn a_damaged_header_is_counted_and_the_others_told() {
        let whole = sample::header(&sample::BASH);
        for form in FORMS {
            let bytes = sample::of(form, &[whole.clone(), whole[..whole.len() - 3].to_vec()]);
            let contents = of(&bytes, form);
            assert_eq!(contents.packages.len(), 1, "{form:?}");
            let gap = contents.gap.unwrap();
            assert!(gap.contains("1 of its headers"), "{form:?}: {gap}");
        }
    }

    #[test]
    fn what_is_cut_short_has_a_gap() {
        for form in [Form::Ndb, Form::Bdb] {
            let whole = sample::database(form);
            for end in (0..whole.len())
                .step_by(97)
                .chain(whole.len() - 20..whole.len())
            {
                assert!(of(&whole[..end], form).gap.is_some(), "{form:?} at {end}");
            }
        }
        let whole = sample::database(Form::Sqlite);
        for end in [1, 50, 100, 4096, 5000] {
            let gap = of(&whole[..end], Form::Sqlite).gap;
            assert!(gap.is_some(), "at {end}");
        }
        let none = of(b"", Form::Sqlite).gap.unwrap();
        assert!(none.contains("Packages"), "{none}");
    }

    #[test]
    fn flipped_bytes_bring_an_answer() {
        for form in [Form::Ndb, Form::Bdb] {
            let whole = sample::database(form);
            for at in 0..whole.len() {
                // Empty slots and pages teach nothing new.
                if whole[at] == 0 && at > 600 && at % 61 != 0 {
                    continue;
                }
                let mut bytes = whole.clone();
                bytes[at] ^= 0xff;
                let mut heap = Heap {
                    left: bytes.len() as u64,
                    ..Heap::default()
                };
                let _answer = match form {
                    Form::Ndb => ndb::read(&bytes, &mut heap),
                    _ => bdb::read(&bytes, &mut heap),
                };
                assert!(heap.packages.len() <= 3, "{form:?} at {at}");
            }
        }
    }
}
