//! A process of its own that carries a log where it goes.
//!
//! System logs may be slow, and a container whose log may not hold it up needs somebody who waits
//! in its place. The supervisor hands over what it reads and never blocks; the courier blocks as
//! long as it takes, and ends with the supervisor's end of the socket between them.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use gantry_sys::process::{Fork, Process, close_everything_but};
use jiff::Timestamp;
use rustix::io::Errno;
use rustix::net::{SendFlags, Shutdown};

use super::{LogSettings, LogWriter, OpenError, Stream};

/// Waiting bytes from which on a container whose log loses nothing waits.
const HIGH_WATER: usize = 128 * 1024;
/// Waiting bytes from which on it goes on.
const LOW_WATER: usize = 32 * 1024;
/// Bytes before each parcel: what it is, when it came, its length.
const HEADER: usize = 13;
/// Most bytes of a parcel.
const MOST: usize = 1 << 20;

/// The supervisor's side.
#[derive(Debug)]
pub(crate) struct Courier {
    process: Process,
    socket: UnixStream,
    queue: VecDeque<u8>,
    /// Bytes that may wait before new ones are dropped.
    buffer: Option<usize>,
    /// Streams of which something was dropped since their last line.
    torn: [bool; 2],
    /// No more will come.
    ended: bool,
    gone: bool,
}

/// What a parcel is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Parcel {
    /// Bytes of a stream.
    Bytes(Stream),
    /// The stream ended, or a part of it is missing.
    End(Stream),
}

impl Parcel {
    fn encode(self, time: Timestamp, length: usize) -> [u8; HEADER] {
        let kind = match self {
            Self::Bytes(Stream::Stdout) => 0,
            Self::Bytes(Stream::Stderr) => 1,
            Self::End(Stream::Stdout) => 2,
            Self::End(Stream::Stderr) => 3,
        };
        let mut header = [kind; HEADER];
        // Beyond the year 2262 lines would carry no true time.
        let time = i64::try_from(time.as_nanosecond()).unwrap_or(i64::MAX);
        header[1..9].copy_from_slice(&time.to_le_bytes());
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        header[9..].copy_from_slice(&length.to_le_bytes());
        header
    }

    fn decode(header: [u8; HEADER]) -> Option<(Self, Timestamp, usize)> {
        let [kind, a, b, c, d, e, f, g, h, rest @ ..] = header;
        let parcel = match kind {
            0 => Self::Bytes(Stream::Stdout),
            1 => Self::Bytes(Stream::Stderr),
            2 => Self::End(Stream::Stdout),
            3 => Self::End(Stream::Stderr),
            _ => return None,
        };
        let time = i64::from_le_bytes([a, b, c, d, e, f, g, h]);
        let time = Timestamp::from_nanosecond(time.into()).ok()?;
        let length = usize::try_from(u32::from_le_bytes(rest)).ok()?;
        (length <= MOST).then_some((parcel, time, length))
    }
}

impl AsFd for Courier {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Courier {
    /// Opens the log and sends the courier off with it.
    pub(crate) fn begin(settings: &LogSettings) -> Result<Self, OpenError> {
        let writer = LogWriter::open(settings)?;
        let (ours, theirs) = UnixStream::pair().map_err(OpenError::File)?;
        ours.set_nonblocking(true).map_err(OpenError::File)?;
        let process = Fork::default()
            .run(|| carry(writer, theirs))
            .map_err(OpenError::File)?;
        Ok(Self {
            process,
            socket: ours,
            queue: VecDeque::new(),
            buffer: settings.buffer,
            torn: [false; 2],
            ended: false,
            gone: false,
        })
    }

    pub(crate) fn pid(&self) -> i32 {
        self.process.pid()
    }

    /// Hands over bytes of a stream, or drops them when too many wait and that is wished.
    pub(crate) fn push(&mut self, stream: Stream, mut bytes: &[u8]) {
        let torn = &mut self.torn[usize::from(stream == Stream::Stderr)];
        if let Some(buffer) = self.buffer
            && !self.queue.is_empty()
            && self.queue.len() + HEADER + bytes.len() > buffer
        {
            *torn = true;
            return;
        }
        if *torn {
            // The rest of a line whose beginning is missing would be taken for a line.
            let Some(newline) = bytes.iter().position(|&byte| byte == b'\n') else {
                return;
            };
            bytes = &bytes[newline + 1..];
            *torn = false;
            self.send(Parcel::End(stream), &[]);
        }
        self.send(Parcel::Bytes(stream), bytes);
    }

    /// Hands over that a stream ended.
    pub(crate) fn end_stream(&mut self, stream: Stream) {
        self.send(Parcel::End(stream), &[]);
    }

    /// Says that no more will come: the courier ends when it has delivered everything.
    pub(crate) fn end(&mut self) {
        self.ended = true;
        self.flush();
    }

    fn send(&mut self, parcel: Parcel, bytes: &[u8]) {
        if self.gone {
            return;
        }
        self.queue
            .extend(parcel.encode(Timestamp::now(), bytes.len()));
        self.queue.extend(bytes);
        self.flush();
    }

    /// Sends what waits as far as there is room.
    pub(crate) fn flush(&mut self) {
        while !self.queue.is_empty() && !self.gone {
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            match rustix::net::send(&self.socket, self.queue.as_slices().0, flags) {
                Ok(count) => drop(self.queue.drain(..count)),
                Err(Errno::AGAIN) => return,
                Err(Errno::INTR) => {}
                Err(_) => self.gone = true,
            }
        }
        self.queue = VecDeque::new();
        if self.ended {
            // A courier that is gone has heard it.
            let _gone = rustix::net::shutdown(&self.socket, Shutdown::Write);
        }
    }

