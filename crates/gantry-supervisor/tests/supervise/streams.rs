//! What goes in, what comes out, and to whom.

use std::fs::{self};
use std::time::Duration;

use gantry_model::record::Status;
use gantry_supervisor::client::{ClientError, Event, Session};
use gantry_supervisor::launch::Stdin;
use gantry_supervisor::log::LogFiles;
use gantry_supervisor::protocol::WindowSize;

use crate::house::{ALL, Heard, House, Wanted, listen, listen_for, listen_while, shell};

pub(crate) fn exit_codes_and_output(house: &House) {
    for (script, code) in [
        ("exit 0", 0),
        ("exit 42", 42),
        ("sh -c 'kill -9 $$'; exit $?", 137),
        ("kill -TERM $$; exit 3", 3),
    ] {
        let (container, mut session) = house.run(&Wanted {
            command: shell(script),
            ..Wanted::default()
        });
        assert_eq!(listen(&mut session).exit.code, code, "{script}");
        let state = container.state();
        assert_eq!(
            (state.status, state.exit_code, state.pid),
            (Status::Exited, code, None)
        );
        assert!(state.finished_at.is_some() && state.started_at.is_some());
    }
    let script = "echo out; echo err >&2; echo -n last";
    let (container, mut session) = house.run(&Wanted {
        command: shell(script),
        ..Wanted::default()
    });
    let heard = listen(&mut session);
    assert_eq!(heard.out(), "out\nlast");
    assert_eq!(heard.stderr, b"err\n");
    assert!(container.log().contains("last"));
    assert!(matches!(
        Session::connect(&container.run_folder),
        Err(ClientError::NotRunning)
    ));
}

pub(crate) fn a_million_lines(house: &House) {
    let (container, mut session) = house.run(&Wanted {
        command: shell("seq 1000000"),
        ..Wanted::default()
    });
    // A reader that takes a rest now and then.
    let mut heard = Heard::default();
    for rest in 1..20 {
        listen_while(&mut session, &mut heard, |heard| {
            heard.stdout.len() < rest * 100_000
        });
        std::thread::sleep(Duration::from_millis(5));
    }
    listen_while(&mut session, &mut heard, |_| true);
    assert_eq!(heard.stdout.len(), 6_888_896);
    assert!(heard.stdout.ends_with(b"999999\n1000000\n"));
    // The log is rotated at 20 MiB, a line at a time.
    let mut lines = 0;
    for age in 0..5 {
        let file = LogFiles::rotated(container.folder.join("log/json.log")).file(age);
        lines +=
            fs::read(file).map_or(0, |text| text.iter().filter(|byte| **byte == b'\n').count());
    }
    assert_eq!(lines, 1_000_000);
}

pub(crate) fn stdin_closes_by_half(house: &House) {
    let wanted = Wanted {
        command: shell("cat; echo end"),
        stdin: Stdin::Once,
        ..Wanted::default()
    };
    let (_container, mut session) = house.run(&wanted);
    let data: Vec<u8> = (0..600_000_u32).flat_map(|n| n.to_le_bytes()).collect();
    let mut sent = 0;
    let mut heard = Heard::default();
    while sent < data.len() {
        let count = session.write_stdin(&data[sent..]).unwrap();
        sent += count;
        let before = heard.stdout.len();
        if count == 0 {
            listen_while(&mut session, &mut heard, |heard| {
                heard.stdout.len() == before
            });
        }
    }
    session.close_stdin().unwrap();
    listen_while(&mut session, &mut heard, |_| true);
    assert_eq!(heard.exit.code, 0);
    assert!(heard.stdout.ends_with(b"end\n"));
    assert_eq!(heard.stdout[..data.len()], data);
}

pub(crate) fn unread_stdin(house: &House) {
    let wanted = Wanted {
        command: shell("trap 'exit 7' USR1; echo ready; while :; do sleep 0.05; done"),
        stdin: Stdin::Once,
        ..Wanted::default()
    };
    let (_container, mut session) = house.run(&wanted);
    listen_for(&mut session, "ready");
    let block = vec![0_u8; 64 * 1024];
    let mut total = 0;
    loop {
        let count = session.write_stdin(&block).unwrap();
        total += count;
        if count == 0 {
            // The pipe took what it holds; the rest waits for a reader that never comes.
            while matches!(session.read().unwrap(), Event::Stdout(_) | Event::Stderr(_)) {}
            if session.stdin_window() == 0 && total >= 64 * 1024 * 2 {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    // The control message is not stuck behind it.
    session.signal(10).unwrap();
    assert_eq!(listen(&mut session).exit.code, 7);
}

pub(crate) fn terminal(house: &House) {
    let script = "tty; stty size; read line; stty size; echo got $line; exit 5";
    let wanted = Wanted {
        command: shell(script),
        stdin: Stdin::Open,
        terminal: true,
        ..Wanted::default()
    };
    let (container, mut session) = house.run(&wanted);
    let heard = listen_for(&mut session, "24 80");
    assert!(heard.out().contains("/dev/pts/0"), "{}", heard.out());
    session
        .resize(WindowSize {
            rows: 50,
            columns: 132,
        })
        .unwrap();
    assert_eq!(session.write_stdin(b"hello\n").unwrap(), 6);
    let heard = listen(&mut session);
    assert!(heard.out().contains("50 132"), "{}", heard.out());
    assert!(heard.out().contains("got hello"));
    assert_eq!(heard.exit.code, 5);
    assert!(container.log().contains("50 132"));
}

pub(crate) fn two_clients(house: &House) {
    let wanted = Wanted {
        command: shell("read line; seq 20000; echo $line"),
        stdin: Stdin::Open,
        ..Wanted::default()
    };
    let (container, mut first) = house.run(&wanted);
    let mut second = container.connect();
    assert!(!second.attach(ALL).unwrap());
    second.write_stdin(b"done\n").unwrap();
    // One after the other: each waits for the other no longer than its queue is full.
    let reader = std::thread::spawn(move || listen(&mut second));
    let one = listen(&mut first);
    let two = reader.join().unwrap();
    assert_eq!(one.stdout, two.stdout);
    assert!(one.out().ends_with("20000\ndone\n"));
    assert_eq!((one.exit.code, two.exit.code), (0, 0));
}
