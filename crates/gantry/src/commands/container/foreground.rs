//! Running in the foreground: which streams are attached, and what the end means.

use gantry_model::ContainerSpec;
use gantry_supervisor::client::Session;
use gantry_supervisor::protocol::{Attach, WindowSize};

use crate::failure::{Exit, Failure, Outcome};
use crate::flags::detach_keys::DetachKeys;
use crate::flags::value::wrong;
use crate::stream::pump::{End, Streams};
use crate::stream::terminal;

/// What a client attaches to.
#[derive(Debug, Clone)]
pub(crate) struct Foreground {
    /// The streams the supervisor is asked for.
    pub(crate) attach: Attach,
    /// How they are carried.
    pub(crate) streams: Streams,
}

/// What the flags say of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wishes<'a> {
    /// `-a`: the streams; all without.
    pub(crate) only: &'a [String],
    /// `-i`.
    pub(crate) interactive: bool,
    /// `-t`.
    pub(crate) tty: bool,
    /// `--sig-proxy`.
    pub(crate) proxy_signals: bool,
    /// `--detach-keys`.
    pub(crate) detach_keys: Option<&'a str>,
}

/// The streams that `-a` names; without it the outputs, and with `-i` the input.
pub(crate) fn streams(only: &[String], interactive: bool) -> Result<Attach, Failure> {
    let mut attach = Attach {
        lossless: true,
        ..Attach::default()
    };
    for stream in only {
        match stream.to_lowercase().as_str() {
            "stdin" => attach.stdin = true,
            "stdout" => attach.stdout = true,
            "stderr" => attach.stderr = true,
            _ => {
                let reason = "valid streams are STDIN, STDOUT and STDERR";
                return Err(wrong("-a, --attach", stream)(reason).into());
            }
        }
    }
    if only.is_empty() {
        attach.stdin = interactive;
        (attach.stdout, attach.stderr) = (true, true);
    }
    Ok(attach)
}

/// Notes in a specification what was to be attached.
pub(crate) fn note(spec: &mut ContainerSpec, attach: Attach) {
    spec.stdin_once = spec.interactive && attach.stdin;
    spec.attach_stdout = attach.stdout;
    spec.attach_stderr = attach.stderr;
}

impl Foreground {
    /// The streams that `wishes` mean, checked against the caller's terminal.
    pub(crate) fn new(wishes: Wishes<'_>) -> Result<Self, Failure> {
        let attach = streams(wishes.only, wishes.interactive)?;
        let text = wishes.detach_keys.unwrap_or_default();
        let detach_keys = DetachKeys::parse(text).map_err(|error| {
            Failure::invalid(format!("invalid detach keys ({text}) provided: {error}"))
        })?;
        let streams = Streams {
            stdin: attach.stdin,
            tty: wishes.tty,
            proxy_signals: wishes.proxy_signals,
            detach_keys,
        };
        streams.check()?;
        Ok(Self { attach, streams })
    }

    /// The size of the caller's terminal, for a process that has one.
    pub(crate) fn window(&self) -> Option<WindowSize> {
        if !self.streams.tty {
            return None;
        }
        let (rows, columns) = terminal::size()?;
        Some(WindowSize { rows, columns })
    }

    /// Carries the streams to their end.
    pub(crate) fn carry(self, session: &mut Session) -> Outcome {
        match self.streams.carry(session)? {
            End::Exited(code) => Ok(Exit::from_code(code)),
            End::Detached => Ok(Exit::SUCCESS),
            End::Signalled(signal) => Ok(Exit::from_code(128 + signal)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attach(only: &[&str], interactive: bool) -> Result<Attach, Failure> {
        let only: Vec<String> = only.iter().map(|s| (*s).to_owned()).collect();
        let wishes = Wishes {
            only: &only,
            interactive,
            tty: false,
            proxy_signals: true,
            detach_keys: None,
        };
        Foreground::new(wishes).map(|foreground| foreground.attach)
    }

    #[test]
    fn streams_are_chosen_as_docker_does() {
        let all = attach(&[], true).unwrap();
        assert!(all.stdin && all.stdout && all.stderr);
        assert!(!attach(&[], false).unwrap().stdin);
        let one = attach(&["STDERR"], true).unwrap();
        assert!(!one.stdin && !one.stdout && one.stderr);
        assert!(attach(&["stdbad"], false).is_err());
    }
}
