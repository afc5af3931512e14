//! The files of a log, oldest first, compressed or not.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;

use flate2::read::GzDecoder;
use gantry_supervisor::log::{Entry, LogFiles};
use jiff::Timestamp;

/// Most bytes of one line of a file; 16 KiB of text may be six times that in JSON.
pub(super) const MAX_ENTRY: u64 = 1 << 20;
/// Bytes read at once when looking for a place in a file.
const STEP: u64 = 64 * 1024;

/// One file of a log.
#[derive(Debug)]
pub(super) struct LogFile {
    source: Source,
    /// Time of its first line: what tells it from the others, whatever it is called by now. `None`
    /// for a file that has no line yet.
    identity: Option<String>,
    modified: Option<Timestamp>,
}

#[derive(Debug)]
enum Source {
    Plain(BufReader<File>),
    Gzip(Box<BufReader<GzDecoder<File>>>),
}

impl LogFile {
    /// The file `age` rotations ago, if there is one.
    pub(super) fn open(settings: &LogFiles, age: u32) -> io::Result<Option<Self>> {
        if let Some(file) = absent(File::open(settings.file(age)))? {
            return Self::plain(file).map(Some);
        }
        if age == 0 {
            return Ok(None);
        }
        match absent(File::open(settings.compressed(age)))? {
            Some(file) => Self::gzip(file).map(Some),
            None => Ok(None),
        }
    }

    fn plain(file: File) -> io::Result<Self> {
        let modified = modified(&file)?;
        let mut reader = BufReader::new(file);
        let identity = first_time(&mut reader)?;
        reader.rewind()?;
        Ok(Self {
            source: Source::Plain(reader),
            identity,
            modified,
        })
    }

    fn gzip(mut file: File) -> io::Result<Self> {
        let modified = modified(&file)?;
        let identity = first_time(&mut BufReader::new(GzDecoder::new(&file)))?;
        file.rewind()?;
        Ok(Self {
            source: Source::Gzip(Box::new(BufReader::new(GzDecoder::new(file)))),
            identity,
            modified,
        })
    }

    /// Finds out what tells it from the others, if it had no line before. Nothing was read of it.
    fn identify(&mut self) -> io::Result<()> {
        if let (None, Source::Plain(reader)) = (&self.identity, &mut self.source) {
            self.identity = first_time(reader)?;
            reader.rewind()?;
        }
        Ok(())
    }

    /// Whether it is the same file as `other`, under whatever name.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.identity.is_some() && self.identity == other.identity
    }

    /// Whether it was written last before that time.
    pub(super) fn is_before(&self, time: Timestamp) -> bool {
        self.modified.is_some_and(|modified| modified < time)
    }

    /// Reads on to the end of the line that began in `line`; false when there is no more of it yet.
    pub(super) fn read_line(&mut self, line: &mut Vec<u8>) -> io::Result<bool> {
        let room = MAX_ENTRY.saturating_sub(line.len() as u64).max(1);
        match &mut self.source {
            Source::Plain(reader) => reader.by_ref().take(room).read_until(b'\n', line)?,
            Source::Gzip(reader) => reader.by_ref().take(room).read_until(b'\n', line)?,
        };
        let whole = line.ends_with(b"\n") || line.len() as u64 >= MAX_ENTRY;
        if whole && self.identity.is_none() {
            self.identity = time_of(line);
        }
        Ok(whole)
    }

    /// Whether a name still means this file. True for a compressed one, which never grows.
    pub(super) fn is_at(&self, path: &std::path::Path) -> io::Result<bool> {
        let Source::Plain(reader) = &self.source else {
            return Ok(false);
        };
        let own = reader.get_ref().metadata()?;
        Ok(absent(std::fs::metadata(path))?
            .is_some_and(|found| (found.dev(), found.ino()) == (own.dev(), own.ino())))
    }

    /// Starts over when the file has become shorter than what was read of it.
    pub(super) fn restart_if_cut(&mut self) -> io::Result<bool> {
        let Source::Plain(reader) = &mut self.source else {
            return Ok(false);
        };
        let length = reader.get_ref().metadata()?.len();
        if length == 0 || reader.stream_position()? <= length {
            return Ok(false);
        }
        reader.rewind()?;
        self.identity = None;
        Ok(true)
    }

    /// Goes to its last lines; says how many there are of them.
    pub(super) fn go_to_last(&mut self, lines: u64) -> io::Result<u64> {
        match &mut self.source {
            Source::Plain(reader) => {
                let (start, found) = start_of_last(reader.get_mut(), lines)?;
                reader.seek(SeekFrom::Start(start))?;
                Ok(found)
            }
            Source::Gzip(reader) => {
                let all = skip_lines(reader.as_mut(), u64::MAX)?;
                let mut file = reader.get_ref().get_ref().try_clone()?;
                file.rewind()?;
                **reader = BufReader::new(GzDecoder::new(file));
                skip_lines(reader.as_mut(), all.saturating_sub(lines))?;
                Ok(all.min(lines))
            }
        }
    }

    /// Goes to a place before the first line of that time or later, and not far before it.
    pub(super) fn go_to(&mut self, time: Timestamp) -> io::Result<()> {
        let Source::Plain(reader) = &mut self.source else {
            return Ok(());
        };
        let (mut low, mut high) = (0, reader.get_ref().metadata()?.len());
        let mut line = Vec::new();
        while high - low > STEP {
            let middle = low + (high - low) / 2;
            reader.seek(SeekFrom::Start(middle))?;
            // The rest of the line in the middle, then a whole one.
            let mut start = middle;
            for _ in 0..2 {
                line.clear();
                let count = reader
                    .by_ref()
                    .take(MAX_ENTRY)
                    .read_until(b'\n', &mut line)?;
                if start == middle {
                    start += count as u64;
                }
            }
            match time_of(&line).and_then(|time| time.parse::<Timestamp>().ok()) {
                Some(found) if found < time && start < high => low = start,
                _ => high = middle,
            }
        }
        reader.seek(SeekFrom::Start(low))?;
        Ok(())
    }
}

