//! The other end of a supervisor's socket: what engine and command line hold.

mod spawn;

use std::io::{self, IoSlice, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use gantry_model::{Fault, FaultKind};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::RecvFlags;
use rustix::net::sockopt::socket_peercred;
use rustix::process::{Signal, kill_process};

use crate::protocol::{
    self, Attach, Decoder, ExecRequest, Exit, Failure, FrameError, HEADER, Kind, MAX_STREAM, Reply,
    Request, STDIN_WINDOW, VERSION, WindowSize,
};

pub use spawn::spawn;

/// Bytes read from the socket at once.
const CHUNK: usize = 64 * 1024;

/// Why speaking to a supervisor failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// There is no supervisor: the container does not run.
    #[error("the container is not running")]
    NotRunning,
    /// The supervisor went away in the middle.
    #[error("the container's supervisor ended without an answer")]
    Gone,
    /// It cannot be started.
    #[error("cannot start the container's supervisor")]
    Spawn {
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The socket failed.
    #[error("cannot speak to the container's supervisor")]
    Socket {
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It does not answer in the time that it was given.
    #[error("the container's supervisor (process {pid}) does not answer")]
    Silent {
        /// Its number.
        pid: i32,
    },
    /// It said something that is not of the protocol.
    #[error("the container's supervisor speaks another protocol")]
    Protocol {
        /// Why.
        #[source]
        source: FrameError,
    },
    /// It refused or failed.
    #[error(transparent)]
    Failed(Failure),
}

impl Fault for ClientError {
    fn kind(&self) -> FaultKind {
        match self {
            Self::NotRunning => FaultKind::Conflict,
            Self::Failed(failure) => failure.kind(),
            _ => FaultKind::Internal,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Failed(failure) => failure.hints(),
            Self::Silent { .. } => {
                vec!["`gantry kill` and `gantry rm -f` end the container together with it".into()]
            }
            _ => Vec::new(),
        }
    }
}

/// What arrives on an attached session.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// Output (a terminal's too).
    Stdout(&'a [u8]),
    /// Error output.
    Stderr(&'a [u8]),
    /// So many bytes of output were dropped because this session was not read.
    Lost(u64),
    /// The process ended; nothing follows.
    Exited(Exit),
    /// The request failed; nothing follows.
    Failed(Failure),
    /// Nothing at the moment: poll the session for reading.
    Pending,
    /// The supervisor is gone without saying how the process ended.
    Closed,
}

/// One connection to a supervisor.
#[derive(Debug)]
pub struct Session {
    socket: UnixStream,
    decoder: Decoder,
    payload: Vec<u8>,
    credit: usize,
    closed: bool,
    until: Option<Instant>,
}

impl AsFd for Session {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Session {
    /// Connects to the supervisor of the container whose folder below `$RUN` this is.
    ///
    /// # Errors
    /// [`ClientError::NotRunning`] when there is none.
    pub fn connect(run_folder: &Path) -> Result<Self, ClientError> {
        // Through a descriptor, because the path of a socket may have 107 bytes only.
        let folder = match rustix::fs::openat(
            CWD,
            run_folder,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        ) {
            Ok(folder) => folder,
            Err(Errno::NOENT) => return Err(ClientError::NotRunning),
            Err(errno) => {
                return Err(ClientError::Socket {
                    source: errno.into(),
                });
            }
        };
        let name = crate::socket_path(folder.as_fd());
        let socket = match UnixStream::connect(name) {
            Ok(socket) => socket,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
                ) =>
            {
                return Err(ClientError::NotRunning);
            }
            Err(source) => return Err(ClientError::Socket { source }),
        };
        let mut session = Self::over(socket);
        session.send(&Request::Hello { version: VERSION })?;
        Ok(session)
    }

    pub(crate) fn over(socket: UnixStream) -> Self {
        Self {
            socket,
            decoder: Decoder::default(),
            payload: Vec::new(),
            credit: STDIN_WINDOW,
            closed: false,
            until: None,
        }
    }

    /// Has answers waited for so long from now on at most; without it, for ever.
    pub fn answer_within(&mut self, limit: Duration) {
        self.until = Instant::now().checked_add(limit);
    }

    /// Waits until the process runs, and gives its id.
    ///
    /// # Errors
    /// [`ClientError::Failed`] with what made it fail.
    pub fn started(&mut self) -> Result<u32, ClientError> {
        match self.answer()? {
            Reply::Started { pid } => Ok(pid),
            other => Err(unexpected(&other)),
        }
    }

    /// Follows the container's streams from now on; says whether it has a terminal.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn attach(&mut self, attach: Attach) -> Result<bool, ClientError> {
        self.send(&Request::Attach(attach))?;
        match self.answer()? {
            Reply::Attached { terminal } => Ok(terminal),
            other => Err(unexpected(&other)),
        }
    }

    /// Runs a further process, and gives its id; its streams follow on this session.
    ///
    /// # Errors
    /// [`ClientError::Failed`] with what made it fail.
    pub fn exec(&mut self, request: ExecRequest) -> Result<u32, ClientError> {
        self.send(&Request::Exec(Box::new(request)))?;
        self.started()
    }

    /// Stops the container and waits for its end.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn stop(&mut self, signal: Option<i32>, timeout: Option<i64>) -> Result<Exit, ClientError> {
        self.send(&Request::Stop { signal, timeout })?;
        self.exit()
    }

    /// Sends a signal to the container's first process.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn kill(&mut self, signal: i32) -> Result<(), ClientError> {
        self.done(&Request::Kill { signal })
    }

    /// Freezes the container.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn pause(&mut self) -> Result<(), ClientError> {
        self.done(&Request::Pause)
    }

    /// Thaws the container.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn unpause(&mut self) -> Result<(), ClientError> {
        self.done(&Request::Unpause)
    }

    /// Tells that the container has another name.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn renamed(&mut self, name: &str) -> Result<(), ClientError> {
        let name = name.to_owned();
        self.done(&Request::Renamed { name })
    }

    /// Changes the restart policy.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn set_restart(
        &mut self,
        policy: gantry_model::restart::RestartPolicy,
    ) -> Result<(), ClientError> {
        self.done(&Request::SetRestart(policy))
    }

    /// Waits for the end of the present run, or with `not_running` of the last one.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn wait(&mut self, not_running: bool) -> Result<Exit, ClientError> {
        self.send(&Request::Wait { not_running })?;
        self.exit()
    }

    /// Makes this session readable when the container does not run any more; nothing else
    /// arrives on it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn watch_for_end(&mut self) -> Result<(), ClientError> {
        self.send(&Request::Wait { not_running: true })
    }

    /// What arrived; never blocks. Poll the session for reading after [`Event::Pending`].
    ///
    /// # Errors
    /// [`ClientError`]; the session is of no use any more.
    pub fn read(&mut self) -> Result<Event<'_>, ClientError> {
        loop {
            let kind = match self.next_frame()? {
                Some(kind) => kind,
                None if self.closed => return Ok(Event::Closed),
                None if self.receive(RecvFlags::DONTWAIT)? => continue,
                None => return Ok(Event::Pending),
            };
            let reply: Reply = match kind {
                Kind::Stdout => return Ok(Event::Stdout(&self.payload)),
                Kind::Stderr => return Ok(Event::Stderr(&self.payload)),
                Kind::Stdin => continue,
                Kind::Control => self.message()?,
            };
            match reply {
                Reply::StdinTaken { bytes } => {
                    self.credit = (self.credit + bytes).min(STDIN_WINDOW);
                }
                Reply::Lost { bytes } => return Ok(Event::Lost(bytes)),
                Reply::Exited(exit) => return Ok(Event::Exited(exit)),
                Reply::Failed(failure) => return Ok(Event::Failed(failure)),
                Reply::Started { .. } | Reply::Attached { .. } | Reply::Done => {}
            }
        }
    }

    /// Bytes of stdin that [`Session::write_stdin`] takes at the moment. When there are none,
    /// wait until the session is readable and read it: the answer reopens the window.
    #[must_use]
    pub fn stdin_window(&self) -> usize {
        self.credit
    }

    /// Sends stdin; takes at most [`Session::stdin_window`] bytes and says how many.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn write_stdin(&mut self, bytes: &[u8]) -> Result<usize, ClientError> {
        let length = bytes.len().min(self.credit).min(MAX_STREAM);
        if length > 0 {
            self.frame(Kind::Stdin, &bytes[..length])?;
            self.credit -= length;
        }
        Ok(length)
    }

    /// Says that stdin ended.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn close_stdin(&mut self) -> Result<(), ClientError> {
        self.send(&Request::CloseStdin)
    }

    /// Says the size of the terminal.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn resize(&mut self, size: WindowSize) -> Result<(), ClientError> {
        self.send(&Request::Resize(size))
    }

    /// Sends a signal to this session's process.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn signal(&mut self, signal: i32) -> Result<(), ClientError> {
        self.send(&Request::Signal { signal })
    }

    fn done(&mut self, request: &Request) -> Result<(), ClientError> {
        self.send(request)?;
        match self.answer()? {
            Reply::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Waits on for the end that was asked for.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn exit(&mut self) -> Result<Exit, ClientError> {
        match self.answer()? {
            Reply::Exited(exit) => Ok(exit),
            other => Err(unexpected(&other)),
        }
    }

    /// The next answer; blocks. Failures become errors.
    fn answer(&mut self) -> Result<Reply, ClientError> {
        loop {
            match self.next_frame()? {
                Some(Kind::Control) => match self.message()? {
                    Reply::Failed(failure) => return Err(ClientError::Failed(failure)),
                    Reply::StdinTaken { .. } | Reply::Lost { .. } => {}
                    reply => return Ok(reply),
                },
                Some(_) => {}
                None if self.closed => return Err(ClientError::Gone),
                None => {
                    self.wait_awake()?;
                    self.receive(RecvFlags::empty())?;
                }
            }
        }
    }

    /// Waits until there is something to read. A supervisor that somebody stopped (`SIGSTOP`)
    /// would never answer: it is made to go on. One that hangs is given up when its time is over.
    fn wait_awake(&self) -> Result<(), ClientError> {
        let failed = |errno: Errno| ClientError::Socket {
            source: errno.into(),
        };
        let second = Timespec {
            tv_sec: 1,
            tv_nsec: 0,
        };
        loop {
            let mut fds = [PollFd::new(&self.socket, PollFlags::IN)];
            match poll(&mut fds, Some(&second)) {
                Ok(0) => {}
                Err(Errno::INTR) => continue,
                other => return other.map(drop).map_err(failed),
            }
            if let Ok(credentials) = socket_peercred(&self.socket)
                && is_stopped(credentials.pid.as_raw_nonzero().get())
            {
                // One that has gone since closes the socket, which is told next.
                kill_process(credentials.pid, Signal::CONT).ok();
            }
            if self.until.is_some_and(|until| Instant::now() >= until) {
                let credentials = socket_peercred(&self.socket).map_err(failed)?;
                let pid = credentials.pid.as_raw_nonzero().get();
                return Err(ClientError::Silent { pid });
            }
        }
    }

    fn message(&self) -> Result<Reply, ClientError> {
        protocol::Frame {
            kind: Kind::Control,
            payload: &self.payload,
        }
        .message()
        .map_err(|source| ClientError::Protocol { source })
    }

    /// Moves the next whole frame's payload into `self.payload`.
    fn next_frame(&mut self) -> Result<Option<Kind>, ClientError> {
        let frame = self
            .decoder
            .next_frame()
            .map_err(|source| ClientError::Protocol { source })?;
        Ok(frame.map(|frame| {
            self.payload.clear();
            self.payload.extend_from_slice(frame.payload);
            frame.kind
        }))
    }

    /// Reads what is there into the decoder; false when that was nothing.
    fn receive(&mut self, flags: RecvFlags) -> Result<bool, ClientError> {
        let mut chunk = [0_u8; CHUNK];
        let received = if flags.is_empty() {
            (&self.socket).read(&mut chunk)
        } else {
            rustix::net::recv(&self.socket, &mut chunk, flags)
                .map(|(count, _)| count)
                .map_err(io::Error::from)
        };
        match received {
            Ok(0) => {
                self.closed = true;
                Ok(true)
            }
            Ok(count) => {
                self.decoder.feed(&chunk[..count]);
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                self.closed = true;
                Ok(true)
            }
            Err(source) => Err(ClientError::Socket { source }),
        }
    }

    fn send(&mut self, request: &Request) -> Result<(), ClientError> {
        let text = serde_json::to_vec(request).map_err(|error| ClientError::Protocol {
            source: FrameError::Message {
                reason: error.to_string(),
            },
        })?;
        if text.len() > protocol::MAX_CONTROL {
            let source = FrameError::Length { length: text.len() };
            return Err(ClientError::Protocol { source });
        }
        self.frame(Kind::Control, &text)
    }

    fn frame(&mut self, kind: Kind, payload: &[u8]) -> Result<(), ClientError> {
        let head = protocol::header(kind, payload.len());
        let sent = (&self.socket)
            .write_vectored(&[IoSlice::new(&head), IoSlice::new(payload)])
            .and_then(|count| {
                let rest = count.saturating_sub(HEADER);
                if count < HEADER {
                    (&self.socket).write_all(&head[count..])?;
                }
                (&self.socket).write_all(&payload[rest..])
            });
        match sent {
            Ok(()) => Ok(()),
            // What it said before it went is still to be read.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
                ) =>
            {
                Ok(())
            }
            Err(source) => Err(ClientError::Socket { source }),
        }
    }
}

/// Whether this is a supervisor that a signal has stopped.
fn is_stopped(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.contains("(gantry:") && stat.contains(") T ")
}

fn unexpected(reply: &Reply) -> ClientError {
    ClientError::Protocol {
        source: FrameError::Message {
            reason: format!("unexpected answer {reply:?}"),
        },
    }
}
