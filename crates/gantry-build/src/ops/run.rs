//! `RUN`: a process in a container over the layers of a step, whose writes become the next layer.
//!
//! The container is made by a helper process ([`crate::run_step`]); this side prepares the document,
//! passes the output on, and takes the layer.

mod authorities;
mod cache_start;
mod caches;
mod confined;
mod document;
mod helper;
mod lent;
mod shell;
mod stubs;

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use gantry_model::{Digest, Fault, Shortage};
use gantry_network::{DnsOptions, Reach, host_resolv_conf, resolv_conf};
use gantry_runtime::Unprivileged;
use gantry_store::LayerInfo;
use gantry_sys::path::Directory;
use oci_spec::runtime::Spec;

use super::identity::{self, ProcessUser};
use super::view;
use crate::devices;
use crate::error::StepError;
use crate::failure_shell::FailureShell;
use crate::graph::{CacheMount, Network, RunOperation};
use crate::host_address::HostAddress;
use crate::permissions::Permissions;
use crate::progress::LogStream;
use crate::run_folder::{StepFolder, folder as run_folder};
use crate::run_step::Work;
use crate::run_step::place::Layout;
use crate::setting::{Origin, Setting};
use crate::stop::Stop;
use authorities::Authorities;
pub(crate) use caches::name as cache_name;
use stubs::Stubs;

/// The name a step's container has, as in BuildKit: programs have been seen to write it down.
const HOSTNAME: &str = "buildkitsandbox";

/// A file system with fewer bytes than these is full for most commands.
const LITTLE: u64 = 256 << 10;

/// Takes the output of a step.
pub(crate) type Output<'o> = dyn Fn(LogStream, &[u8]) + 'o;

/// What happens around a step while it runs.
#[derive(Clone, Copy)]
pub(crate) struct Company<'a> {
    /// Whether the build goes on.
    pub(crate) stop: &'a Stop,
    /// Takes its output.
    pub(crate) output: &'a Output<'a>,
    /// Is told the name and the folder of a cache mount, which it may fill if it is not there.
    pub(crate) mount: &'a dyn Fn(&CacheMount, &str, &Path) -> Result<(), StepError>,
    /// For the person who wants to see why it failed.
    pub(crate) shell: Option<&'a dyn FailureShell>,
}

/// Runs a step and gives its layer. `inputs` are the layers of its inputs.
pub(crate) fn execute(
    setting: &Setting,
    origin: &Origin,
    operation: &RunOperation,
    inputs: &[Vec<Digest>],
    company: &Company<'_>,
) -> Result<LayerInfo, StepError> {
    let stop = company.stop;
    let empty = setting.empty();
    let layers = inputs.first().map_or(&[][..], Vec::as_slice);
    let lower = view::open(&setting.store, layers, &empty)?;
    let user = identity::process_user(&operation.user, lower.as_ref())?;
    let draft = setting.store.layers().draft()?;
    let id = step_id()?;
    let folder = StepFolder::new(&setting.run_root, &id)
        .map_err(|source| StepError::io("create", run_folder(&setting.run_root), source))?;
    let mut files = Files::write(&folder.path, operation)?;
    if let Some(lent) = setting.remote.authorities() {
        files.authorities = Some(authorities::write(&folder.path, lent, lower.as_ref())?);
    }
    let caches = caches::prepare(setting, operation, inputs, company)?;
    let place = folder.path.join("lent");
    std::fs::create_dir(&place).map_err(|source| StepError::io("create", &place, source))?;
    let mut lent = lent::prepare(setting, origin, operation, inputs, &place)?;
    let mut spec = document::spec(operation, &user, &files, &caches, &lent);
    let confinement = &setting.confinement;
    confined::confine(&mut spec, &id, operation, confinement)
        .map_err(|error| unstarted(operation, &error))?;
    devices::of_step(&*setting.devices, operation)
        .and_then(|devices| match devices.as_slice() {
            [] => Ok(()),
            devices => setting.devices.add(devices, &mut spec),
        })
        .map_err(|error| unstarted(operation, &error))?;
    let unprivileged = adapt(&mut spec, operation, setting.processes)?;
    let cgroup = spec
        .linux()
        .as_ref()
        .and_then(|linux| linux.cgroups_path().as_deref());
    folder
        .note_cgroup(cgroup)
        .map_err(|source| StepError::io("write", &folder.path, source))?;
    let stubs = Stubs::of(&spec, lower.as_ref())?;
    let mut lowers = view::top_first(setting.store.layers().lowers(layers)?);
    if lowers.is_empty() {
        std::fs::create_dir_all(&empty)
            .map_err(|source| StepError::io("create", &empty, source))?;
        lowers.push(empty.clone());
    }
    adopt_root(draft.upper(), lower.as_ref())?;
    let request = crate::run_step::Request {
        version: crate::run_step::VERSION,
        id,
        spec,
        lowers,
        upper: draft.upper().to_owned(),
        work: draft.work().to_owned(),
        network: match operation.network {
            Network::Bridge if unprivileged => crate::run_step::Network::User,
            Network::Bridge => crate::run_step::Network::Bridge,
            Network::None => crate::run_step::Network::Loopback,
            Network::Host => crate::run_step::Network::Host,
        },
        usual_system_calls: confined::has_usual_system_calls(operation, confinement),
        strict_rlimits: !operation.ulimits.is_empty(),
        relay_to: files.relay_to.clone(),
        hosts: files.hosts.clone(),
        hostname: HOSTNAME.to_owned(),
        run_root: setting.run_root.clone(),
        folder: folder.path.clone(),
        layout: Layout {
            folder: place,
            views: std::mem::take(&mut lent.views),
            files: std::mem::take(&mut lent.files),
            agents: std::mem::take(&mut lent.agents),
        },
        terminal: None,
    };
    if operation.network == Network::Bridge && !unprivileged {
        setting.bridge_used.store(true, Ordering::Relaxed);
    }
    let work = Work::Step(Box::new(request));
    let mut ran = helper::run(&work, folder.lock(), operation, stop, company.output);
    if let Err(StepError::Process { short, .. }) = &mut ran {
        // Before the layer goes, and its room is free again.
        *short = is_full(draft.upper()).then_some(Shortage::Disk);
    }
    if let (Err(failure), Some(shell)) = (&ran, company.shell)
        && failure.is_of_process()
    {
        shell::offer(shell, failure, work, folder.lock(), &operation.shell, stop);
    }
    ran?;
    stubs.remove(draft.upper())?;
    Ok(draft.commit_while(&|| stop.goes_on())?)
}

