//! Questions by TCP: bytes are shovelled between the asker and a server.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Instant;

use rustix::event::epoll::{self, EventFlags};
use rustix::io::Errno;
use rustix::net::{
    RecvFlags, SendFlags, Shutdown, SocketFlags, SocketType, accept_with, recv, send, shutdown,
};

use super::{BATCH, CLIENT, UPSTREAM, token, towards};

/// Connections at once.
const MOST: usize = 16;
/// Bytes kept of each direction.
const BUFFER: usize = 16 * 1024;

/// One direction of a connection.
#[derive(Debug, Default)]
struct Flow {
    buffer: Vec<u8>,
    ended: bool,
    passed_on: bool,
}

/// A connection of an asker and the one to a server for it.
#[derive(Debug)]
struct Connection {
    client: OwnedFd,
    upstream: OwnedFd,
    questions: Flow,
    answers: Flow,
    server: usize,
    /// Whether the server has taken a byte: before that, another can be tried.
    committed: bool,
    since: Instant,
}

/// All connections.
#[derive(Debug)]
pub(super) struct Streams {
    servers: Vec<SocketAddr>,
    slots: Vec<Option<Connection>>,
}

impl Flow {
    /// Moves what can be moved; an error ends the connection.
    fn pump(&mut self, from: &OwnedFd, to: &OwnedFd) -> Result<bool, Errno> {
        let mut moved = false;
        loop {
            let before = (self.buffer.len(), self.ended);
            if !self.ended && self.buffer.len() < BUFFER {
                self.fill(from)?;
            }
            if !self.buffer.is_empty() {
                match send(to, &self.buffer, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                    Ok(sent) => {
                        self.buffer.drain(..sent);
                        moved = true;
                    }
                    Err(Errno::AGAIN | Errno::INTR) => {}
                    Err(errno) => return Err(errno),
                }
            }
            if self.ended && self.buffer.is_empty() && !self.passed_on {
                self.passed_on = true;
                // The other side may be gone, which then shows when reading from it.
                _ = shutdown(to, Shutdown::Write);
            }
            if (self.buffer.len(), self.ended) == before {
                return Ok(moved);
            }
        }
    }

    fn fill(&mut self, from: &OwnedFd) -> Result<(), Errno> {
        let mut chunk = [0; 4096];
        let room = chunk.len().min(BUFFER - self.buffer.len());
        match recv(from, &mut chunk[..room], RecvFlags::DONTWAIT) {
            Ok((0, _)) => self.ended = true,
            Ok((length, _)) => self.buffer.extend(&chunk[..length]),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
        Ok(())
    }

    /// What to wait for on the side read from, and on the side written to.
    fn interest(&self) -> (EventFlags, EventFlags) {
        let read = !self.ended && self.buffer.len() < BUFFER;
        let write = !self.buffer.is_empty();
        let flag = |wanted: bool, flag: EventFlags| if wanted { flag } else { EventFlags::empty() };
        (flag(read, EventFlags::IN), flag(write, EventFlags::OUT))
    }
}

impl Streams {
    pub(super) fn new(servers: Vec<SocketAddr>) -> Streams {
        Streams {
            servers,
            slots: Vec::new(),
        }
    }

    /// Takes connections that wait.
    pub(super) fn accept(&mut self, epoll: &OwnedFd, tcp: &OwnedFd) {
        for _ in 0..BATCH {
            match accept_with(tcp, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
                Ok(client) => {
                    let slot = self.free_slot();
                    self.slots[slot] = self.begin(epoll, slot, client);
                }
                Err(Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }

    fn begin(&self, epoll: &OwnedFd, slot: usize, client: OwnedFd) -> Option<Connection> {
        let (server, upstream) = self.connect(0)?;
        epoll::add(epoll, &client, token(CLIENT, slot), EventFlags::IN).ok()?;
        epoll::add(epoll, &upstream, token(UPSTREAM, slot), EventFlags::IN).ok()?;
        let (questions, answers, since) = (Flow::default(), Flow::default(), Instant::now());
        Some(Connection {
            client,
            upstream,
            questions,
            answers,
            server,
            committed: false,
            since,
        })
    }

    /// A connection to the server `first` or the next that can be tried.
    fn connect(&self, first: usize) -> Option<(usize, OwnedFd)> {
        (first..self.servers.len()).find_map(|server| {
            Some((
                server,
                towards(self.servers[server], SocketType::STREAM).ok()?,
            ))
        })
    }

    fn free_slot(&mut self) -> usize {
        if let Some(free) = self.slots.iter().position(Option::is_none) {
            return free;
        }
        if self.slots.len() < MOST {
            self.slots.push(None);
            return self.slots.len() - 1;
        }
        let age = |slot: &Option<Connection>| slot.as_ref().map(|connection| connection.since);
        (0..self.slots.len())
            .min_by_key(|&at| age(&self.slots[at]))
            .unwrap_or(0)
    }

    /// Moves the bytes of a connection whose one side is ready.
    pub(super) fn shovel(&mut self, epoll: &OwnedFd, slot: usize) {
        let Some(Some(mut connection)) = self.slots.get_mut(slot).map(Option::take) else {
            return;
        };
        if !self.pump(epoll, slot, &mut connection) {
            return;
        }
        let (client_in, upstream_out) = connection.questions.interest();
        let (upstream_in, client_out) = connection.answers.interest();
        let watch = |socket: &OwnedFd, kind: u64, flags: EventFlags| {
            epoll::modify(epoll, socket, token(kind, slot), flags).is_ok()
        };
        if watch(&connection.client, CLIENT, client_in | client_out)
            && watch(&connection.upstream, UPSTREAM, upstream_in | upstream_out)
        {
            self.slots[slot] = Some(connection);
        }
    }

    /// Whether the connection goes on.
    fn pump(&self, epoll: &OwnedFd, slot: usize, connection: &mut Connection) -> bool {
        let Connection {
            client,
            upstream,
            questions,
            answers,
            ..
        } = connection;
        let asked = questions.pump(client, upstream);
        let result = asked.and_then(|moved| {
            connection.committed |= moved;
            answers.pump(upstream, client)
        });
        match result {
            Ok(_) => {
                let done = connection.questions.passed_on && connection.answers.passed_on;
                !done
            }
            // Nothing was said yet, so another server can be asked all of it.
            Err(_) if !connection.committed => {
                let Some((server, upstream)) = self.connect(connection.server + 1) else {
                    return false;
                };
                (connection.server, connection.upstream) = (server, upstream);
                epoll::add(
                    epoll,
                    &connection.upstream,
                    token(UPSTREAM, slot),
                    EventFlags::IN,
                )
                .is_ok()
            }
            Err(_) => false,
        }
    }
}
