//! What a supervisor does beside its container: further processes, the network, health.

use std::fs::{self};
use std::time::Duration;

use gantry_model::record::HealthStatus;
use gantry_supervisor::client::ClientError;
use gantry_supervisor::launch::{self, HealthCheck};
use gantry_supervisor::protocol::ExecRequest;
use gantry_testkit::environment::{PATIENCE, wait_for};

use crate::house::{ALL, House, Wanted, listen, listen_for, process, shell};

pub(crate) fn exec_in_all_ways(house: &House) {
    let (container, mut session) = house.run(&Wanted {
        command: shell("sleep 1000"),
        ..Wanted::default()
    });
    let (mut exec, _) = container.exec(&shell("hostname; echo err >&2; exit 3"), false, Some(ALL));
    let heard = listen(&mut exec);
    assert_eq!((heard.out().as_str(), heard.exit.code), ("box\n", 3));
    assert_eq!(heard.stderr, b"err\n");
    let (mut exec, _) = container.exec(&shell("cat; exit 4"), false, Some(ALL));
    exec.write_stdin(b"through").unwrap();
    exec.close_stdin().unwrap();
    let heard = listen(&mut exec);
    assert_eq!((heard.out().as_str(), heard.exit.code), ("through", 4));
    let (mut exec, _) = container.exec(&shell("tty; exit 6"), true, Some(ALL));
    let heard = listen(&mut exec);
    assert!(heard.out().contains("/dev/pts/"), "{}", heard.out());
    assert_eq!(heard.exit.code, 6);
    let (_, _) = container.exec(&shell("echo detached > /tmp/mark"), false, None);
    let mark = container.folder.join("upper/tmp/mark");
    wait_for("the detached one ran", || {
        fs::read_to_string(&mark).is_ok_and(|t| t == "detached\n")
    });
    let error = container
        .connect()
        .exec(ExecRequest {
            process: process(&["nonsense".into()], false),
            attach: Some(ALL),
            toolbox: None,
        })
        .unwrap_err();
    assert!(
        matches!(&error, ClientError::Failed(failure) if failure.code == 127),
        "{error:?}"
    );
    // One that still runs ends with the container.
    let (mut exec, _) = container.exec(&shell("sleep 1000"), false, Some(ALL));
    container.connect().kill(9).unwrap();
    assert_eq!(listen(&mut session).exit.code, 137);
    assert_eq!(listen(&mut exec).exit.code, 137);
}

pub(crate) fn bridge(house: &House) {
    let wanted = Wanted {
        command: shell("ip addr show eth0; sleep 1000"),
        bridge: true,
        ..Wanted::default()
    };
    let (container, mut session) = house.run(&wanted);
    let network = container.state().network.unwrap();
    listen_for(&mut session, &network.ip_address);
    let hosts = fs::read_to_string(container.folder.join("hosts")).unwrap();
    let want = format!("{}\tgate\n{}\tbox\n", network.gateway, network.ip_address);
    assert_eq!(hosts, want);
    container.connect().kill(9).unwrap();
    assert_eq!(listen(&mut session).exit.code, 137);
    assert_eq!(container.state().network, None);
    let networks =
        gantry_network::Networks::open(&house.at("run"), gantry_network::NetworkConfig::default())
            .unwrap();
    wait_for("the bridge is gone", || {
        networks.gateway().unwrap().is_none()
    });
}

pub(crate) fn health(house: &House) {
    let check = |script: &str, timeout| HealthCheck {
        probe: launch::Probe::Run(Box::new(process(&shell(script), false))),
        on_failure: gantry_model::container::HealthOnFailure::None,
        interval: Duration::from_millis(50),
        timeout,
        start_period: Duration::ZERO,
        start_interval: Duration::from_millis(50),
        retries: 2,
    };
    // The first probe waits until the first verdict has been looked at.
    let script = "echo probe; while [ ! -e /tmp/seen ]; do sleep 0.01; done; [ -e /tmp/ok ]";
    let wanted = Wanted {
        command: shell("sleep 1000"),
        health: Some(check(script, PATIENCE)),
        ..Wanted::default()
    };
    let (container, session) = house.run(&wanted);
    let verdict = || container.state().health.unwrap().status;
    assert_eq!(verdict(), HealthStatus::Starting);
    let touch = |path: &str| {
        let (mut exec, _) = container.exec(&shell(&format!("echo > {path}")), false, Some(ALL));
        listen(&mut exec);
    };
    touch("/tmp/seen");
    wait_for("it is unhealthy", || verdict() == HealthStatus::Unhealthy);
    touch("/tmp/ok");
    wait_for("it is healthy", || verdict() == HealthStatus::Healthy);
    let log = container.state().health.unwrap().log;
    assert!(log.iter().all(|probe| probe.output == "probe\n"), "{log:?}");
    drop((session, container));
    let wanted = Wanted {
        health: Some(check("sleep 1000", Duration::from_millis(100))),
        ..wanted
    };
    let (container, _session) = house.run(&wanted);
    wait_for("a slow probe fails", || {
        let health = container.state().health.unwrap();
        health
            .log
            .last()
            .is_some_and(|probe| probe.exit_code == -1 && probe.output.contains("exceeded"))
    });
}

/// Kilobytes of the supervisor's own share of memory.
fn share(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("Pss:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

pub(crate) fn memory(house: &House) {
    let (container, mut session) = house.run(&Wanted {
        command: shell("seq 100000; echo ready; sleep 1000"),
        ..Wanted::default()
    });
    listen_for(&mut session, "ready");
    let pid = container.state().supervisor_pid.unwrap();
    // A release has a budget of 1 MiB and needs half of it; this program is larger and not
    // optimised, and takes 4 MiB at work.
    wait_for("rest", || share(pid) < 2048);
}
