//! Logs: drivers, options, what is kept and how it is read.

use std::io::Read;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

use gantry_testkit::TestEnv;
use gantry_testkit::environment::{PATIENCE, wait_for};

use crate::busybox;

in_both_modes! {
    details_go_with_every_line,
    a_log_that_is_kept_nowhere_cannot_be_read,
    logs_rotate_and_are_compressed,
    a_log_that_cannot_be_reached_stops_the_start,
    lines_over_tcp_arrive_to_the_last,
    syslog_gets_every_line,
}

/// The folder of a container's log.
fn log_folder(env: &TestEnv, name: &str) -> PathBuf {
    let id = env.gantry(["inspect", "-f", "{{.Id}}", name]).ok();
    env.root().join("containers").join(id).join("log")
}

fn names(folder: &PathBuf) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn logs_rotate_and_are_compressed(env: TestEnv) {
    env.gantry([
        "run",
        "-d",
        "--name",
        "loud",
        "--log-opt",
        "max-size=100k",
        "--log-opt",
        "max-file=4",
        "busybox",
        "sh",
        "-c",
        "seq 1 30000; sleep 1000",
    ])
    .ok();
    let folder = log_folder(&env, "loud");
    let want = [
        "json.log",
        "json.log.1.gz",
        "json.log.2.gz",
        "json.log.3.gz",
    ];
    wait_for("the last line", || {
        env.gantry(["logs", "-n", "1", "loud"]).ok() == "30000"
    });
    // Nothing is turned any more: what is compressed stays so.
    wait_for("the compressor", || names(&folder) == want);
    let all = env.gantry(["logs", "loud"]).ok();
    let lines: Vec<u32> = all.lines().map(|line| line.parse().unwrap()).collect();
    assert!(lines.len() > 3000, "{}", lines.len());
    assert!(lines.windows(2).all(|pair| pair[0] + 1 == pair[1]));
    // Deep in the compressed files.
    let tail = env.gantry(["logs", "--tail", "3000", "loud"]).ok();
    assert_eq!(tail.lines().next(), Some("27001"));
    assert_eq!(
        env.gantry(["logs", "--grep", "^2999[0-3]$", "loud"]).ok(),
        "29990\n29991\n29992\n29993"
    );
    let size: u64 = names(&folder)
        .iter()
        .map(|name| folder.join(name).metadata().unwrap().len())
        .sum();
    assert!(size < 200_000, "{size}");
    let rows = env
        .gantry(["system", "df", "--format", "{{.Type}} {{.Size}}"])
        .ok();
    let row = rows.lines().find(|row| row.starts_with("Containers"));
    assert!(row.is_some_and(|row| row.ends_with("kB")), "{rows}");
    env.gantry(["rm", "-f", "loud"]).ok();
}

#[test]
fn root_a_follower_gets_every_line_over_rotations() {
    let env = busybox();
    env.gantry([
        "run",
        "-d",
        "--name",
        "long",
        "--log-opt",
        "max-size=200k",
        "--log-opt",
        "max-file=50",
        "busybox",
        "sh",
        "-c",
        "while [ ! -e /go ]; do sleep 0.05; done; seq 1 40000",
    ])
    .ok();
    let mut follower = env.spawn(["logs", "-f", "long"]);
    env.gantry(["exec", "long", "touch", "/go"]).ok();
    let mut text = String::new();
    follower
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    assert!(follower.wait().unwrap().success());
    assert!(
        text.lines()
            .enumerate()
            .all(|(at, line)| line == (at + 1).to_string())
    );
    assert_eq!(text.lines().count(), 40_000);
}

fn details_go_with_every_line(env: TestEnv) {
    env.gantry([
        "run",
        "--name",
        "rich",
        "--label",
        "a=b",
        "--label",
        "xy=c d",
        "-e",
        "FOO=bar",
        "--log-opt",
        "labels=a,xy",
        "--log-opt",
        "env=FOO",
        "--log-opt",
        "tag={{.ImageName}}/{{.Name}}",
        "busybox",
        "echo",
        "one",
    ])
    .ok();
    assert_eq!(
        env.gantry(["logs", "--details", "rich"]).ok(),
        "FOO=bar,a=b,tag=busybox%2Frich,xy=c+d one"
    );
    let text = std::fs::read_to_string(log_folder(&env, "rich").join("json.log")).unwrap();
    assert!(
        text.starts_with(
            "{\"log\":\"one\\n\",\"stream\":\"stdout\",\"attrs\":{\"FOO\":\"bar\",\"a\":\"b\",\
             \"tag\":\"busybox/rich\",\"xy\":\"c d\"},\"time\":\""
        ),
        "{text}"
    );
    assert_eq!(
        env.gantry([
            "inspect",
            "-f",
            "{{json .HostConfig.LogConfig.Type}}",
            "rich"
        ])
        .ok(),
        "\"json-file\""
    );
    let wrong = env
        .gantry([
            "run",
            "--rm",
            "--log-opt",
            "tag={{.Foo}}",
            "busybox",
            "true",
        ])
        .fails(125);
    assert!(wrong.contains("can't evaluate field Foo"), "{wrong}");
}

