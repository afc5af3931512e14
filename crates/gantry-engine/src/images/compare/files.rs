//! Two layers, entry by entry.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read};

use gantry_model::Digest;
use gantry_model::quantity::counted;
use gantry_store::Limits;
use gantry_store::tar::{Entry, EntryKind, Fragment, Reader, Timestamp};
use gantry_sys::path::Directory;
use rustix::fs::OFlags;
use sha2::{Digest as _, Sha256};

use super::{Aspect, FileDifference, LayerDifference, MOST_FILES};
use crate::images::{ImageError, Images};

const BUFFER: usize = 256 << 10;
/// What hides a file of a layer below (image-spec, `layer.md`, "Whiteouts").
const WHITEOUT: &[u8] = b".wh.";
/// What an archive with a table of contents has beside the files (estargz, "File format").
const OF_THE_ARCHIVE: [&[u8]; 3] = [
    b"stargz.index.json",
    b".prefetch.landmark",
    b".no.prefetch.landmark",
];

/// An entry with the digest of the data that its archive has of it.
struct Seen {
    entry: Entry,
    data: [u8; 32],
}

impl Seen {
    /// Whether the archives say the same of the content; if not it may still be the same.
    fn has_the_data_of(&self, other: &Self) -> bool {
        let fragments = |seen: &Self| -> Vec<Fragment> { seen.entry.fragments().into_owned() };
        self.data == other.data
            && self.entry.size == other.entry.size
            && fragments(self) == fragments(other)
    }
}

impl Images<'_> {
    /// Reads the entries of a layer, each with the digest of its data.
    pub(super) fn each_entry(
        &self,
        layer: &Digest,
        mut each: impl FnMut(Entry, [u8; 32]),
    ) -> Result<(), ImageError> {
        let broken = |error| ImageError::stream("read a layer")(io::Error::other(error));
        let tar = self.store()?.layers().tar(layer)?;
        let mut reader = Reader::new(
            BufReader::with_capacity(BUFFER, tar),
            &Limits::default().of_any_size(),
        );
        while let Some(entry) = reader.next_entry().map_err(broken)? {
            let mut hasher = Sha256::new();
            loop {
                let data = reader.fill().map_err(broken)?;
                if data.is_empty() {
                    break;
                }
                hasher.update(data);
                let count = data.len();
                reader.consume(count);
            }
            each(entry, hasher.finalize().into());
        }
        // To the end, where the archive's own digest is verified.
        reader.drain().map_err(broken)
    }

    pub(super) fn compare_layers(
        &self,
        first: &Digest,
        second: &Digest,
        found: &mut LayerDifference,
    ) -> Result<(), ImageError> {
        let mut ours: BTreeMap<Vec<u8>, Seen> = BTreeMap::new();
        self.each_entry(first, |entry, data| {
            let path = plain(&entry.path);
            if !OF_THE_ARCHIVE.contains(&&*path) {
                ours.insert(path, Seen { entry, data });
            }
        })?;
        let mut theirs: BTreeMap<Vec<u8>, Seen> = BTreeMap::new();
        let mut same: Vec<Vec<u8>> = Vec::new();
        self.each_entry(second, |entry, data| {
            let path = plain(&entry.path);
            let seen = Seen { entry, data };
            match ours.get(&path) {
                Some(known) if differences(known, &seen).is_empty() => same.push(path),
                _ if OF_THE_ARCHIVE.contains(&&*path) => {}
                _ => drop(theirs.insert(path, seen)),
            }
        })?;
        for path in same {
            ours.remove(&path);
        }
        let contents = Contents {
            first: self.store()?.layers().open(first)?,
            second: self.store()?.layers().open(second)?,
        };
        let mut files = Vec::new();
        let mut retimed = Vec::new();
        for (path, known) in &ours {
            let aspects = match theirs.remove(path) {
                None => vec![presence(true)],
                Some(other) => contents.looked_into(path, differences(known, &other))?,
            };
            note(path, aspects, found, &mut files, &mut retimed);
        }
        for path in theirs.keys() {
            note(path, vec![presence(false)], found, &mut files, &mut retimed);
        }
        files.sort_by(|a: &FileDifference, b| a.path.cmp(&b.path));
        files.extend(retimed);
        files.truncate(MOST_FILES);
        found.files = files;
        Ok(())
    }
}

/// Counts a file that differs and keeps it, if there is room.
fn note(
    path: &[u8],
    aspects: Vec<Aspect>,
    found: &mut LayerDifference,
    files: &mut Vec<FileDifference>,
    retimed: &mut Vec<FileDifference>,
) {
    if aspects.is_empty() {
        return;
    }
    let file = FileDifference {
        path: format!("/{}", String::from_utf8_lossy(path)),
        aspects,
    };
    let (count, list) = match file.is_time() {
        true => (&mut found.retimed, retimed),
        false => (&mut found.changed, files),
    };
    *count += 1;
    if list.len() < MOST_FILES {
        list.push(file);
    }
}

