//! The helper process in which one `RUN` is executed.
//!
//! A container is cloned from a process with one thread; the builder has many. So the builder
//! re-executes its own binary with [`ARGUMENT`] as the first argument, and the binary's `main`
//! hands over to [`main`] before it parses anything.
//!
//! The helper gets a document and a socket. It makes the container, waits for its end, and answers
//! on the socket. When the other end of the socket is closed, it ends the container and cleans up:
//! a builder that was killed leaves nothing behind.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use gantry_model::{Fault, FaultKind, Shortage};
use gantry_network::{
    AttachRequest, LINGER, NetworkConfig, NetworkError, Networks, Relay, UserNetwork, UserRequest,
    loopback_up,
};
use gantry_runtime::{
    Launch, OverlayRoot, PrepareError, RootFs, Running, SeccompChoice, StartError, Stdio, create,
};
use gantry_sys::process::{Image, Spawn};
use oci_spec::runtime::Spec;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::{Deserialize, Serialize};

use crate::error::chain;
use crate::host_address::HostAddress;
use place::{Agents, Layout};

pub(crate) mod place;

/// The hidden first argument.
pub const ARGUMENT: &str = "__run-step";

/// Version of the documents.
pub(crate) const VERSION: u32 = 5;
/// Descriptor of the document.
pub(crate) const DOCUMENT: RawFd = 3;
/// Descriptor of the socket.
pub(crate) const CONTROL: RawFd = 4;
/// Descriptor of the step's folder, which is locked as long as anybody has it.
pub(crate) const FOLDER: RawFd = 5;
/// What comes with the descriptor of a terminal; an answer begins otherwise.
pub(crate) const TERMINAL: u8 = b't';
/// Most bytes of a document.
const LARGEST: u64 = 64 << 20;
/// SIGKILL, as every Linux numbers it.
const KILLED: i32 = 128 + 9;

/// What a helper is to do.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Work {
    /// A step.
    Step(Box<Request>),
    /// Wait a little, and remove the bridge if nobody is on it.
    Teardown { version: u32, run_root: PathBuf },
}

/// A step.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) version: u32,
    pub(crate) id: String,
    pub(crate) spec: Spec,
    /// Top first.
    pub(crate) lowers: Vec<PathBuf>,
    pub(crate) upper: PathBuf,
    pub(crate) work: PathBuf,
    pub(crate) network: Network,
    /// Whether Docker's default profile lets system calls through, and not the document's.
    pub(crate) usual_system_calls: bool,
    /// Whether limits of processes were asked for: then all of them must be had.
    pub(crate) strict_rlimits: bool,
    /// Name servers that the container reaches through a relay only.
    pub(crate) relay_to: Vec<SocketAddr>,
    /// The file that is mounted as `/etc/hosts`; the address `host-gateway` in it becomes that of
    /// this machine.
    pub(crate) hosts: PathBuf,
    pub(crate) hostname: String,
    pub(crate) run_root: PathBuf,
    /// A folder of this step alone.
    pub(crate) folder: PathBuf,
    pub(crate) layout: Layout,
    /// Rows and columns of the terminal that the process gets, and whose master side comes up the
    /// socket; without, it has the standard streams of the helper.
    pub(crate) terminal: Option<(u16, u16)>,
}

/// The network of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Network {
    Bridge,
    /// One that a program of the user's carries.
    User,
    Loopback,
    Host,
}

/// What became of a step.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Outcome {
    /// The process ended.
    Exited {
        code: i32,
        /// Whether the kernel killed one of its processes for want of memory.
        out_of_memory: bool,
    },
    /// It could not be started.
    Failed {
        message: String,
        kind: Kind,
        hints: Vec<String>,
        code: i32,
    },
}

/// [`FaultKind`], as it crosses the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    CannotInvoke,
    CommandNotFound,
    Invalid,
    Unsupported,
    Forbidden,
    Unavailable,
    Internal,
}

impl From<FaultKind> for Kind {
    fn from(kind: FaultKind) -> Self {
        match kind {
            FaultKind::CannotInvoke => Self::CannotInvoke,
            FaultKind::CommandNotFound => Self::CommandNotFound,
            FaultKind::Invalid => Self::Invalid,
            FaultKind::Unsupported => Self::Unsupported,
            FaultKind::Forbidden => Self::Forbidden,
            FaultKind::Unavailable => Self::Unavailable,
            _ => Self::Internal,
        }
    }
}

impl From<Kind> for FaultKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::CannotInvoke => Self::CannotInvoke,
            Kind::CommandNotFound => Self::CommandNotFound,
            Kind::Invalid => Self::Invalid,
            Kind::Unsupported => Self::Unsupported,
            Kind::Forbidden => Self::Forbidden,
            Kind::Unavailable => Self::Unavailable,
            Kind::Internal => Self::Internal,
        }
    }
}

