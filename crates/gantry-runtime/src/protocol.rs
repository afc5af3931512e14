//! What parent and child tell each other, over a pair of sockets that keep messages apart.
//!
//! Both sides are the same program in the same moment, so that the form needs no versions; but the
//! child has been inside the container, and so its messages are read with care.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use gantry_sys::fd;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::error::{StartError, Step};
use crate::hooks::{HookError, Turn};

/// What the parent tells the child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// The mappings of your user namespace are there.
    Mapped,
    /// The cgroup that systemd makes is there, and you are in it.
    Placed,
    /// Nobody needs to look into you any more.
    Seen,
    /// Execute; to a container with a gate: its creator has done its part.
    Go,
    /// The hooks of the runtime's namespaces have run.
    Hooked,
}

impl Order {
    fn number(self) -> u8 {
        self as u8
    }
}

/// What the child tells the parent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Report {
    /// Everything is there; waiting for [`Order::Go`]. A terminal's master side comes along.
    Ready,
    /// Everything is mounted; waiting for [`Order::Hooked`]. Only with hooks before the root
    /// changes.
    Mounted,
    /// The seccomp filter is loaded; the descriptor to decide through comes along.
    Listening,
    /// A hook failed.
    HookFailed(HookError),
    /// About to execute: the end of the messages now means success.
    Executing,
    /// A step failed.
    Failed(Failure),
    /// The command does not exist.
    CommandNotFound { command: String, reason: String },
    /// The command cannot be executed.
    CannotInvoke { command: String, reason: String },
}

/// A step of the child's side that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub step: Step,
    pub path: Option<PathBuf>,
    pub errno: i32,
    pub detail: Option<String>,
}

impl Failure {
    /// A step that failed without a path.
    pub(crate) fn new(step: Step, error: &io::Error) -> Failure {
        Failure {
            step,
            path: None,
            errno: error
                .raw_os_error()
                .unwrap_or(rustix::io::Errno::IO.raw_os_error()),
            // What did not come from the kernel says more than an errno.
            detail: error.raw_os_error().is_none().then(|| error.to_string()),
        }
    }

    /// A step that failed on a path.
    pub(crate) fn at(step: Step, path: impl Into<PathBuf>, error: &io::Error) -> Failure {
        Failure {
            path: Some(path.into()),
            ..Failure::new(step, error)
        }
    }
}

impl From<Failure> for StartError {
    fn from(failure: Failure) -> StartError {
        let Failure {
            step,
            path,
            errno,
            detail,
        } = failure;
        StartError::Child {
            step,
            path,
            errno,
            detail,
        }
    }
}

/// One end of the connection.
#[derive(Debug)]
pub(crate) struct Channel(OwnedFd);

/// Longer texts are cut: a message must fit.
const LONGEST_TEXT: usize = 8 * 1024;
const LONGEST_MESSAGE: usize = 2 * LONGEST_TEXT + 64;

const READY: u8 = 1;
const EXECUTING: u8 = 2;
const FAILED: u8 = 3;
const NOT_FOUND: u8 = 4;
const CANNOT_INVOKE: u8 = 5;
const MOUNTED: u8 = 6;
const HOOK_FAILED: u8 = 7;
const LISTENING: u8 = 8;

impl Channel {
    /// Two connected ends.
    pub(crate) fn pair() -> io::Result<(Channel, Channel)> {
        let (left, right) = fd::socket_pair()?;
        Ok((Channel(left), Channel(right)))
    }

    /// Tells the child something.
    pub(crate) fn order(&self, order: Order) -> io::Result<()> {
        fd::send(&self.0, &[order.number()], &[]).map(drop)
    }

    /// Waits for an order. Anything else, above all the end of the parent, is an error.
    pub(crate) fn wait_for(&self, order: Order) -> io::Result<()> {
        let mut buffer = [0; 8];
        let length = fd::receive(&self.0, &mut buffer)?.length;
        if buffer[..length] == [order.number()] {
            return Ok(());
        }
        Err(io::ErrorKind::ConnectionAborted.into())
    }

    /// Waits until the other side has gone.
    pub(crate) fn wait_for_end(&self) {
        while fd::receive(&self.0, &mut [0; 8]).is_ok_and(|message| message.length > 0) {}
    }

    /// A connection that stands already.
    pub(crate) fn of(socket: OwnedFd) -> Channel {
        Channel(socket)
    }

    /// Whether a report is there to be read.
    pub(crate) fn has_report(&self) -> bool {
        let mut interest = [PollFd::new(&self.0, PollFlags::IN)];
        let at_once = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        poll(&mut interest, Some(&at_once)).is_ok_and(|ready| ready > 0)
    }

    /// Tells the parent something.
    pub(crate) fn report(&self, report: &Report, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        fd::send(&self.0, &encode(report), fds).map(drop)
    }

