//! Starting the container: stdio, namespaces, network, command.

use std::fs::File;
use std::io::{self, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Instant;

use gantry_model::record::{NetworkState, Status};
use gantry_network::{
    AttachRequest, Endpoint, LINGER, NetworkConfig, NetworkError, Networks, Relay, UserNetwork,
    UserRequest,
};
use gantry_runtime::{
    Created, Namespaces, OverlayRoot, PrepareError, RootFs, Running, SeccompChoice, create,
};
use gantry_sys::netlink::MacError;
use gantry_sys::seccomp::Filter;

use super::poller::{Interest, Token};
use super::process::{Streams, TheirEnds};
use super::{INIT, Phase, Process, Supervisor, note};
use crate::launch::{HostsFile, Launch, Network, Settings};
use crate::log::OpenError;
use crate::protocol::{Exit, Failure, Reply};
use crate::{CGROUP_FILE, DOCUMENT_FILE, restore_networks, state};

/// Most bytes of a document.
const MAX_DOCUMENT: u64 = 64 << 20;

/// One run of the container.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) running: Running,
    /// What exec'd processes are confined by.
    pub(super) seccomp: Option<Filter>,
    /// Its place on the bridge.
    pub(super) joined: Option<Joined>,
    pub(super) since: Instant,
}

/// A place on a network.
#[derive(Debug)]
pub(super) struct Joined {
    place: Place,
    /// Answers questions for names where the container cannot ask itself.
    pub(super) relay: Option<Relay>,
}

/// Which network a place is on.
#[derive(Debug)]
enum Place {
    /// The bridge, with the sockets that hold the published ports.
    Bridge(Endpoint),
    /// One of its own that a program carries.
    User(UserNetwork),
}

impl Joined {
    fn state(&self) -> NetworkState {
        match &self.place {
            Place::Bridge(endpoint) => (&endpoint.attachment).into(),
            Place::User(network) => network.state(),
        }
    }
}

