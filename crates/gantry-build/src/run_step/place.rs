//! What a helper lays out for its step, in a mount namespace of its own: nobody else sees it, and
//! with the helper it is gone.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;

use gantry_sys::mount::{self, Attributes, FsContext, MountError, Overlay, Propagation};
use gantry_sys::path::Directory;
use gantry_sys::process::{Namespace, NamespaceSet};
use oci_spec::runtime::Spec;
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use crate::secrets::SecretValue;

/// Layers merged for a bind mount.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct View {
    /// Top first.
    pub(crate) lowers: Vec<PathBuf>,
    /// Where writes go, and the work directory beside it.
    pub(crate) upper: Option<(PathBuf, PathBuf)>,
    /// What of it is bound: absolute inside the merged root.
    pub(crate) source: String,
    /// Where it is merged.
    pub(crate) at: PathBuf,
}

/// Who may do what with a file.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Owner {
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// A file that never lies on a disk.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PrivateFile {
    pub(crate) content: SecretValue,
    pub(crate) owner: Owner,
    pub(crate) at: PathBuf,
}

/// An SSH agent of the client's.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Agent {
    /// Its socket on the host.
    pub(crate) socket: PathBuf,
    pub(crate) owner: Owner,
    /// The socket that the step sees.
    pub(crate) at: PathBuf,
}

/// All that is laid out.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Layout {
    /// The folder in which all of it is; it is there.
    pub(crate) folder: PathBuf,
    pub(crate) views: Vec<View>,
    pub(crate) files: Vec<PrivateFile>,
    pub(crate) agents: Vec<Agent>,
}

/// Sockets that wait for connections to agents.
#[derive(Debug, Default)]
pub(crate) struct Agents(Vec<(UnixListener, PathBuf)>);

impl Layout {
    /// Lays everything out, and tells the document where the parts of views are.
    pub(crate) fn lay(&self, spec: &mut Spec) -> io::Result<Agents> {
        let mut agents = Agents::default();
        if self.views.is_empty() && self.files.is_empty() && self.agents.is_empty() {
            return Ok(agents);
        }
        let own: NamespaceSet = [Namespace::Mount].into_iter().collect();
        own.unshare()?;
        mount::change_everything(Propagation::Slave).map_err(io_error)?;
        private_memory(&self.folder)?;
        for view in &self.views {
            let path = view.lay()?;
            for mount in spec.mounts_mut().iter_mut().flatten() {
                if mount.source().as_deref() == Some(&view.at) {
                    mount.set_source(Some(path.clone()));
                }
            }
        }
        for file in &self.files {
            let mut opened = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&file.at)?;
            opened.write_all(file.content.expose())?;
            file.owner.apply(&file.at)?;
        }
        for agent in &self.agents {
            let listener = UnixListener::bind(&agent.at)?;
            agent.owner.apply(&agent.at)?;
            agents.0.push((listener, agent.socket.clone()));
        }
        Ok(agents)
    }
}

/// Covers a folder with a file system in memory.
fn private_memory(folder: &Path) -> io::Result<()> {
    let place = Directory::open(folder)?;
    let mounted = || {
        let context = FsContext::new(OsStr::new("tmpfs"))?;
        context.string("source", OsStr::new("tmpfs"))?;
        context.string("mode", OsStr::new("700"))?;
        context.create()?;
        let closed = Attributes::NO_SETUID
            .with(Attributes::NO_DEVICES)
            .with(Attributes::NO_EXECUTE);
        context.mount(closed)?.attach(&place)
    };
    mounted().map_err(io_error)
}

fn io_error(error: MountError) -> io::Error {
    io::Error::new(error.source.kind(), error)
}

impl Owner {
    fn apply(self, path: &Path) -> io::Result<()> {
        fs::set_permissions(path, fs::Permissions::from_mode(self.mode))?;
        chown(path, Some(self.uid), Some(self.gid))
    }
}

impl View {
    /// Merges it, and gives the path of the part that is bound.
    fn lay(&self) -> io::Result<PathBuf> {
        fs::create_dir(&self.at)?;
        let place = Directory::open(&self.at)?;
        let overlay = Overlay {
            lowers: &self.lowers,
            upper: self
                .upper
                .as_ref()
                .map(|(upper, work)| (upper.as_path(), work.as_path())),
            volatile: true,
            or_program: true,
            ..Overlay::default()
        };
        let attributes = match self.upper {
            Some(_) => Attributes::NONE,
            None => Attributes::READ_ONLY,
        };
        overlay
            .mount(attributes)
            .and_then(|mount| mount.attach(&place))
            .map_err(io_error)?;
        // Links are followed inside the root only; what is found has no link in its path.
        let part = Directory::open(&self.at)?.open_in_root(&self.source, OFlags::PATH, 0)?;
        gantry_sys::fd::path_of(part.as_fd())
    }
}

impl Agents {
    /// Passes on what the step and the agents say to each other. Call it when the container is
    /// made: a container is made by a process with one thread.
    pub(crate) fn serve(self) -> io::Result<()> {
        for (listener, socket) in self.0 {
            let accept = move || {
                while let Ok((client, _)) = listener.accept() {
                    // Without an agent the connection ends, which is what a client of an agent
                    // that is gone sees, too.
                    if let Ok(agent) = UnixStream::connect(&socket) {
                        drop(pass_on(client, agent));
                    }
                }
            };
            drop(thread::Builder::new().spawn(accept)?);
        }
        Ok(())
    }
}

fn pass_on(client: UnixStream, agent: UnixStream) -> io::Result<()> {
    let (client_too, agent_too) = (client.try_clone()?, agent.try_clone()?);
    for (mut from, mut to) in [(client, agent), (agent_too, client_too)] {
        let copy = move || {
            // However it ends, the other side must see that it did.
            drop(io::copy(&mut from, &mut to));
            drop(to.shutdown(Shutdown::Write));
        };
        drop(thread::Builder::new().spawn(copy)?);
    }
    Ok(())
}
