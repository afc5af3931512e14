//! A client's connection as the supervisor sees it: bounded queue, nothing blocks.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::net::{RecvFlags, SendFlags};

use crate::protocol::{Attach, Decoder, Kind, Reply, header};

/// Queued bytes of output from which on the process waits for its client.
const HIGH_WATER: usize = 128 * 1024;
/// Queued bytes of output from which on it goes on.
const LOW_WATER: usize = 32 * 1024;
/// Without a byte read for so long, a client that may lose output begins to.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// It has not said hello.
    Stranger,
    /// It has not asked for anything.
    Greeted,
    /// It follows a process.
    Attached {
        /// Which.
        process: u32,
        /// Which streams.
        streams: Attach,
    },
    /// It waits for the end of the present run.
    WaitingForExit,
    /// It waits until the container does not run any more.
    WaitingForStop,
    /// It has its answer and is closed once that is sent.
    Answered,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Client {
    socket: UnixStream,
    pub(super) decoder: Decoder,
    pub(super) role: Role,
    queue: VecDeque<u8>,
    /// Output dropped since the queue was full for too long.
    lost: u64,
    lossy: bool,
    stalled_since: Option<Instant>,
    /// Whether epoll waits for room.
    pub(super) wants_room: bool,
    /// Whether the other side is gone.
    pub(super) gone: bool,
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Client {
    pub(super) fn new(socket: UnixStream, role: Role) -> Self {
        Self {
            socket,
            decoder: Decoder::default(),
            role,
            queue: VecDeque::new(),
            lost: 0,
            lossy: false,
            stalled_since: None,
            wants_room: false,
            gone: false,
        }
    }

    /// Reads what arrived into the decoder; marks the client gone at the end.
    pub(super) fn receive(&mut self, scratch: &mut [u8]) {
        match rustix::net::recv(&self.socket, &mut *scratch, RecvFlags::DONTWAIT) {
            Ok((0, _)) => self.gone = true,
            Ok((count, _)) => self.decoder.feed(&scratch[..count]),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            Err(_) => self.gone = true,
        }
    }

    /// Queues a message.
    pub(super) fn reply(&mut self, reply: &Reply) {
        let Ok(text) = serde_json::to_vec(reply) else {
            // Replies are plain structures of strings and numbers.
            self.gone = true;
            return;
        };
        let mut frame = header(Kind::Control, text.len()).to_vec();
        frame.extend_from_slice(&text);
        self.send(&frame);
    }

    /// Queues a whole frame of output, or drops and counts it when this client does not read.
    pub(super) fn output(&mut self, frame: &[u8]) {
        if self.lossy {
            let payload = frame.len().saturating_sub(crate::protocol::HEADER);
            self.lost = self
                .lost
                .saturating_add(u64::try_from(payload).unwrap_or(u64::MAX));
        } else {
            self.send(frame);
        }
    }

    fn send(&mut self, frame: &[u8]) {
        let mut frame = frame;
        if self.queue.is_empty() {
            let sent = self.write(frame);
            frame = &frame[sent..];
        }
        if !self.gone {
            self.queue.extend(frame);
        }
        if self.is_full() && self.stalled_since.is_none() {
            self.stalled_since = Some(Instant::now());
        }
    }

    fn write(&mut self, bytes: &[u8]) -> usize {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        match rustix::net::send(&self.socket, bytes, flags) {
            Ok(count) => count,
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => 0,
            Err(_) => {
                self.gone = true;
                self.queue = VecDeque::new();
                bytes.len()
            }
        }
    }

    /// Sends queued bytes as far as there is room.
    pub(super) fn flush(&mut self) {
        while !self.queue.is_empty() {
            let front = std::mem::take(&mut self.queue);
            let sent = self.write(front.as_slices().0);
            if self.gone {
                return;
            }
            self.queue = front;
            self.queue.drain(..sent);
            if sent == 0 {
                break;
            }
            self.stalled_since = self.is_full().then(Instant::now);
        }
        if self.queue.is_empty() {
            self.queue = VecDeque::new();
            self.decoder.release();
            if self.lossy {
                self.lossy = false;
                let bytes = std::mem::take(&mut self.lost);
                self.reply(&Reply::Lost { bytes });
            }
        }
    }

    /// Whether queued bytes wait for room.
    pub(super) fn is_waiting(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Whether the process has to wait for this client.
    pub(super) fn holds_up(&self) -> bool {
        self.is_full() && !self.lossy
    }

    /// Whether the process, once held up, has to go on waiting.
    pub(super) fn still_holds_up(&self) -> bool {
        self.queue.len() > LOW_WATER && !self.lossy && !self.gone
    }

    fn is_full(&self) -> bool {
        self.queue.len() >= HIGH_WATER
    }

    /// When this client has had time enough, if it may lose output.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.role {
            Role::Attached { streams, .. } if !streams.lossless && !self.lossy => {
                self.stalled_since.map(|since| since + PATIENCE)
            }
            _ => None,
        }
    }

    /// From now on what does not fit is dropped and counted.
    pub(super) fn give_up(&mut self) {
        self.lossy = true;
        self.stalled_since = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{HEADER, MAX_STREAM};
    use std::io::Read;

    fn attached(lossless: bool) -> (Client, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let streams = Attach {
            stdout: true,
            lossless,
            ..Attach::default()
        };
        (
            Client::new(
                ours,
                Role::Attached {
                    process: 0,
                    streams,
                },
            ),
            theirs,
        )
    }

    fn frame() -> Vec<u8> {
        let mut frame = header(Kind::Stdout, MAX_STREAM).to_vec();
        frame.resize(HEADER + MAX_STREAM, b'x');
        frame
    }

    fn fill(client: &mut Client) {
        while !client.holds_up() {
            client.output(&frame());
        }
    }

    #[test]
    fn a_lossless_client_is_waited_for() {
        let (mut client, mut theirs) = attached(true);
        fill(&mut client);
        assert_eq!(client.deadline(), None);
        let mut sink = vec![0; 64 * 1024];
        while client.is_waiting() {
            let _count = theirs.read(&mut sink).unwrap();
            client.flush();
        }
        assert!(!client.still_holds_up() && !client.holds_up());
    }

    #[test]
    fn a_slow_client_loses_and_is_told() {
        let (mut client, mut theirs) = attached(false);
        fill(&mut client);
        assert!(client.deadline().is_some());
        client.give_up();
        assert!(!client.holds_up());
        client.output(&frame());
        client.output(&frame());
        let mut decoder = Decoder::default();
        let mut sink = vec![0; 64 * 1024];
        theirs.set_nonblocking(true).unwrap();
        let mut told = None;
        while told.is_none() {
            client.flush();
            let count = theirs.read(&mut sink).unwrap();
            decoder.feed(&sink[..count]);
            while let Some(frame) = decoder.next_frame().unwrap() {
                if frame.kind == Kind::Control {
                    told = Some(frame.message::<Reply>().unwrap());
                }
            }
        }
        assert_eq!(told, Some(Reply::Lost { bytes: 2 * 65536 }));
    }

    #[test]
    fn a_client_that_went_holds_nothing_up() {
        let (mut client, theirs) = attached(true);
        fill(&mut client);
        drop(theirs);
        client.flush();
        assert!(client.gone && !client.holds_up() && !client.is_waiting());
    }
}
