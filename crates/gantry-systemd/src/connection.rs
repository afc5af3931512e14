//! One connection: who we are, and calls one after the other.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::error::SystemdError;
use crate::wire::{Call, ERROR, FIXED, Message, REPLY, SIGNAL, malformed, message_length};

/// How long the manager may say nothing, as with other clients.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest line while it is agreed who we are.
const LONGEST_LINE: usize = 1024;

/// A connection to a manager or a bus.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: UnixStream,
    serial: u32,
    /// Signals that came while something else was waited for.
    signals: Vec<Message>,
}

impl Connection {
    /// Connects to a socket and says who we are.
    pub(crate) fn open(path: &Path) -> Result<Connection, SystemdError> {
        let stream = UnixStream::connect(path).map_err(|source| SystemdError::Unreachable {
            path: path.to_owned(),
            source,
        })?;
        let limited = stream
            .set_read_timeout(Some(PATIENCE))
            .and_then(|()| stream.set_write_timeout(Some(PATIENCE)));
        limited.map_err(broken("limit the wait for systemd"))?;
        let mut connection = Connection {
            stream,
            serial: 0,
            signals: Vec::new(),
        };
        connection.authenticate()?;
        Ok(connection)
    }

    /// The socket itself says who we are ("EXTERNAL"); no number is named, which would be
    /// another one in a user namespace. All is said at once: a manager that reads the first
    /// message together with `BEGIN` would not look at it before the second.
    fn authenticate(&mut self) -> Result<(), SystemdError> {
        self.send(b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n")?;
        loop {
            let line = self.line()?;
            if line.starts_with("OK") {
                return Ok(());
            }
            if !line.starts_with("DATA") {
                return Err(SystemdError::Rejected { said: line });
            }
        }
    }

    /// A line of the agreement; what follows it is left unread.
    fn line(&mut self) -> Result<String, SystemdError> {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            if line.len() > LONGEST_LINE {
                return Err(malformed("a line without an end"));
            }
            let mut byte = [0];
            self.receive(&mut byte)?;
            line.extend(byte);
        }
        Ok(String::from_utf8_lossy(line.trim_ascii_end()).into_owned())
    }

    /// Calls a method and waits for its answer.
    pub(crate) fn call(&mut self, call: &Call<'_>) -> Result<Message, SystemdError> {
        self.serial += 1;
        self.send(&call.message(self.serial))?;
        loop {
            let message = self.message()?;
            match message.kind {
                SIGNAL => self.signals.push(message),
                REPLY if message.answers == self.serial => return Ok(message),
                ERROR if message.answers == self.serial => return Err(refusal(call, &message)),
                _ => {}
            }
        }
    }

    /// The next signal.
    pub(crate) fn signal(&mut self) -> Result<Message, SystemdError> {
        if !self.signals.is_empty() {
            return Ok(self.signals.remove(0));
        }
        loop {
            let message = self.message()?;
            if message.kind == SIGNAL {
                return Ok(message);
            }
        }
    }

    fn message(&mut self) -> Result<Message, SystemdError> {
        let mut fixed = [0; FIXED];
        self.receive(&mut fixed)?;
        let mut bytes = vec![0; message_length(&fixed)?];
        let (begin, rest) = bytes.split_at_mut(FIXED);
        begin.copy_from_slice(&fixed);
        self.receive(rest)?;
        Message::parse(&bytes)
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), SystemdError> {
        let sent = self.stream.write_all(bytes);
        sent.map_err(broken("talk to systemd"))
    }

    fn receive(&mut self, bytes: &mut [u8]) -> Result<(), SystemdError> {
        let received = self.stream.read_exact(bytes);
        received.map_err(broken("hear from systemd"))
    }
}

fn broken(action: &'static str) -> impl FnOnce(io::Error) -> SystemdError {
    move |source| SystemdError::Connection { action, source }
}

fn refusal(call: &Call<'_>, message: &Message) -> SystemdError {
    let said = message
        .body("s")
        .and_then(|mut body| body.text().map(str::to_owned));
    SystemdError::Refused {
        method: call.method,
        message: said.unwrap_or_else(|_| message.error_name.clone()),
        name: message.error_name.clone(),
    }
}
