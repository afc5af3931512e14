//! The supervising itself: one loop over everything that can happen.

mod client;
mod ending;
mod exec;
mod health;
mod output;
mod poller;
mod process;
mod requests;
mod restart;
mod start;
mod stdin;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::ExitCode;
use std::time::Instant;

use gantry_model::ContainerState;
use gantry_sys::signal::SignalFd;

use crate::launch::{Launch, Settings};
use crate::log::LogWriter;
use crate::protocol::{Attach, Failure, chain};
use client::{Client, Role};
use health::Health;
use poller::{Interest, Poller, Ready, Token};
use process::Streams;
use restart::Backoff;
use start::Run;

/// Descriptor of the [`Launch`] document.
pub(crate) const DOCUMENT: i32 = 3;
/// Descriptor of the first client's socket.
pub(crate) const CLIENT: i32 = 4;
/// Descriptor of the container's lock, held.
pub(crate) const LOCK: i32 = 5;

/// Number of the container's own process among the processes.
const INIT: u32 = 0;
/// A container that lives so long is one to be waited for in little memory.
const SETTLED: std::time::Duration = std::time::Duration::from_millis(300);
/// Bytes read at once.
const SCRATCH: usize = 64 * 1024;

/// Supervises one container from its start to its end; what the hidden first argument of the
/// binary leads to.
///
/// Expects the document, the first client's socket and the container's lock as descriptors
/// 3, 4 and 5, and nothing else of the process that started it.
#[must_use]
pub fn main() -> ExitCode {
    match Supervisor::begin() {
        Ok(mut supervisor) => {
            supervisor.run();
            ExitCode::SUCCESS
        }
        Err(error) => {
            note(&format!("cannot supervise: {}", chain(&error)));
            ExitCode::FAILURE
        }
    }
}

/// Says something that no client waits for: stderr is the container's `supervisor.log`.
fn note(text: &str) {
    // When even that cannot be written there is nobody left to tell.
    let _unheard = writeln!(io::stderr(), "{} {text}", crate::state::now());
}

/// Where in its life the container is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Its process runs.
    Running,
    /// It waits to be started again.
    Restarting {
        /// When.
        at: Instant,
    },
    /// It ended for good; clients get the last of their output.
    Over,
}

/// Everything a supervisor knows.
#[derive(Debug)]
struct Supervisor {
    settings: Settings,
    /// The bridge, for a container that is on it; one handle for life, because closing it
    /// waits for the kernel.
    networks: Option<gantry_network::Networks>,
    state: ContainerState,
    phase: Phase,
    run: Option<Run>,
    health: Option<Health>,
    processes: BTreeMap<u32, Process>,
    next_process: u32,
    clients: BTreeMap<u32, Client>,
    next_client: u32,
    log: Option<LogWriter>,
    backoff: Backoff,
    /// When a stopping container is killed.
    kill_at: Option<Instant>,
    /// Whether a person ended this run, so that no policy starts it again.
    ended_by_user: bool,
    /// Exit code of the container's process once it ended.
    ended: Option<i32>,
    /// When the rest of an ended run is looked at again.
    conclude_at: Option<Instant>,
    /// When it gives back the memory that starting took.
    quiet_at: Option<Instant>,
    /// Until when conclusion is tried.
    conclude_until: Option<Instant>,
    /// When the bridge may be torn down.
    linger_until: Option<Instant>,
    poller: Poller,
    signals: SignalFd,
    listener: Option<UnixListener>,
    lock: Option<OwnedFd>,
    scratch: Vec<u8>,
}

/// A process with what it reads and writes.
#[derive(Debug)]
struct Process {
    pid: i32,
    pidfd: OwnedFd,
    streams: Streams,
    /// Reading its output rests until its clients caught up.
    held_up: bool,
}

impl Process {
    fn signal(&self, signal: i32) {
        if let Err(error) = gantry_sys::process::signal_pidfd(&self.pidfd, signal) {
            note(&format!(
                "cannot send signal {signal} to {}: {error}",
                self.pid
            ));
        }
    }
}

impl Supervisor {
    fn begin() -> io::Result<Self> {
        let document = gantry_sys::fd::inherited(DOCUMENT)?;
        let client = gantry_sys::fd::inherited(CLIENT)?;
        let lock = gantry_sys::fd::inherited(LOCK)?;
        let launch = start::read_document(document)?;
        start::set_name(&launch.settings);
        let signals = SignalFd::new(&[libc_signal::CHILD, libc_signal::TERMINATE])?;
        let poller = Poller::new()?;
        poller.add(&signals, Token::Signals, Interest::Read)?;
        let Launch {
            settings, attach, ..
        } = &launch;
        let mut supervisor = Self {
            networks: start::networks(settings),
            settings: settings.clone(),
            state: crate::state::read(&settings.folder)?,
            phase: Phase::Running,
            run: None,
            health: None,
            processes: BTreeMap::new(),
            next_process: INIT + 1,
            clients: BTreeMap::new(),
            next_client: 0,
            log: None,
            backoff: Backoff::default(),
            kill_at: None,
            ended_by_user: false,
            ended: None,
            conclude_at: None,
            quiet_at: Some(Instant::now() + SETTLED),
            conclude_until: None,
            linger_until: None,
            poller,
            signals,
            listener: None,
            lock: Some(lock),
            scratch: vec![0; SCRATCH],
        };
        supervisor.state.restart_count = 0;
        supervisor.state.stopped_by_user = false;
        let role = attach.map_or(Role::Answered, |streams| Role::Attached {
            process: INIT,
            streams,
        });
        supervisor.add_client(UnixStream::from(client), role);
        supervisor.first_start(launch);
        Ok(supervisor)
    }

