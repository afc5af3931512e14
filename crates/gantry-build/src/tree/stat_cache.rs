//! What is known of files by what `stat` says about them.
//!
//! One small file per context: a sorted table of (device, inode, size, times → digest), read as it
//! is and searched in place. An entry is only trusted when the file had not been touched for a
//! moment before it was hashed: a change within the granularity of the file system's clock would
//! leave no trace in its times (git's "racy clean" rule).
//!
//! That rule counts on a clock that goes forward. Where it was set back a file may be written a
//! second time at the same time: then the table is forgotten, and all files are read anew.

mod clock;

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::iter::Peekable;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::Facts;
use clock::Moment;

const MAGIC: &[u8; 8] = b"gntstat3";
/// Magic, generation, when it was written, checksum.
const HEAD: usize = 8 + 4 + Moment::SIZE + 32;
/// device, inode, size, mtime (8 + 4), ctime (8 + 4), generation (4), digest.
const RECORD: usize = 8 * 3 + 12 * 2 + 4 + 32;
/// What `find` compares: everything up to the times.
const KEY: usize = 8 * 2;
const FACTS: usize = 8 * 3 + 12 * 2;
/// Entries that this many changes of the table have not seen are forgotten.
const FORGET: u32 = 16;
/// Most bytes of a table that is read: some five million files.
const LARGEST: u64 = 512 << 20;
/// Bytes that are written at once.
const BUFFER: usize = 64 << 10;

/// Digests of files by their facts.
#[derive(Debug)]
pub(crate) struct StatCache {
    path: PathBuf,
    /// The table as read, with its head.
    bytes: Vec<u8>,
    generation: u32,
    opened: Moment,
    /// Which records of the table were of use.
    seen: Vec<bool>,
    fresh: Vec<[u8; RECORD]>,
}

impl StatCache {
    /// The table of the context at `context`, below the folder `folder`.
    pub(crate) fn open(folder: &Path, context: &Path) -> Self {
        use std::os::unix::ffi::OsStrExt;
        let name = blake3::hash(context.as_os_str().as_bytes()).to_hex();
        let path = folder.join(&name.as_str()[..32]);
        let opened = Moment::now();
        let (generation, bytes) = read(&path, &opened).unwrap_or_default();
        let seen = vec![false; bytes.len().saturating_sub(HEAD) / RECORD];
        Self {
            path,
            bytes,
            generation,
            opened,
            seen,
            fresh: Vec::new(),
        }
    }

    /// The digest of a file with these facts, if it is known.
    pub(crate) fn find(&mut self, facts: &Facts) -> Option<[u8; 32]> {
        let (wanted, table) = (encode(facts), self.bytes.get(HEAD..)?);
        let (mut low, mut high) = (0, self.seen.len());
        while low < high {
            let middle = low.midpoint(high);
            let record = table.get(middle * RECORD..(middle + 1) * RECORD)?;
            match record[..KEY].cmp(&wanted[..KEY]) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => {
                    if record[..FACTS] != wanted[..FACTS] {
                        return None;
                    }
                    self.seen[middle] = true;
                    return record[FACTS + 4..].try_into().ok();
                }
            }
        }
        None
    }

    /// Remembers the digest of a file that was hashed at `when` and had these facts before and
    /// after.
    pub(crate) fn remember(&mut self, facts: &Facts, digest: &[u8; 32], when: SystemTime) {
        if !is_settled(facts, when) {
            return;
        }
        let mut record = [0; RECORD];
        record[..FACTS].copy_from_slice(&encode(facts));
        record[FACTS + 4..].copy_from_slice(digest);
        self.fresh.push(record);
    }

    /// Writes the table if something was added.
    pub(crate) fn save(&mut self) -> io::Result<()> {
        if self.fresh.is_empty() {
            return Ok(());
        }
        let now = Moment::now();
        if !now.can_follow(&self.opened) {
            self.fresh.clear();
            return Ok(());
        }
        let generation = self.generation.wrapping_add(1);
        let stamp = |mut record: [u8; RECORD]| {
            record[FACTS..FACTS + 4].copy_from_slice(&generation.to_be_bytes());
            record
        };
        let mut fresh = std::mem::take(&mut self.fresh);
        fresh.sort_unstable_by(|one, other| one[..KEY].cmp(&other[..KEY]));
        fresh.dedup_by(|later, first| later[..KEY] == first[..KEY]);
        let table = self.bytes.get(HEAD..).unwrap_or_default();
        let old = table.chunks_exact(RECORD).zip(&self.seen);
        let old = old.filter_map(|(old, seen)| {
            let record: [u8; RECORD] = old.try_into().ok()?;
            let last = u32::from_be_bytes(record[FACTS..FACTS + 4].try_into().ok()?);
            match seen {
                true => Some(stamp(record)),
                false => (generation.wrapping_sub(last) <= FORGET).then_some(record),
            }
        });
        let records = merged(fresh.into_iter().map(stamp).peekable(), old.peekable());
        write(&self.path, generation, &now, records)
    }
}

