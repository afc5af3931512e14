//! The DNS relay.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use gantry_network::Relay;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::support::*;

/// A server that gives every question back with `!` behind it.
fn echo_server() -> SocketAddr {
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = udp.local_addr().unwrap();
    let tcp = TcpListener::bind(address).unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((length, peer)) = udp.recv_from(&mut buffer) {
            let mut answer = buffer[..length].to_vec();
            answer.push(b'!');
            udp.send_to(&answer, peer).unwrap();
        }
    });
    thread::spawn(move || {
        for stream in tcp.incoming() {
            let mut stream = stream.unwrap();
            let mut question = Vec::new();
            stream.read_to_end(&mut question).unwrap();
            question.push(b'!');
            stream.write_all(&question).unwrap();
        }
    });
    address
}

/// Polls the relay until `body` is done.
fn while_relaying<T>(relay: &mut Relay, body: impl FnOnce() -> T + Send) -> T
where
    T: Send,
{
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let body = scope.spawn(|| {
            let result = body();
            done.store(true, Ordering::Release);
            result
        });
        let tick = Timespec {
            tv_sec: 0,
            tv_nsec: 5_000_000,
        };
        while !done.load(Ordering::Acquire) && !body.is_finished() {
            poll(&mut [PollFd::new(relay, PollFlags::IN)], Some(&tick)).unwrap();
            relay.dispatch().unwrap();
        }
        body.join().unwrap()
    })
}

fn question_by_udp(question: &[u8]) -> Option<Vec<u8>> {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect("127.0.0.11:53").unwrap();
    socket.set_read_timeout(Some(BLOCKED)).unwrap();
    let mut buffer = [0; 8192];
    // As the C library, which is less patient: ask again when no answer comes.
    for _ in 0..100 {
        socket.send(question).ok()?;
        if let Ok(length) = socket.recv(&mut buffer) {
            return Some(buffer[..length].to_vec());
        }
    }
    None
}

fn question_by_tcp(question: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect("127.0.0.11:53").unwrap();
    stream.write_all(question).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    answer
}

fn with_mark(question: &[u8]) -> Vec<u8> {
    [question, b"!"].concat()
}

#[test]
fn root_questions_reach_the_hosts_loopback_servers() {
    in_fresh_network(|| {
        let container = Namespace::new();
        gantry_network::loopback_up(container.netns.as_fd()).unwrap();
        let mut relay = Relay::open(container.netns.as_fd(), vec![echo_server()]).unwrap();
        while_relaying(&mut relay, || {
            container.within(|| {
                // Port 53 stays free for the container's own server.
                let own = UdpSocket::bind("0.0.0.0:53").unwrap();
                assert_eq!(
                    question_by_udp(b"ab question"),
                    Some(with_mark(b"ab question"))
                );
                drop(own);
                for number in 0..200_u16 {
                    let question = [&number.to_be_bytes()[..], b" many"].concat();
                    assert_eq!(question_by_udp(&question), Some(with_mark(&question)));
                }
                let large = vec![7; 100_000];
                assert_eq!(question_by_tcp(&large), with_mark(&large));
                for _ in 0..40 {
                    assert_eq!(question_by_tcp(b"short"), with_mark(b"short"));
                }
            });
        });
    });
}

#[test]
fn root_dead_and_silent_servers_are_passed_over() {
    in_fresh_network(|| {
        let container = Namespace::new();
        gantry_network::loopback_up(container.netns.as_fd()).unwrap();
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let dead = "127.0.0.1:9".parse().unwrap();
        let unreachable = "192.0.2.1:53".parse().unwrap();
        let servers = vec![
            unreachable,
            dead,
            silent.local_addr().unwrap(),
            echo_server(),
        ];
        let mut relay = Relay::open(container.netns.as_fd(), servers).unwrap();
        while_relaying(&mut relay, || {
            container.within(|| {
                assert_eq!(
                    question_by_udp(b"ab question"),
                    Some(with_mark(b"ab question"))
                );
                assert_eq!(question_by_tcp(b"short"), with_mark(b"short"));
            });
        });
        // Opened again for the next run in the same namespace.
        drop(relay);
        Relay::open(container.netns.as_fd(), vec![echo_server()]).unwrap();
    });
}