    fn run(&mut self) {
        let mut ready: Vec<Ready> = Vec::new();
        while !self.is_finished() {
            let deadline = self.deadline();
            if let Err(error) = self.poller.wait(deadline, &mut ready) {
                note(&format!("cannot wait for events: {error}"));
                return;
            }
            for event in &ready {
                self.dispatch(*event);
            }
            self.check_timers();
            self.sweep();
        }
    }

    /// Nothing is left to do: no container, no client with output on its way, no bridge.
    fn is_finished(&self) -> bool {
        self.phase == Phase::Over && self.clients.is_empty() && self.linger_until.is_none()
    }

    fn dispatch(&mut self, event: Ready) {
        match event.token {
            Token::Signals => self.on_signals(),
            Token::Listener => {
                // Whoever comes makes it touch memory that waiting does not need.
                self.quiet_at = Some(Instant::now() + SETTLED);
                self.accept();
            }
            Token::Client(client) => self.on_client(client, event),
            Token::Stdout(process) => self.on_output(process, crate::log::Stream::Stdout),
            Token::Stderr(process) => self.on_output(process, crate::log::Stream::Stderr),
            Token::Stdin(process) => self.feed(process),
            Token::Relay => self.answer_names(),
        }
    }

    fn on_signals(&mut self) {
        while let Ok(Some(signal)) = self.signals.read() {
            if signal.signal == libc_signal::TERMINATE {
                // The system goes down: end well, and start again with the next boot.
                self.stop(None, None);
            }
        }
        self.reap();
    }

    /// The next moment at which something is due.
    fn deadline(&self) -> Option<Instant> {
        let restart = match self.phase {
            Phase::Restarting { at } => Some(at),
            _ => None,
        };
        let own = [
            restart,
            self.kill_at,
            self.conclude_at,
            self.linger_until,
            self.quiet_at,
        ];
        let health = self.health.as_ref().map(Health::deadline);
        let clients = self.clients.values().map(Client::deadline);
        own.into_iter().chain(health).chain(clients).flatten().min()
    }

    fn check_timers(&mut self) {
        let now = Instant::now();
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if due(self.quiet_at) {
            self.quiet_at = None;
            self.make_durable();
            if let Err(error) = gantry_sys::memory::let_go() {
                note(&format!("cannot give memory back: {error}"));
            }
        }
        if due(self.kill_at) {
            self.kill_at = None;
            self.kill_everything();
        }
        if due(self.conclude_at) {
            self.conclude_at = None;
            self.conclude();
        }
        if let Phase::Restarting { at } = self.phase
            && at <= now
        {
            self.start_again();
        }
        if due(self.health.as_ref().and_then(Health::deadline)) {
            self.tend_health();
        }
        if due(self.linger_until) {
            self.linger_until = None;
            self.tear_down_bridge();
        }
        for client in self
            .clients
            .values_mut()
            .filter(|client| due(client.deadline()))
        {
            client.give_up();
        }
    }

    /// Puts the container's document on the disk: on the way of a `run` nothing waits for
    /// that, but a container that lives on must be there after a power cut.
    fn make_durable(&self) {
        if self.settings.removal.is_some() {
            return;
        }
        let document = self.settings.folder.join("container.json");
        let synced = std::fs::File::open(document).and_then(|document| {
            document.sync_data()?;
            std::fs::File::open(&self.settings.folder)?.sync_all()
        });
        if let Err(error) = synced {
            note(&format!("cannot sync the container's document: {error}"));
        }
    }

    fn fail(&mut self, client: u32, failure: Failure) {
        if let Some(client) = self.clients.get_mut(&client) {
            client.reply(&crate::protocol::Reply::Failed(failure));
            client.role = Role::Answered;
        }
    }

    /// The clients that follow a stream of a process.
    fn followers(&mut self, process: u32) -> impl Iterator<Item = (&mut Client, Attach)> {
        self.clients
            .values_mut()
            .filter_map(move |client| match client.role {
                Role::Attached {
                    process: followed,
                    streams,
                } if followed == process => Some((client, streams)),
                _ => None,
            })
    }
}

/// The signals that supervisor and container speak of, by their Linux numbers.
mod libc_signal {
    /// `SIGCHLD`.
    pub(super) const CHILD: i32 = 17;
    /// `SIGTERM`.
    pub(super) const TERMINATE: i32 = 15;
    /// `SIGKILL`.
    pub(super) const KILL: i32 = 9;
}