/// Both in the order of their keys; of equal ones that of `fresh`.
fn merged(
    mut fresh: Peekable<impl Iterator<Item = [u8; RECORD]>>,
    mut old: Peekable<impl Iterator<Item = [u8; RECORD]>>,
) -> impl Iterator<Item = [u8; RECORD]> {
    std::iter::from_fn(move || {
        let (Some(new), Some(known)) = (fresh.peek(), old.peek()) else {
            return fresh.next().or_else(|| old.next());
        };
        match new[..KEY].cmp(&known[..KEY]) {
            std::cmp::Ordering::Greater => old.next(),
            std::cmp::Ordering::Less => fresh.next(),
            std::cmp::Ordering::Equal => {
                old.next();
                fresh.next()
            }
        }
    })
}

fn encode(facts: &Facts) -> [u8; FACTS] {
    let mut out = [0; FACTS];
    let mut at = 0;
    let mut put = |bytes: &[u8]| {
        out[at..at + bytes.len()].copy_from_slice(bytes);
        at += bytes.len();
    };
    put(&facts.device.to_be_bytes());
    put(&facts.inode.to_be_bytes());
    put(&facts.size.to_be_bytes());
    for (seconds, nanoseconds) in [facts.modified, facts.changed] {
        put(&seconds.to_be_bytes());
        put(&nanoseconds.to_be_bytes());
    }
    out
}

/// Whether the file had rested long enough when it was hashed.
fn is_settled(facts: &Facts, when: SystemTime) -> bool {
    let newest = facts.modified.max(facts.changed);
    let time = |(seconds, nanoseconds): (i64, u32)| {
        let since = Duration::new(seconds.unsigned_abs(), nanoseconds);
        if seconds < 0 {
            SystemTime::UNIX_EPOCH.checked_sub(since)
        } else {
            SystemTime::UNIX_EPOCH.checked_add(since)
        }
    };
    // Times without a fraction: the file system may count in seconds, or in pairs of them.
    let coarse = facts.modified.1 == 0 && facts.changed.1 == 0;
    let rest = if coarse {
        Duration::from_secs(3)
    } else {
        Duration::from_millis(30)
    };
    time(newest)
        .and_then(|time| time.checked_add(rest))
        .is_some_and(|settled| settled < when)
}

fn read(path: &Path, now: &Moment) -> Option<(u32, Vec<u8>)> {
    if fs::metadata(path).ok()?.len() > LARGEST {
        return None;
    }
    let bytes = fs::read(path).ok()?;
    let (head, table) = bytes.split_at_checked(HEAD)?;
    let (said, sum) = head.split_at(HEAD - 32);
    let whole = said.starts_with(MAGIC)
        && table.len().is_multiple_of(RECORD)
        && checksum(said, table) == sum;
    let (generation, then) = said.get(MAGIC.len()..)?.split_first_chunk()?;
    if !whole || !now.can_follow(&Moment::decode(then)?) {
        return None;
    }
    let generation = u32::from_be_bytes(*generation);
    Some((generation, bytes))
}

fn checksum(said: &[u8], table: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    *hasher.update(said).update(table).finalize().as_bytes()
}

