//! A netlink socket: batches with their acknowledgements, and dumps.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use thiserror::Error;

use super::message::{Attributes, HEADER, Incoming, Message, Messages};

const REQUEST: u16 = 0x1;
const ACK: u16 = 0x4;
const DUMP: u16 = 0x300;
/// In a reply: the dump is inconsistent, something changed while it ran.
const DUMP_INTERRUPTED: u16 = 0x10;
/// In an acknowledgement: attributes follow the copy of the request's header.
const ACK_ATTRIBUTES: u16 = 0x200;

const TYPE_ERROR: u16 = 2;
const TYPE_DONE: u16 = 3;

/// Message types of nf_tables that open and close a batch.
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;

/// Attribute of an acknowledgement with the kernel's own words.
const ERROR_TEXT: u16 = 1;

/// As much as the kernel puts into one datagram of a dump.
const BUFFER: usize = 32 * 1024;

/// How often a dump that was interrupted by a change is begun again.
const DUMP_ATTEMPTS: usize = 8;

/// Why something could not be done by netlink.
#[derive(Debug, Error)]
pub enum NetlinkError {
    /// The socket itself failed.
    #[error("cannot {operation} a netlink socket")]
    Socket {
        /// What was tried.
        operation: &'static str,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The kernel refused a message.
    #[error("cannot {purpose}: {}{}", describe(*errno), text.as_deref().map(|text| format!(" ({text})")).unwrap_or_default())]
    Refused {
        /// What the message was for.
        purpose: String,
        /// Which message of the batch, from 0.
        index: usize,
        /// The error number.
        errno: i32,
        /// The kernel's explanation, if it gave one.
        text: Option<String>,
    },
    /// An answer breaks netlink's own rules.
    #[error("malformed netlink answer: {what}")]
    Malformed {
        /// Which rule.
        what: &'static str,
    },
    /// A message does not fit netlink's 16-bit lengths.
    #[error("cannot {purpose}: too large for one netlink message")]
    TooLarge {
        /// What the message was for.
        purpose: String,
    },
}

impl NetlinkError {
    /// The error number, where there is one.
    pub fn errno(&self) -> Option<i32> {
        match self {
            NetlinkError::Refused { errno, .. } => Some(*errno),
            NetlinkError::Socket { source, .. } => source.raw_os_error(),
            NetlinkError::Malformed { .. } | NetlinkError::TooLarge { .. } => None,
        }
    }
}

fn describe(errno: i32) -> io::Error {
    io::Error::from_raw_os_error(errno)
}

/// Which part of the kernel a socket talks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Links, addresses, routes.
    Route,
    /// nf_tables.
    Netfilter,
}

/// A message of an answer, kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Its type.
    pub kind: u16,
    /// Its fixed header and attributes.
    pub payload: Vec<u8>,
}

impl Reply {
    /// The attributes behind a fixed header of `length` bytes.
    pub fn attributes(&self, length: usize) -> Attributes<'_> {
        Attributes::new(self.payload.get(length..).unwrap_or(&[]))
    }
}

