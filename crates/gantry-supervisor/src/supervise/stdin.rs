//! Stdin of a process: what clients sent and the process has not read yet.

use std::collections::VecDeque;

/// What became of queued bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Taken {
    /// The client that sent them.
    pub(super) client: u32,
    /// How many.
    pub(super) bytes: usize,
}

/// A queue before the pipe or the terminal of a process. Bounded by the clients' windows.
#[derive(Debug, Default)]
pub(super) struct StdinQueue {
    chunks: VecDeque<(u32, Vec<u8>)>,
    written: usize,
    /// No more will come: the pipe closes once the queue is empty.
    pub(super) ended: bool,
    /// Whether epoll waits for room.
    pub(super) wants_room: bool,
}

impl StdinQueue {
    /// Adds bytes of a client.
    pub(super) fn push(&mut self, client: u32, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.chunks.push_back((client, bytes.to_vec()));
        }
    }

    /// Whether bytes wait for room.
    pub(super) fn is_waiting(&self) -> bool {
        !self.chunks.is_empty()
    }

    /// Bytes of a client that wait: a client that goes beyond its window is cut off.
    pub(super) fn waiting_of(&self, client: u32) -> usize {
        self.chunks
            .iter()
            .filter(|(owner, _)| *owner == client)
            .map(|(_, bytes)| bytes.len())
            .sum()
    }

    /// Drops everything that waits, as read by nobody.
    pub(super) fn discard(&mut self) -> Vec<Taken> {
        self.written = 0;
        self.chunks
            .drain(..)
            .map(|(client, bytes)| Taken {
                client,
                bytes: bytes.len(),
            })
            .collect()
    }

    /// Writes as far as `write` takes; it gives `None` when there is no room at the moment.
    ///
    /// # Errors
    /// What `write` says; nobody reads any more.
    pub(super) fn flush<E>(
        &mut self,
        mut write: impl FnMut(&[u8]) -> Result<Option<usize>, E>,
    ) -> Result<Vec<Taken>, E> {
        let mut taken = Vec::new();
        while let Some((client, bytes)) = self.chunks.front() {
            let Some(count) = write(&bytes[self.written..])? else {
                break;
            };
            self.written += count;
            if self.written == bytes.len() {
                taken.push(Taken {
                    client: *client,
                    bytes: bytes.len(),
                });
                self.chunks.pop_front();
                self.written = 0;
            }
        }
        if self.chunks.is_empty() {
            self.chunks = VecDeque::new();
        }
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_keep_their_order_and_owners() {
        let mut queue = StdinQueue::default();
        queue.push(1, b"abc");
        queue.push(2, b"");
        queue.push(2, b"def");
        let mut got = Vec::new();
        let mut room = 4;
        let mut taken = queue
            .flush(|bytes| -> Result<_, ()> {
                if room == 0 {
                    return Ok(None);
                }
                let count = bytes.len().min(room).min(2);
                room -= count;
                got.extend_from_slice(&bytes[..count]);
                Ok(Some(count))
            })
            .unwrap();
        assert_eq!(got, b"abcd");
        assert_eq!(
            taken,
            [Taken {
                client: 1,
                bytes: 3
            }]
        );
        assert_eq!(queue.waiting_of(2), 3);
        taken = queue
            .flush(|bytes| -> Result<_, ()> {
                got.extend_from_slice(bytes);
                Ok(Some(bytes.len()))
            })
            .unwrap();
        assert_eq!(got, b"abcdef");
        assert_eq!(
            taken,
            [Taken {
                client: 2,
                bytes: 3
            }]
        );
        assert!(!queue.is_waiting());
    }
}