/// Why a start failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum BeginError {
    #[error(transparent)]
    Start(#[from] gantry_runtime::StartError),
    #[error(transparent)]
    Refused(Failure),
    #[error(transparent)]
    Log(#[from] OpenError),
    #[error("cannot prepare {what} of the container")]
    Prepare {
        what: &'static str,
        #[source]
        source: io::Error,
    },
}

impl BeginError {
    fn failure(&self) -> Failure {
        match self {
            Self::Start(error) => Failure::from_fault(error),
            Self::Refused(failure) => failure.clone(),
            Self::Log(_) | Self::Prepare { .. } => Failure::internal(crate::protocol::chain(self)),
        }
    }
}

fn preparing(what: &'static str) -> impl FnOnce(io::Error) -> BeginError {
    move |source| BeginError::Prepare { what, source }
}

/// Reads the document a supervisor is given.
pub(super) fn read_document(document: OwnedFd) -> io::Result<Launch> {
    let mut text = Vec::new();
    File::from(document)
        .take(MAX_DOCUMENT)
        .read_to_end(&mut text)?;
    let launch: Launch = serde_json::from_slice(&text)?;
    if launch.version != crate::launch::VERSION {
        let reason = format!("launch document of version {}", launch.version);
        return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
    }
    Ok(launch)
}

/// Names the process after its container, as far as 15 bytes go.
pub(super) fn set_name(settings: &Settings) {
    let name = format!("gantry:{}", &settings.id.short()[..8]);
    if let Ok(name) = std::ffi::CString::new(name) {
        // Only what `ps` shows.
        let _unnamed = rustix::thread::set_name(&name);
    }
}

impl Supervisor {
    /// The start that the first client waits for.
    pub(super) fn first_start(&mut self, launch: Launch) {
        let outcome = self
            .listen()
            .map_err(preparing("the socket"))
            .and_then(|()| {
                self.open_log()?;
                self.begin_run(launch)
            });
        match outcome {
            Ok(pid) => self.tell_starter(&Reply::Started { pid }),
            Err(error) => {
                let failure = error.failure();
                self.state.status = Status::Created;
                self.state.exit_code = failure.code;
                self.state.error.clone_from(&failure.message);
                self.tell_starter(&Reply::Failed(failure));
                self.finish_life(&Exit::default());
            }
        }
    }

    /// A start by the restart policy. One that fails is a run that ended at once.
    pub(super) fn start_again(&mut self) {
        self.phase = Phase::Running;
        self.state.restart_count += 1;
        let again = File::open(self.settings.run_folder.join(DOCUMENT_FILE))
            .and_then(|file| read_document(file.into()))
            .map_err(preparing("the document"))
            .and_then(|launch| self.begin_run(launch));
        if let Err(error) = again {
            let failure = error.failure();
            note(&format!("cannot start again: {}", failure.message));
            self.state.error = failure.message;
            self.decide_what_next(failure.code, Instant::now(), Exit::default());
        }
    }

    fn listen(&mut self) -> io::Result<()> {
        let folder = rustix::fs::openat(
            rustix::fs::CWD,
            &self.settings.run_folder,
            rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC,
            rustix::fs::Mode::empty(),
        )?;
        let path = crate::socket_path(folder.as_fd());
        let listener = match std::os::unix::net::UnixListener::bind(&path) {
            // Left by a supervisor that was killed: we hold the lock, so it is dead.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                std::fs::remove_file(&path)?;
                std::os::unix::net::UnixListener::bind(&path)?
            }
            other => other?,
        };
        listener.set_nonblocking(true)?;
        self.poller
            .add(&listener, Token::Listener, Interest::Read)?;
        self.listener = Some(listener);
        Ok(())
    }

    fn begin_run(&mut self, launch: Launch) -> Result<u32, BeginError> {
        let size = launch.window.filter(|_| self.settings.terminal);
        let (mut streams, theirs) = if self.settings.terminal {
            Streams::terminal(launch.window)
        } else {
            Streams::pipes(self.settings.stdin).map_err(preparing("the pipes"))?
        };
        let (mut created, joined) = self.create(&launch, &theirs)?;
        drop(launch);
        let seccomp = created.seccomp().cloned();
        let terminal = created.take_terminal();
        if let Some(cgroup) = created.cgroup() {
            self.remember_cgroup(cgroup);
        }
        let mut running = match created.start() {
            Ok(running) => running,
            Err(error) => {
                self.leave_network(joined.is_some());
                return Err(error.into());
            }
        };
        drop(theirs);
        let pid = running.pid();
        let pidfd = running
            .pidfd()
            .try_clone_to_owned()
            .map_err(preparing("a descriptor"))?;
        let terminal = terminal.or_else(|| running.take_terminal());
        if let Some(relay) = joined.as_ref().and_then(|joined| joined.relay.as_ref())
            && let Err(error) = self.poller.add(relay, Token::Relay, Interest::Read)
        {
            note(&format!("cannot answer questions for names: {error}"));
        }
        self.run = Some(Run {
            running,
            seccomp,
            joined,
            since: Instant::now(),
        });
        if let Some(master) = terminal
            && let Err(error) = streams.set_terminal(master)
        {
            note(&format!("cannot use the terminal: {error}"));
        }
        self.watch(
            INIT,
            Process {
                pid,
                pidfd,
                streams,
                exec_id: String::new(),
                held_up: false,
            },
        );
        self.watch_health();
        self.record_start(pid);
        if let Some(size) = size {
            self.tell_size(size);
        }
        Ok(pid.unsigned_abs())
    }

    fn create(
        &mut self,
        launch: &Launch,
        theirs: &TheirEnds,
    ) -> Result<(Created, Option<Joined>), BeginError> {
        let mut joined = None;
        let request = gantry_runtime::Launch {
            id: self.settings.id.as_str(),
            spec: &launch.config,
            rootfs: RootFs::Overlay(OverlayRoot {
                lowers: launch.overlay.lowers.iter().rev().cloned().collect(),
                data: launch.overlay.data.clone(),
                upper: launch.overlay.upper.clone(),
                work: launch.overlay.work.clone(),
                volatile: self.settings.removal.is_some(),
            }),
            stdio: theirs.stdio(),
            seccomp: if launch.default_seccomp {
                SeccompChoice::DockerDefault
            } else {
                SeccompChoice::Document
            },
            init: launch.init,
            die_with_parent: true,
            strict_rlimits: launch.strict_rlimits,
            oci: gantry_runtime::OciOptions::default(),
        };
        let mut refused = None;
        let outcome = create(&request, |namespaces| -> Result<(), PrepareError> {
            match self.join_network(namespaces) {
                Ok(place) => joined = place,
                Err(failure) => {
                    refused = Some(failure.clone());
                    return Err(failure.into());
                }
            }
            Ok(())
        });
        match outcome {
            Ok(created) => Ok((created, joined)),
            Err(error) => {
                self.leave_network(joined.is_some());
                Err(refused.map_or_else(|| error.into(), BeginError::Refused))
            }
        }
    }

    /// Takes the container off the bridge; the last one sees to the bridge a little later.
    pub(super) fn leave_network(&mut self, attached: bool) {
        if !attached {
            return;
        }
        let networks = self.networks.as_ref();
        let outcome = networks.map(|networks| networks.detach(self.settings.id.as_str()));
        if self.state.network.is_some() {
            self.tell_network("disconnect");
        }
        let Some(outcome) = outcome else {
            // A program carries it, which goes by itself.
            return;
        };
        for failure in &outcome.failures {
            note(&format!("network: {}", crate::protocol::chain(failure)));
        }
        if !outcome.bridge_in_use {
            self.linger_until = Some(Instant::now() + LINGER);
        }
    }

    /// Notes the cgroup for whoever cleans up after a supervisor that was killed.
    fn remember_cgroup(&self, cgroup: &gantry_runtime::CgroupHandle) {
        let path = self.settings.run_folder.join(CGROUP_FILE);
        let written = serde_json::to_vec(cgroup)
            .map_err(io::Error::from)
            .and_then(|text| std::fs::write(path, text));
        if let Err(error) = written {
            note(&format!("cannot note the cgroup: {error}"));
        }
    }

    fn record_start(&mut self, pid: i32) {
        let pid = pid.unsigned_abs();
        self.state.status = Status::Running;
        self.state.pid = Some(pid);
        self.state.pid_start = state::process_start(pid);
        self.state.supervisor_pid = Some(std::process::id());
        self.state.exit_code = 0;
        self.state.oom_killed = false;
        self.state.error.clear();
        self.state.started_at = Some(state::now());
        self.state.finished_at = None;
        self.state.network = self
            .run
            .as_ref()
            .and_then(|run| run.joined.as_ref())
            .map(Joined::state);
        self.write_state();
        self.tell_mounts();
        if self.state.network.is_some() {
            self.tell_network("connect");
        }
        self.tell("start");
    }

    pub(super) fn write_state(&self) {
        if let Err(error) = state::write(&self.settings.folder, &self.state) {
            note(&format!("cannot write the state: {error}"));
        }
    }
}

