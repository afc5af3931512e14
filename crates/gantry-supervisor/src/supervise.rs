//! The supervising itself: one loop over everything that can happen.

mod client;
mod ending;
mod events;
mod exec;
mod health;
mod logging;
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
use std::time::{Duration, Instant};

use gantry_model::ContainerState;
use gantry_sys::signal::SignalFd;

use crate::launch::{Launch, Settings};
use crate::protocol::{Attach, Failure, chain};
use client::{Client, Role};
use health::Health;
use logging::Log;
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
const SETTLED: Duration = Duration::from_millis(300);
/// So long after the last event it is so again.
const IDLE: Duration = Duration::from_secs(1);
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
pub(crate) fn note(text: &str) {
    // When even that cannot be written there is nobody left to tell.
    let _unheard = writeln!(io::stderr(), "{} {text}", crate::state::now());
}

/// Says in the lock who holds it: a command without root joins the user namespace of this process.
fn note_pid(lock: &OwnedFd) -> io::Result<()> {
    rustix::fs::ftruncate(lock, 0)?;
    rustix::io::pwrite(lock, std::process::id().to_string().as_bytes(), 0)?;
    Ok(())
}

/// The end of a container that waits for its log.
#[derive(Debug)]
struct Finishing {
    exit: crate::protocol::Exit,
    /// When the rest of the log is given up.
    until: Instant,
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
    log: Option<Log>,
    /// How the container ended, while the last of its log is on its way.
    finishing: Option<Finishing>,
    backoff: Backoff,
    /// When a stopping container is killed.
    kill_at: Option<Instant>,
    /// Whether a person ended this run, so that no policy starts it again.
    ended_by_user: bool,
    /// Whether that was by asking it to stop.
    stop_asked: bool,
    /// Whether it is started again after this run, whatever its policy.
    restart_once: bool,
    /// Exit code of the container's process once it ended.
    ended: Option<i32>,
    /// When the rest of an ended run is looked at again.
    conclude_at: Option<Instant>,
    /// When it begins to wait in little memory.
    quiet_at: Option<Instant>,
    /// Whether the container's document is on the disk.
    durable: bool,
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
    /// What events call it; empty for the container's own process.
    exec_id: String,
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
        note_pid(&lock)?;
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
            finishing: None,
            backoff: Backoff::default(),
            kill_at: None,
            ended_by_user: false,
            stop_asked: false,
            restart_once: false,
            ended: None,
            conclude_at: None,
            quiet_at: Some(Instant::now() + SETTLED),
            durable: false,
            conclude_until: None,
            linger_until: None,
            poller,
            signals,
            listener: None,
            lock: Some(lock),
            scratch: Vec::new(),
        };
        supervisor.state.restart_count = 0;
        supervisor.state.stopped_by_user = false;
        let role = attach.map_or(Role::Answered, |streams| Role::Attached {
            process: INIT,
            streams,
        });
        if matches!(role, Role::Attached { .. }) {
            supervisor.tell("attach");
        }
        supervisor.add_client(UnixStream::from(client), role);
        supervisor.first_start(launch);
        Ok(supervisor)
    }

    fn run(&mut self) {
        let mut ready: Vec<Ready> = Vec::new();
        while !self.is_finished() {
            if let Err(error) = self.wait(&mut ready) {
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

    /// Sleeps until something happens or is due; in little memory once nothing has for a while.
    fn wait(&mut self, ready: &mut Vec<Ready>) -> io::Result<()> {
        if self.quiet_at.is_some_and(|at| at <= Instant::now()) {
            self.quiet_at = None;
            self.make_durable();
            self.scratch = Vec::new();
            if let Err(error) = self.poller.rest(self.deadline()) {
                note(&format!("cannot give memory back: {error}"));
            }
        }
        self.poller.wait(self.deadline(), ready)?;
        if self.scratch.is_empty() {
            self.scratch = vec![0; SCRATCH];
        }
        // Whatever woke it up makes it touch memory that waiting does not need.
        if self.quiet_at.is_none() || (self.durable && !ready.is_empty()) {
            self.quiet_at = Some(Instant::now() + IDLE);
        }
        Ok(())
    }

    /// Nothing is left to do: no container, no client with output on its way, no bridge.
    fn is_finished(&self) -> bool {
        self.phase == Phase::Over
            && self.clients.is_empty()
            && self.linger_until.is_none()
            && self.finishing.is_none()
    }

    fn dispatch(&mut self, event: Ready) {
        match event.token {
            Token::Signals => self.on_signals(),
            Token::Listener => self.accept(),
            Token::Client(client) => self.on_client(client, event),
            Token::Stdout(process) => self.on_output(process, crate::log::Stream::Stdout),
            Token::Stderr(process) => self.on_output(process, crate::log::Stream::Stderr),
            Token::Stdin(process) => self.feed(process),
            Token::Relay => self.answer_names(),
            Token::Log => self.on_courier(),
            Token::Contact => self.on_contact(),
        }
    }

    fn on_signals(&mut self) {
        while let Ok(Some(signal)) = self.signals.read() {
            if signal.signal == libc_signal::TERMINATE {
                self.shut_down();
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
            self.finishing.as_ref().map(|finishing| finishing.until),
        ];
        let health = self.health.as_ref().map(Health::deadline);
        let clients = self.clients.values().map(Client::deadline);
        own.into_iter().chain(health).chain(clients).flatten().min()
    }

    fn check_timers(&mut self) {
        let now = Instant::now();
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if due(self.kill_at) {
            self.kill_at = None;
            self.tell_with("kill", &[("signal", "9")]);
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
        if due(self.finishing.as_ref().map(|finishing| finishing.until)) {
            self.give_up_log();
            self.finish();
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

    /// Puts the container's document on the disk, where the command that made it did not: on
    /// the way of a `run --rm` nothing waits for that, but a container that lives on must not be
    /// one of which a power cut leaves a riddle.
    fn make_durable(&mut self) {
        if std::mem::replace(&mut self.durable, true) {
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
