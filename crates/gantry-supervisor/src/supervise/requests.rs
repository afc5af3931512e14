//! Clients: who they are, what they ask for, when they go.

use std::os::unix::net::UnixStream;

use super::client::{Client, Role};
use super::libc_signal::KILL;
use super::poller::{Interest, Ready, Token};
use super::{INIT, Phase, Supervisor, note};
use crate::launch::Stdin;
use crate::protocol::{Attach, Failure, Kind, Reply, Request, STDIN_WINDOW, VERSION, WindowSize};
use gantry_model::record::Status;

/// Connections at a time; beyond them new ones are turned away.
const MOST_CLIENTS: usize = 256;

/// A frame taken out of a client's decoder.
enum Incoming {
    Stdin(Vec<u8>),
    Request(Request),
}

impl Supervisor {
    pub(super) fn add_client(&mut self, socket: UnixStream, role: Role) {
        let id = self.next_client;
        self.next_client += 1;
        match self.poller.add(&socket, Token::Client(id), Interest::Read) {
            Ok(()) => {
                self.clients.insert(id, Client::new(socket, role));
            }
            Err(error) => note(&format!("cannot follow a client: {error}")),
        }
    }

    pub(super) fn accept(&mut self) {
        let Some(listener) = &self.listener else {
            return;
        };
        match listener.accept() {
            Ok((socket, _)) if self.clients.len() < MOST_CLIENTS => {
                self.add_client(socket, Role::Stranger);
            }
            Ok(_) => note("too many clients: one was turned away"),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => note(&format!("cannot accept a client: {error}")),
        }
    }

    pub(super) fn on_client(&mut self, id: u32, event: Ready) {
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        if event.writable {
            client.flush();
        }
        if event.readable {
            client.receive(&mut self.scratch);
            self.take_messages(id);
        }
    }

    fn take_messages(&mut self, id: u32) {
        while let Some(client) = self.clients.get_mut(&id) {
            let incoming = match client.decoder.next_frame() {
                Ok(None) => return,
                Ok(Some(frame)) if frame.kind == Kind::Stdin => {
                    Ok(Incoming::Stdin(frame.payload.to_vec()))
                }
                Ok(Some(frame)) => frame.message().map(Incoming::Request),
                Err(error) => Err(error),
            };
            match incoming {
                Ok(Incoming::Stdin(bytes)) => self.on_stdin(id, &bytes),
                Ok(Incoming::Request(request)) => self.on_request(id, request),
                Err(error) => {
                    self.fail(id, Failure::internal(error.to_string()));
                    return;
                }
            }
        }
    }

    fn on_request(&mut self, id: u32, request: Request) {
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        match (client.role, request) {
            (Role::Stranger, Request::Hello { version: VERSION }) => client.role = Role::Greeted,
            (Role::Stranger, Request::Hello { version }) => {
                let text =
                    format!("the container's supervisor speaks protocol {VERSION}, not {version}");
                self.fail(id, Failure::internal(text));
            }
            (Role::Greeted, request) => self.on_first_request(id, request),
            (Role::Attached { process, .. }, Request::Resize(size)) => {
                self.resize(process, size);
            }
            (Role::Attached { process, .. }, Request::Signal { signal }) => {
                if let Some(process) = self.processes.get(&process) {
                    process.signal(signal);
                }
            }
            (Role::Attached { process, streams }, Request::CloseStdin) if streams.stdin => {
                self.stdin_ended(process);
            }
            _ => self.fail(id, Failure::internal("a request out of order")),
        }
    }

    fn on_first_request(&mut self, id: u32, request: Request) {
        if self.phase == Phase::Over {
            return self.fail(id, Failure::conflict("the container is not running"));
        }
        match request {
            Request::Attach(streams) => self.attach(id, streams),
            Request::Exec(request) => self.exec(id, *request),
            Request::Stop { signal, timeout } => {
                self.set_role(id, Role::WaitingForStop);
                self.stop(signal, timeout);
            }
            Request::Kill { signal } => self.kill(id, signal),
            Request::Pause => self.freeze(id, true),
            Request::Unpause => self.freeze(id, false),
            Request::Wait { not_running: true } => self.set_role(id, Role::WaitingForStop),
            Request::Wait { not_running: false } => self.set_role(id, Role::WaitingForExit),
            Request::Renamed { name } => {
                let attributes = &mut self.settings.events.attributes;
                attributes.insert("name".into(), name.clone());
                if let Some(removal) = &mut self.settings.removal {
                    removal.name_link.set_file_name(&name);
                }
                self.settings.name = name;
                self.done(id);
            }
            Request::SetRestart(policy) => {
                self.settings.restart = policy;
                self.done(id);
            }
            Request::Hello { .. }
            | Request::Resize(_)
            | Request::CloseStdin
            | Request::Signal { .. } => {
                self.fail(id, Failure::internal("a request out of order"));
            }
        }
    }

