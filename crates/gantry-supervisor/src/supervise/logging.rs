//! The log as the supervisor sees it: written here, or handed to a courier.

use std::time::{Duration, Instant};

use super::poller::{Interest, Token};
use super::{INIT, Supervisor, note};
use crate::log::courier::Courier;
use crate::log::{LogWriter, OpenError, Stream};
use crate::state::now;

/// A courier that was killed is replaced no sooner than so long after the one before.
const PAUSE: Duration = Duration::from_secs(1);

/// Who writes the log.
#[derive(Debug)]
pub(super) enum Log {
    /// The supervisor.
    Own(Box<LogWriter>),
    /// A process of its own.
    Carried {
        courier: Courier,
        begun: Instant,
        /// Whether epoll waits for room.
        wants_room: bool,
    },
    /// Its process was killed; the next output replaces it.
    Lost { since: Instant },
}

impl Supervisor {
    /// Opens the log that the settings name.
    pub(super) fn open_log(&mut self) -> Result<(), OpenError> {
        let settings = &self.settings.log;
        if !settings.is_kept() {
            return Ok(());
        }
        self.log = Some(if settings.is_carried() {
            Log::Carried {
                courier: Courier::begin(settings)?,
                begun: Instant::now(),
                wants_room: false,
            }
        } else {
            Log::Own(Box::new(LogWriter::open(settings)?))
        });
        Ok(())
    }

    /// Logs the bytes of a stream that stand in `self.scratch`; says whether the container has
    /// to wait.
    pub(super) fn log_output(&mut self, stream: Stream, from: usize, to: usize) -> bool {
        if let Some(Log::Lost { since }) = &self.log
            && since.elapsed() >= PAUSE
            && let Err(error) = self.open_log()
        {
            note(&crate::protocol::chain(&error));
            self.log = Some(Log::Lost {
                since: Instant::now(),
            });
        }
        let bytes = &self.scratch[from..to];
        match &mut self.log {
            Some(Log::Own(log)) => {
                log.push(stream, bytes, &now());
                if let Some(error) = log.take_failure() {
                    note(&format!("the log lost lines: {error}"));
                }
            }
            Some(Log::Carried { courier, .. }) => {
                courier.push(stream, bytes);
                let holds_up = courier.holds_up();
                self.await_courier();
                return holds_up;
            }
            Some(Log::Lost { .. }) | None => {}
        }
        false
    }

    /// Logs the end of a stream.
    pub(super) fn log_end(&mut self, stream: Stream) {
        match &mut self.log {
            Some(Log::Own(log)) => log.end(stream, &now()),
            Some(Log::Carried { courier, .. }) => {
                courier.end_stream(stream);
                self.await_courier();
            }
            Some(Log::Lost { .. }) | None => {}
        }
    }

    /// Gives back memory at the end of a run.
    pub(super) fn release_log(&mut self) {
        if let Some(Log::Own(log)) = &mut self.log {
            log.release();
        }
    }

    /// The courier takes more.
    pub(super) fn on_courier(&mut self) {
        if let Some(Log::Carried { courier, .. }) = &mut self.log {
            courier.flush();
        }
        self.await_courier();
    }

    /// Waits for room where bytes wait, and only there.
    fn await_courier(&mut self) {
        let Some(Log::Carried {
            courier,
            wants_room,
            ..
        }) = &mut self.log
        else {
            return;
        };
        if courier.is_waiting() == *wants_room {
            return;
        }
        *wants_room = !*wants_room;
        self.poller.remove(&*courier);
        if *wants_room && let Err(error) = self.poller.add(&*courier, Token::Log, Interest::Write) {
            note(&format!("cannot wait for room in the log: {error}"));
        }
    }

    /// Whether the container waits for its log.
    pub(super) fn log_still_holds_up(&self, process: u32) -> bool {
        match &self.log {
            Some(Log::Carried { courier, .. }) if process == INIT => courier.still_holds_up(),
            _ => false,
        }
    }

    /// Ends the log; false when lines are still on their way.
    pub(super) fn end_log(&mut self) -> bool {
        if let Some(Log::Carried { courier, .. }) = &mut self.log {
            courier.end();
            self.await_courier();
            return false;
        }
        self.log = None;
        true
    }

    /// Lines that are still on their way are given up.
    pub(super) fn give_up_log(&mut self) {
        if let Some(Log::Carried { courier, .. }) = &mut self.log {
            note("the log lost lines: they were not taken in time");
            courier.kill();
        }
        self.log = None;
    }

    /// Takes note of the end of a child; true when it was the courier.
    pub(super) fn courier_ended(&mut self, pid: i32) -> bool {
        let Some(Log::Carried { courier, begun, .. }) = &self.log else {
            return false;
        };
        if courier.pid() != pid {
            return false;
        }
        self.poller.remove(courier);
        let since = *begun;
        self.log = if self.finishing.is_some() {
            None
        } else {
            note("the process that carried the log ended");
            Some(Log::Lost { since })
        };
        true
    }
}
