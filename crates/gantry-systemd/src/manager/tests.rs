//! The conversation, with a manager that is played.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread::{JoinHandle, spawn};

use super::*;
use crate::property::Value;
use crate::wire::{ERROR, FIXED, REPLY, SIGNAL, message_length, played};

/// What the played manager says to a call.
enum Answer {
    Nothing,
    Text(&'static str),
    Job(&'static str),
    /// A job that has ended before its number is told.
    EndedJob,
    Error(&'static str),
}

/// Plays the other side of one connection: each call must be of this method, and is answered so.
/// Says the arguments of the calls.
fn play(socket: &Path, calls: Vec<(&'static str, Answer)>) -> JoinHandle<Vec<(String, Vec<u8>)>> {
    std::fs::create_dir_all(socket.parent().unwrap()).unwrap();
    let listener = UnixListener::bind(socket).unwrap();
    spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        accept(&stream, &mut reader);
        let mut heard = Vec::new();
        for (serial, (method, answer)) in (1..).zip(calls) {
            let call = receive(&mut reader);
            assert_eq!(call.member, method);
            heard.push((call.member, call.body));
            reply(&stream, serial, &answer);
        }
        heard
    })
}

fn accept(mut stream: &UnixStream, reader: &mut impl BufRead) {
    let mut line = String::new();
    for (wanted, said) in [
        ("\0AUTH EXTERNAL\r\n", "DATA\r\n"),
        ("DATA\r\n", "OK 0123\r\n"),
        ("BEGIN\r\n", ""),
    ] {
        line.clear();
        reader.read_line(&mut line).unwrap();
        assert_eq!(line, wanted);
        stream.write_all(said.as_bytes()).unwrap();
    }
}

fn receive(reader: &mut impl Read) -> Message {
    let mut fixed = [0; FIXED];
    reader.read_exact(&mut fixed).unwrap();
    let mut bytes = fixed.to_vec();
    bytes.resize(message_length(&fixed).unwrap(), 0);
    reader.read_exact(&mut bytes[FIXED..]).unwrap();
    Message::parse(&bytes).unwrap()
}

fn reply(stream: &UnixStream, serial: u32, answer: &Answer) {
    match answer {
        Answer::Nothing => send(stream, REPLY, serial, None, &[]),
        Answer::Text(text) => send(stream, REPLY, serial, None, &[("v", text)]),
        Answer::Job(result) => {
            send(stream, REPLY, serial, None, &[("o", "/job/5")]);
            ended(stream, "/job/4", "failed");
            ended(stream, "/job/5", result);
        }
        Answer::EndedJob => {
            ended(stream, "/job/5", "done");
            send(stream, REPLY, serial, None, &[("o", "/job/5")]);
        }
        Answer::Error(name) => send(stream, ERROR, serial, Some((4, name)), &[("s", "said")]),
    }
}

fn ended(stream: &UnixStream, job: &str, result: &str) {
    let body = [("u", ""), ("o", job), ("s", "x.scope"), ("s", result)];
    send(stream, SIGNAL, 0, Some((3, "JobRemoved")), &body);
}

/// Sends a message with a serial that it answers, and one more field.
fn send(
    mut stream: &UnixStream,
    kind: u8,
    answers: u32,
    field: Option<(u8, &str)>,
    body: &[(&str, &str)],
) {
    let mut arguments = Writer::default();
    let signature: String = body.iter().map(|(kind, _)| *kind).collect();
    for (kind, text) in body {
        match *kind {
            "u" => arguments.u32(5),
            "v" => {
                arguments.signature("s");
                arguments.text(text);
            }
            _ => arguments.text(text),
        }
    }
    let message = played(kind, answers, field, &signature, &arguments);
    stream.write_all(&message).unwrap();
}

fn folder_and_socket() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("systemd/private");
    (folder, socket)
}

#[test]
fn a_scope_is_started_and_its_job_waited_for() {
    let (folder, socket) = folder_and_socket();
    let other = play(
        &socket,
        vec![
            ("Subscribe", Answer::Nothing),
            ("Get", Answer::Text("/user.slice/")),
            ("StartTransientUnit", Answer::Job("done")),
            ("StartTransientUnit", Answer::EndedJob),
            ("SetUnitProperties", Answer::Nothing),
            ("StopUnit", Answer::Job("done")),
            ("ResetFailedUnit", Answer::Nothing),
        ],
    );
    let mut manager = Manager::of_user(folder.path()).unwrap();
    assert_eq!(manager.control_group().unwrap(), "/user.slice");
    let properties = [
        Property::new("PIDs", Value::Processes(vec![7])),
        Property::new("Delegate", Value::Bool(true)),
    ];
    manager.start("x.scope", &properties).unwrap();
    manager.start("x.scope", &[]).unwrap();
    manager.set("x.scope", &properties).unwrap();
    manager.stop("x.scope").unwrap();
    let heard = other.join().unwrap();
    // "x.scope", "replace", then the array of pairs.
    let body = &heard[2].1;
    assert_eq!(body[..4], [7, 0, 0, 0]);
    let text = String::from_utf8_lossy(body);
    assert!(text.contains("PIDs\0\u{2}au\0") && text.contains("Delegate\0\u{1}b\0"));
}

#[test]
fn refusals_and_failed_jobs_are_told() {
    let (folder, socket) = folder_and_socket();
    let other = play(
        &socket,
        vec![
            ("Subscribe", Answer::Nothing),
            (
                "StartTransientUnit",
                Answer::Error("org.freedesktop.systemd1.UnitExists"),
            ),
            ("ResetFailedUnit", Answer::Nothing),
            ("StartTransientUnit", Answer::Job("failed")),
            (
                "StopUnit",
                Answer::Error("org.freedesktop.systemd1.NoSuchUnit"),
            ),
            ("SetUnitProperties", Answer::Error("org.example.No")),
        ],
    );
    let mut manager = Manager::of_user(folder.path()).unwrap();
    let failed = manager.start("x.scope", &[]).unwrap_err();
    assert!(matches!(&failed, SystemdError::Job { result, .. } if result == "failed"));
    manager.stop("x.scope").unwrap();
    let refused = manager.set("x.scope", &[]).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "systemd refused SetUnitProperties: said"
    );
    other.join().unwrap();
}

#[test]
fn where_the_manager_does_not_listen_the_bus_is_asked() {
    let (folder, _) = folder_and_socket();
    let missing = Manager::of_user(folder.path()).unwrap_err();
    assert!(
        missing.to_string().ends_with("systemd/private"),
        "{missing}"
    );
    let other = play(
        &folder.path().join("bus"),
        vec![
            ("Hello", Answer::Nothing),
            ("AddMatch", Answer::Nothing),
            ("Subscribe", Answer::Nothing),
        ],
    );
    Manager::of_user(folder.path()).unwrap();
    other.join().unwrap();
}