    /// Ends the courier with what it carries.
    pub(crate) fn kill(&self) {
        // One that ended has nothing to lose.
        let _ended = self.process.signal(9);
    }

    /// Whether bytes wait for room.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Whether the container has to wait.
    pub(crate) fn holds_up(&self) -> bool {
        self.buffer.is_none() && self.queue.len() >= HIGH_WATER
    }

    /// Whether the container, once held up, has to go on waiting.
    pub(crate) fn still_holds_up(&self) -> bool {
        self.buffer.is_none() && self.queue.len() > LOW_WATER
    }
}

/// The courier: takes parcels until there will be no more.
fn carry(mut writer: LogWriter, socket: UnixStream) -> i32 {
    // Only what `ps` shows.
    let _unnamed = rustix::thread::set_name(c"gantry-log");
    let mut keep = writer.descriptors();
    keep.push(socket.as_fd());
    if close_everything_but(&keep).is_err() {
        return 1;
    }
    drop(keep);
    let outcome = deliver(&mut writer, &socket);
    i32::from(outcome.is_err())
}

fn deliver(writer: &mut LogWriter, mut socket: impl Read) -> io::Result<()> {
    let mut header = [0; HEADER];
    let mut bytes = Vec::new();
    loop {
        match socket.read_exact(&mut header) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        }
        let Some((parcel, time, length)) = Parcel::decode(header) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        bytes.resize(length, 0);
        socket.read_exact(&mut bytes)?;
        match parcel {
            Parcel::Bytes(stream) => writer.push(stream, &bytes, &time.to_string()),
            Parcel::End(stream) => writer.end(stream, &time.to_string()),
        }
        if let Some(error) = writer.take_failure() {
            crate::supervise::note(&format!("the log lost lines: {error}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{Entry, LogFiles};

    #[test]
    fn parcels_round_trip() {
        let now = Timestamp::now();
        for parcel in [
            Parcel::Bytes(Stream::Stdout),
            Parcel::Bytes(Stream::Stderr),
            Parcel::End(Stream::Stdout),
            Parcel::End(Stream::Stderr),
        ] {
            assert_eq!(
                Parcel::decode(parcel.encode(now, 70_000)),
                Some((parcel, now, 70_000))
            );
        }
        assert_eq!(Parcel::decode([9; HEADER]), None);
    }

    /// A courier whose other end is held by the test.
    fn courier(buffer: Option<usize>) -> (Courier, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let process = Process::open(std::process::id().cast_signed()).unwrap();
        let courier = Courier {
            process,
            socket: ours,
            queue: VecDeque::new(),
            buffer,
            torn: [false; 2],
            ended: false,
            gone: false,
        };
        (courier, theirs)
    }

    fn lines(socket: UnixStream) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("json.log");
        let mut files = LogFiles::rotated(path.clone());
        files.max_size = None;
        let mut writer = LogWriter::open(&LogSettings::files(files)).unwrap();
        deliver(&mut writer, socket).unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        text.lines()
            .map(|line| {
                serde_json::from_str::<Entry<'_>>(line)
                    .unwrap()
                    .log
                    .into_owned()
            })
            .collect()
    }

    #[test]
    fn what_may_be_lost_is_lost_by_whole_lines() {
        let (mut courier, theirs) = courier(Some(64 * 1024));
        let mut sent = String::new();
        for number in 0..400_000 {
            let line = format!("line {number}\n");
            // In pieces that do not end with lines.
            sent.push_str(&line);
            if sent.len() > 3000 {
                courier.push(Stream::Stdout, sent.as_bytes());
                sent.clear();
                sent.push_str("half a ");
            }
        }
        assert!(courier.queue.len() <= 70 * 1024 && !courier.holds_up());
        let reader = std::thread::spawn(move || lines(theirs));
        while courier.is_waiting() {
            courier.flush();
            std::thread::yield_now();
        }
        courier.push(Stream::Stdout, b"rest\nlast\n");
        courier.end();
        while courier.is_waiting() {
            courier.flush();
            std::thread::yield_now();
        }
        let got = reader.join().unwrap();
        assert_eq!(got.last().unwrap(), "last\n");
        let torn = got
            .iter()
            .filter(|line| {
                line.ends_with('\n')
                    && !line.starts_with("line ")
                    && !line.starts_with("half a line ")
                    && *line != "last\n"
            })
            .count();
        assert_eq!(torn, 0, "{got:?}");
        assert!(got.len() < 300_000);
    }

    #[test]
    fn what_may_not_be_lost_holds_up() {
        let (mut courier, theirs) = courier(None);
        let chunk = b"0123456789abcde\n".repeat(512);
        let mut count = 0;
        while !courier.holds_up() {
            courier.push(Stream::Stderr, &chunk);
            count += 512;
        }
        let reader = std::thread::spawn(move || lines(theirs));
        while courier.still_holds_up() {
            courier.flush();
            std::thread::yield_now();
        }
        courier.end();
        while courier.is_waiting() {
            courier.flush();
            std::thread::yield_now();
        }
        assert_eq!(reader.join().unwrap().len(), count);
    }

    #[test]
    fn a_courier_that_went_holds_nothing_up() {
        let (mut courier, theirs) = courier(None);
        drop(theirs);
        for _ in 0..100 {
            courier.push(Stream::Stdout, &[b'x'; 4096]);
        }
        assert!(courier.gone && !courier.is_waiting());
    }
}