    pub(super) fn set_role(&mut self, id: u32, role: Role) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.role = role;
        }
    }

    /// Sets the size of a process's terminal; that of the container's first one is told of.
    fn resize(&mut self, process: u32, size: WindowSize) {
        let Some(found) = self.processes.get(&process) else {
            return;
        };
        match found.streams.resize(size) {
            Ok(()) if process == INIT => self.tell_size(size),
            Ok(()) => {}
            Err(error) => note(&format!("cannot resize the terminal: {error}")),
        }
    }

    fn done(&mut self, id: u32) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.reply(&Reply::Done);
            client.role = Role::Answered;
        }
    }

    fn attach(&mut self, id: u32, streams: Attach) {
        let terminal = self
            .processes
            .get(&INIT)
            .is_some_and(|init| init.streams.has_terminal());
        self.tell("attach");
        if let Some(client) = self.clients.get_mut(&id) {
            client.reply(&Reply::Attached { terminal });
            client.role = Role::Attached {
                process: INIT,
                streams,
            };
        }
    }

    fn kill(&mut self, id: u32, signal: i32) {
        // Between two runs nothing can be sent; what would end a run ends the waiting.
        if matches!(self.phase, Phase::Restarting { .. }) {
            if signal == KILL || signal == self.settings.stop_signal {
                self.stop(None, None);
            }
            return self.done(id);
        }
        let Some(init) = self.processes.get(&INIT) else {
            return self.fail(id, Failure::conflict("the container is not running"));
        };
        if !(1..=64).contains(&signal) {
            return self.fail(id, Failure::internal(format!("invalid signal: {signal}")));
        }
        init.signal(signal);
        self.tell_with("kill", &[("signal", &signal.to_string())]);
        if signal == KILL || signal == self.settings.stop_signal {
            self.ended_by_user = true;
            self.state.stopped_by_user = true;
        }
        self.thaw_after_signal();
        self.done(id);
    }

    fn freeze(&mut self, id: u32, freeze: bool) {
        let Some(run) = self.run.as_ref().filter(|_| self.phase == Phase::Running) else {
            return self.fail(id, Failure::conflict("the container is not running"));
        };
        let paused = self.state.status == Status::Paused;
        if paused == freeze {
            let text = if freeze {
                "is already paused"
            } else {
                "is not paused"
            };
            return self.fail(
                id,
                Failure::conflict(format!("Container {} {text}", self.settings.id)),
            );
        }
        let Some(cgroup) = run.running.cgroup() else {
            let what = if freeze { "pause" } else { "unpause" };
            let mut failure = Failure::internal(format!(
                "cannot {what} the container: without root this needs a delegated cgroup of \
                 version 2"
            ));
            failure.hints = vec![gantry_runtime::DELEGATION_HINT.to_owned()];
            return self.fail(id, failure);
        };
        let outcome = if freeze {
            cgroup.freeze()
        } else {
            cgroup.thaw()
        };
        if let Err(error) = outcome {
            return self.fail(id, Failure::internal(crate::protocol::chain(&error)));
        }
        self.state.status = if freeze {
            Status::Paused
        } else {
            Status::Running
        };
        self.write_state();
        self.tell(if freeze { "pause" } else { "unpause" });
        self.done(id);
    }

    /// A frozen process does not see its signal.
    pub(super) fn thaw_after_signal(&mut self) {
        if self.state.status != Status::Paused {
            return;
        }
        if let Some(cgroup) = self.run.as_ref().and_then(|run| run.running.cgroup())
            && let Err(error) = cgroup.thaw()
        {
            note(&format!("cannot thaw: {}", crate::protocol::chain(&error)));
        }
        self.state.status = Status::Running;
        self.write_state();
    }

    /// Asks the container to stop for good; kills it when the time is up.
    pub(super) fn stop(&mut self, signal: Option<i32>, timeout: Option<i64>) {
        self.state.stopped_by_user = true;
        self.end_for_good(signal, timeout);
    }

    /// The system goes down: end well, and start again with the next boot, which is why nobody
    /// has stopped this container.
    pub(super) fn shut_down(&mut self) {
        self.end_for_good(None, None);
    }

    fn end_for_good(&mut self, signal: Option<i32>, timeout: Option<i64>) {
        self.ended_by_user = true;
        if matches!(self.phase, Phase::Restarting { .. }) {
            self.state.status = Status::Exited;
            let exit = crate::protocol::Exit {
                code: self.state.exit_code,
                ..Default::default()
            };
            return self.finish_life(&exit);
        }
        self.ask_to_end(signal, timeout);
    }

    /// Sends the stop signal; kills the container when the time is up.
    pub(super) fn ask_to_end(&mut self, signal: Option<i32>, timeout: Option<i64>) {
        let Some(init) = self.processes.get(&INIT) else {
            return;
        };
        let signal = signal.unwrap_or(self.settings.stop_signal);
        init.signal(signal);
        self.tell_with("kill", &[("signal", &signal.to_string())]);
        self.stop_asked = true;
        self.thaw_after_signal();
        self.kill_at = match u64::try_from(timeout.unwrap_or(self.settings.stop_timeout)) {
            Ok(seconds) => {
                std::time::Instant::now().checked_add(std::time::Duration::from_secs(seconds))
            }
            Err(_) => None,
        };
    }

    fn on_stdin(&mut self, id: u32, bytes: &[u8]) {
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        let Role::Attached { process, streams } = client.role else {
            return;
        };
        if !streams.stdin {
            return;
        }
        let Some(target) = self.processes.get_mut(&process) else {
            return;
        };
        if target.streams.stdin.waiting_of(id) + bytes.len() > STDIN_WINDOW {
            return self.fail(id, Failure::internal("more stdin than the window allows"));
        }
        target.streams.stdin.push(id, bytes);
        self.feed(process);
    }

    /// Writes queued stdin and gives the senders their windows back.
    pub(super) fn feed(&mut self, process: u32) {
        let Some(target) = self.processes.get_mut(&process) else {
            return;
        };
        let before = target.streams.stdin.wants_room;
        let taken = target.streams.flush_stdin();
        let wants_room = target.streams.stdin.is_waiting();
        target.streams.stdin.wants_room = wants_room;
        // A pipe that was closed has left the poller by itself.
        if wants_room != before
            && let Some(sink) = target.streams.sink()
        {
            self.poller.remove(sink);
            if wants_room
                && let Err(error) = self
                    .poller
                    .add(sink, Token::Stdin(process), Interest::Write)
            {
                note(&format!("cannot wait for room in stdin: {error}"));
            }
        }
        for item in taken {
            if let Some(client) = self.clients.get_mut(&item.client) {
                client.reply(&Reply::StdinTaken { bytes: item.bytes });
            }
        }
    }

    /// A client that sends stdin said that it ended, or went.
    pub(super) fn stdin_ended(&mut self, process: u32) {
        // A terminal has no end: there a program sees end-of-file by a key. An `exec` ends
        // with its one client, a container only when it was made so.
        let closes = process != INIT || self.settings.stdin == Stdin::Once;
        if let Some(target) = self.processes.get_mut(&process)
            && closes
            && !target.streams.has_terminal()
        {
            target.streams.stdin.ended = true;
        }
        self.feed(process);
    }

    /// Tells the client that started this supervisor, the only one there is at that time.
    pub(super) fn tell_starter(&mut self, reply: &Reply) {
        for client in self.clients.values_mut() {
            client.reply(reply);
            if matches!(reply, Reply::Failed(_)) {
                client.role = Role::Answered;
            }
        }
    }

    /// After each round: forgets clients that are gone or served, and waits for room where
    /// bytes are queued.
    pub(super) fn sweep(&mut self) {
        self.release_held_up();
        let mut ended = Vec::new();
        for (id, client) in &mut self.clients {
            let waiting = client.is_waiting();
            if client.gone || (client.role == Role::Answered && !waiting) {
                ended.push(*id);
                continue;
            }
            if waiting != client.wants_room {
                client.wants_room = waiting;
                let interest = if waiting {
                    Interest::Both
                } else {
                    Interest::Read
                };
                if self
                    .poller
                    .change(&*client, Token::Client(*id), interest)
                    .is_err()
                {
                    client.gone = true;
                    ended.push(*id);
                }
            }
        }
        for id in ended {
            let Some(client) = self.clients.remove(&id) else {
                continue;
            };
            self.poller.remove(&client);
            if let Role::Attached { process, streams } = client.role
                && streams.stdin
            {
                self.stdin_ended(process);
            }
        }
        self.release_held_up();
    }
}
