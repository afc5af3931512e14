//! Reading a container's log: the end of it, a span of time, or as it grows.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

use gantry_supervisor::client::{ClientError, Session};
use gantry_supervisor::log::{Entry, LogSettings, Stream};
use jiff::{SignedDuration, Timestamp};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify;

use super::Containers;
use super::error::{ContainerError, file};
use super::folders::Folders;
use super::status::is_live;

/// Most bytes of one line of the file; 16 KiB of text may be six times that in JSON.
const MAX_ENTRY: u64 = 1 << 20;
/// Bytes read at once when looking for the end's beginning.
const STEP: u64 = 64 * 1024;

/// What of a log is wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// Go on while the container runs.
    pub follow: bool,
    /// Only so many lines from the end.
    pub tail: Option<u64>,
    /// Only from this time on.
    pub since: Option<Timestamp>,
    /// Only before this time.
    pub until: Option<Timestamp>,
}

/// One line, or a part of a very long one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Where it came from.
    pub stream: Stream,
    /// When, RFC 3339 with nanoseconds.
    pub time: String,
    /// The text; ends in a newline unless it is a part that goes on.
    pub text: String,
}

/// Gives the lines of a log one by one.
#[derive(Debug)]
pub struct LogReader {
    settings: LogSettings,
    options: LogOptions,
    /// The file being read.
    current: Option<BufReader<File>>,
    /// Files to be read after it.
    next: VecDeque<File>,
    line: Vec<u8>,
    follower: Option<Follower>,
    done: bool,
}

/// What tells that there is more to read, or that there never will be.
#[derive(Debug)]
struct Follower {
    notes: OwnedFd,
    /// Ends when the container does.
    session: Option<Session>,
}

impl Containers<'_> {
    /// The log of a container.
    ///
    /// # Errors
    /// [`ContainerError`].
    pub fn logs(&self, name: &str, options: LogOptions) -> Result<LogReader, ContainerError> {
        let (record, state) = self.look(name)?;
        let folders = Folders::of(self.engine, &record.id);
        let log = &self.engine.config().log;
        let settings = LogSettings {
            path: folders.log(),
            max_size: None,
            max_files: log.max_files.max(1),
        };
        let follower = if options.follow && is_live(state.status) {
            let session = match Session::connect(&folders.run_folder) {
                Ok(mut session) => {
                    session.watch_for_end()?;
                    Some(session)
                }
                Err(ClientError::NotRunning) => None,
                Err(error) => return Err(error.into()),
            };
            Some(Follower::new(&settings, session).map_err(file("watch", &settings.path))?)
        } else {
            None
        };
        LogReader::open(settings, options, follower).map_err(file("read", &folders.log()))
    }
}

impl Follower {
    fn new(settings: &LogSettings, session: Option<Session>) -> io::Result<Self> {
        let notes = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
        // The folder: its files are written, renamed and made anew.
        let folder = settings.path.parent().unwrap_or(&settings.path);
        let flags = inotify::WatchFlags::MODIFY
            | inotify::WatchFlags::CREATE
            | inotify::WatchFlags::MOVED_TO
            | inotify::WatchFlags::DELETE_SELF;
        inotify::add_watch(&notes, folder, flags)?;
        Ok(Self { notes, session })
    }

    /// Waits for more to read. False once the container has ended: what is there then is all.
    fn wait(&mut self) -> io::Result<bool> {
        let Some(session) = &mut self.session else {
            return Ok(false);
        };
        let mut fds = [
            PollFd::new(&self.notes, PollFlags::IN),
            PollFd::from_borrowed_fd(session.as_fd(), PollFlags::IN),
        ];
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let ended = !fds[1].revents().is_empty();
        let mut scratch = [0_u8; 4096];
        while rustix::io::read(&self.notes, &mut scratch[..]).is_ok_and(|count| count > 0) {}
        if ended {
            self.session = None;
        }
        Ok(!ended)
    }
}