/// A path as both archives may write it: `./a/` and `a` are one.
fn plain(path: &[u8]) -> Vec<u8> {
    let mut path = path;
    while let Some(rest) = path.strip_prefix(b"./").or(path.strip_prefix(b"/")) {
        path = rest;
    }
    let path = path.strip_suffix(b"/").unwrap_or(path);
    match path {
        b"." => Vec::new(),
        other => other.to_vec(),
    }
}

fn is_whiteout(path: &[u8]) -> bool {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
    name.starts_with(WHITEOUT)
}

fn aspect(name: &str, first: String, second: String) -> Aspect {
    Aspect {
        name: name.to_owned(),
        first,
        second,
        offset: None,
    }
}

fn presence(first: bool) -> Aspect {
    let told = |there: bool| if there { "there" } else { "missing" }.to_owned();
    aspect("presence", told(first), told(!first))
}

/// Notes what differs.
fn tell(all: &mut Vec<Aspect>, name: &str, first: String, second: String) {
    if first != second {
        all.push(aspect(name, first, second));
    }
}

/// What two entries of one path differ in. Contents that may differ stand there without a place.
fn differences(first: &Seen, second: &Seen) -> Vec<Aspect> {
    let (ours, theirs) = (&first.entry, &second.entry);
    let mut all = Vec::new();
    // All that matters of one is that it is there.
    if is_whiteout(&ours.path) {
        return all;
    }
    tell(
        &mut all,
        "kind",
        kind(ours.kind).into(),
        kind(theirs.kind).into(),
    );
    if ours.kind == theirs.kind {
        match ours.kind {
            EntryKind::Regular if !first.has_the_data_of(second) => {
                let told = |seen: &Seen| counted(seen.entry.size, "byte");
                all.push(aspect("content", told(first), told(second)));
            }
            EntryKind::HardLink | EntryKind::Symlink => {
                let link = |entry: &Entry| String::from_utf8_lossy(&entry.link).into_owned();
                tell(&mut all, "link", link(ours), link(theirs));
            }
            EntryKind::CharacterDevice | EntryKind::BlockDevice => {
                let device = |entry: &Entry| format!("{}:{}", entry.device.0, entry.device.1);
                tell(&mut all, "device", device(ours), device(theirs));
            }
            _ => {}
        }
    }
    // A hard link has what its file has, whatever its own entry says.
    if ours.kind == EntryKind::HardLink && theirs.kind == EntryKind::HardLink {
        return all;
    }
    if ours.kind != EntryKind::Symlink {
        let mode = |entry: &Entry| format!("{:04o}", entry.mode & 0o7777);
        tell(&mut all, "mode", mode(ours), mode(theirs));
    }
    let owner = |entry: &Entry| format!("{}:{}", entry.uid, entry.gid);
    tell(&mut all, "owner", owner(ours), owner(theirs));
    let mut names: Vec<&Vec<u8>> = ours
        .xattrs
        .iter()
        .chain(&theirs.xattrs)
        .map(|x| &x.0)
        .collect();
    names.sort();
    names.dedup();
    for name in names {
        let value = |entry: &Entry| {
            let found = entry.xattrs.iter().find(|(known, _)| known == name);
            found.map_or_else(|| "missing".to_owned(), |(_, value)| shown(value))
        };
        let name = format!("xattr {}", String::from_utf8_lossy(name));
        tell(&mut all, &name, value(ours), value(theirs));
    }
    tell(&mut all, "mtime", time(ours.mtime), time(theirs.mtime));
    all
}

/// A value of an attribute: text where it is such, else its bytes.
fn shown(value: &[u8]) -> String {
    const MOST: usize = 64;
    let printable = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
    if value.iter().all(printable) && value.len() <= MOST {
        return format!("\"{}\"", String::from_utf8_lossy(value));
    }
    let hex: String = value
        .iter()
        .take(MOST)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let more = if value.len() > MOST { "…" } else { "" };
    format!("0x{hex}{more}")
}

fn time(time: Timestamp) -> String {
    let nanoseconds = i32::try_from(time.nanoseconds).unwrap_or(0);
    match jiff::Timestamp::new(time.seconds, nanoseconds) {
        Ok(time) => time.to_string(),
        Err(_) => format!("{}.{:09}", time.seconds, time.nanoseconds),
    }
}

