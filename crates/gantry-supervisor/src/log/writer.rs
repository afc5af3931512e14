//! Writing a log, wherever it goes.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use super::files::FileWriter;
use super::lines::LineCutter;
use super::remote::{RemoteError, RemoteWriter};
use super::{LogSettings, Stream};

/// Writes the log of one container: cuts its streams into lines and hands them on.
#[derive(Debug)]
pub struct LogWriter {
    lines: LineCutter,
    files: Option<FileWriter>,
    remote: Option<RemoteWriter>,
}

/// Why a log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its file.
    #[error("failed to initialize logging driver")]
    File(#[source] io::Error),
    /// The system log.
    #[error("failed to initialize logging driver")]
    Remote(#[source] RemoteError),
}

impl LogWriter {
    /// Opens what the settings name: files for appending, connections.
    ///
    /// # Errors
    /// [`OpenError`] with what cannot be opened.
    pub fn open(settings: &LogSettings) -> Result<Self, OpenError> {
        let remote = settings.remote.as_ref().map(RemoteWriter::open);
        let files = settings
            .files
            .clone()
            .map(|files| FileWriter::open(files, &settings.attributes));
        Ok(Self {
            lines: LineCutter::default(),
            remote: remote.transpose().map_err(OpenError::Remote)?,
            files: files.transpose().map_err(OpenError::File)?,
        })
    }

    /// Logs bytes of a stream that came at `time`; an unfinished line waits for its rest.
    pub fn push(&mut self, stream: Stream, bytes: &[u8], time: &str) {
        let Self {
            lines,
            files,
            remote,
        } = self;
        lines.push(stream, bytes, |line| {
            if let Some(files) = files {
                files.push(line, time);
            }
            if let Some(remote) = remote {
                remote.push(line, time);
            }
        });
        if let Some(files) = files {
            files.flush();
        }
    }

    /// Logs the unfinished line of a stream that ended.
    pub fn end(&mut self, stream: Stream, time: &str) {
        let Self {
            lines,
            files,
            remote,
        } = self;
        lines.end(stream, |line| {
            if let Some(files) = files {
                files.push(line, time);
                files.flush();
            }
            if let Some(remote) = remote {
                remote.push(line, time);
            }
        });
    }

    /// The first failure since the last call, to be reported once.
    pub fn take_failure(&mut self) -> Option<io::Error> {
        let files = self.files.as_mut().and_then(FileWriter::take_failure);
        files.or_else(|| self.remote.as_mut().and_then(RemoteWriter::take_failure))
    }

    /// What must stay open for it.
    pub(super) fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let files = self.files.as_ref().map(AsFd::as_fd);
        let remote = self.remote.as_ref().and_then(RemoteWriter::descriptor);
        files.into_iter().chain(remote).collect()
    }

    /// Gives back memory when the container is quiet.
    pub fn release(&mut self) {
        if let Some(files) = &mut self.files {
            files.release();
        }
    }
}