/// The networks of this installation, with what a person has set.
pub(super) fn networks(settings: &Settings) -> Option<Networks> {
    let Network::Bridge { subnet, mtu, .. } = &settings.network else {
        return None;
    };
    let subnet = subnet.as_ref().and_then(|text| text.parse().ok());
    match Networks::open(&settings.run_root, NetworkConfig { subnet, mtu: *mtu }) {
        Ok(networks) => Some(networks),
        Err(error) => {
            note(&format!("network: {}", crate::protocol::chain(&error)));
            None
        }
    }
}

impl Supervisor {
    fn join_network(&self, namespaces: &Namespaces<'_>) -> Result<Option<Joined>, Failure> {
        match &self.settings.network {
            Network::Foreign => Ok(None),
            Network::Loopback => gantry_network::loopback_up(namespaces.network)
                .map(|()| None)
                .map_err(|error| Failure::from_fault(&error)),
            Network::Bridge {
                ports,
                hostname,
                hosts,
                relay_to,
                mac,
                link_local,
                ..
            } => {
                let mac = mac.as_deref().map(str::parse).transpose();
                let request = AttachRequest {
                    endpoint_id: self.settings.id.as_str(),
                    netns: namespaces.network,
                    owner_pid: std::process::id(),
                    ports,
                    hostname,
                    mac: mac.map_err(|error: MacError| Failure::internal(error.to_string()))?,
                    link_local,
                };
                self.join_bridge(namespaces, &request, (hosts, relay_to))
                    .map(Some)
            }
            Network::User {
                ports,
                hosts,
                relay_to,
                program,
            } => {
                let request = UserRequest {
                    netns: namespaces.network,
                    ports,
                    folder: &self.settings.run_folder,
                    program: *program,
                };
                let network =
                    UserNetwork::start(&request).map_err(|error| Failure::from_fault(&error))?;
                let addresses = (network.address(), network.host());
                let relay = complete(namespaces, hosts, relay_to, addresses)?;
                let place = Place::User(network);
                Ok(Some(Joined { place, relay }))
            }
        }
    }

