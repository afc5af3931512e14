//! A DNS relay: answers at 127.0.0.11 inside a container by asking the host's servers.
//!
//! For containers whose host has only name servers that the container cannot reach. Questions
//! and answers pass as they are, byte for byte; the relay reads of them no more than their
//! number. Inside the container the sockets listen on ports of the kernel's choice, and a
//! small firewall table leads port 53 of 127.0.0.11 there, so that port 53 itself stays free
//! for the container. Asking happens from the caller's own network namespace.
//!
//! No thread, no timer: the relay is one descriptor to poll ([`AsFd`]) and one function to
//! call when it is readable ([`Relay::dispatch`]). What it holds is bounded: the oldest
//! question or connection makes room for a new one.

mod query;
mod redirect;
mod stream;

use std::io;
use std::net::{SocketAddr, SocketAddrV4};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use gantry_sys::netlink::within;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, listen, socket_with};
use rustix::time::Timespec;

use crate::error::NetworkError;
use crate::resolv::RELAY;

use query::Queries;
use stream::Streams;

/// What became readable: the kind in the upper half, the slot in the lower.
const UDP: u64 = 0;
const TCP: u64 = 1 << 32;
const QUERY: u64 = 2 << 32;
const CLIENT: u64 = 3 << 32;
const UPSTREAM: u64 = 4 << 32;
const KIND: u64 = 0xffff_ffff_0000_0000;

/// Events handled in one go, so that the caller's other work gets its turn.
const BATCH: usize = 32;

/// The relay of one container.
#[derive(Debug)]
pub struct Relay {
    epoll: OwnedFd,
    udp: OwnedFd,
    tcp: OwnedFd,
    queries: Queries,
    streams: Streams,
}

impl Relay {
    /// Starts answering in the namespace `netns`, asking `servers`, the first first.
    ///
    /// # Errors
    /// [`NetworkError::Relay`] or [`NetworkError::Kernel`] when the namespace cannot be
    /// entered or the address not be had.
    pub fn open(netns: BorrowedFd<'_>, servers: Vec<SocketAddr>) -> Result<Relay, NetworkError> {
        let failed = |source: io::Error| NetworkError::Relay {
            address: RELAY,
            source,
        };
        let (udp, tcp) = within(netns, listeners)
            .and_then(|result| result)
            .map_err(failed)?;
        let port = |socket: &OwnedFd| {
            let address = SocketAddrV4::try_from(getsockname(socket)?)?;
            Ok::<u16, io::Error>(address.port())
        };
        let (udp_port, tcp_port) = (port(&udp).map_err(failed)?, port(&tcp).map_err(failed)?);
        redirect::install(netns, udp_port, tcp_port)?;
        Relay::watching(udp, tcp, servers).map_err(failed)
    }

    fn watching(udp: OwnedFd, tcp: OwnedFd, servers: Vec<SocketAddr>) -> io::Result<Relay> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &udp, EventData::new_u64(UDP), EventFlags::IN)?;
        epoll::add(&epoll, &tcp, EventData::new_u64(TCP), EventFlags::IN)?;
        let (queries, streams) = (Queries::new(servers.clone()), Streams::new(servers));
        Ok(Relay {
            epoll,
            udp,
            tcp,
            queries,
            streams,
        })
    }

    /// Handles what is ready, without waiting. Failures concern single questions, whose
    /// askers ask again.
    ///
    /// # Errors
    /// Only when the relay itself can do no more.
    pub fn dispatch(&mut self) -> io::Result<()> {
        let mut events = Vec::with_capacity(BATCH);
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&now)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        for event in events {
            let token = event.data.u64();
            let slot = usize::try_from(token & !KIND).unwrap_or(usize::MAX);
            match token & KIND {
                UDP => self.queries.ask(&self.epoll, &self.udp),
                TCP => self.streams.accept(&self.epoll, &self.tcp),
                QUERY => self.queries.answer(&self.epoll, &self.udp, slot),
                CLIENT | UPSTREAM => self.streams.shovel(&self.epoll, slot),
                _ => {}
            }
        }
        Ok(())
    }
}

impl AsFd for Relay {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

/// The two sockets that the container's questions arrive on.
fn listeners() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let address = SocketAddrV4::new(RELAY, 0);
    let udp = socket_with(AddressFamily::INET, SocketType::DGRAM, flags, None)?;
    bind(&udp, &address)?;
    let tcp = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    bind(&tcp, &address)?;
    listen(&tcp, 16)?;
    Ok((udp, tcp))
}

/// A socket to ask a server with, from the caller's namespace.
fn towards(server: SocketAddr, kind: SocketType) -> Result<OwnedFd, Errno> {
    let family = match server {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, kind, flags, None)?;
    match rustix::net::connect(&socket, &server) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(errno) => Err(errno),
    }
}

/// The token of a slot.
fn token(kind: u64, slot: usize) -> EventData {
    EventData::new_u64(kind | u64::try_from(slot).unwrap_or(0))
}
