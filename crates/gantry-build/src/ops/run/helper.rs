//! The helper process of a step: started, listened to, stopped.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use gantry_sys::process::{Image, Process, Spawn};
use rustix::event::{PollFd, PollFlags, poll};

use super::Output;
use crate::error::StepError;
use crate::graph::RunOperation;
use crate::progress::LogStream;
use crate::run_step::{ARGUMENT, CONTROL, DOCUMENT, FOLDER, Kind, Outcome, TERMINAL, Work};
use crate::stop::Stop;

/// How much output is read at once.
const CHUNK: usize = 64 << 10;
/// What the kernel says of a program that it cannot run.
const NO_FORMAT: &str = "exec format error";
/// Most bytes of an answer.
const ANSWER: u64 = 1 << 20;

/// Runs a step in a helper process, and waits for its end.
pub(super) fn run(
    work: &Work,
    folder: BorrowedFd<'_>,
    operation: &RunOperation,
    stop: &Stop,
    output: &Output<'_>,
) -> Result<(), StepError> {
    let command = operation.arguments.join(" ");
    let failed = |source: io::Error| StepError::io("start the helper of", command.clone(), source);
    let (out, out_write) = gantry_sys::fd::pipe().map_err(failed)?;
    let (err, err_write) = gantry_sys::fd::pipe().map_err(failed)?;
    let (ours, theirs) = UnixStream::pair().map_err(failed)?;
    let process = start(work, folder, [&out_write, &err_write], &theirs).map_err(failed)?;
    drop((out_write, err_write, theirs));
    let listened = listen(out, err, &ours, stop, output);
    if !matches!(listened, Ok(false)) {
        // The helper ends the container when nobody listens to it any more.
        let _closed = ours.shutdown(std::net::Shutdown::Both);
    }
    let answer = listened.and_then(|stopped| {
        if stopped {
            Ok(None)
        } else {
            answer(&ours).map(Some)
        }
    });
    process.wait().map_err(failed)?;
    match answer.map_err(failed)? {
        None => Err(StepError::Canceled),
        Some(Outcome::Exited { code: 0, .. }) => Ok(()),
        Some(Outcome::Exited {
            code,
            out_of_memory: true,
        }) => Err(StepError::OutOfMemory {
            command,
            code,
            limit: memory_limit(work),
        }),
        Some(Outcome::Exited { code, .. }) => Err(StepError::Process {
            command,
            code,
            short: None,
        }),
        Some(Outcome::Failed {
            message,
            kind,
            hints,
            code: _,
        }) => Err(match &operation.foreign {
            // The kernel alone knows which programs of other machines it can run.
            Some(platform) if kind == Kind::CannotInvoke && message.contains(NO_FORMAT) => {
                StepError::NoEmulator {
                    command,
                    platform: Box::new(platform.clone()),
                }
            }
            _ => StepError::Start {
                command,
                message,
                kind: kind.into(),
                hints,
            },
        }),
    }
}

/// The memory that a step may use, in bytes.
fn memory_limit(work: &Work) -> Option<u64> {
    let Work::Step(request) = work else {
        return None;
    };
    let resources = request.spec.linux().as_ref()?.resources().as_ref()?;
    let limit = resources.memory().as_ref()?.limit()?;
    u64::try_from(limit).ok()
}

pub(super) fn start(
    work: &Work,
    folder: BorrowedFd<'_>,
    [out, err]: [&OwnedFd; 2],
    control: &UnixStream,
) -> io::Result<Process> {
    let document = gantry_sys::fd::sealed("run-step", &serde_json::to_vec(work)?)?;
    let null = File::open("/dev/null")?;
    Spawn {
        image: Image::own()?,
        arguments: &[OsStr::new("gantry"), OsStr::new(ARGUMENT)],
        environment: &[],
        descriptors: &[
            (null.as_fd(), 0),
            (out.as_fd(), 1),
            (err.as_fd(), 2),
            (document.as_fd(), DOCUMENT),
            (control.as_fd(), CONTROL),
            (folder, FOLDER),
        ],
        // A Ctrl-C in the terminal is for the build, which ends the step in order.
        new_session: true,
        die_with_parent: false,
    }
    .start()
}

/// Passes output on until both streams end; says whether the build was stopped before.
fn listen(
    out: OwnedFd,
    err: OwnedFd,
    control: &UnixStream,
    stop: &Stop,
    output: &Output<'_>,
) -> io::Result<bool> {
    let mut streams = [
        (LogStream::Stdout, Some(File::from(out))),
        (LogStream::Stderr, Some(File::from(err))),
    ];
    let mut buffer = vec![0; CHUNK];
    loop {
        let [client, failure] = stop.descriptors();
        let mut fds = vec![
            PollFd::from_borrowed_fd(client, PollFlags::IN),
            PollFd::from_borrowed_fd(failure, PollFlags::IN),
        ];
        let open: Vec<usize> = (0..streams.len())
            .filter(|index| streams[*index].1.is_some())
            .collect();
        if open.is_empty() {
            break;
        }
        fds.extend(
            open.iter()
                .filter_map(|index| streams[*index].1.as_ref())
                .map(|file| PollFd::new(file, PollFlags::IN)),
        );
        match poll(&mut fds, None) {
            Err(rustix::io::Errno::INTR) => continue,
            other => other.map_err(io::Error::from)?,
        };
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        if ready[0] || ready[1] {
            return Ok(true);
        }
        for (index, ready) in open.into_iter().zip(&ready[2..]) {
            let (stream, file) = &mut streams[index];
            if let (true, Some(reader)) = (*ready, file.as_mut()) {
                match reader.read(&mut buffer)? {
                    0 => *file = None,
                    count => output(*stream, &buffer[..count]),
                }
            }
        }
    }
    // Both streams may be closed long before the process ends.
    wait_readable(control, stop)
}

fn wait_readable(control: &UnixStream, stop: &Stop) -> io::Result<bool> {
    loop {
        let [client, failure] = stop.descriptors();
        let mut fds = [
            PollFd::from_borrowed_fd(client, PollFlags::IN),
            PollFd::from_borrowed_fd(failure, PollFlags::IN),
            PollFd::new(control, PollFlags::IN),
        ];
        match poll(&mut fds, None) {
            Err(rustix::io::Errno::INTR) => continue,
            other => other.map_err(io::Error::from)?,
        };
        if !fds[2].revents().is_empty() {
            return Ok(false);
        }
        return Ok(true);
    }
}

/// The terminal of a process that has one; what became of it, where it was not started.
pub(super) fn terminal(control: &UnixStream) -> io::Result<Result<OwnedFd, Outcome>> {
    let mut first = [0];
    let mut message = gantry_sys::fd::receive(control, &mut first)?;
    match message.fds.pop() {
        Some(terminal) if first == [TERMINAL] => Ok(Ok(terminal)),
        _ => answer_after(first[..message.length].to_vec(), control).map(Err),
    }
}

fn answer(control: &UnixStream) -> io::Result<Outcome> {
    answer_after(Vec::new(), control)
}

/// An answer of which `text` was read.
fn answer_after(mut text: Vec<u8>, control: &UnixStream) -> io::Result<Outcome> {
    control.take(ANSWER).read_to_end(&mut text)?;
    if text.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "it ended without an answer",
        ));
    }
    Ok(serde_json::from_slice(&text)?)
}
