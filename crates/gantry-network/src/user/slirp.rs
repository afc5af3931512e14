//! slirp4netns: a TCP/IP stack in a process. Ports are published through its socket.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use gantry_model::port::PortMapping;
use gantry_sys::process::Process;
use rustix::fs::{Mode, OFlags};
use serde_json::{Value, json};

use super::ready::{self, Complaints};
use super::{ADDRESS, MTU, UserProgram, UserRequest, end};
use crate::error::NetworkError;

/// Its socket, in the folder of the request.
const SOCKET: &str = "slirp4netns.sock";
const PATIENCE: Duration = Duration::from_secs(10);
/// Most bytes of an answer.
const ANSWER: u64 = 64 * 1024;

/// Starts it, and publishes the ports.
pub(super) fn start(
    program: &Path,
    request: &UserRequest<'_>,
    ports: &[PortMapping],
) -> Result<Process, NetworkError> {
    let at = |source: io::Error| NetworkError::File {
        task: "prepare slirp4netns in",
        path: request.folder.to_owned(),
        source,
    };
    let complaints = Complaints::new().map_err(at)?;
    let (reader, writer) = gantry_sys::fd::pipe().map_err(at)?;
    let netns = File::from(request.netns.try_clone_to_owned().map_err(at)?);
    let folder = open_folder(request.folder).map_err(at)?;
    remove_socket(&folder).map_err(at)?;
    let mut command = Command::new(program);
    command
        .args(["--configure", "--disable-host-loopback", "--ready-fd=1"])
        .arg(format!("--mtu={MTU}"))
        .arg("--netns-type=path")
        // A socket's path may have 107 bytes only: it is made in the working directory.
        .arg(format!("--api-socket={SOCKET}"))
        .args(["/proc/self/fd/0", crate::endpoint::INTERFACE])
        .current_dir(request.folder)
        .env_clear()
        .stdin(Stdio::from(netns))
        .stdout(Stdio::from(writer))
        .stderr(complaints.stdio().map_err(at)?);
    let helper = ready::start(
        UserProgram::Slirp4netns,
        &mut command,
        complaints,
        reader.as_fd(),
    )?;
    let published = ports
        .iter()
        .try_for_each(|mapping| publish(&folder, mapping));
    let removed = remove_socket(&folder).map_err(at);
    match published.and(removed) {
        Ok(()) => Ok(helper),
        Err(error) => {
            end(&helper);
            Err(error)
        }
    }
}

fn open_folder(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

fn remove_socket(folder: &OwnedFd) -> io::Result<()> {
    match rustix::fs::unlinkat(folder, SOCKET, rustix::fs::AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// One request a connection: that is its protocol.
fn publish(folder: &OwnedFd, mapping: &PortMapping) -> Result<(), NetworkError> {
    let ask = || -> io::Result<Value> {
        let path = format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd());
        let mut socket = UnixStream::connect(path)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.write_all(request(mapping).to_string().as_bytes())?;
        socket.shutdown(std::net::Shutdown::Write)?;
        let mut answer = Vec::new();
        socket.take(ANSWER).read_to_end(&mut answer)?;
        Ok(serde_json::from_slice(&answer)?)
    };
    let failed = |said: String, source: Option<io::Error>| NetworkError::UserProgram {
        program: UserProgram::Slirp4netns,
        said,
        source,
    };
    let answer = ask().map_err(|error| failed(format!("cannot publish {mapping}"), Some(error)))?;
    match answer.get("error") {
        None => Ok(()),
        Some(error) => {
            let reason = error.get("desc").and_then(Value::as_str).unwrap_or("");
            Err(failed(format!("cannot publish {mapping}: {reason}"), None))
        }
    }
}

fn request(mapping: &PortMapping) -> Value {
    let address = mapping.host_ip.unwrap_or(Ipv4Addr::UNSPECIFIED.into());
    json!({
        "execute": "add_hostfwd",
        "arguments": {
            "proto": mapping.container.protocol.to_string(),
            "host_addr": address.to_string(),
            "host_port": mapping.host_port,
            "guest_addr": ADDRESS.to_string(),
            "guest_port": mapping.container.port,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_a_request() {
        let mappings = gantry_model::port::parse_published("127.0.0.1:5353:53/udp");
        let mapping = mappings.expect("a mapping").remove(0);
        let expected = json!({
            "execute": "add_hostfwd",
            "arguments": {
                "proto": "udp",
                "host_addr": "127.0.0.1",
                "host_port": 5353,
                "guest_addr": "10.0.2.100",
                "guest_port": 53,
            },
        });
        assert_eq!(request(&mapping), expected);
    }
}
