//! A shell where a step failed: its container once more, over the same layer, with a terminal.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::helper;
use crate::error::StepError;
use crate::failure_shell::FailureShell;
use crate::run_step::{Kind, Outcome, Request, Work};
use crate::stop::Stop;

/// What a program that draws on the terminal goes by, where the step does not say: as in `run -t`.
const TERM: &str = "TERM=xterm";

/// Lets a person look around in a step that failed, unless another one failed before. Everything
/// else of the build ends first.
pub(super) fn offer(
    shell: &dyn FailureShell,
    failure: &StepError,
    work: Work,
    folder: BorrowedFd<'_>,
    program: &str,
    stop: &Stop,
) {
    let Work::Step(mut request) = work else {
        return;
    };
    if stop.is_stopped() || !stop.fail() {
        return;
    }
    let opened = prepare(&mut request, program, shell.size())
        .and_then(|()| open(shell, failure, Work::Step(request), folder, program, stop));
    if let Err(error) = opened {
        shell.refuse(&format!(
            "{failure}\n{program} cannot be used to look around in the failed step: {error}"
        ));
    }
}

fn open(
    shell: &dyn FailureShell,
    failure: &StepError,
    work: Work,
    folder: BorrowedFd<'_>,
    program: &str,
    stop: &Stop,
) -> io::Result<()> {
    let [client, _] = stop.descriptors();
    let (ours, theirs) = UnixStream::pair()?;
    let null = OwnedFd::from(File::options().write(true).open("/dev/null")?);
    let process = helper::start(&work, folder, [&null, &null], &theirs)?;
    drop(theirs);
    let talked = helper::terminal(&ours).and_then(|started| match started {
        Ok(terminal) => {
            let notice = format!(
                "{failure}\n{program} in the file system of the failed step; the build ends when \
                 you leave it"
            );
            shell.converse(&notice, terminal.as_fd(), client)
        }
        Err(outcome) => {
            shell.refuse(&format!("{failure}\n{}", unopened(program, &outcome)));
            Ok(())
        }
    });
    // The helper ends the container when nobody listens to it any more.
    let _closed = ours.shutdown(std::net::Shutdown::Both);
    process.wait()?;
    talked
}

/// The step with the shell in the place of its process.
fn prepare(request: &mut Request, program: &str, size: (u16, u16)) -> io::Result<()> {
    let views = request.layout.views.iter();
    let works = views.filter_map(|view| view.upper.as_ref().map(|(_, work)| work));
    for work in works.chain([&request.work]) {
        renew(work)?;
    }
    request.terminal = Some(size);
    if let Some(process) = request.spec.process_mut() {
        process.set_args(Some(vec![program.to_owned()]));
        let mut environment = process.env().clone().unwrap_or_default();
        if !environment.iter().any(|entry| entry.starts_with("TERM=")) {
            environment.push(TERM.to_owned());
        }
        process.set_env(Some(environment));
    }
    Ok(())
}

/// An overlay that was not synced cannot be mounted again with the work directory it had: the
/// kernel takes it for one that a crash left behind.
fn renew(work: &Path) -> io::Result<()> {
    for entry in fs::read_dir(work)? {
        let path = entry?.path();
        if path.is_dir() {
            fs::remove_dir_all(path)?;
        } else {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Why there is no shell, in a sentence.
fn unopened(program: &str, outcome: &Outcome) -> String {
    match outcome {
        Outcome::Failed {
            kind: Kind::CommandNotFound,
            ..
        } => format!(
            "there is no {program} in the file system of the failed step to look around with; a \
             SHELL instruction before it can name another"
        ),
        Outcome::Failed { message, .. } => {
            format!("{program} cannot be started in the failed step: {message}")
        }
        Outcome::Exited { code, .. } => format!("{program} ended at once with exit code {code}"),
    }
}