/// A netlink socket, bound to the network namespace it was opened in.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Socket {
    /// Opens a socket in the caller's network namespace.
    pub fn open(protocol: Protocol) -> Result<Socket, NetlinkError> {
        let number = match protocol {
            Protocol::Route => libc::NETLINK_ROUTE,
            Protocol::Netfilter => libc::NETLINK_NETFILTER,
        };
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
        // SAFETY: no pointers.
        let fd = unsafe { libc::socket(libc::AF_NETLINK, kind, number) };
        if fd < 0 {
            return Err(failed("open"));
        }
        // SAFETY: `fd` was just opened and belongs to nobody else.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let socket = Socket {
            fd,
            sequence: 0,
            buffer: Vec::new(),
        };
        socket.option(libc::NETLINK_EXT_ACK)?;
        socket.option(libc::NETLINK_CAP_ACK)?;
        if protocol == Protocol::Route {
            socket.option(libc::NETLINK_GET_STRICT_CHK)?;
        }
        Ok(socket)
    }

    /// Opens a socket inside another network namespace; the caller's own does not change.
    pub fn open_in(protocol: Protocol, netns: BorrowedFd<'_>) -> Result<Socket, NetlinkError> {
        super::within(netns, || Socket::open(protocol)).map_err(|source| NetlinkError::Socket {
            operation: "enter the namespace for",
            source,
        })?
    }

    fn option(&self, name: libc::c_int) -> Result<(), NetlinkError> {
        let on: libc::c_int = 1;
        let size = libc::socklen_t::try_from(size_of::<libc::c_int>()).unwrap_or(4);
        // SAFETY: the option's value is an int, which `on` is, of the size given.
        let result = unsafe {
            libc::setsockopt(
                self.fd.as_raw_fd(),
                libc::SOL_NETLINK,
                name,
                std::ptr::from_ref(&on).cast(),
                size,
            )
        };
        if result == 0 {
            Ok(())
        } else {
            Err(failed("configure"))
        }
    }

    /// Sends all messages at once and reads every acknowledgement. Each message is tried,
    /// also those after one that was refused; the first refusal is the error.
    pub fn transact(&mut self, messages: &[Message]) -> Result<(), NetlinkError> {
        if messages.is_empty() {
            return Ok(());
        }
        let mut bytes = Vec::with_capacity(4096);
        let first = self.sequence.wrapping_add(1);
        for message in messages {
            fits(message)?;
            self.sequence = self.sequence.wrapping_add(1);
            message.write(&mut bytes, REQUEST | ACK, self.sequence);
        }
        self.send(&bytes)?;
        let mut refusals: Vec<Option<NetlinkError>> = Vec::new();
        let mut missing = messages.len();
        while missing > 0 {
            self.receive(true, &mut |incoming| {
                let index = usize::try_from(incoming.sequence.wrapping_sub(first));
                let Some((index, message)) = index
                    .ok()
                    .and_then(|index| Some((index, messages.get(index)?)))
                else {
                    return Ok(());
                };
                if let Some(answer) = acknowledgement(incoming)? {
                    missing = missing.saturating_sub(1);
                    refusals.push(refusal(message, index, answer));
                }
                Ok(())
            })?;
        }
        refusals.into_iter().flatten().next().map_or(Ok(()), Err)
    }

    /// Sends messages as one nf_tables transaction: all take effect, or none.
    pub fn transact_atomically(&mut self, messages: &[Message]) -> Result<(), NetlinkError> {
        /// `struct nfgenmsg` with the nf_tables subsystem as resource.
        const GENERIC: [u8; 4] = [0, 0, 0, 10];
        if messages.is_empty() {
            return Ok(());
        }
        let mut bytes = Vec::with_capacity(8192);
        let begin = self.sequence.wrapping_add(1);
        Message::new(BATCH_BEGIN, 0, &GENERIC, "").write(&mut bytes, REQUEST, begin);
        for (index, message) in messages.iter().enumerate() {
            fits(message)?;
            let last = if index + 1 == messages.len() { ACK } else { 0 };
            let offset = u32::try_from(index + 1).unwrap_or(u32::MAX);
            message.write(&mut bytes, REQUEST | last, begin.wrapping_add(offset));
        }
        let count = u32::try_from(messages.len()).unwrap_or(u32::MAX);
        self.sequence = begin.wrapping_add(count).wrapping_add(1);
        Message::new(BATCH_END, 0, &GENERIC, "").write(&mut bytes, REQUEST, self.sequence);
        self.send(&bytes)?;
        self.transaction_result(messages, begin)
    }

    /// Reads what became of a transaction. The kernel answers before `send` returns, so that
    /// an empty queue means there is no more.
    fn transaction_result(&mut self, messages: &[Message], begin: u32) -> Result<(), NetlinkError> {
        let mut refused: Option<NetlinkError> = None;
        let mut confirmed = false;
        loop {
            let received = self.receive(false, &mut |incoming| {
                let offset = usize::try_from(incoming.sequence.wrapping_sub(begin));
                let Some(offset) = offset.ok().filter(|offset| *offset <= messages.len()) else {
                    return Ok(());
                };
                let Some(answer) = acknowledgement(incoming)? else {
                    return Ok(());
                };
                // Number 0 is the begin of the batch: the transaction as a whole.
                let index = offset.saturating_sub(1);
                confirmed |= offset == messages.len();
                let new = refusal(&messages[index], index, answer);
                refused = refused.take().or(new);
                Ok(())
            })?;
            if !received {
                break;
            }
        }
        match refused {
            Some(error) => Err(error),
            None if confirmed => Ok(()),
            None => Err(NetlinkError::Malformed {
                what: "a transaction was not acknowledged",
            }),
        }
    }

    /// Sends one request and gives the single object it answers with; `None` when the kernel
    /// says that there is none.
    pub fn get(&mut self, message: &Message) -> Result<Option<Reply>, NetlinkError> {
        const NOTHING: [i32; 2] = [libc::ENODEV, libc::ENOENT];
        fits(message)?;
        self.sequence = self.sequence.wrapping_add(1);
        let mut bytes = Vec::with_capacity(256);
        message.write(&mut bytes, REQUEST | ACK, self.sequence);
        self.send(&bytes)?;
        let (mut reply, mut result) = (None, None);
        let sequence = self.sequence;
        while result.is_none() {
            self.receive(true, &mut |incoming| {
                if incoming.sequence != sequence {
                    return Ok(());
                }
                match acknowledgement(incoming)? {
                    Some(answer) => result = Some(refusal(message, 0, answer)),
                    None => reply = Some(keep(incoming)),
                }
                Ok(())
            })?;
        }
        match result.flatten() {
            Some(error) if error.errno().is_some_and(|errno| NOTHING.contains(&errno)) => Ok(None),
            Some(error) => Err(error),
            None => Ok(reply),
        }
    }

    /// Asks for all objects. A dump that a change interrupted is begun again.
    pub fn dump(&mut self, message: &Message) -> Result<Vec<Reply>, NetlinkError> {
        for _ in 1..DUMP_ATTEMPTS {
            let (replies, consistent) = self.dump_once(message)?;
            if consistent {
                return Ok(replies);
            }
        }
        // Always changing: the last picture is as good as any.
        Ok(self.dump_once(message)?.0)
    }

    fn dump_once(&mut self, message: &Message) -> Result<(Vec<Reply>, bool), NetlinkError> {
        fits(message)?;
        self.sequence = self.sequence.wrapping_add(1);
        let mut bytes = Vec::with_capacity(256);
        message.write(&mut bytes, REQUEST | DUMP, self.sequence);
        self.send(&bytes)?;
        let (mut replies, mut consistent, mut done) = (Vec::new(), true, None);
        let sequence = self.sequence;
        while done.is_none() {
            self.receive(true, &mut |incoming| {
                if incoming.sequence != sequence {
                    return Ok(());
                }
                consistent &= incoming.flags & DUMP_INTERRUPTED == 0;
                match acknowledgement(incoming)? {
                    Some(answer) => done = Some(refusal(message, 0, answer)),
                    None => replies.push(keep(incoming)),
                }
                Ok(())
            })?;
        }
        done.flatten().map_or(Ok((replies, consistent)), Err)
    }

    fn send(&self, bytes: &[u8]) -> Result<(), NetlinkError> {
        loop {
            // SAFETY: `bytes` is readable for its length. An unconnected netlink socket
            // sends to the kernel.
            let sent =
                unsafe { libc::send(self.fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), 0) };
            match usize::try_from(sent) {
                Ok(length) if length == bytes.len() => return Ok(()),
                Ok(_) => {
                    return Err(NetlinkError::Malformed {
                        what: "sent in part",
                    });
                }
                Err(_) if last_errno() == libc::EINTR => {}
                Err(_) => return Err(failed("send on")),
            }
        }
    }

    /// Receives one datagram and hands each message in it to `each`. `false` when nothing was
    /// queued and it was not to wait.
    fn receive(
        &mut self,
        wait: bool,
        each: &mut dyn FnMut(&Incoming<'_>) -> Result<(), NetlinkError>,
    ) -> Result<bool, NetlinkError> {
        let Some((length, from_kernel)) = self.receive_datagram(wait)? else {
            return Ok(false);
        };
        if !from_kernel {
            return Ok(true);
        }
        let Some(datagram) = self.buffer.get(..length) else {
            return Err(NetlinkError::Malformed {
                what: "a datagram larger than any should be",
            });
        };
        for incoming in Messages::new(datagram) {
            let incoming = incoming.map_err(|()| NetlinkError::Malformed {
                what: "a length out of bounds",
            })?;
            each(&incoming)?;
        }
        Ok(true)
    }

    /// The length of the next datagram, now in the buffer, and whether the kernel sent it.
    fn receive_datagram(&mut self, wait: bool) -> Result<Option<(usize, bool)>, NetlinkError> {
        let flags = libc::MSG_TRUNC | if wait { 0 } else { libc::MSG_DONTWAIT };
        self.buffer.clear();
        // Reserved, not filled: of a buffer that is never touched no memory is used.
        self.buffer.reserve(BUFFER);
        loop {
            // SAFETY: sockaddr_nl is plain integers, for which zero is valid.
            let mut from: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
            let mut size = libc::socklen_t::try_from(size_of_val(&from)).unwrap_or(12);
            // SAFETY: the buffer has room for its capacity, `from` is writable for `size`.
            let received = unsafe {
                libc::recvfrom(
                    self.fd.as_raw_fd(),
                    self.buffer.as_mut_ptr().cast(),
                    self.buffer.capacity(),
                    flags,
                    std::ptr::from_mut(&mut from).cast(),
                    &raw mut size,
                )
            };
            match usize::try_from(received) {
                Ok(length) => {
                    // SAFETY: the kernel has written as much of the datagram as fits.
                    unsafe { self.buffer.set_len(length.min(self.buffer.capacity())) };
                    return Ok(Some((length, from.nl_pid == 0)));
                }
                Err(_) => match last_errno() {
                    libc::EINTR => {}
                    libc::EAGAIN if !wait => return Ok(None),
                    _ => return Err(failed("receive on")),
                },
            }
        }
    }
}