impl LogReader {
    fn open(
        settings: LogSettings,
        options: LogOptions,
        follower: Option<Follower>,
    ) -> io::Result<Self> {
        let mut files = Vec::new();
        // The newest first, so that a rotation in between shows a file twice rather than not
        // at all; then those seen twice are dropped.
        let mut seen = Vec::new();
        for age in 0..settings.max_files.max(1) {
            match File::open(settings.file(age)) {
                Ok(opened) => {
                    let metadata = opened.metadata()?;
                    let number = (metadata.dev(), metadata.ino());
                    if !seen.contains(&number) {
                        seen.push(number);
                        files.push(opened);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Err(error) => return Err(error),
            }
        }
        let files = match options.tail {
            Some(lines) => last_lines(files, lines)?,
            None => {
                files.reverse();
                files
            }
        };
        let mut next: VecDeque<File> = files.into();
        let current = next.pop_front().map(BufReader::new);
        Ok(Self {
            settings,
            options,
            current,
            next,
            line: Vec::new(),
            follower,
            done: false,
        })
    }

    /// The next line; `None` at the end. When it follows, it waits for more until the
    /// container has ended.
    ///
    /// # Errors
    /// [`ContainerError::File`].
    pub fn next_line(&mut self) -> Result<Option<LogLine>, ContainerError> {
        loop {
            if self.done {
                return Ok(None);
            }
            let read = self.raw_line();
            if !read.map_err(file("read", &self.settings.path))? {
                self.done = true;
                return Ok(None);
            }
            // A line that is torn (the power was cut) is left out.
            let parsed = serde_json::from_slice::<Entry<'_>>(&self.line).ok();
            let line = parsed.map(|entry| LogLine {
                stream: entry.stream,
                time: entry.time.into_owned(),
                text: entry.log.into_owned(),
            });
            self.line.clear();
            let Some(line) = line else { continue };
            let time = line.time.parse::<Timestamp>().ok();
            if let (Some(since), Some(time)) = (self.options.since, time)
                && time < since
            {
                continue;
            }
            if let (Some(until), Some(time)) = (self.options.until, time)
                && time > until
            {
                self.done = true;
                return Ok(None);
            }
            return Ok(Some(line));
        }
    }

    /// Reads a whole line into `self.line`; false at the end.
    fn raw_line(&mut self) -> io::Result<bool> {
        let mut last_look = false;
        loop {
            if let Some(current) = &mut self.current {
                let room = MAX_ENTRY.saturating_sub(self.line.len() as u64).max(1);
                let count = current
                    .by_ref()
                    .take(room)
                    .read_until(b'\n', &mut self.line)?;
                if self.line.ends_with(b"\n") || self.line.len() as u64 >= MAX_ENTRY {
                    return Ok(true);
                }
                if count > 0 {
                    continue;
                }
            }
            if self.advance()? {
                self.line.clear();
                last_look = false;
                continue;
            }
            if last_look {
                return Ok(false);
            }
            match &mut self.follower {
                Some(follower) => last_look = !follower.wait()?,
                None => return Ok(false),
            }
        }
    }

    /// Goes on to the file after the one that was read to its end; false when it is the newest.
    fn advance(&mut self) -> io::Result<bool> {
        if let Some(next) = self.next.pop_front() {
            self.current = Some(BufReader::new(next));
            return Ok(true);
        }
        if self.follower.is_none() {
            return Ok(false);
        }
        let here = match &self.current {
            Some(current) => {
                let metadata = current.get_ref().metadata()?;
                Some((metadata.dev(), metadata.ino()))
            }
            None => None,
        };
        let mut newer: Option<File> = None;
        for age in 0..self.settings.max_files.max(1) {
            let opened = match File::open(self.settings.file(age)) {
                Ok(opened) => opened,
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Err(error) => return Err(error),
            };
            let metadata = opened.metadata()?;
            if here == Some((metadata.dev(), metadata.ino())) {
                return self.switch_to(newer, metadata.len());
            }
            newer = Some(opened);
        }
        // The file that was read is gone for good: the oldest there is comes next.
        self.switch_to(newer, 0)
    }

    fn switch_to(&mut self, newer: Option<File>, length: u64) -> io::Result<bool> {
        if let Some(newer) = newer {
            // What was written between our end of file and the rotation is still to be read.
            let position = match &mut self.current {
                Some(current) => current.stream_position()?,
                None => length,
            };
            if position < length {
                return Ok(true);
            }
            self.current = Some(BufReader::new(newer));
            return Ok(true);
        }
        // A single file that is kept short starts over.
        if let Some(current) = &mut self.current
            && current.stream_position()? > length
            && length > 0
        {
            current.seek(SeekFrom::Start(0))?;
            return Ok(true);
        }
        Ok(false)
    }
}

/// The files that hold the last lines, oldest first, each at where to begin. `files` has the
/// newest first.
fn last_lines(files: Vec<File>, lines: u64) -> io::Result<Vec<File>> {
    let mut wanted = lines;
    let mut chosen = Vec::new();
    for mut opened in files {
        let (start, found) = start_of_last(&mut opened, wanted)?;
        opened.seek(SeekFrom::Start(start))?;
        chosen.push(opened);
        wanted = wanted.saturating_sub(found);
        if wanted == 0 {
            break;
        }
    }
    chosen.reverse();
    Ok(chosen)
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

/// A time as `--since` and `--until` take it: RFC 3339 (a date alone, too), seconds since 1970
/// with a fraction, or a span before now (`10m`, `1h30m`).
///
/// # Errors
/// [`ContainerError::Time`].
pub fn parse_time(text: &str, now: Timestamp) -> Result<Timestamp, ContainerError> {
    let bad = || ContainerError::Time {
        text: text.chars().take(60).collect(),
    };
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    let zone = jiff::tz::TimeZone::system();
    if let Ok(time) = text.parse::<jiff::civil::DateTime>() {
        return zone.to_timestamp(time).map_err(|_| bad());
    }
    if let Ok(date) = text.parse::<jiff::civil::Date>() {
        return zone.to_timestamp(date.at(0, 0, 0, 0)).map_err(|_| bad());
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !whole.is_empty()
        && (whole.to_owned() + fraction)
            .bytes()
            .all(|byte| byte.is_ascii_digit())
    {
        let seconds: i64 = whole.parse().map_err(|_| bad())?;
        let nanoseconds: i32 = format!("{fraction:0<9}")[..9].parse().map_err(|_| bad())?;
        return Timestamp::new(seconds, nanoseconds).map_err(|_| bad());
    }
    let span = duration(text).ok_or_else(bad)?;
    now.checked_sub(span).map_err(|_| bad())
}

/// A span as Go writes it: numbers with `h`, `m`, `s`, `ms`, `us`, `ns`.
fn duration(text: &str) -> Option<SignedDuration> {
    let mut rest = text;
    let mut total = SignedDuration::ZERO;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        let unit = &rest[digits..];
        let (unit, seconds) = [
            ("ns", 1e-9),
            ("us", 1e-6),
            ("µs", 1e-6),
            ("ms", 1e-3),
            ("s", 1.0),
            ("m", 60.0),
            ("h", 3600.0),
        ]
        .into_iter()
        .find(|(name, _)| unit.starts_with(name))?;
        rest = &rest[digits + unit.len()..];
        total = total.checked_add(SignedDuration::try_from_secs_f64(number * seconds).ok()?)?;
    }
    Some(total)
}

#[cfg(test)]
mod tests;
