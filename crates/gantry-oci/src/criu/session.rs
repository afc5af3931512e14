//! One call of criu, from its start to its end.

use std::convert::Infallible;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use gantry_sys::cgroup::{CgroupError, Entrance};
use gantry_sys::mount::{self, Mount, Propagation};
use gantry_sys::path::Directory;
use gantry_sys::process::{Exit, Fork, Namespace, Process, Program};
use gantry_sys::{fd, signal};
use rustix::fs::{Mode, OFlags};
use rustix::io::FdFlags;

use super::CriuRequest;
use super::message::{Message, Value, fields};
use super::options::{Kind, Options};
use crate::error::OciError;

/// What criu says on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Notice {
    /// What has happened, in its words.
    pub(crate) event: String,
    /// The first of the processes, where that is known by now.
    pub(crate) pid: Option<i32>,
}

/// A criu that waits for its order.
#[derive(Debug)]
pub(crate) struct Session {
    process: Process,
    socket: OwnedFd,
    folders: FolderNumbers,
    /// Where it writes what it does.
    log: PathBuf,
}

/// Where processes come back: on a mount that only criu sees, in the cgroup that criu is in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    /// The root file system.
    pub(crate) rootfs: &'a Path,
    /// The folder to mount it on.
    pub(crate) at: &'a Path,
    /// The way into their cgroup.
    pub(crate) entrance: Option<&'a Entrance>,
}

