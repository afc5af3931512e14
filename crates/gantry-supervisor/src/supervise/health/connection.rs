//! A probe that the supervisor makes itself: a connection inside the container's network
//! namespace, and perhaps a question for a page. No tool of the image is needed.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use gantry_sys::netlink::within;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};

use crate::launch::Contact;

/// Bytes of an answer that are looked at for its first line.
const MOST: usize = 4096;

/// A connection on its way.
#[derive(Debug)]
pub(super) struct Connection {
    contact: Contact,
    namespace: Option<OwnedFd>,
    /// Addresses that were not tried.
    left: VecDeque<IpAddr>,
    address: IpAddr,
    socket: Option<OwnedFd>,
    connected: bool,
    answer: Vec<u8>,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Wait for the socket: to read or, until it is connected, to write.
    Pending,
    /// It is over: whether all is well, and what is to be said of it.
    Done(bool, String),
}

impl Connection {
    /// A connection into the network namespace of a process. `own` is the container's address,
    /// for services that listen on no other.
    pub(super) fn new(contact: Contact, pid: i32, own: Option<IpAddr>) -> io::Result<Self> {
        let open = |pid: &str| {
            let path = format!("/proc/{pid}/ns/net");
            rustix::fs::openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        };
        let theirs = open(&pid.to_string())?;
        let ours = open("self")?;
        let same = rustix::fs::fstat(&theirs)?.st_ino == rustix::fs::fstat(&ours)?.st_ino;
        let mut left: VecDeque<IpAddr> =
            [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()].into();
        left.extend(own);
        Ok(Self {
            contact,
            namespace: (!same).then_some(theirs),
            left,
            address: Ipv4Addr::LOCALHOST.into(),
            socket: None,
            connected: false,
            answer: Vec::new(),
        })
    }

    /// What is to be waited for.
    pub(super) fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().map(AsFd::as_fd)
    }

    /// Whether it is waited for until the socket can be written to.
    pub(super) fn is_connecting(&self) -> bool {
        !self.connected
    }

    /// Goes on as far as it can without waiting. The socket may be another one afterwards.
    pub(super) fn advance(&mut self) -> Outcome {
        loop {
            let step = match &self.socket {
                None => self.dial(),
                Some(socket) if !self.connected => match sockopt::socket_error(socket) {
                    Ok(Ok(())) => self.connected(),
                    Ok(Err(errno)) | Err(errno) => Err(errno),
                },
                Some(_) => return self.listen(),
            };
            match step {
                Ok(true) => {}
                Ok(false) => return Outcome::Pending,
                Err(errno) => {
                    self.socket = None;
                    if self.left.is_empty() {
                        return self.failed(&io::Error::from(errno).to_string());
                    }
                }
            }
        }
    }

    /// Begins to connect to the next address; false when that takes time.
    fn dial(&mut self) -> Result<bool, Errno> {
        let Some(address) = self.left.pop_front() else {
            return Err(Errno::CONNREFUSED);
        };
        self.address = address;
        let family = if address.is_ipv4() {
            AddressFamily::INET
        } else {
            AddressFamily::INET6
        };
        let make = || {
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            rustix::net::socket_with(family, SocketType::STREAM, flags, None)
        };
        let socket = match &self.namespace {
            // Made there, it stays there.
            Some(namespace) => within(namespace.as_fd(), make)
                .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))??,
            None => make()?,
        };
        let target = SocketAddr::new(address, self.contact.port());
        let begun = rustix::net::connect(&socket, &target);
        self.socket = Some(socket);
        match begun {
            Ok(()) => self.connected(),
            Err(Errno::INPROGRESS) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    /// Asks, where there is something to ask; true to go on at once.
    fn connected(&mut self) -> Result<bool, Errno> {
        self.connected = true;
        if let (Contact::Http { port, path }, Some(socket)) = (&self.contact, &self.socket) {
            let text = format!(
                "GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nUser-Agent: gantry-health\r\n\
                 Accept: */*\r\nConnection: close\r\n\r\n"
            );
            // A fresh connection has room for it.
            rustix::net::send(socket, text.as_bytes(), SendFlags::NOSIGNAL)?;
        }
        Ok(true)
    }

    /// Takes the answer.
    fn listen(&mut self) -> Outcome {
        let (Contact::Http { .. }, Some(socket)) = (&self.contact, &self.socket) else {
            return Outcome::Done(true, format!("connected to {}", self.place()));
        };
        let mut chunk = [0_u8; 1024];
        loop {
            let read = rustix::net::recv(socket, &mut chunk, RecvFlags::DONTWAIT);
            match read {
                Ok((0, _)) => return self.failed("the connection was closed without an answer"),
                Ok((count, _)) => self.answer.extend_from_slice(&chunk[..count]),
                Err(Errno::AGAIN) => return Outcome::Pending,
                Err(Errno::INTR) => continue,
                Err(errno) => return self.failed(&io::Error::from(errno).to_string()),
            }
            if let Some(end) = self.answer.iter().position(|&byte| byte == b'\n') {
                let line = String::from_utf8_lossy(&self.answer[..end]);
                let line = line.trim_end();
                return match status(line) {
                    Some(status) => {
                        let well = (200..400).contains(&status);
                        Outcome::Done(well, format!("GET {}: {line}", self.place()))
                    }
                    None => self.failed("the answer is not HTTP"),
                };
            }
            if self.answer.len() > MOST {
                return self.failed("the answer is not HTTP");
            }
        }
    }

    fn failed(&self, reason: &str) -> Outcome {
        let verb = match self.contact {
            Contact::Tcp { .. } => "connect to",
            Contact::Http { .. } => "GET",
        };
        Outcome::Done(false, format!("{verb} {}: {reason}", self.place()))
    }

    fn place(&self) -> String {
        let address = SocketAddr::new(self.address, self.contact.port());
        match &self.contact {
            Contact::Tcp { .. } => address.to_string(),
            Contact::Http { path, .. } => format!("http://{address}{path}"),
        }
    }
}

