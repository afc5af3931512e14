//! pasta (passt.top): packets become the user's own sockets in one process, without copying where
//! it can be helped.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use gantry_model::port::{PortMapping, Protocol};
use gantry_sys::process::Process;
use rustix::fs::{CWD, FileType, Mode, OFlags};

use super::ready::{self, Complaints};
use super::{ADDRESS, GATEWAY, MTU, PREFIX, UserProgram, UserRequest};
use crate::error::NetworkError;

/// Starts it.
pub(super) fn start(
    program: &Path,
    request: &UserRequest<'_>,
    ports: &[PortMapping],
) -> Result<Process, NetworkError> {
    let at = |source: io::Error| NetworkError::File {
        task: "prepare pasta in",
        path: request.folder.to_owned(),
        source,
    };
    let ready = Ready::make(request.folder).map_err(at)?;
    let complaints = Complaints::new().map_err(at)?;
    // It closes what it inherits but the standard streams, and has no right to look into the
    // container by its number; so the namespace is its standard input.
    let netns = File::from(request.netns.try_clone_to_owned().map_err(at)?);
    let mut command = Command::new(program);
    command
        .args(arguments(ports))
        .arg("--pid")
        .arg(&ready.path)
        .env_clear()
        .stdin(Stdio::from(netns))
        .stdout(Stdio::null())
        .stderr(complaints.stdio().map_err(at)?);
    ready::start(
        UserProgram::Pasta,
        &mut command,
        complaints,
        ready.reader.as_fd(),
    )
}

/// Everything but where it says that it is ready.
fn arguments(ports: &[PortMapping]) -> Vec<String> {
    let mut arguments: Vec<String> = [
        "--foreground",
        "--stderr",
        "--quiet",
        "--config-net",
        // The way to the host's loopback stays closed.
        "--no-map-gw",
        "--tcp-ns",
        "none",
        "--udp-ns",
        "none",
        "--ns-ifname",
        crate::endpoint::INTERFACE,
        "--mtu",
        MTU,
        "--netns-only",
        "--no-netns-quit",
        "--netns",
        "/proc/self/fd/0",
    ]
    .map(str::to_owned)
    .into();
    for (name, value) in [
        ("--address", ADDRESS.to_string()),
        ("--netmask", PREFIX.to_string()),
        ("--gateway", GATEWAY.to_string()),
    ] {
        arguments.extend([name.to_owned(), value]);
    }
    for (protocol, name) in [
        (Protocol::Tcp, "--tcp-ports"),
        (Protocol::Udp, "--udp-ports"),
    ] {
        let published = ports
            .iter()
            .filter(|mapping| mapping.container.protocol == protocol);
        let mut none = true;
        for mapping in published {
            none = false;
            let address = mapping.host_ip.filter(|ip| !ip.is_unspecified());
            let address = address.map_or_else(String::new, |ip| format!("{ip}/"));
            let (outside, inside) = (mapping.host_port, mapping.container.port);
            arguments.extend([name.to_owned(), format!("{address}{outside}:{inside}")]);
        }
        if none {
            arguments.extend([name.to_owned(), "none".to_owned()]);
        }
    }
    arguments
}

/// A named pipe into which it writes its number once it works; it takes a path only.
struct Ready {
    path: PathBuf,
    reader: OwnedFd,
}

impl Ready {
    fn make(folder: &Path) -> io::Result<Ready> {
        let path = folder.join("pasta.ready");
        match rustix::fs::unlink(&path) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => {}
            Err(errno) => return Err(errno.into()),
        }
        rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let reader = rustix::fs::open(&path, flags, Mode::empty())?;
        Ok(Ready { path, reader })
    }
}

impl Drop for Ready {
    fn drop(&mut self) {
        // What stays lies in a folder that goes with the container.
        rustix::fs::unlink(&self.path).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_arguments() {
        let ports: Vec<PortMapping> = ["8080:80", "127.0.0.1:5353:53/udp", "127.0.0.1:443:443"]
            .iter()
            .flat_map(|text| gantry_model::port::parse_published(text).expect("a mapping"))
            .collect();
        let line = arguments(&ports).join(" ");
        assert!(
            line.ends_with(
                "--tcp-ports 8080:80 --tcp-ports 127.0.0.1/443:443 --udp-ports 127.0.0.1/5353:53"
            ),
            "{line}"
        );
        let line = arguments(&[]).join(" ");
        assert!(
            line.ends_with("--tcp-ports none --udp-ports none"),
            "{line}"
        );
    }
}