impl Session {
    /// Starts criu, which has this process's standard streams and `inherited` by their numbers,
    /// and writes to a log of this name.
    pub(crate) fn start(
        program: &Path,
        request: &CriuRequest,
        log: &str,
        place: Option<Place<'_>>,
        inherited: &[BorrowedFd<'_>],
    ) -> Result<Session, OciError> {
        let failed = || OciError::file("start", program);
        let (ours, theirs) = fd::socket_pair().map_err(failed())?;
        let root = match place {
            Some(place) => Some((
                Mount::copy_of(place.rootfs, true)
                    .map_err(|error| error.source)
                    .map_err(OciError::file("mount", place.rootfs))?,
                place,
            )),
            None => None,
        };
        let child = Fork {
            namespaces: root.iter().map(|_| Namespace::Mount).collect(),
            cgroup: None,
        };
        let process = child
            .run(|| {
                let begun = signal::reset()
                    .and_then(|()| root.as_ref().map_or(Ok(()), |(root, at)| show(root, *at)))
                    .and_then(|()| become_criu(program, request, inherited, &theirs));
                let Err(error) = begun;
                let errno = error.raw_os_error().unwrap_or_default();
                fd::send(&theirs, &errno.to_ne_bytes(), &[]).ok();
                127
            })
            .map_err(failed())?;
        drop(theirs);
        let begun = meet(&ours).map_err(failed());
        let begun = begun.inspect_err(|_| drop(process.wait()));
        let (socket, folders) = begun?;
        let logs = request.work.as_ref().unwrap_or(&request.images);
        Ok(Session {
            process,
            socket,
            folders,
            log: logs.join(log),
        })
    }

    /// The options that every call has.
    pub(crate) fn options(&self, request: &CriuRequest) -> Options {
        let log = self.log.file_name().unwrap_or_default();
        Options::new(request, self.folders, log)
    }

    /// Its process ID.
    pub(crate) fn pid(&self) -> i32 {
        self.process.pid()
    }

    /// Gives the order and waits until it has been obeyed. `on_notice` gets what criu says on its
    /// way, with the file that comes along; its failure is criu's. Returns the process ID of the
    /// first process that came back, if any did.
    pub(crate) fn obey(
        self,
        kind: Kind,
        options: &Options,
        on_notice: impl FnMut(&Notice, Option<OwnedFd>) -> Result<(), OciError>,
    ) -> Result<Option<i32>, OciError> {
        let mut request = Message::default();
        request.number(TYPE, kind as u64);
        request.bytes(OPTIONS, options.message().as_bytes());
        self.ask(&request, on_notice).map(|answer| answer.restored)
    }

    /// Whether this criu and this kernel find the memory that has changed since it was written.
    pub(crate) fn tracks_memory(self) -> Result<bool, OciError> {
        let mut wanted = Message::default();
        wanted.number(MEMORY_TRACKING, 1);
        let mut request = Message::default();
        request.number(TYPE, FEATURE_CHECK);
        request.bytes(FEATURES, wanted.as_bytes());
        self.ask(&request, |_, _| Ok(()))
            .map(|answer| answer.tracks_memory)
    }

    fn ask(
        self,
        request: &Message,
        on_notice: impl FnMut(&Notice, Option<OwnedFd>) -> Result<(), OciError>,
    ) -> Result<Answer, OciError> {
        let answer = self.converse(request, on_notice);
        let Session {
            process,
            socket,
            log,
            ..
        } = self;
        // After some orders it waits for another, or for this end.
        drop(socket);
        let ended = process.wait().map_err(OciError::system("wait for criu"))?;
        answer.map_err(|failure| match failure {
            Failure::Own(error) => error,
            Failure::Criu(reason) => OciError::Program {
                program: "criu",
                said: explained(&reason, &ended, &log),
            },
        })
    }

    fn converse(
        &self,
        request: &Message,
        mut on_notice: impl FnMut(&Notice, Option<OwnedFd>) -> Result<(), OciError>,
    ) -> Result<Answer, Failure> {
        self.send(request)?;
        let mut refused = None;
        loop {
            let mut buffer = vec![0; LONGEST];
            let message = fd::receive(&self.socket, &mut buffer).map_err(lost)?;
            if message.length == 0 {
                return Err(Failure::Criu("it ended without an answer".to_owned()));
            }
            let answer = Answer::of(&buffer[..message.length]).ok_or_else(damaged)?;
            let Some(notice) = answer.notice.as_ref().filter(|_| answer.kind == NOTIFY) else {
                return match (answer.success, refused) {
                    (true, _) => Ok(answer),
                    (false, Some(error)) => Err(Failure::Own(error)),
                    (false, None) => Err(Failure::Criu(answer.reason)),
                };
            };
            let outcome = on_notice(notice, message.fds.into_iter().next());
            let mut reply = Message::default();
            reply.number(TYPE, NOTIFY);
            reply.number(NOTIFY_SUCCESS, outcome.is_ok().into());
            refused = refused.or(outcome.err());
            self.send(&reply)?;
        }
    }

    fn send(&self, message: &Message) -> Result<(), Failure> {
        fd::send(&self.socket, message.as_bytes(), &[])
            .map(drop)
            .map_err(lost)
    }
}

/// Why a call failed.
enum Failure {
    /// Something of this side.
    Own(OciError),
    /// criu, with what it said itself.
    Criu(String),
}

fn lost(error: io::Error) -> Failure {
    Failure::Criu(format!("the connection to it broke: {error}"))
}

fn damaged() -> Failure {
    Failure::Criu("its answer cannot be read".to_owned())
}

/// Longer than any answer, which are a few numbers.
const LONGEST: usize = 64 * 1024;

const TYPE: u32 = 1;
const OPTIONS: u32 = 2;
const NOTIFY_SUCCESS: u32 = 3;
const FEATURES: u32 = 5;
const MEMORY_TRACKING: u32 = 1;
const FEATURE_CHECK: u64 = 9;
/// The type of what is said on the way.
const NOTIFY: u64 = 6;

/// `criu_resp`, as far as it matters here.
#[derive(Debug, Default, PartialEq, Eq)]
struct Answer {
    kind: u64,
    success: bool,
    restored: Option<i32>,
    notice: Option<Notice>,
    tracks_memory: bool,
    reason: String,
}

impl Answer {
    fn of(bytes: &[u8]) -> Option<Answer> {
        let mut answer = Answer::default();
        let mut said = None;
        for (field, value) in fields(bytes)? {
            match (field, value) {
                (1, Value::Number(kind)) => answer.kind = kind,
                (2, Value::Number(success)) => answer.success = success != 0,
                (4, Value::Bytes(restored)) => {
                    answer.restored = fields(restored)?.iter().find_map(pid_at(1));
                }
                (5, Value::Bytes(notice)) => {
                    let parts = fields(notice)?;
                    let event = parts.iter().find_map(|part| match part {
                        (1, Value::Bytes(event)) => Some(lossy(event)),
                        _ => None,
                    });
                    let pid = parts.iter().find_map(pid_at(2));
                    answer.notice = event.map(|event| Notice { event, pid });
                }
                (7, Value::Number(errno)) if errno != 0 && answer.reason.is_empty() => {
                    let errno = i32::try_from(errno).unwrap_or(0).abs();
                    answer.reason = io::Error::from_raw_os_error(errno).to_string();
                }
                (8, Value::Bytes(features)) => {
                    let tracks = (MEMORY_TRACKING, Value::Number(1));
                    answer.tracks_memory = fields(features)?.contains(&tracks);
                }
                (9, Value::Bytes(text)) => said = Some(lossy(text)),
                _ => {}
            }
        }
        if let Some(said) = said {
            answer.reason = said;
        }
        Some(answer)
    }
}

fn pid_at(field: u32) -> impl Fn(&(u32, Value<'_>)) -> Option<i32> {
    move |part| match part {
        (number, Value::Number(pid)) if *number == field => i32::try_from(*pid).ok(),
        _ => None,
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Why criu failed: the error that it tells or else that of its log, which says more.
fn explained(reason: &str, ended: &Exit, log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let mut said = match first_error(reason).or_else(|| first_error(&text)) {
        Some(error) => error.to_owned(),
        None if reason.is_empty() => "it gave no reason".to_owned(),
        None => reason.to_owned(),
    };
    if let Exit::Code(code @ 1..) = ended {
        said += &format!(" (exit code {code})");
    }
    if !text.is_empty() {
        said += &format!("; more is in {}", log.display());
    }
    said
}

/// The first error of a log that is not about criu's own limits: the later ones follow from it.
fn first_error(log: &str) -> Option<&str> {
    log.lines()
        .filter_map(|line| line.split_once("Error (")?.1.split_once("): "))
        .map(|(_, error)| error.trim())
        .find(|error| !error.starts_with("rlimit: "))
}

/// Mounts a root in its place, for this process alone, and enters the cgroup.
fn show(root: &Mount, place: Place<'_>) -> io::Result<()> {
    let entered = place.entrance.map_or(Ok(()), Entrance::enter);
    entered.map_err(|error| match error {
        CgroupError::Write { source, .. } => source,
        other => io::Error::other(other),
    })?;
    mount::change_everything(Propagation::Slave).map_err(|error| error.source)?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(place.at, flags, Mode::empty())?;
    root.attach(&folder).map_err(|error| error.source)
}

/// The numbers of the open folders of a call, in criu.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FolderNumbers {
    pub(super) images: i32,
    pub(super) work: i32,
}

/// Becomes criu. It takes folders by the numbers they have in the process that made its socket,
/// and mounts below them: so both are made here, in its own mount namespace.
fn become_criu(
    program: &Path,
    request: &CriuRequest,
    inherited: &[BorrowedFd<'_>],
    parent: &OwnedFd,
) -> io::Result<Infallible> {
    let images = Directory::open(&request.images)?;
    let work = Directory::open(request.work.as_ref().unwrap_or(&request.images))?;
    let (theirs, own) = fd::socket_pair()?;
    let files = [own.as_fd(), images.as_fd(), work.as_fd()];
    for file in files.iter().chain(inherited) {
        rustix::io::fcntl_setfd(file, FdFlags::empty())?;
    }
    let words = [
        "criu".to_owned(),
        "swrk".to_owned(),
        own.as_raw_fd().to_string(),
    ];
    let criu = Program::inheriting(program.as_os_str(), words)?;
    let numbers = [&images, &work].map(|folder| folder.as_fd().as_raw_fd().to_ne_bytes());
    fd::send(parent, &numbers.concat(), &[theirs.as_fd()])?;
    Err(criu.execute())
}

/// Waits for the socket and the numbers that [`become_criu`] sends.
fn meet(socket: &OwnedFd) -> io::Result<(OwnedFd, FolderNumbers)> {
    let mut buffer = [0; 8];
    let message = fd::receive(socket, &mut buffer)?;
    let number = |at: usize| {
        let bytes = buffer[at..at + 4].try_into().unwrap_or_default();
        i32::from_ne_bytes(bytes)
    };
    match message.fds.into_iter().next() {
        Some(socket) if message.length == buffer.len() => {
            let folders = FolderNumbers {
                images: number(0),
                work: number(4),
            };
            Ok((socket, folders))
        }
        _ => Err(io::Error::from_raw_os_error(number(0))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let mut notice = Message::default();
        notice.bytes(1, b"post-restore");
        notice.number(2, 4711);
        let mut message = Message::default();
        message.number(1, NOTIFY);
        message.number(2, 1);
        message.bytes(5, notice.as_bytes());
        let answer = Answer::of(message.as_bytes()).unwrap();
        let want = Notice {
            event: "post-restore".to_owned(),
            pid: Some(4711),
        };
        assert_eq!((answer.kind, answer.success), (NOTIFY, true));
        assert_eq!(answer.notice, Some(want));

        let mut message = Message::default();
        message.number(1, Kind::Dump as u64);
        message.number(2, 0);
        message.number(7, 3);
        assert_eq!(
            Answer::of(message.as_bytes()).unwrap().reason,
            io::Error::from_raw_os_error(3).to_string()
        );
    }

    #[test]
    fn the_error_that_counts_is_found() {
        let log = "(00.1) Error (criu/util.c:1534): rlimit: Can't setup RLIMIT_NOFILE\n\
            (00.2) Warn  (criu/x.c:1): something\n\
            (00.3) Error (criu/files-reg.c:1790): Can't lookup mount=24 for fd=0\n\
            (00.4) Error (criu/cr-dump.c:1975): Dumping FAILED.\n";
        assert_eq!(first_error(log), Some("Can't lookup mount=24 for fd=0"));
        assert_eq!(first_error(""), None);
    }
}
