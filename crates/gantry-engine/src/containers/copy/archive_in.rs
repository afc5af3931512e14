//! A tar stream into a directory that others may be changing at this moment.
//!
//! Every entry's way is walked anew from the directory it goes into, without following any
//! link, be it of the archive or of the container.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{self, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

use gantry_store::Limits;
use gantry_store::compression::Decoder;
use gantry_store::tar::{Entry, EntryKind, Reader};
use gantry_sys::path::{Directory, components};
use gantry_sys::xattr;
use rustix::fs::{FileType, Timespec};

use super::CopyError;
use super::error::show;
use super::kernel::KernelFiles;
use super::make::{self, Look, Ownership};
use super::place::Found;

struct Extraction<'a> {
    top: &'a Directory,
    ownership: Ownership<'a>,
    kernel: KernelFiles,
    /// Looks of the directories, set when nothing is made in them any more.
    looks: BTreeMap<Vec<u8>, Look>,
}

/// Unpacks an archive, compressed or not, into `top`.
pub(super) fn extract(
    archive: impl Read,
    top: &Directory,
    ownership: Ownership<'_>,
) -> Result<(), CopyError> {
    let decoder = Decoder::new(archive, None).map_err(CopyError::Stream)?;
    let limits = Limits {
        // What the caller pours into a container of theirs is not limited.
        tar_bytes: u64::MAX,
        entries: u64::MAX,
        ratio: u64::MAX,
        ..Limits::default()
    };
    let mut reader = Reader::new(BufReader::with_capacity(256 << 10, decoder), &limits);
    let mut extraction = Extraction {
        top,
        ownership,
        kernel: KernelFiles::default(),
        looks: BTreeMap::new(),
    };
    while let Some(entry) = reader.next_entry()? {
        extraction.entry(&entry, &mut reader)?;
    }
    reader.drain()?;
    extraction.finish()
}

/// The names of an entry's path, of which none leads up.
fn names(path: &[u8]) -> Result<Vec<&OsStr>, CopyError> {
    let names: Vec<&OsStr> = components(OsStr::from_bytes(path)).collect();
    match names.iter().any(|name| *name == "..") {
        true => Err(CopyError::Escapes { path: show(path) }),
        false => Ok(names),
    }
}

fn look(entry: &Entry, ownership: Ownership<'_>) -> Look {
    Look {
        mode: entry.mode & 0o7777,
        owner: ownership.of(entry.uid, entry.gid),
        modified: Timespec {
            tv_sec: entry.mtime.seconds,
            tv_nsec: entry.mtime.nanoseconds.into(),
        },
    }
}

impl Extraction<'_> {
    fn entry<R: io::BufRead>(
        &mut self,
        entry: &Entry,
        reader: &mut Reader<R>,
    ) -> Result<(), CopyError> {
        let path = &entry.path[..];
        let names = names(path)?;
        let look = look(entry, self.ownership);
        let Some((name, above)) = names.split_last() else {
            // The directory itself.
            if entry.kind == EntryKind::Directory {
                self.looks.insert(Vec::new(), look);
            }
            return Ok(());
        };
        let parent = self.parent(above, path)?;
        match entry.kind {
            EntryKind::Directory => {
                make::directory(&parent, name, path)?;
                self.looks.insert(join(&names), look);
                return Ok(());
            }
            EntryKind::Regular => return regular(entry, reader, &parent, name, look),
            EntryKind::HardLink => return self.link(entry, &parent, name),
            EntryKind::Symlink => {
                make::clear(&parent, name, path)?;
                parent
                    .make_symlink(OsStr::from_bytes(&entry.link), name)
                    .and_then(|()| look.apply_to(&parent, name, true))
            }
            EntryKind::CharacterDevice | EntryKind::BlockDevice | EntryKind::Fifo => {
                make::clear(&parent, name, path)?;
                let kind = match entry.kind {
                    EntryKind::CharacterDevice => FileType::CharacterDevice,
                    EntryKind::BlockDevice => FileType::BlockDevice,
                    _ => FileType::Fifo,
                };
                let device = gantry_sys::devices::make(entry.device.0, entry.device.1);
                parent
                    .make_node(name, kind, 0o600, device)
                    .and_then(|()| look.apply_to(&parent, name, false))
            }
        }
        .map_err(CopyError::entry("make", path))
    }

    /// The directory an entry goes into; what is missing of it is made.
    fn parent(&mut self, above: &[&OsStr], path: &[u8]) -> Result<Directory, CopyError> {
        let failed = || CopyError::entry("open", path);
        let mut here = self.top.try_clone().map_err(failed())?;
        for name in above {
            here = match here.directory_beneath(name) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    here.make_directory(name, 0o755)
                        .map_err(CopyError::entry("make", path))?;
                    here.directory_beneath(name).map_err(failed())?
                }
                other => other.map_err(failed())?,
            };
        }
        let file = here.as_fd().try_clone_to_owned().map_err(failed())?;
        let found = Found::new(file).map_err(failed())?;
        if self.kernel.holds(&found).map_err(failed())? {
            return Err(CopyError::KernelFiles { path: show(path) });
        }
        Ok(here)
    }

    fn link(&mut self, entry: &Entry, parent: &Directory, name: &OsStr) -> Result<(), CopyError> {
        let path = &entry.path[..];
        let target = names(&entry.link)?;
        let Some((old, above)) = target.split_last() else {
            return Err(CopyError::Escapes { path: show(path) });
        };
        let folder = self.parent(above, path)?;
        make::clear(parent, name, path)?;
        parent
            .make_link(&folder, old, name)
            .map_err(CopyError::entry("link", path))
    }

    /// Deepest first, so that nothing changes a directory's time again.
    fn finish(self) -> Result<(), CopyError> {
        for (path, look) in self.looks.into_iter().rev() {
            let failed = || CopyError::entry("set the attributes of", &path);
            let directory = match self.top.directory_beneath(OsStr::from_bytes(&path)) {
                // Taken away meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other.map_err(failed())?,
            };
            look.apply(&directory).map_err(failed())?;
        }
        Ok(())
    }
}

