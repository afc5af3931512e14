//! Further processes in the container.

use std::io;

use gantry_model::record::Status;
use gantry_runtime::{ExecTarget, OverlayRoot};

use super::client::Role;
use super::process::Streams;
use super::{Phase, Process, Supervisor, note};
use crate::launch::Stdin;
use crate::protocol::{ExecRequest, Failure, Reply, WindowSize};

/// Processes beside the container's own at a time.
const MOST_EXECS: usize = 512;

impl Supervisor {
    pub(super) fn exec(&mut self, client: u32, request: ExecRequest) {
        match self.start_exec(&request) {
            Ok((id, pid)) => {
                if let Some(client) = self.clients.get_mut(&client) {
                    client.reply(&Reply::Started {
                        pid: pid.unsigned_abs(),
                    });
                    client.role = match request.attach {
                        Some(streams) => Role::Attached {
                            process: id,
                            streams,
                        },
                        None => Role::Answered,
                    };
                }
            }
            Err(failure) => self.fail(client, failure),
        }
    }

    pub(super) fn start_exec(&mut self, request: &ExecRequest) -> Result<(u32, i32), Failure> {
        let running = (self.phase == Phase::Running && self.ended.is_none())
            .then_some(self.run.as_ref())
            .flatten()
            .ok_or_else(|| Failure::conflict("the container is not running"))?;
        if self.state.status == Status::Paused {
            let text = format!(
                "Container {} is paused, unpause the container before exec",
                self.settings.name
            );
            return Err(Failure::conflict(text));
        }
        if self.processes.len() > MOST_EXECS {
            return Err(Failure::internal(
                "too many processes were added to this container",
            ));
        }
        let internal = |error: io::Error| {
            Failure::internal(format!(
                "cannot prepare the streams of the process: {error}"
            ))
        };
        let attach = request.attach.unwrap_or_default();
        let (mut streams, theirs) = if request.process.terminal().unwrap_or(false) {
            Streams::terminal(request.process.console_size().map(window))
        } else if request.attach.is_none() {
            Streams::null().map_err(internal)?
        } else {
            let stdin = if attach.stdin {
                Stdin::Once
            } else {
                Stdin::Closed
            };
            Streams::pipes(stdin).map_err(internal)?
        };
        let target = ExecTarget {
            pidfd: running.running.pidfd(),
            pid: running.running.pid(),
            cgroup: running.running.cgroup(),
            seccomp: running.seccomp.as_ref(),
            die_with_parent: true,
            preserve_fds: 0,
            listening: None,
        };
        let exec_id = random_id().map_err(internal)?;
        let said = command_line(&request.process);
        let tools = request.toolbox.as_ref().map(|toolbox| OverlayRoot {
            lowers: toolbox.lowers.clone(),
            data: Vec::new(),
            upper: toolbox.upper.clone(),
            work: toolbox.work.clone(),
            volatile: true,
        });
        let started = match &tools {
            None => gantry_runtime::exec(&target, &request.process, theirs.stdio()),
            Some(tools) => {
                gantry_runtime::exec_among(tools, &target, &request.process, theirs.stdio())
            }
        };
        let mut process = started.map_err(|error| Failure::from_fault(&error))?;
        drop(theirs);
        let pid = process.pid();
        let pidfd = process.pidfd().try_clone_to_owned().map_err(internal)?;
        if let Some(master) = process.take_terminal()
            && let Err(error) = streams.set_terminal(master)
        {
            note(&format!("cannot use the terminal: {error}"));
        }
        for action in ["exec_create", "exec_start"] {
            self.tell_with(format!("{action}: {said}"), &[("execID", &exec_id)]);
        }
        let id = self.next_process;
        self.next_process += 1;
        self.watch(
            id,
            Process {
                pid,
                pidfd,
                streams,
                exec_id,
                held_up: false,
            },
        );
        Ok((id, pid))
    }
}

/// The command as events have it; Docker leaves a space behind it when it has no arguments.
fn command_line(process: &oci_spec::runtime::Process) -> String {
    let args = process.args().as_deref().unwrap_or_default();
    match args.split_first() {
        Some((command, rest)) => format!("{command} {}", rest.join(" ")),
        None => String::new(),
    }
}

fn random_id() -> io::Result<String> {
    let mut bytes = [0_u8; 32];
    rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty())?;
    Ok(gantry_model::digest::hex_encode(&bytes))
}

fn window(size: oci_spec::runtime::Box) -> WindowSize {
    let fit = |value: u64| u16::try_from(value).unwrap_or(u16::MAX);
    WindowSize {
        rows: fit(size.height()),
        columns: fit(size.width()),
    }
}
