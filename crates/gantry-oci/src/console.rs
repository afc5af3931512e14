//! Handing the terminal of a process to the one who shows it.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use gantry_sys::fd;
use gantry_sys::path::Directory;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use crate::error::OciError;

/// What runc sends along: the name of the file that the terminal was opened by.
const NAME: &[u8] = b"/dev/ptmx";

/// Sends the master side of a terminal to a listening socket.
pub(crate) fn send(socket: &Path, master: &OwnedFd) -> Result<(), OciError> {
    let sent = reach(socket).and_then(|peer| fd::send(&peer, NAME, &[master.as_fd()]));
    sent.map(drop)
        .map_err(OciError::file("send the terminal to", socket))
}

fn reach(socket: &Path) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC;
    let peer = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    let address = match SocketAddrUnix::new(socket) {
        Ok(address) => address,
        // Too long for an address: by way of its folder.
        Err(rustix::io::Errno::NAMETOOLONG) => {
            let (Some(parent), Some(name)) = (socket.parent(), socket.file_name()) else {
                return Err(io::ErrorKind::InvalidInput.into());
            };
            let folder = Directory::open(parent)?;
            let number = folder.as_fd().as_raw_fd();
            let path = Path::new("/proc/self/fd").join(number.to_string());
            connect(&peer, &SocketAddrUnix::new(path.join(name))?)?;
            return Ok(peer);
        }
        Err(errno) => return Err(errno.into()),
    };
    connect(&peer, &address)?;
    Ok(peer)
}
