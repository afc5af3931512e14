//! Writing: cuts streams into lines, batches them, rotates the files.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;

use super::{LogSettings, MAX_LINE, Stream, encode};

/// Bytes of encoded lines written at once.
const BATCH: usize = 64 * 1024;

/// Writes the log of one container.
///
/// A log that cannot be written (disk full) never stops the container: what is lost is counted
/// and said by [`LogWriter::take_failure`].
#[derive(Debug)]
pub struct LogWriter {
    settings: LogSettings,
    file: File,
    size: u64,
    batch: Vec<u8>,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    failure: Option<io::Error>,
}

impl LogWriter {
    /// Opens the log for appending, creating it when it is missing.
    ///
    /// # Errors
    /// Those of opening the file.
    pub fn open(settings: LogSettings) -> io::Result<Self> {
        let file = open(&settings)?;
        let size = file.metadata()?.len();
        Ok(Self {
            settings,
            file,
            size,
            batch: Vec::new(),
            stdout: Vec::new(),
            stderr: Vec::new(),
            failure: None,
        })
    }

    /// Logs bytes of a stream that came at `time`; an unfinished line waits for its rest.
    pub fn push(&mut self, stream: Stream, mut bytes: &[u8], time: &str) {
        let mut pending = std::mem::take(self.pending(stream));
        while !bytes.is_empty() {
            let newline = bytes.iter().position(|&byte| byte == b'\n');
            let piece = &bytes[..newline.unwrap_or(bytes.len())];
            let room = MAX_LINE - pending.len();
            if piece.len() >= room {
                pending.extend_from_slice(&piece[..room]);
                bytes = &bytes[room..];
                let cut = character_end(&pending);
                self.entry(&pending[..cut], false, stream, time);
                pending.drain(..cut);
                continue;
            }
            if newline.is_none() {
                pending.extend_from_slice(piece);
                break;
            }
            bytes = &bytes[piece.len() + 1..];
            if pending.is_empty() {
                self.entry(piece, true, stream, time);
            } else {
                pending.extend_from_slice(piece);
                self.entry(&pending, true, stream, time);
                pending.clear();
            }
        }
        if !pending.is_empty() {
            *self.pending(stream) = pending;
        }
        self.flush();
    }

    /// Logs the unfinished line of a stream that ended.
    pub fn end(&mut self, stream: Stream, time: &str) {
        let rest = std::mem::take(self.pending(stream));
        if !rest.is_empty() {
            self.entry(&rest, false, stream, time);
            self.flush();
        }
    }

    /// The first failure since the last call, to be reported once.
    pub fn take_failure(&mut self) -> Option<io::Error> {
        self.failure.take()
    }

    fn pending(&mut self, stream: Stream) -> &mut Vec<u8> {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }

    fn entry(&mut self, text: &[u8], newline: bool, stream: Stream, time: &str) {
        let written = self.size + self.batch.len() as u64;
        if self.settings.max_size.is_some_and(|max| written >= max) {
            self.flush();
            if let Err(error) = self.rotate() {
                self.failure.get_or_insert(error);
            }
        }
        if self.batch.len() >= BATCH {
            self.flush();
        }
        encode(&mut self.batch, text, newline, stream, time);
    }

    fn flush(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        match self.file.write_all(&self.batch) {
            Ok(()) => self.size += self.batch.len() as u64,
            Err(error) => {
                // A torn line would make the next one unreadable: cut back to the last whole.
                if let Err(error) = self.file.set_len(self.size) {
                    self.failure.get_or_insert(error);
                }
                self.failure.get_or_insert(error);
            }
        }
        if self.batch.capacity() > BATCH * 2 {
            self.batch = Vec::new();
        } else {
            self.batch.clear();
        }
    }

    /// Gives back the memory of the batch when the container is quiet.
    pub fn release(&mut self) {
        if self.batch.is_empty() {
            self.batch = Vec::new();
        }
    }

    fn rotate(&mut self) -> io::Result<()> {
        if self.settings.max_files <= 1 {
            self.file.set_len(0)?;
            self.size = 0;
            return Ok(());
        }
        for age in (0..self.settings.max_files - 1).rev() {
            match std::fs::rename(self.settings.file(age), self.settings.file(age + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        self.file = open(&self.settings)?;
        self.size = self.file.metadata()?.len();
        Ok(())
    }
}

fn open(settings: &LogSettings) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o640)
        .open(&settings.path)
}

/// Where to cut so that no character is torn: before an unfinished sequence at the end.
fn character_end(bytes: &[u8]) -> usize {
    let tail = &bytes[bytes.len().saturating_sub(4)..];
    match std::str::from_utf8(tail) {
        Err(error) if error.error_len().is_none() => {
            bytes.len() - (tail.len() - error.valid_up_to())
        }
        // The tail may begin inside a character: look at what follows its continuation bytes.
        Err(_) => {
            let skip = tail.iter().take_while(|&&byte| byte & 0xc0 == 0x80).count();
            match std::str::from_utf8(&tail[skip..]) {
                Err(error) if error.error_len().is_none() => {
                    bytes.len() - (tail.len() - skip - error.valid_up_to())
                }
                _ => bytes.len(),
            }
        }
        Ok(_) => bytes.len(),
    }
}
