//! Output of processes: to the log, to the clients, and waiting for those that are slow.

use std::os::fd::AsFd;

use super::poller::{Interest, Token};
use super::process::Read;
use super::{INIT, Process, Supervisor, note};
use crate::log::Stream;
use crate::protocol::{HEADER, Kind, header};

/// Reads of one stream before other events get their turn.
const TURNS: usize = 4;
/// Most bytes taken from a stream whose process ended, should a stranger go on writing to it.
const LAST_WORDS: usize = 4 << 20;

pub(super) const STREAMS: [Stream; 2] = [Stream::Stdout, Stream::Stderr];

impl Supervisor {
    /// Begins to follow the streams of a process.
    pub(super) fn watch(&mut self, id: u32, process: Process) {
        self.processes.insert(id, process);
        self.set_reading(id, true);
    }

    fn set_reading(&mut self, id: u32, reading: bool) {
        let Some(process) = self.processes.get(&id) else {
            return;
        };
        for stream in STREAMS {
            let Some(source) = process.streams.source(stream) else {
                continue;
            };
            let token = match stream {
                Stream::Stdout => Token::Stdout(id),
                Stream::Stderr => Token::Stderr(id),
            };
            self.poller.remove(source);
            if reading && let Err(error) = self.poller.add(source, token, Interest::Read) {
                note(&format!("cannot follow the output: {error}"));
            }
        }
    }

    pub(super) fn on_output(&mut self, id: u32, stream: Stream) {
        for _ in 0..TURNS {
            let held_up = self
                .processes
                .get(&id)
                .is_none_or(|process| process.held_up);
            if held_up || self.pass_on(id, stream) == 0 {
                return;
            }
        }
    }

    /// Reads once and passes it on; says how many bytes that was.
    fn pass_on(&mut self, id: u32, stream: Stream) -> usize {
        let Some(process) = self.processes.get_mut(&id) else {
            return 0;
        };
        let count = match process.streams.read(stream, &mut self.scratch[HEADER..]) {
            Read::Bytes(count) => count,
            Read::Pending => return 0,
            Read::End => {
                self.end_stream(id, stream);
                return 0;
            }
        };
        if id == INIT && self.log_output(stream, HEADER, HEADER + count) {
            self.hold_up(id);
        }
        if let Some(health) = &mut self.health
            && health.hear(id, &self.scratch[HEADER..HEADER + count])
        {
            return count;
        }
        self.send_followers(id, stream, count);
        count
    }

    fn send_followers(&mut self, id: u32, stream: Stream, count: usize) {
        let kind = match stream {
            Stream::Stdout => Kind::Stdout,
            Stream::Stderr => Kind::Stderr,
        };
        let mut frame = std::mem::take(&mut self.scratch);
        frame[..HEADER].copy_from_slice(&header(kind, count));
        let mut held_up = false;
        for (client, streams) in self.followers(id) {
            let wanted = match stream {
                Stream::Stdout => streams.stdout,
                Stream::Stderr => streams.stderr,
            };
            if wanted {
                client.output(&frame[..HEADER + count]);
                held_up |= client.holds_up();
            }
        }
        self.scratch = frame;
        if held_up {
            self.hold_up(id);
        }
    }

    fn hold_up(&mut self, id: u32) {
        if let Some(process) = self.processes.get_mut(&id)
            && !process.held_up
        {
            process.held_up = true;
            self.set_reading(id, false);
        }
    }

    /// Goes on with processes whose clients caught up.
    pub(super) fn release_held_up(&mut self) {
        let waiting: Vec<u32> = self
            .processes
            .iter()
            .filter(|(_, process)| process.held_up)
            .map(|(id, _)| *id)
            .collect();
        for id in waiting {
            if self.log_still_holds_up(id)
                || self
                    .followers(id)
                    .any(|(client, _)| client.still_holds_up())
            {
                continue;
            }
            if let Some(process) = self.processes.get_mut(&id) {
                process.held_up = false;
            }
            self.set_reading(id, true);
        }
    }

    fn end_stream(&mut self, id: u32, stream: Stream) {
        if let Some(process) = self.processes.get_mut(&id) {
            if let Some(source) = process.streams.source(stream) {
                self.poller.remove(source);
            }
            process.streams.close(stream);
        }
        if id == INIT {
            self.log_end(stream);
        }
    }

    /// Passes on what a process wrote before it ended. What clients have no room for is
    /// queued: no more than pipes and terminals hold.
    pub(super) fn drain(&mut self, id: u32) {
        for stream in STREAMS {
            let mut left = LAST_WORDS;
            loop {
                let count = self.pass_on(id, stream);
                left = left.saturating_sub(count);
                if count == 0 || left == 0 {
                    break;
                }
            }
            self.end_stream(id, stream);
        }
        if let Some(process) = self.processes.remove(&id)
            && let Some(sink) = process.streams.sink()
        {
            self.poller.remove(sink.as_fd());
        }
        if id == INIT {
            self.release_log();
        }
    }
}