    /// Waits for a report; `None` at the end of the connection.
    pub(crate) fn next_report(&self) -> io::Result<Option<(Report, Option<OwnedFd>)>> {
        let mut buffer = vec![0; LONGEST_MESSAGE];
        let message = fd::receive(&self.0, &mut buffer)?;
        if message.length == 0 {
            return Ok(None);
        }
        let report = decode(&buffer[..message.length]).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Some((report, message.fds.into_iter().next())))
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn encode(report: &Report) -> Vec<u8> {
    let mut bytes = Vec::new();
    match report {
        Report::Ready => bytes.push(READY),
        Report::Mounted => bytes.push(MOUNTED),
        Report::Listening => bytes.push(LISTENING),
        Report::Executing => bytes.push(EXECUTING),
        Report::Failed(failure) => {
            bytes.extend([FAILED, failure.step.number()]);
            bytes.extend(failure.errno.to_ne_bytes());
            let path = failure
                .path
                .as_ref()
                .map(|path| path.as_os_str().as_bytes());
            push_text(&mut bytes, path);
            push_text(&mut bytes, failure.detail.as_deref().map(str::as_bytes));
        }
        Report::HookFailed(HookError { turn, path, reason }) => {
            let turn = Turn::ALL.iter().position(|other| other == turn);
            let turn = turn.and_then(|turn| u8::try_from(turn).ok());
            bytes.extend([HOOK_FAILED, turn.unwrap_or_default()]);
            push_text(&mut bytes, Some(path.as_os_str().as_bytes()));
            push_text(&mut bytes, Some(reason.as_bytes()));
        }
        Report::CommandNotFound { command, reason } => {
            bytes.push(NOT_FOUND);
            push_text(&mut bytes, Some(command.as_bytes()));
            push_text(&mut bytes, Some(reason.as_bytes()));
        }
        Report::CannotInvoke { command, reason } => {
            bytes.push(CANNOT_INVOKE);
            push_text(&mut bytes, Some(command.as_bytes()));
            push_text(&mut bytes, Some(reason.as_bytes()));
        }
    }
    bytes
}

/// Length + 1 and bytes; 0 for none.
fn push_text(bytes: &mut Vec<u8>, text: Option<&[u8]>) {
    let text = text.map(|text| &text[..text.len().min(LONGEST_TEXT)]);
    let length = text.map_or(0, |text| text.len() + 1);
    bytes.extend(u16::try_from(length).unwrap_or(0).to_ne_bytes());
    bytes.extend(text.unwrap_or_default());
}

fn decode(bytes: &[u8]) -> Option<Report> {
    let (kind, mut rest) = bytes.split_first()?;
    Some(match *kind {
        READY => Report::Ready,
        MOUNTED => Report::Mounted,
        LISTENING => Report::Listening,
        EXECUTING => Report::Executing,
        FAILED => {
            let (step, tail) = rest.split_first()?;
            let (errno, tail) = tail.split_first_chunk::<4>()?;
            rest = tail;
            Report::Failed(Failure {
                step: Step::from_number(*step)?,
                errno: i32::from_ne_bytes(*errno),
                path: take_text(&mut rest)?.map(|path| OsString::from_vec(path).into()),
                detail: take_text(&mut rest)?.map(lossy),
            })
        }
        HOOK_FAILED => {
            let (turn, tail) = rest.split_first()?;
            rest = tail;
            Report::HookFailed(HookError {
                turn: *Turn::ALL.get(usize::from(*turn))?,
                path: OsString::from_vec(take_text(&mut rest)??).into(),
                reason: lossy(take_text(&mut rest)??),
            })
        }
        NOT_FOUND => Report::CommandNotFound {
            command: lossy(take_text(&mut rest)??),
            reason: lossy(take_text(&mut rest)??),
        },
        CANNOT_INVOKE => Report::CannotInvoke {
            command: lossy(take_text(&mut rest)??),
            reason: lossy(take_text(&mut rest)??),
        },
        _ => return None,
    })
}

fn lossy(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}

fn take_text(rest: &mut &[u8]) -> Option<Option<Vec<u8>>> {
    let (length, tail) = rest.split_first_chunk::<2>()?;
    let Some(length) = usize::from(u16::from_ne_bytes(*length)).checked_sub(1) else {
        *rest = tail;
        return Some(None);
    };
    let text = tail.get(..length)?;
    *rest = &tail[length..];
    Some(Some(text.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_come_through() {
        let reports = [
            Report::Ready,
            Report::Mounted,
            Report::Listening,
            Report::Executing,
            Report::HookFailed(HookError {
                turn: Turn::StartContainer,
                path: PathBuf::from("/hook"),
                reason: "it exited with code 1".to_owned(),
            }),
            Report::Failed(Failure {
                step: Step::ForkCommand,
                path: Some(PathBuf::from("/a b")),
                errno: 13,
                detail: None,
            }),
            Report::Failed(Failure {
                step: Step::Synchronize,
                path: None,
                errno: -1,
                detail: Some(String::new()),
            }),
            Report::CommandNotFound {
                command: "x".to_owned(),
                reason: "y".to_owned(),
            },
            Report::CannotInvoke {
                command: String::new(),
                reason: "z".repeat(LONGEST_TEXT),
            },
        ];
        let (left, right) = Channel::pair().expect("sockets");
        for report in reports {
            left.report(&report, &[]).expect("sent");
            let (got, fd) = right.next_report().expect("received").expect("one");
            assert_eq!(got, report);
            assert!(fd.is_none());
        }
        left.order(Order::Go).expect("sent");
        assert!(right.wait_for(Order::Mapped).is_err());
        drop(left);
        assert!(right.next_report().expect("the end").is_none());
        assert!(right.wait_for(Order::Go).is_err());
    }

    #[test]
    fn damaged_reports_are_refused() {
        let whole = encode(&Report::CommandNotFound {
            command: "command".to_owned(),
            reason: "reason".to_owned(),
        });
        for length in 0..whole.len() {
            assert_eq!(decode(&whole[..length]), None, "{length}");
        }
        assert_eq!(decode(&[99]), None);
        assert_eq!(decode(&[FAILED, 200, 0, 0, 0, 0, 0, 0, 0, 0]), None);
    }
}