fn a_log_that_is_kept_nowhere_cannot_be_read(env: TestEnv) {
    assert_eq!(
        env.gantry([
            "run",
            "--name",
            "mute",
            "--log-driver",
            "none",
            "busybox",
            "echo",
            "hi"
        ])
        .ok(),
        "hi"
    );
    let refused = env.gantry(["logs", "mute"]).fails(1);
    assert!(
        refused.contains("configured logging driver does not support reading"),
        "{refused}"
    );
    env.gantry([
        "run",
        "--name",
        "near",
        "--log-driver",
        "local",
        "busybox",
        "echo",
        "hi",
    ])
    .ok();
    assert_eq!(env.gantry(["logs", "near"]).ok(), "hi");
    assert_eq!(
        env.gantry(["inspect", "-f", "[{{.LogPath}}]", "near"]).ok(),
        "[]"
    );
    let unknown = env
        .gantry(["run", "--rm", "--log-driver", "foo", "busybox", "true"])
        .fails(125);
    assert!(unknown.contains("plugin \"foo\" not found"), "{unknown}");
    let options = env
        .gantry([
            "run",
            "--log-driver",
            "none",
            "--log-opt",
            "max-size=1m",
            "busybox",
            "true",
        ])
        .fails(125);
    assert!(
        options.contains("invalid logging opts for driver none"),
        "{options}"
    );
}

fn syslog_gets_every_line(env: TestEnv) {
    let path = env.work().join("syslog.sock");
    let socket = UnixDatagram::bind(&path).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let address = format!("syslog-address=unix://{}", path.display());
    env.gantry([
        "run",
        "--name",
        "sys",
        "--log-driver",
        "syslog",
        "--log-opt",
        &address,
        "--log-opt",
        "syslog-format=rfc3164",
        "--log-opt",
        "syslog-facility=local3",
        "--log-opt",
        "tag=web/{{.Name}}",
        "busybox",
        "sh",
        "-c",
        "echo one; echo two >&2",
    ])
    .ok();
    let mut buffer = [0; 2000];
    let mut got = Vec::new();
    for _ in 0..2 {
        let count = socket.recv(&mut buffer).unwrap();
        got.push(String::from_utf8_lossy(&buffer[..count]).into_owned());
    }
    got.sort();
    assert!(
        got[0].starts_with("<155>") && got[0].ends_with("]: two\n"),
        "{got:?}"
    );
    assert!(
        got[1].starts_with("<158>") && got[1].contains(" web/sys["),
        "{got:?}"
    );
    // It is kept here, too.
    wait_for("the cache", || {
        env.gantry(["logs", "sys"]).stdout == "one\n"
    });
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.set_read_timeout(Some(PATIENCE)).unwrap();
    let address = format!("syslog-address=udp://{}", udp.local_addr().unwrap());
    env.gantry([
        "run",
        "--name",
        "far",
        "--log-driver",
        "syslog",
        "--log-opt",
        &address,
        "--log-opt",
        "cache-disabled=true",
        "busybox",
        "echo",
        "there",
    ])
    .ok();
    let count = udp.recv(&mut buffer).unwrap();
    assert!(buffer[..count].ends_with(b": there\n"));
    assert!(
        env.gantry(["logs", "far"])
            .fails(1)
            .contains("does not support reading")
    );
}

fn lines_over_tcp_arrive_to_the_last(env: TestEnv) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("syslog-address=tcp://{}", listener.local_addr().unwrap());
    let reader = std::thread::spawn(move || {
        let mut text = Vec::new();
        listener.accept().unwrap().0.read_to_end(&mut text).unwrap();
        text
    });
    env.gantry([
        "run",
        "--rm",
        "-a",
        "stderr",
        "--log-driver",
        "syslog",
        "--log-opt",
        &address,
        "busybox",
        "seq",
        "1",
        "50000",
    ])
    .ok();
    let text = String::from_utf8(reader.join().unwrap()).unwrap();
    assert_eq!(text.lines().count(), 50_000);
    assert!(text.ends_with(": 50000\n"));
}

fn a_log_that_cannot_be_reached_stops_the_start(env: TestEnv) {
    let refused = env
        .gantry([
            "run",
            "--rm",
            "--log-driver",
            "syslog",
            "--log-opt",
            "syslog-address=tcp://127.0.0.1:1",
            "busybox",
            "true",
        ])
        .fails(125);
    assert!(
        refused.contains(
            "failed to initialize logging driver: dial tcp 127.0.0.1:1: Connection refused"
        ),
        "{refused}"
    );
}

#[test]
fn root_a_log_that_may_not_hold_up_drops_lines() {
    let env = busybox();
    // Somebody who does not read.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("syslog-address=tcp://{}", listener.local_addr().unwrap());
    env.gantry([
        "run",
        "-d",
        "--name",
        "free",
        "--log-driver",
        "syslog",
        "--log-opt",
        &address,
        "--log-opt",
        "mode=non-blocking",
        "--log-opt",
        "max-buffer-size=100k",
        "busybox",
        "sh",
        "-c",
        "yes | head -c 2000000; touch /done; sleep 1000",
    ])
    .ok();
    wait_for("the end of the output", || {
        env.gantry(["exec", "free", "ls", "/done"])
            .stdout
            .contains("done")
    });
    env.gantry(["rm", "-f", "free"]).ok();
    drop(listener);
}
