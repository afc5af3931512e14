//! System logs: what a line becomes there, and the connection.

use std::io::{self, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::lines::Line;
use super::{Journald, Remote, Stream, Syslog, SyslogFormat, SyslogTarget};

/// Where syslog daemons of this host listen.
const LOCAL: [&str; 3] = ["/dev/log", "/var/run/syslog", "/var/run/log"];
/// How long a connection may take to come about, and a line to be taken.
const PATIENCE: Duration = Duration::from_secs(10);
/// After a failure the other side is left alone for so long.
const PAUSE: Duration = Duration::from_secs(1);

/// Why a system log cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// None of the usual sockets answers.
    #[error("Unix syslog delivery error")]
    NoLocalSyslog,
    /// The place that was named does not answer.
    #[error("dial {place}")]
    Dial {
        /// Protocol and address.
        place: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is no journal.
    #[error("journald is not enabled on this host")]
    NoJournal(#[source] io::Error),
}

/// Sends lines to a system log; blocks as long as that takes.
#[derive(Debug)]
pub(super) struct RemoteWriter {
    remote: Remote,
    /// `None` after a failure.
    connection: Option<Connection>,
    failed_at: Option<Instant>,
    failure: Option<io::Error>,
    message: Vec<u8>,
}

#[derive(Debug)]
enum Connection {
    Datagrams(UnixDatagram),
    Stream(UnixStream),
    Udp(UdpSocket),
    Tcp(TcpStream),
}

impl RemoteWriter {
    pub(super) fn open(remote: &Remote) -> Result<Self, RemoteError> {
        Ok(Self {
            connection: Some(connect(remote)?),
            remote: remote.clone(),
            failed_at: None,
            failure: None,
            message: Vec::new(),
        })
    }

    /// Sends a line; one that cannot be sent is lost, and said by
    /// [`RemoteWriter::take_failure`].
    pub(super) fn push(&mut self, line: Line<'_>, time: &str) {
        self.message.clear();
        match &self.remote {
            Remote::Syslog(syslog) => {
                let now = time.parse().unwrap_or_else(|_| Timestamp::now());
                let pid = std::process::id();
                syslog_message(&mut self.message, syslog, line, now, pid);
            }
            Remote::Journald(journald) => {
                journal_message(&mut self.message, journald, line, time);
            }
        }
        // A connection that was lost is made anew, once.
        for _ in 0..2 {
            if self.connection.is_none() {
                self.reconnect();
            }
            let Some(connected) = &mut self.connection else {
                return;
            };
            match connected.send(&self.message) {
                Ok(()) => return,
                Err(error) => {
                    self.connection = None;
                    self.failure.get_or_insert(error);
                }
            }
        }
        self.failed_at = Some(Instant::now());
    }

    fn reconnect(&mut self) {
        if self.failed_at.is_some_and(|at| at.elapsed() < PAUSE) {
            return;
        }
        match connect(&self.remote) {
            Ok(connected) => {
                self.failed_at = None;
                self.connection = Some(connected);
            }
            Err(error) => {
                self.failed_at = Some(Instant::now());
                let text = crate::protocol::chain(&error);
                self.failure.get_or_insert(io::Error::other(text));
            }
        }
    }

    /// What must stay open for it.
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(match self.connection.as_ref()? {
            Connection::Datagrams(socket) => socket.as_fd(),
            Connection::Stream(socket) => socket.as_fd(),
            Connection::Udp(socket) => socket.as_fd(),
            Connection::Tcp(socket) => socket.as_fd(),
        })
    }

    pub(super) fn take_failure(&mut self) -> Option<io::Error> {
        self.failure.take()
    }
}

impl Connection {
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        match self {
            Self::Datagrams(socket) => socket.send(message).map(drop),
            Self::Stream(socket) => socket.write_all(message),
            // Nobody there: a datagram is lost, which is what was asked for.
            Self::Udp(socket) => match socket.send(message) {
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
                other => other.map(drop),
            },
            Self::Tcp(socket) => socket.write_all(message),
        }
    }
}