/// Whether there is no room on a file system, so that a command may have failed of it.
fn is_full(path: &Path) -> bool {
    gantry_sys::system::disk_space(path).is_ok_and(|space| {
        // Some file systems count no inodes.
        space.available < LITTLE || (space.inodes > 0 && space.inodes_free == 0)
    })
}

/// Without root the document becomes what can be had; says whether that is so. `processes` are the
/// most of them, which without root nobody can be sure to limit.
fn adapt(
    spec: &mut Spec,
    operation: &RunOperation,
    processes: Option<u32>,
) -> Result<bool, StepError> {
    let caller =
        Unprivileged::observe().map_err(|source| StepError::io("read", "/proc/self", source))?;
    let unprivileged = caller.is_some();
    if !unprivileged {
        document::limit_processes(spec, processes);
    }
    let adapted = caller.map_or(Ok(()), |caller| caller.adapt(spec));
    adapted
        .map(|()| unprivileged)
        .map_err(|error| unstarted(operation, &error))
}

/// Why a step was not even tried.
fn unstarted(operation: &RunOperation, error: &(impl Fault + ToString)) -> StepError {
    StepError::Start {
        command: operation.arguments.join(" "),
        message: error.to_string(),
        kind: error.kind(),
        hints: error.hints(),
    }
}

/// The root of the new layer is the root of the merged file system.
fn adopt_root(upper: &Path, lower: Option<&Directory>) -> Result<(), StepError> {
    Permissions::of_root(lower)
        .and_then(|permissions| permissions.apply(&Directory::open(upper)?))
        .map_err(|source| StepError::io("prepare", upper, source))
}

/// A name no other step has.
fn step_id() -> Result<String, StepError> {
    let mut bytes = [0; 16];
    let failed = |error: rustix::io::Errno| StepError::io("read", "/dev/urandom", error);
    let mut filled = 0;
    while filled < bytes.len() {
        filled +=
            rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty())
                .map_err(failed)?;
    }
    Ok(gantry_model::digest::hex_encode(&bytes))
}

/// Files of the host that are mounted over those of the image.
pub(super) struct Files {
    pub(super) hosts: PathBuf,
    pub(super) resolv_conf: PathBuf,
    /// The script of a heredoc, and where it is mounted.
    pub(super) script: Option<(PathBuf, String)>,
    /// Certificate authorities that are lent.
    authorities: Option<Authorities>,
    /// Servers that the container cannot reach by itself.
    relay_to: Vec<std::net::SocketAddr>,
}

impl Files {
    fn write(folder: &Path, operation: &RunOperation) -> Result<Self, StepError> {
        use std::fmt::Write as _;
        use std::os::unix::fs::PermissionsExt;
        let write = |name: &str, text: &str, mode: u32| {
            let path = folder.join(name);
            std::fs::write(&path, text)
                .and_then(|()| {
                    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode))
                })
                .map_err(|source| StepError::io("write", &path, source))
                .map(|()| path)
        };
        let mut hosts =
            format!("127.0.0.1\tlocalhost {HOSTNAME}\n::1\tlocalhost ip6-localhost ip6-loopback\n");
        for (name, address) in &operation.extra_hosts {
            let _ = match (address, operation.network) {
                // Which address that is is known once the step has its network.
                (HostAddress::Gateway, Network::None | Network::Host) => {
                    writeln!(hosts, "127.0.0.1\t{name}")
                }
                _ => writeln!(hosts, "{address}\t{name}"),
            };
        }
        let host = host_resolv_conf()
            .map_err(|source| StepError::io("read", "/etc/resolv.conf", source))?;
        let reach = if operation.network == Network::Bridge {
            Reach::Bridge
        } else {
            Reach::Host
        };
        let resolv = resolv_conf(&host, &DnsOptions::default(), reach);
        let script = match &operation.script {
            Some(script) => Some((
                write("script", &script.content, 0o755)?,
                format!("/dev/pipes/{}", script.name),
            )),
            None => None,
        };
        Ok(Self {
            hosts: write("hosts", &hosts, 0o644)?,
            resolv_conf: write("resolv.conf", &resolv.text, 0o644)?,
            script,
            authorities: None,
            relay_to: resolv.relay_to,
        })
    }
}

/// Who a process runs as, for the document.
pub(super) fn user_of(user: &ProcessUser) -> oci_spec::runtime::User {
    let mut document = oci_spec::runtime::User::default();
    document.set_uid(user.uid);
    document.set_gid(user.gid);
    document.set_additional_gids((!user.groups.is_empty()).then(|| user.groups.clone()));
    document
}