const fn kind(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::Regular => "file",
        EntryKind::HardLink => "hard link",
        EntryKind::Symlink => "symbolic link",
        EntryKind::CharacterDevice => "character device",
        EntryKind::BlockDevice => "block device",
        EntryKind::Directory => "directory",
        EntryKind::Fifo => "FIFO",
    }
}

/// The unpacked files of both layers.
struct Contents {
    first: Directory,
    second: Directory,
}

impl Contents {
    /// Looks for the first byte that differs; contents that turn out to be the same go.
    fn looked_into(
        &self,
        path: &[u8],
        mut aspects: Vec<Aspect>,
    ) -> Result<Vec<Aspect>, ImageError> {
        let Some(at) = aspects.iter().position(|aspect| aspect.name == "content") else {
            return Ok(aspects);
        };
        match self
            .first_difference(path)
            .map_err(ImageError::stream("compare files of layers"))?
        {
            None => drop(aspects.remove(at)),
            offset => aspects[at].offset = offset,
        }
        Ok(aspects)
    }

    fn first_difference(&self, path: &[u8]) -> io::Result<Option<u64>> {
        use std::os::unix::ffi::OsStrExt;
        let open = |tree: &Directory| -> io::Result<File> {
            let path = std::ffi::OsStr::from_bytes(path);
            Ok(File::from(tree.open_beneath(
                path,
                OFlags::RDONLY | OFlags::CLOEXEC,
                0,
            )?))
        };
        first_difference(open(&self.first)?, open(&self.second)?)
    }
}

/// The place of the first byte that differs; the end of the shorter one where it is the beginning
/// of the other.
fn first_difference(first: impl Read, second: impl Read) -> io::Result<Option<u64>> {
    let mut offset = 0;
    let mut buffers = [vec![0; BUFFER], vec![0; BUFFER]];
    let (mut first, mut second) = (first, second);
    loop {
        let [ours, theirs] = &mut buffers;
        let (count, other) = (whole(&mut first, ours)?, whole(&mut second, theirs)?);
        let both = count.min(other);
        if let Some(at) = ours[..both]
            .iter()
            .zip(&theirs[..both])
            .position(|(a, b)| a != b)
        {
            return Ok(Some(offset + at as u64));
        }
        offset += both as u64;
        if count != other {
            return Ok(Some(offset));
        }
        if count == 0 {
            return Ok(None);
        }
    }
}

/// Fills the buffer as far as there is something to fill it with.
fn whole(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..])? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_that_differs() {
        let long = vec![7_u8; BUFFER + 5];
        let mut other = long.clone();
        other[BUFFER + 2] = 8;
        for (first, second, want) in [
            (&b""[..], &b""[..], None),
            (b"abc", b"abc", None),
            (b"abc", b"abd", Some(2)),
            (b"abc", b"abcd", Some(3)),
            (&long, &long, None),
            (&long, &other, Some(BUFFER as u64 + 2)),
        ] {
            assert_eq!(first_difference(first, second).unwrap(), want);
        }
    }

    #[test]
    fn paths_and_whiteouts() {
        for (path, want) in [
            ("./a/b/", "a/b"),
            ("/a", "a"),
            ("./", ""),
            (".", ""),
            ("a", "a"),
        ] {
            assert_eq!(plain(path.as_bytes()), want.as_bytes());
        }
        assert!(is_whiteout(b"a/.wh.b") && !is_whiteout(b"a/b.wh."));
    }

    #[test]
    fn entries_are_compared_with_all_that_is_said_of_them() {
        let seen = |change: &dyn Fn(&mut Entry), data: u8| {
            let mut entry = Entry::new(EntryKind::Regular, "f");
            change(&mut entry);
            Seen {
                entry,
                data: [data; 32],
            }
        };
        let plain = seen(&|_| {}, 0);
        for (change, data, want) in [
            (&(|_: &mut Entry| {}) as &dyn Fn(&mut Entry), 0, &[][..]),
            (&|_| {}, 1, &["content"]),
            (&|e| e.size = 1, 0, &["content"]),
            (&|e| e.mode = 0o4755, 0, &["mode"]),
            (&|e| e.gid = 7, 0, &["owner"]),
            (&|e| e.kind = EntryKind::Fifo, 0, &["kind"]),
            (&|e| e.mtime.nanoseconds = 1, 0, &["mtime"]),
            (
                &|e| e.xattrs = vec![(b"user.a".to_vec(), b"b".to_vec())],
                0,
                &["xattr user.a"],
            ),
        ] {
            let found = differences(&plain, &seen(change, data));
            let names: Vec<&str> = found.iter().map(|aspect| &*aspect.name).collect();
            assert_eq!(names, want);
        }
        assert_eq!(
            (shown(b"a b"), shown(&[0, 255])),
            ("\"a b\"".into(), "0x00ff".into())
        );
    }
}