fn connect(remote: &Remote) -> Result<Connection, RemoteError> {
    match remote {
        Remote::Journald(journald) => datagrams(&journald.socket).map_err(RemoteError::NoJournal),
        Remote::Syslog(syslog) => match &syslog.target {
            SyslogTarget::Local => LOCAL
                .iter()
                .find_map(|path| unix(Path::new(path)).ok())
                .ok_or(RemoteError::NoLocalSyslog),
            SyslogTarget::Unix(path) => {
                unix(path).map_err(dial(format!("unix {}", path.display())))
            }
            SyslogTarget::Udp(address) => {
                let any = if address.is_ipv4() {
                    "0.0.0.0:0"
                } else {
                    "[::]:0"
                };
                UdpSocket::bind(any)
                    .and_then(|socket| {
                        socket.connect(address)?;
                        Ok(Connection::Udp(socket))
                    })
                    .map_err(dial(format!("udp {address}")))
            }
            SyslogTarget::Tcp(address) => TcpStream::connect_timeout(address, PATIENCE)
                .and_then(|socket| {
                    socket.set_write_timeout(Some(PATIENCE))?;
                    Ok(Connection::Tcp(socket))
                })
                .map_err(dial(format!("tcp {address}"))),
        },
    }
}

fn dial(place: String) -> impl FnOnce(io::Error) -> RemoteError {
    move |source| RemoteError::Dial { place, source }
}

fn datagrams(path: &Path) -> io::Result<Connection> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(Connection::Datagrams(socket))
}

/// A socket of a syslog daemon takes datagrams, or else a stream.
fn unix(path: &Path) -> io::Result<Connection> {
    datagrams(path).or_else(|_| {
        let socket = UnixStream::connect(path)?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(Connection::Stream(socket))
    })
}

/// A line as syslog daemons take it.
fn syslog_message(out: &mut Vec<u8>, syslog: &Syslog, line: Line<'_>, now: Timestamp, pid: u32) {
    let severity = match line.stream {
        Stream::Stdout => 6,
        Stream::Stderr => 3,
    };
    let priority = u16::from(syslog.facility) * 8 + severity;
    let Syslog { tag, host, .. } = syslog;
    let local = now.to_zoned(TimeZone::system());
    // As Go writes it.
    let zone = match local.strftime("%:z").to_string() {
        zone if zone == "+00:00" => "Z".to_owned(),
        zone => zone,
    };
    let head = match syslog.format {
        SyslogFormat::Local => {
            let stamp = local.strftime("%b %e %H:%M:%S");
            format!("<{priority}>{stamp} {tag}[{pid}]: ")
        }
        SyslogFormat::Rfc3164 => {
            let stamp = local.strftime("%b %e %H:%M:%S");
            format!("<{priority}>{stamp} {host} {tag}[{pid}]: ")
        }
        SyslogFormat::Rfc5424 => {
            let stamp = local.strftime("%Y-%m-%dT%H:%M:%S");
            format!("<{priority}>1 {stamp}{zone} {host} {tag} {pid} {tag} - ")
        }
        SyslogFormat::Rfc5424Micro => {
            let stamp = local.strftime("%Y-%m-%dT%H:%M:%S.%6f");
            format!("<{priority}>1 {stamp}{zone} {host} {tag} {pid} {tag} - ")
        }
    };
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(line.text);
    out.push(b'\n');
}

/// A line as the journal's native protocol has it. Values with a newline give their length.
fn journal_message(out: &mut Vec<u8>, journald: &Journald, line: Line<'_>, time: &str) {
    let priority: &[u8] = match line.stream {
        Stream::Stdout => b"6",
        Stream::Stderr => b"3",
    };
    field(out, "MESSAGE", line.text);
    field(out, "PRIORITY", priority);
    field(out, "SYSLOG_TIMESTAMP", time.as_bytes());
    if !line.whole {
        field(out, "CONTAINER_PARTIAL_MESSAGE", b"true");
    }
    for (name, value) in &journald.fields {
        field(out, name, value.as_bytes());
    }
}