fn last_errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

fn failed(operation: &'static str) -> NetlinkError {
    NetlinkError::Socket {
        operation,
        source: io::Error::last_os_error(),
    }
}

fn fits(message: &Message) -> Result<(), NetlinkError> {
    if message.overflowed {
        return Err(NetlinkError::TooLarge {
            purpose: message.purpose.to_string(),
        });
    }
    Ok(())
}

fn keep(incoming: &Incoming<'_>) -> Reply {
    Reply {
        kind: incoming.kind,
        payload: incoming.payload.to_vec(),
    }
}

/// The error number (0 for success) and the kernel's words in an acknowledgement or an end of
/// a dump; `None` for any other message.
fn acknowledgement(incoming: &Incoming<'_>) -> Result<Option<(i32, Option<String>)>, NetlinkError> {
    if incoming.kind != TYPE_ERROR && incoming.kind != TYPE_DONE {
        return Ok(None);
    }
    let code = match incoming.payload.first_chunk::<4>() {
        Some(bytes) => i32::from_ne_bytes(*bytes),
        None if incoming.kind == TYPE_DONE => 0,
        None => {
            return Err(NetlinkError::Malformed {
                what: "a short acknowledgement",
            });
        }
    };
    let copied = if incoming.kind == TYPE_ERROR {
        HEADER
    } else {
        0
    };
    let text = (incoming.flags & ACK_ATTRIBUTES != 0)
        .then(|| Attributes::new(incoming.payload.get(4 + copied..).unwrap_or(&[])))
        .and_then(|attributes| attributes.attribute(ERROR_TEXT)?.text().map(str::to_owned));
    Ok(Some((code.saturating_neg(), text)))
}

fn refusal(
    message: &Message,
    index: usize,
    (errno, text): (i32, Option<String>),
) -> Option<NetlinkError> {
    if errno == 0 || message.tolerated.contains(&errno) {
        return None;
    }
    Some(NetlinkError::Refused {
        purpose: message.purpose.to_string(),
        index,
        errno,
        text,
    })
}
