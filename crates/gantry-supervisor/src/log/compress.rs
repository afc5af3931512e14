//! Compressing full files, in a process that lives no longer than that.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use gantry_sys::lock::{Kind, lock};
use gantry_sys::process::{Fork, Process, close_everything_but};

use super::LogFiles;
use super::files::absent;

/// Bytes read at once.
const CHUNK: usize = 64 * 1024;
/// Politeness: what the container does comes first.
const NICE: i32 = 10;

/// Begins to compress every full file of a log that is not.
pub(super) fn begin(settings: &LogFiles) -> io::Result<Process> {
    Fork::default().run(|| {
        // Nothing of the supervisor's may be held open by this: pipes, sockets, its lock.
        if close_everything_but(&[]).is_err() {
            return 1;
        }
        // Only politeness.
        let _as_it_is = rustix::process::nice(NICE);
        i32::from(all(settings).is_err())
    })
}

pub(super) fn all(settings: &LogFiles) -> io::Result<()> {
    let aside = aside(settings);
    let mut guard = guard(settings)?;
    // Left by one that was killed.
    absent(fs::remove_file(&aside))?;
    while let Some(source) = next(settings)? {
        let target = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o640)
            .open(&aside)?;
        drop(guard);
        compress(&source, target)?;
        guard = self::guard(settings)?;
        put_in_place(settings, &source, &aside)?;
    }
    // Still under the lock: who has a full file from here on sees that nobody is at work.
    drop(guard);
    Ok(())
}

/// Whether one is at work and will look for full files again, unless it was killed. Ask under
/// [`guard`].
pub(super) fn at_work(settings: &LogFiles) -> bool {
    aside(settings).exists()
}

/// Keeps the files of a log as they are named.
pub(super) fn guard(settings: &LogFiles) -> io::Result<File> {
    let guard = File::open(settings.path.parent().unwrap_or(Path::new(".")))?;
    lock(&guard, Kind::Exclusive)?;
    Ok(guard)
}

/// Where a compressed file is written.
fn aside(settings: &LogFiles) -> PathBuf {
    let mut aside = settings.path.clone().into_os_string();
    aside.push(".compressing");
    aside.into()
}

/// The oldest full file that is not compressed.
fn next(settings: &LogFiles) -> io::Result<Option<File>> {
    for age in (1..settings.max_files).rev() {
        match File::open(settings.file(age)) {
            Ok(file) => return Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

fn compress(source: &File, target: File) -> io::Result<()> {
    let mut encoder = GzEncoder::new(target, Compression::fast());
    io::copy(&mut BufReader::with_capacity(CHUNK, source), &mut encoder)?;
    let target = encoder.finish()?;
    // Readers tell by it what is too old for them.
    target.set_modified(source.metadata()?.modified()?)
}

/// Gives what was compressed the name of its source, whatever that is by now.
fn put_in_place(settings: &LogFiles, source: &File, aside: &Path) -> io::Result<()> {
    let metadata = source.metadata()?;
    for age in 1..settings.max_files {
        let plain = settings.file(age);
        let same = fs::metadata(&plain)
            .is_ok_and(|found| (found.dev(), found.ino()) == (metadata.dev(), metadata.ino()));
        if same {
            fs::rename(aside, settings.compressed(age))?;
            return fs::remove_file(plain);
        }
    }
    // It became too old meanwhile.
    absent(fs::remove_file(aside))
}
