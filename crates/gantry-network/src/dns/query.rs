//! Questions by UDP: each is asked from a socket, and so a port, of its own.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketAddrAny, SocketType, recv, recvfrom, send, sendto};

use super::{BATCH, QUERY, token, towards};

/// Questions under way at once.
const MOST: usize = 64;
/// No asker waits longer.
const PATIENCE: Duration = Duration::from_secs(15);
/// The longest question taken; they are a few hundred bytes.
const LONGEST_QUESTION: usize = 4096;
/// The longest answer there can be.
const LONGEST_ANSWER: usize = 65_535;

/// A question under way.
#[derive(Debug)]
struct Query {
    socket: OwnedFd,
    asker: SocketAddrAny,
    question: Vec<u8>,
    /// Which server is asked.
    server: usize,
    since: Instant,
}

/// All questions under way.
#[derive(Debug)]
pub(super) struct Queries {
    servers: Vec<SocketAddr>,
    slots: Vec<Option<Query>>,
}

impl Queries {
    pub(super) fn new(servers: Vec<SocketAddr>) -> Queries {
        Queries {
            servers,
            slots: Vec::new(),
        }
    }

    /// Takes the questions that wait on `udp` and asks them.
    pub(super) fn ask(&mut self, epoll: &OwnedFd, udp: &OwnedFd) {
        let mut buffer = [0; LONGEST_QUESTION];
        for _ in 0..BATCH {
            match recvfrom(udp, &mut buffer[..], RecvFlags::DONTWAIT | RecvFlags::TRUNC) {
                // Longer than any question: not one.
                Ok((_, length, Some(asker))) if length <= buffer.len() => {
                    self.begin(epoll, &buffer[..length], asker);
                }
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }

    fn begin(&mut self, epoll: &OwnedFd, question: &[u8], asker: SocketAddrAny) {
        // Who asks the same again got no answer: on to the next server.
        let number = question.get(..2);
        let same = |query: &&Query| query.asker == asker && query.question.get(..2) == number;
        let asked = self
            .slots
            .iter()
            .flatten()
            .filter(same)
            .map(|query| query.server)
            .max();
        let next = asked.map_or(0, |server| server + 1);
        let first = next.checked_rem(self.servers.len()).unwrap_or(0);
        let slot = self.free_slot();
        self.slots[slot] = self.asked(epoll, slot, question, asker, first);
    }

    /// Sends a question to the server `first` or the next that can be sent to.
    fn asked(
        &self,
        epoll: &OwnedFd,
        slot: usize,
        question: &[u8],
        asker: SocketAddrAny,
        first: usize,
    ) -> Option<Query> {
        (first..self.servers.len()).find_map(|server| {
            let socket = towards(self.servers[server], SocketType::DGRAM).ok()?;
            send(&socket, question, SendFlags::NOSIGNAL).ok()?;
            epoll::add(epoll, &socket, token(QUERY, slot), EventFlags::IN).ok()?;
            let (question, since) = (question.to_vec(), Instant::now());
            Some(Query {
                socket,
                asker: asker.clone(),
                question,
                server,
                since,
            })
        })
    }

    /// A slot that is free, or was of a question nobody waits for, or the oldest.
    fn free_slot(&mut self) -> usize {
        for slot in &mut self.slots {
            if slot
                .as_ref()
                .is_some_and(|query| query.since.elapsed() > PATIENCE)
            {
                *slot = None;
            }
        }
        if let Some(free) = self.slots.iter().position(Option::is_none) {
            return free;
        }
        if self.slots.len() < MOST {
            self.slots.push(None);
            return self.slots.len() - 1;
        }
        let age = |slot: &Option<Query>| slot.as_ref().map(|query| query.since);
        (0..self.slots.len())
            .min_by_key(|&at| age(&self.slots[at]))
            .unwrap_or(0)
    }

    /// Takes the answer that waits in this slot and passes it on.
    pub(super) fn answer(&mut self, epoll: &OwnedFd, udp: &OwnedFd, slot: usize) {
        let Some(Some(query)) = self.slots.get_mut(slot) else {
            return;
        };
        let mut answer = Vec::with_capacity(LONGEST_ANSWER);
        let spare = rustix::buffer::spare_capacity(&mut answer);
        match recv(&query.socket, spare, RecvFlags::DONTWAIT) {
            Ok(_) if answer.get(..2) == query.question.get(..2) => {
                // If it cannot be sent, the asker asks again.
                _ = sendto(udp, &answer, SendFlags::DONTWAIT, &query.asker);
                self.slots[slot] = None;
            }
            // An answer to something else, or nothing after all.
            Ok(_) | Err(Errno::INTR | Errno::AGAIN) => {}
            // Nobody listens there.
            Err(_) => {
                let Some(query) = self.slots[slot].take() else {
                    return;
                };
                let next = query.server + 1;
                self.slots[slot] = self.asked(epoll, slot, &query.question, query.asker, next);
            }
        }
    }
}