/// Writes a table record by record: it is never in memory as a whole.
fn write(
    path: &Path,
    generation: u32,
    now: &Moment,
    records: impl IntoIterator<Item = [u8; RECORD]>,
) -> io::Result<()> {
    let mut head = Vec::with_capacity(HEAD);
    head.extend_from_slice(MAGIC);
    head.extend_from_slice(&generation.to_be_bytes());
    head.extend_from_slice(&now.encode());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    // Two builds may write at once: each writes its own file, the later rename wins.
    let aside = path.with_extension(format!("{}", std::process::id()));
    let mut file = BufWriter::with_capacity(BUFFER, File::create(&aside)?);
    // The checksum is known at the end.
    file.write_all(&[0; HEAD])?;
    let mut hasher = blake3::Hasher::new();
    hasher.update(&head);
    for record in records {
        hasher.update(&record);
        file.write_all(&record)?;
    }
    head.extend_from_slice(hasher.finalize().as_bytes());
    file.into_inner()?.write_all_at(&head, 0)?;
    fs::rename(&aside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(inode: u64, seconds: i64) -> Facts {
        Facts {
            mode: 0o644,
            uid: 0,
            gid: 0,
            size: 3,
            device: 1,
            inode,
            linked: false,
            special: 0,
            blocks: 8,
            modified: (seconds, 5),
            changed: (seconds, 5),
        }
    }

    fn at(seconds: u64, nanoseconds: u32) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::new(seconds, nanoseconds)
    }

    #[test]
    fn remembers_across_processes() {
        let folder = tempfile::tempdir().unwrap();
        let context = Path::new("/some/context");
        let mut cache = StatCache::open(folder.path(), context);
        for inode in 0..1000 {
            cache.remember(
                &facts(inode * 7 % 1000, 100),
                &[u8::try_from(inode * 7 % 1000 % 251).unwrap(); 32],
                at(200, 0),
            );
        }
        cache.save().unwrap();
        let mut cache = StatCache::open(folder.path(), context);
        for inode in 0..1000 {
            assert_eq!(
                cache.find(&facts(inode, 100)),
                Some([u8::try_from(inode % 251).unwrap(); 32])
            );
        }
        assert_eq!(cache.find(&facts(5, 101)), None, "another time");
        assert_eq!(cache.find(&facts(1000, 100)), None, "another file");
        let mut other = StatCache::open(folder.path(), Path::new("/other"));
        assert_eq!(other.find(&facts(5, 100)), None);
    }

    #[test]
    fn newer_facts_replace_older_ones() {
        let folder = tempfile::tempdir().unwrap();
        let context = Path::new("/c");
        for (seconds, byte) in [(100, 1), (101, 2)] {
            let mut cache = StatCache::open(folder.path(), context);
            cache.remember(&facts(1, seconds), &[byte; 32], at(200, 0));
            cache.save().unwrap();
        }
        let mut cache = StatCache::open(folder.path(), context);
        assert_eq!(cache.find(&facts(1, 100)), None);
        assert_eq!(cache.find(&facts(1, 101)), Some([2; 32]));
    }

    #[test]
    fn files_touched_just_now_are_not_trusted() {
        assert!(!is_settled(&facts(1, 100), at(100, 5)));
        assert!(!is_settled(&facts(1, 100), at(100, 20_000_000)));
        assert!(is_settled(&facts(1, 100), at(100, 40_000_000)));
        assert!(
            !is_settled(&facts(1, 300), at(200, 0)),
            "a file from the future"
        );
        let coarse = Facts {
            modified: (100, 0),
            changed: (100, 0),
            ..facts(1, 100)
        };
        assert!(!is_settled(&coarse, at(102, 0)));
        assert!(is_settled(&coarse, at(104, 0)));
    }

    #[test]
    fn a_clock_that_was_set_back_since_makes_a_table_worthless() {
        let folder = tempfile::tempdir().unwrap();
        let context = Path::new("/c");
        let known = |seconds: i128| {
            let mut cache = StatCache::open(folder.path(), context);
            cache.remember(&facts(1, 100), &[1; 32], at(200, 0));
            let record = cache.fresh.clone();
            write(&cache.path, 1, &Moment::now().moved(seconds), record).unwrap();
            StatCache::open(folder.path(), context).find(&facts(1, 100))
        };
        assert_eq!(known(0), Some([1; 32]));
        assert_eq!(known(3600), None);
        assert_eq!(known(-3600), Some([1; 32]), "set forward");
    }

    #[test]
    fn a_clock_that_is_set_back_during_a_build_leaves_no_table() {
        let folder = tempfile::tempdir().unwrap();
        let context = Path::new("/c");
        let mut cache = StatCache::open(folder.path(), context);
        cache.opened = cache.opened.moved(3600);
        cache.remember(&facts(1, 100), &[1; 32], at(200, 0));
        cache.save().unwrap();
        assert_eq!(
            StatCache::open(folder.path(), context).find(&facts(1, 100)),
            None
        );
    }

    #[test]
    fn a_damaged_table_is_no_table() {
        let folder = tempfile::tempdir().unwrap();
        let mut cache = StatCache::open(folder.path(), Path::new("/c"));
        cache.remember(&facts(1, 100), &[1; 32], at(200, 0));
        cache.save().unwrap();
        let path = cache.path.clone();
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert_eq!(
            StatCache::open(folder.path(), Path::new("/c")).find(&facts(1, 100)),
            None
        );
        fs::write(&path, b"gnt").unwrap();
        assert_eq!(
            StatCache::open(folder.path(), Path::new("/c")).find(&facts(1, 100)),
            None
        );
    }
}