fn join(names: &[&OsStr]) -> Vec<u8> {
    let mut path = OsString::new();
    for name in names {
        if !path.is_empty() {
            path.push("/");
        }
        path.push(name);
    }
    path.into_encoded_bytes()
}

fn regular<R: io::BufRead>(
    entry: &Entry,
    reader: &mut Reader<R>,
    parent: &Directory,
    name: &OsStr,
    look: Look,
) -> Result<(), CopyError> {
    let path = &entry.path[..];
    let mut file = make::file(parent, name, path)?;
    let failed = || CopyError::entry("write", path);
    let fragments = entry.sparse.as_ref().map(|sparse| &sparse.fragments[..]);
    match fragments {
        None => while pour(reader, &mut file, u64::MAX, path)? > 0 {},
        Some(fragments) => {
            for fragment in fragments {
                io::Seek::seek(&mut file, io::SeekFrom::Start(fragment.offset)).map_err(failed())?;
                let mut left = fragment.length;
                while left > 0 {
                    let count = pour(reader, &mut file, left, path)?;
                    if count == 0 {
                        break;
                    }
                    left -= count;
                }
            }
            file.set_len(entry.size).map_err(failed())?;
        }
    }
    look.apply(&file).map_err(failed())?;
    for (name, value) in &entry.xattrs {
        // As Docker: what the file system cannot have is left out.
        if let Err(error) = xattr::set(&file, OsStr::from_bytes(name), value)
            && !matches!(
                error.kind(),
                io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied
            )
        {
            return Err(failed()(error));
        }
    }
    Ok(())
}

/// Moves some of the entry's content into the file; zero at its end.
fn pour<R: io::BufRead>(
    reader: &mut Reader<R>,
    file: &mut std::fs::File,
    most: u64,
    path: &[u8],
) -> Result<u64, CopyError> {
    let bytes = reader.fill()?;
    let count = usize::try_from(most).map_or(bytes.len(), |most| most.min(bytes.len()));
    file.write_all(&bytes[..count])
        .map_err(CopyError::entry("write", path))?;
    reader.consume(count);
    Ok(count as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_store::tar::Writer;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn archive(entries: &[(EntryKind, &str, &str)]) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new());
        for (kind, path, text) in entries {
            let mut entry = Entry::new(*kind, path.as_bytes());
            let mut content: &[u8] = b"";
            match kind {
                EntryKind::Regular => {
                    entry.size = text.len() as u64;
                    content = text.as_bytes();
                }
                _ => entry.link = text.as_bytes().to_vec(),
            }
            writer.append(&entry, &mut content).unwrap();
        }
        writer.finish().unwrap()
    }

    #[test]
    fn archives_cannot_lead_out() {
        use EntryKind::{Directory as Folder, HardLink, Regular, Symlink};
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("top")).unwrap();
        fs::write(folder.path().join("secret"), "secret").unwrap();
        symlink("..", folder.path().join("top/up")).unwrap();
        let top = Directory::open(&folder.path().join("top")).unwrap();
        let bad: &[&[(EntryKind, &str, &str)]] = &[
            &[(Regular, "../out", "x")],
            &[(Regular, "a/../../out", "x")],
            &[(Regular, "up/out", "x")],
            &[(Symlink, "link", ".."), (Regular, "link/out", "x")],
            &[(HardLink, "got", "../secret")],
            &[(HardLink, "got", "up/secret")],
            &[(Folder, "up", "")],
        ];
        for entries in bad {
            let archive = archive(entries);
            assert!(
                extract(&archive[..], &top, Ownership::CALLER).is_err(),
                "{entries:?}"
            );
            assert!(!folder.path().join("out").exists(), "{entries:?}");
            assert!(!folder.path().join("top/got").exists(), "{entries:?}");
        }
    }

    #[test]
    fn archives_are_unpacked() {
        use EntryKind::{Directory as Folder, HardLink, Regular, Symlink};
        let folder = tempfile::tempdir().unwrap();
        let top = Directory::open(folder.path()).unwrap();
        let archive = archive(&[
            (Folder, "./", ""),
            (Folder, "d/", ""),
            (Regular, "d/f", "text"),
            (Regular, "made/on/the/way", "1"),
            (HardLink, "same", "d/f"),
            (Symlink, "link", "/etc/passwd"),
            (Regular, "link", "no link any more"),
        ]);
        extract(&archive[..], &top, Ownership::CALLER).unwrap();
        let read = |path: &str| fs::read_to_string(folder.path().join(path)).unwrap();
        assert_eq!(read("d/f"), "text");
        assert_eq!(read("same"), "text");
        assert_eq!(read("made/on/the/way"), "1");
        assert_eq!(read("link"), "no link any more");
        assert!(extract(&b"junk"[..], &top, Ownership::CALLER).is_err());
    }
}