/// The files there are, oldest first, each once.
pub(super) fn all(settings: &LogFiles) -> io::Result<Vec<LogFile>> {
    let mut files: Vec<LogFile> = Vec::new();
    // The newest first, so that a rotation in between shows a file twice rather than not at all.
    for age in 0..settings.max_files.max(1) {
        if let Some(file) = LogFile::open(settings, age)? {
            // One that was empty a moment ago may have been filled and rotated since.
            files.iter_mut().try_for_each(LogFile::identify)?;
            if !files.iter().any(|seen| seen.is(&file)) {
                files.push(file);
            }
        }
    }
    files.reverse();
    Ok(files)
}

/// Those of the files that hold the last lines, each at where to begin.
pub(super) fn last_lines(files: Vec<LogFile>, lines: u64) -> io::Result<Vec<LogFile>> {
    let mut wanted = lines;
    let mut chosen = Vec::new();
    for mut file in files.into_iter().rev() {
        let found = file.go_to_last(wanted)?;
        chosen.push(file);
        wanted = wanted.saturating_sub(found);
        if wanted == 0 {
            break;
        }
    }
    chosen.reverse();
    Ok(chosen)
}

fn modified(file: &File) -> io::Result<Option<Timestamp>> {
    let modified = file.metadata()?.modified()?;
    Ok(Timestamp::try_from(modified).ok())
}

fn first_time(reader: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    match reader.by_ref().take(MAX_ENTRY).read_until(b'\n', &mut line) {
        Ok(_) => Ok(time_of(&line)),
        // A compressed file that is damaged says so when it is read.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(None),
        Err(error) => Err(error),
    }
}

fn time_of(line: &[u8]) -> Option<String> {
    let entry = serde_json::from_slice::<Entry<'_>>(line).ok()?;
    Some(entry.time.into_owned())
}

fn absent<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads over so many lines; says how many there were.
fn skip_lines(reader: &mut impl BufRead, lines: u64) -> io::Result<u64> {
    let mut skipped = 0;
    while skipped < lines {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            break;
        }
        let (mut used, mut ends) = (buffer.len(), 0);
        for (at, _) in buffer
            .iter()
            .enumerate()
            .filter(|(_, byte)| **byte == b'\n')
        {
            ends += 1;
            if skipped + ends == lines {
                used = at + 1;
                break;
            }
        }
        skipped += ends;
        reader.consume(used);
    }
    Ok(skipped)
}

/// Where the last lines of a file begin, and how many there are of them.
fn start_of_last(opened: &mut File, lines: u64) -> io::Result<(u64, u64)> {
    let length = opened.metadata()?.len();
    if lines == 0 {
        return Ok((length, 0));
    }
    let mut found = 0;
    let mut end = length;
    let mut step = vec![0_u8; usize::try_from(STEP).unwrap_or(0)];
    while end > 0 {
        let start = end.saturating_sub(STEP);
        let span = usize::try_from(end - start).unwrap_or(0);
        opened.seek(SeekFrom::Start(start))?;
        opened.read_exact(&mut step[..span])?;
        for (at, _) in step[..span]
            .iter()
            .enumerate()
            .rev()
            .filter(|(_, byte)| **byte == b'\n')
        {
            let position = start + u64::try_from(at).unwrap_or(0) + 1;
            if position == length {
                continue;
            }
            found += 1;
            if found == lines {
                return Ok((position, found));
            }
        }
        end = start;
    }
    Ok((0, if length > 0 { found + 1 } else { 0 }))
}
