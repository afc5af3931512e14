//! Terminals.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};

use gantry_runtime::{ExecTarget, Stdio, exec};
use gantry_sys::pty;
use serde_json::json;

use crate::Test;
use crate::world::World;

pub(crate) const TESTS: &[Test] = &[
    (
        "root_a_terminal_of_the_container",
        root_a_terminal_of_the_container,
    ),
    ("root_a_terminal_for_exec", root_a_terminal_for_exec),
    ("root_a_terminal_with_init", root_a_terminal_with_init),
    (
        "root_a_false_devpts_is_refused",
        root_a_false_devpts_is_refused,
    ),
];

const TERMINAL: Stdio<'_> = Stdio::Terminal {
    rows: 33,
    columns: 101,
};

/// Reads what the program prints until it has ended.
fn read_all(master: &OwnedFd) -> String {
    let mut text = Vec::new();
    let mut buffer = [0; 1024];
    // A terminal whose other side is closed gives EIO.
    while let Ok(length) = rustix::io::read(master, &mut buffer) {
        if length == 0 {
            break;
        }
        text.extend_from_slice(&buffer[..length]);
    }
    String::from_utf8_lossy(&text).replace("\r\n", "\n")
}

fn root_a_terminal_of_the_container() {
    let mut world = World::new();
    world.document["process"]["user"] = json!({ "uid": 12, "gid": 12 });
    let script = "tty; stty size; ls -l /dev/console /dev/pts/0 | wc -l; echo typed > /dev/tty; \
                  stat -c %u /dev/pts/0; read line; echo got $line; stty size; echo on console > /dev/console";
    let mut created = world
        .create(&["sh", "-c", script], TERMINAL)
        .expect("created");
    let master = created.take_terminal().expect("a terminal");
    let running = created.start().expect("started");
    pty::set_size(&master, 40, 120).expect("resized");
    gantry_sys::fd::write_all(&master, b"hello\n").expect("typed");
    let text = read_all(&master);
    assert_eq!(running.wait().expect("reaped").code(), 0, "{text}");
    assert!(running.cleanup().is_empty());
    for line in [
        "/dev/pts/0",
        "2",
        "typed",
        "12",
        "got hello",
        "40 120",
        "on console",
    ] {
        assert!(text.lines().any(|own| own == line), "{line}\nin\n{text}");
    }
    let outside = fs::read_dir("/dev/pts").expect("listed").count();
    assert!(outside < 1000, "the terminal is not one of the host's");
}

fn root_a_terminal_for_exec() {
    let world = World::new();
    let live = world.start(&["sleep", "1000"]).expect("started");
    let target = ExecTarget {
        pidfd: live.running.pidfd(),
        pid: live.running.pid(),
        cgroup: live.running.cgroup(),
        seccomp: live.seccomp.as_ref(),
        die_with_parent: true,
        preserve_fds: 0,
        listening: None,
    };
    let process = world.process(&["sh", "-c", "tty; stty size; echo ok > /dev/tty"]);
    let mut running = exec(&target, &process, TERMINAL).expect("started");
    let master = running.take_terminal().expect("a terminal");
    let text = read_all(&master);
    assert_eq!(running.wait().expect("reaped").code(), 0, "{text}");
    assert_eq!(text, "/dev/pts/0\n33 101\nok\n");
    live.running.kill_all().expect("killed");
    live.finish();
}

fn root_a_terminal_with_init() {
    let mut world = World::new();
    world.init = true;
    let mut created = world
        .create(
            &["sh", "-c", "echo $$; echo ok > /dev/tty; stty size"],
            TERMINAL,
        )
        .expect("created");
    let master = created.take_terminal().expect("a terminal");
    let running = created.start().expect("started");
    let text = read_all(&master);
    assert_eq!(running.wait().expect("reaped").code(), 0, "{text}");
    assert!(running.cleanup().is_empty());
    assert_eq!(text, "2\nok\n33 101\n");
}

fn root_a_false_devpts_is_refused() {
    let mut world = World::new();
    // An image's own directory in place of the mount.
    world.document["mounts"]
        .as_array_mut()
        .expect("a list")
        .retain(|mount| mount["destination"] != "/dev/pts" && mount["destination"] != "/dev");
    let folder = world.lower().join("dev/pts");
    fs::create_dir_all(&folder).expect("a directory");
    fs::write(folder.join("ptmx"), "").expect("a file");
    let null = fs::File::open("/dev/null").expect("null");
    assert!(null.as_fd().try_clone_to_owned().is_ok());
    let error = world
        .create(&["true"], TERMINAL)
        .expect_err("no terminal there");
    assert!(
        error
            .to_string()
            .starts_with("cannot allocate a terminal /dev/pts"),
        "{error}"
    );
}