/// The number in the first line of an answer.
fn status(line: &str) -> Option<u16> {
    let rest = line.strip_prefix("HTTP/")?;
    let number = rest.split_ascii_whitespace().nth(1)?;
    (number.len() == 3).then(|| number.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use std::io::{Read, Write};
    use std::net::TcpListener;

    fn outcome(contact: Contact) -> (bool, String) {
        let pid = std::process::id().cast_signed();
        let mut connection = Connection::new(contact, pid, None).unwrap();
        loop {
            if let Outcome::Done(well, text) = connection.advance() {
                return (well, text);
            }
            let events = if connection.is_connecting() {
                PollFlags::OUT
            } else {
                PollFlags::IN
            };
            let mut fds = [PollFd::from_borrowed_fd(
                connection.socket().unwrap(),
                events,
            )];
            let timeout = Timespec {
                tv_sec: 10,
                tv_nsec: 0,
            };
            assert!(poll(&mut fds, Some(&timeout)).unwrap() > 0);
        }
    }

    /// A server that gives one answer.
    fn server(answer: &'static str) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let mut asked = [0; 1000];
            let count = socket.read(&mut asked).unwrap();
            if count > 0 {
                assert!(asked.starts_with(b"GET /health?a=b HTTP/1.1\r\nHost: localhost:"));
                socket.write_all(answer.as_bytes()).unwrap();
            }
        });
        port
    }

    #[test]
    fn pages_are_judged_by_their_status() {
        for (answer, well, end) in [
            ("HTTP/1.1 200 OK\r\n\r\nfine", true, "HTTP/1.1 200 OK"),
            ("HTTP/1.0 302 Found\r\n", true, "HTTP/1.0 302 Found"),
            ("HTTP/1.1 503 Busy\r\n", false, "HTTP/1.1 503 Busy"),
            ("SSH-2.0-x\r\n", false, "the answer is not HTTP"),
            ("", false, "the connection was closed without an answer"),
        ] {
            let port = server(answer);
            let path = "/health?a=b".to_owned();
            let (was_well, text) = outcome(Contact::Http { port, path });
            assert_eq!(was_well, well, "{text}");
            assert_eq!(
                text,
                format!("GET http://127.0.0.1:{port}/health?a=b: {end}")
            );
        }
    }

    #[test]
    fn ports_are_judged_by_whether_they_answer() {
        let listener = TcpListener::bind("[::1]:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (well, text) = outcome(Contact::Tcp { port });
        assert!(
            well && text == format!("connected to [::1]:{port}"),
            "{text}"
        );
        drop(listener);
        let (well, text) = outcome(Contact::Tcp { port });
        assert!(!well && text.contains("Connection refused"), "{text}");
    }
}