fn field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    if value.contains(&b'\n') {
        out.push(b'\n');
        out.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        out.push(b'=');
    }
    out.extend_from_slice(value);
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: Line<'_> = Line {
        text: b"hello",
        whole: true,
        stream: Stream::Stderr,
    };

    fn syslog(target: SyslogTarget, format: SyslogFormat) -> Syslog {
        Syslog {
            target,
            format,
            facility: 3,
            tag: "web".into(),
            host: "box".into(),
        }
    }

    #[test]
    fn syslog_messages_are_dockers() {
        let now: Timestamp = "2026-03-04T05:06:07.123456Z".parse().unwrap();
        let zone = now.to_zoned(TimeZone::system());
        let stamp = zone.strftime("%H:%M:%S");
        let offset = zone.strftime("%:z").to_string().replace("+00:00", "Z");
        let day = zone.strftime("%b %e");
        let date = zone.strftime("%Y-%m-%d");
        for (format, want) in [
            (
                SyslogFormat::Local,
                format!("<27>{day} {stamp} web[7]: hello\n"),
            ),
            (
                SyslogFormat::Rfc3164,
                format!("<27>{day} {stamp} box web[7]: hello\n"),
            ),
            (
                SyslogFormat::Rfc5424,
                format!("<27>1 {date}T{stamp}{offset} box web 7 web - hello\n"),
            ),
            (
                SyslogFormat::Rfc5424Micro,
                format!("<27>1 {date}T{stamp}.123456{offset} box web 7 web - hello\n"),
            ),
        ] {
            let mut out = Vec::new();
            let settings = syslog(SyslogTarget::Local, format);
            syslog_message(&mut out, &settings, LINE, now, 7);
            assert_eq!(String::from_utf8(out).unwrap(), want);
        }
    }

    #[test]
    fn journal_messages_are_the_native_protocol() {
        let journald = Journald {
            socket: "/x".into(),
            fields: vec![("A".into(), "b".into()), ("C".into(), "d\ne".into())],
        };
        let mut out = Vec::new();
        let line = Line {
            whole: false,
            stream: Stream::Stdout,
            ..LINE
        };
        journal_message(&mut out, &journald, line, "now");
        assert_eq!(
            out,
            b"MESSAGE=hello\nPRIORITY=6\nSYSLOG_TIMESTAMP=now\nCONTAINER_PARTIAL_MESSAGE=true\nA=b\nC\n\x03\0\0\0\0\0\0\0d\ne\n"
        );
    }

    #[test]
    fn lines_arrive_and_a_lost_connection_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let remote = Remote::Syslog(syslog(
            SyslogTarget::Unix(path.clone()),
            SyslogFormat::Local,
        ));
        assert!(RemoteWriter::open(&remote).is_err());
        let listen = || {
            let socket = UnixDatagram::bind(&path).unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket
        };
        let first = listen();
        let mut writer = RemoteWriter::open(&remote).unwrap();
        let mut got = [0; 100];
        writer.push(LINE, "2026-03-04T05:06:07Z");
        let count = first.recv(&mut got).unwrap();
        assert!(got[..count].ends_with(b": hello\n"));
        drop(first);
        std::fs::remove_file(&path).unwrap();
        let second = listen();
        writer.push(LINE, "2026-03-04T05:06:07Z");
        assert!(second.recv(&mut got).unwrap() > 0);
        assert!(writer.take_failure().is_some());
    }

    #[test]
    fn whoever_is_not_there_is_named() {
        for (target, want) in [
            (
                SyslogTarget::Tcp("127.0.0.1:1".parse().unwrap()),
                "dial tcp 127.0.0.1:1: Connection refused (os error 111)",
            ),
            (
                SyslogTarget::Unix("/nowhere".into()),
                "dial unix /nowhere: No such file or directory (os error 2)",
            ),
        ] {
            let remote = Remote::Syslog(syslog(target, SyslogFormat::Local));
            let error = RemoteWriter::open(&remote).unwrap_err();
            assert_eq!(crate::protocol::chain(&error), want);
        }
    }
}