    fn join_bridge(
        &self,
        namespaces: &Namespaces<'_>,
        request: &AttachRequest<'_>,
        (hosts, relay_to): (&HostsFile, &[SocketAddr]),
    ) -> Result<Joined, Failure> {
        let networks = self.networks.as_ref().ok_or_else(|| {
            Failure::internal("the networks of this installation cannot be opened")
        })?;
        let attached = match networks.attach(request) {
            // Not this container's fault, and no reason to run none.
            Err(error @ NetworkError::Damaged { .. }) => {
                note(&format!("network: {error}: it is written anew"));
                let containers = self.settings.folder.parent().unwrap_or(Path::new("/"));
                restore_networks(networks, containers).and_then(|_| networks.attach(request))
            }
            other => other,
        };
        let endpoint = attached.map_err(|error| Failure::from_fault(&error))?;
        for warning in &endpoint.warnings {
            note(&format!("network: {warning}"));
        }
        let attachment = &endpoint.attachment;
        let addresses = (attachment.address, attachment.gateway);
        match complete(namespaces, hosts, relay_to, addresses) {
            Ok(relay) => Ok(Joined {
                place: Place::Bridge(endpoint),
                relay,
            }),
            Err(failure) => {
                drop(networks.detach(self.settings.id.as_str()));
                Err(failure)
            }
        }
    }

    /// Passes on questions for names and their answers.
    pub(super) fn answer_names(&mut self) {
        let joined = self.run.as_mut().and_then(|run| run.joined.as_mut());
        let Some(relay) = joined.and_then(|joined| joined.relay.as_mut()) else {
            return;
        };
        if let Err(error) = relay.dispatch() {
            note(&format!(
                "cannot answer questions for names any more: {error}"
            ));
            self.poller.remove(&*relay);
        }
    }
}

/// What remains once the addresses of the container and of the host are known: `/etc/hosts`, and
/// answers for names where the container cannot ask itself.
fn complete(
    namespaces: &Namespaces<'_>,
    hosts: &HostsFile,
    relay_to: &[SocketAddr],
    (address, host): (Ipv4Addr, Ipv4Addr),
) -> Result<Option<Relay>, Failure> {
    write_hosts(hosts, address, host).map_err(|error| {
        Failure::internal(format!("cannot write {}: {error}", hosts.path.display()))
    })?;
    let servers = relay_to.to_vec();
    (!servers.is_empty())
        .then(|| Relay::open(namespaces.network, servers))
        .transpose()
        .map_err(|error| Failure::from_fault(&error))
}

/// Completes `/etc/hosts`; in place, because the container may have it mounted already.
fn write_hosts(hosts: &HostsFile, address: Ipv4Addr, host: Ipv4Addr) -> io::Result<()> {
    if hosts.path == Path::new("") {
        return Ok(());
    }
    let text = hosts.text(&address.to_string(), &host.to_string());
    std::fs::write(&hosts.path, text)
}