/// Executes the step described by the document on the inherited descriptor.
#[must_use]
pub fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        // Nobody is left to tell: the builder sees that there is no answer.
        Err(_) => ExitCode::from(125),
    }
}

fn serve() -> io::Result<()> {
    // The command line blocks signals while it builds, and what is blocked is inherited.
    gantry_sys::signal::reset()?;
    let document = gantry_sys::fd::inherited(DOCUMENT)?;
    let mut text = Vec::new();
    File::from(document).take(LARGEST).read_to_end(&mut text)?;
    match serde_json::from_slice(&text)? {
        Work::Step(mut request) if request.version == VERSION => {
            let control = UnixStream::from(gantry_sys::fd::inherited(CONTROL)?);
            let outcome = match request.layout.lay(&mut request.spec) {
                Ok(agents) => Step::default().run(&request, agents, &control),
                Err(error) => Outcome::Failed {
                    message: format!("cannot lay out the mounts: {}", chain(&error)),
                    kind: Kind::Internal,
                    hints: hint_of(&error).into_iter().collect(),
                    code: 125,
                },
            };
            (&control).write_all(&serde_json::to_vec(&outcome)?)
        }
        Work::Teardown {
            version: VERSION,
            run_root,
        } => teardown(&run_root),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// What to do about what is short, which the other side cannot tell from the text.
fn hint_of(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    Shortage::of(error).map(|short| short.hint().to_owned())
}

/// Removes the bridge if nobody comes for a while.
fn teardown(run_root: &Path) -> io::Result<()> {
    let linger = Timespec::try_from(LINGER).map_err(io::Error::other)?;
    // Nothing to wait for but the time.
    poll(&mut [], Some(&linger))?;
    // An installation may be gone by now; its bridge is not. What looking for it makes again is
    // taken away, as long as nobody else uses it.
    let missing: Vec<&Path> = run_root
        .ancestors()
        .take_while(|path| !path.exists())
        .collect();
    let torn = Networks::open(run_root, NetworkConfig::default())
        .and_then(|networks| networks.teardown_if_idle())
        .map(drop)
        .map_err(io::Error::other);
    if !missing.is_empty() {
        let _removed = std::fs::remove_dir_all(run_root.join("network"));
        for path in missing {
            let _removed = std::fs::remove_dir(path);
        }
    }
    torn
}

/// Starts a helper that sees to the bridge when this build has left it, and is not waited for.
pub(crate) fn start_teardown(run_root: &Path) -> io::Result<()> {
    let work = Work::Teardown {
        version: VERSION,
        run_root: run_root.to_owned(),
    };
    let document = gantry_sys::fd::sealed("run-step", &serde_json::to_vec(&work)?)?;
    let null = File::options().read(true).write(true).open("/dev/null")?;
    let process = Spawn {
        image: Image::own()?,
        // The run root tells in a list of processes whose it is.
        arguments: &[
            OsStr::new("gantry"),
            OsStr::new(ARGUMENT),
            run_root.as_os_str(),
        ],
        environment: &[],
        descriptors: &[
            (null.as_fd(), 0),
            (null.as_fd(), 1),
            (null.as_fd(), 2),
            (document.as_fd(), DOCUMENT),
        ],
        new_session: true,
        die_with_parent: false,
    }
    .start()?;
    // A process that goes on after the build reaps it; one that ends leaves it to init.
    std::thread::Builder::new()
        .name("bridge".into())
        .spawn(move || process.wait())
        .map(drop)
}

/// What a step holds outside of its container.
#[derive(Default)]
struct Step {
    networks: Option<Networks>,
    carried: Option<UserNetwork>,
    relay: Option<Relay>,
}

impl Step {
    fn run(mut self, request: &Request, agents: Agents, control: &UnixStream) -> Outcome {
        let outcome = match self.start(request, agents) {
            Ok(mut running) => {
                hand_over(&mut running, control);
                // The container has its own copies; ours would keep the streams open.
                let outcome = self.wait(&running, control);
                for _failed in running.cleanup() {
                    // A cgroup that stays behind goes with the folder of the step.
                }
                outcome
            }
            Err(error) => Outcome::Failed {
                message: chain(&error),
                kind: error.kind().into(),
                hints: error.hints().into_iter().chain(hint_of(&error)).collect(),
                code: error.exit_code(),
            },
        };
        drop(self.carried.take());
        if let Some(networks) = &self.networks {
            let _outcome = networks.detach(&request.id);
        }
        outcome
    }

    fn start(&mut self, request: &Request, agents: Agents) -> Result<Running, StartError> {
        let failed = |action| move |source| StartError::Parent { action, source };
        let duplicated = streams().map_err(failed("duplicate the standard streams"))?;
        let [stdin, stdout, stderr] = duplicated;
        let launch = Launch {
            id: &request.id,
            spec: &request.spec,
            rootfs: RootFs::Overlay(OverlayRoot {
                lowers: request.lowers.clone(),
                data: Vec::new(),
                upper: request.upper.clone(),
                work: request.work.clone(),
                // The layer is synced when an image of it is stored, and thrown away otherwise.
                volatile: true,
            }),
            stdio: match request.terminal {
                Some((rows, columns)) => Stdio::Terminal { rows, columns },
                None => Stdio::Files {
                    stdin: stdin.as_fd(),
                    stdout: stdout.as_fd(),
                    stderr: stderr.as_fd(),
                },
            },
            seccomp: if request.usual_system_calls {
                SeccompChoice::DockerDefault
            } else {
                SeccompChoice::Document
            },
            init: false,
            die_with_parent: true,
            strict_rlimits: request.strict_rlimits,
            oci: gantry_runtime::OciOptions::default(),
        };
        let created = create(&launch, |namespaces| -> Result<(), PrepareError> {
            match request.network {
                Network::Host => {}
                Network::Loopback => loopback_up(namespaces.network)?,
                Network::User => {
                    let network = UserNetwork::start(&UserRequest {
                        netns: namespaces.network,
                        ports: &[],
                        folder: &request.folder,
                        program: None,
                    })?;
                    let host = network.host();
                    self.carried = Some(network);
                    complete_hosts(&request.hosts, host)?;
                    self.open_relay(namespaces.network, request)?;
                }
                Network::Bridge => {
                    let networks = Networks::open(&request.run_root, NetworkConfig::default())?;
                    let endpoint = networks.attach(&AttachRequest {
                        endpoint_id: &request.id,
                        netns: namespaces.network,
                        owner_pid: std::process::id(),
                        ports: &[],
                        hostname: &request.hostname,
                        mac: None,
                        link_local: &[],
                    })?;
                    self.networks = Some(networks);
                    complete_hosts(&request.hosts, endpoint.attachment.gateway)?;
                    self.open_relay(namespaces.network, request)?;
                }
            }
            Ok(())
        })?;
        agents
            .serve()
            .map_err(failed("serve the agents of the step"))?;
        created.start()
    }

    fn open_relay(
        &mut self,
        network: BorrowedFd<'_>,
        request: &Request,
    ) -> Result<(), NetworkError> {
        if !request.relay_to.is_empty() {
            self.relay = Some(Relay::open(network, request.relay_to.clone())?);
        }
        Ok(())
    }

    /// Waits for the end of the container; ends it when nobody listens any more.
    fn wait(&mut self, running: &Running, control: &UnixStream) -> Outcome {
        loop {
            let mut fds = vec![
                PollFd::from_borrowed_fd(running.pidfd(), PollFlags::IN),
                PollFd::new(control, PollFlags::IN),
            ];
            fds.extend(
                self.relay
                    .as_ref()
                    .map(|relay| PollFd::new(relay, PollFlags::IN)),
            );
            let polled = poll(&mut fds, None);
            let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
            drop(fds);
            match polled {
                Err(rustix::io::Errno::INTR) => continue,
                Err(_) => break,
                Ok(_) => {}
            }
            if ready[0] {
                break;
            }
            // Nothing is ever sent to a helper: the builder is gone.
            if ready[1] {
                if running.kill_all().is_err() {
                    let _killed = running.kill(9);
                }
                break;
            }
            let answered = self.relay.as_mut().map_or(Ok(()), Relay::dispatch);
            if answered.is_err() {
                self.relay = None;
            }
        }
        let code = running
            .wait()
            .map_or(KILLED, gantry_runtime::ExitStatus::code);
        Outcome::Exited {
            code,
            out_of_memory: running.oom_killed(),
        }
    }
}

/// Writes the address of this machine into a file of hosts where that was left open; in place, because
/// the container has it mounted.
fn complete_hosts(path: &Path, host: Ipv4Addr) -> io::Result<()> {
    let text = std::fs::read_to_string(path)?;
    let complete = |line: &str| match line.strip_prefix(HostAddress::GATEWAY) {
        Some(names) => format!("{host}{names}\n"),
        None => format!("{line}\n"),
    };
    let completed: String = text.lines().map(complete).collect();
    if completed != text {
        std::fs::write(path, completed)?;
    }
    Ok(())
}

/// Gives the builder the terminal of a process that has one.
fn hand_over(running: &mut Running, control: &UnixStream) {
    if let Some(terminal) = running.take_terminal() {
        // A builder that is gone takes nothing, and the container is ended as always.
        let _sent = gantry_sys::fd::send(control, &[TERMINAL], &[terminal.as_fd()]);
    }
}

/// The standard streams of this process, for the container; this process gets `/dev/null` for them,
/// so that the pipes end with the container.
fn streams() -> io::Result<[OwnedFd; 3]> {
    let own = [
        rustix::stdio::stdin().try_clone_to_owned()?,
        rustix::stdio::stdout().try_clone_to_owned()?,
        rustix::stdio::stderr().try_clone_to_owned()?,
    ];
    let null = File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    Ok(own)
}
