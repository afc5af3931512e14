//! Signals, ends, restarts, removal.

use std::fs::{self, File};
use std::time::{Duration, Instant};

use gantry_model::record::Status;
use gantry_model::restart::RestartPolicy;
use gantry_supervisor::client::{ClientError, Event, Session};
use gantry_testkit::environment::wait_for;

use crate::house::{House, Wanted, listen, listen_for, shell};

pub(crate) fn signals_and_stop(house: &House) {
    let patient = "trap 'echo bye; exit 9' TERM; echo ready; while :; do sleep 0.05; done";
    let (container, mut session) = house.run(&Wanted {
        command: shell(patient),
        ..Wanted::default()
    });
    listen_for(&mut session, "ready");
    assert_eq!(container.connect().stop(None, None).unwrap().code, 9);
    let heard = listen(&mut session);
    assert_eq!((heard.out().as_str(), heard.exit.code), ("bye\n", 9));
    assert!(container.state().stopped_by_user);
    drop(container);

    let stubborn = "trap '' TERM; echo ready; while :; do sleep 0.05; done";
    let (container, mut session) = house.run(&Wanted {
        command: shell(stubborn),
        stop_timeout: 1000,
        ..Wanted::default()
    });
    listen_for(&mut session, "ready");
    let start = Instant::now();
    // The client may die: the supervisor goes on.
    let mut stopper = container.connect();
    stopper.watch_for_end().unwrap();
    assert_eq!(container.connect().stop(None, Some(1)).unwrap().code, 137);
    assert!(
        start.elapsed() >= Duration::from_secs(1),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(listen(&mut session).exit.code, 137);
}

pub(crate) fn commands_that_cannot_be_run(house: &House) {
    for (command, code) in [("nonsense", 127), ("/etc", 126), ("/bin/nothing", 127)] {
        let (container, mut session) = house.container(&Wanted {
            command: vec![command.into()],
            ..Wanted::default()
        });
        let error = session.started().unwrap_err();
        let ClientError::Failed(failure) = error else {
            panic!("{error:?}")
        };
        assert_eq!(failure.code, code, "{command}: {failure:?}");
        wait_for("the state is written", || {
            container.state().exit_code == code
        });
        assert_eq!(container.state().status, Status::Created);
        assert!(!container.state().error.is_empty());
    }
}

pub(crate) fn restarts(house: &House) {
    let policy = RestartPolicy::OnFailure {
        maximum_retries: Some(3),
    };
    let wanted = Wanted {
        command: shell("echo run; exit 1"),
        restart: policy,
        ..Wanted::default()
    };
    let start = Instant::now();
    let (container, mut session) = house.run(&wanted);
    let exit = listen(&mut session).exit;
    assert!(exit.restarting && exit.code == 1);
    match Session::connect(&container.run_folder) {
        Ok(mut session) => assert!(!session.wait(true).unwrap().restarting),
        // All of it is over already.
        Err(ClientError::NotRunning) => {}
        Err(error) => panic!("{error}"),
    }
    // 100, 200 and 400 ms of waiting.
    assert!(
        start.elapsed() >= Duration::from_millis(700),
        "{:?}",
        start.elapsed()
    );
    let state = container.state();
    assert_eq!(
        (state.restart_count, state.status, state.exit_code),
        (3, Status::Exited, 1)
    );
    assert_eq!(container.log(), "run\n".repeat(4));
}

pub(crate) fn stop_while_restarting(house: &House) {
    let wanted = Wanted {
        command: shell("exit 1"),
        restart: RestartPolicy::Always,
        ..Wanted::default()
    };
    let (container, _session) = house.run(&wanted);
    wait_for("it restarts", || container.state().restart_count >= 2);
    wait_for("it waits", || {
        container.state().status == Status::Restarting
    });
    container.connect().stop(None, None).unwrap();
    wait_for("it stopped", || container.state().status == Status::Exited);
    assert!(matches!(
        Session::connect(&container.run_folder),
        Err(ClientError::NotRunning)
    ));
}

pub(crate) fn background_child(house: &House) {
    let (_container, mut session) = house.run(&Wanted {
        command: shell("sleep 1000 & echo done"),
        ..Wanted::default()
    });
    assert_eq!(listen(&mut session).out(), "done\n");
}

pub(crate) fn killed_supervisor(house: &House) {
    let (container, mut session) = house.run(&Wanted {
        command: shell("sleep 1000"),
        ..Wanted::default()
    });
    let state = container.state();
    let (supervisor, init) = (state.supervisor_pid.unwrap(), state.pid.unwrap());
    let pid = rustix::process::Pid::from_raw(i32::try_from(supervisor).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    wait_for("the container is gone", || {
        fs::read_to_string(format!("/proc/{init}/stat")).map_or(true, |stat| stat.contains(") Z "))
    });
    assert!(matches!(session.read(), Ok(Event::Closed)));
    let lock = File::open(container.run_folder.join(gantry_supervisor::LOCK_FILE)).unwrap();
    wait_for("the lock is free", || {
        gantry_sys::lock::try_lock(&lock, gantry_sys::lock::Kind::Exclusive).unwrap()
    });
    assert_eq!(container.state().status, Status::Running);
    let note = fs::read(container.run_folder.join(gantry_supervisor::CGROUP_FILE)).unwrap();
    let cgroup: gantry_runtime::CgroupHandle = serde_json::from_slice(&note).unwrap();
    cgroup.kill_all().unwrap();
    wait_for("the cgroup goes", || cgroup.remove().is_empty());
}

pub(crate) fn removal(house: &House) {
    let wanted = Wanted {
        command: shell("echo x > /tmp/file"),
        remove: true,
        ..Wanted::default()
    };
    let (container, mut session) = house.run(&wanted);
    let exit = listen(&mut session).exit;
    assert!(exit.removed, "{exit:?}");
    assert!(!container.folder.exists() && !container.run_folder.exists());
    assert!(house.at("names/web").symlink_metadata().is_err());
    wait_for("nothing is left", || {
        fs::read_dir(house.at("trash")).unwrap().count() == 0
    });
}

pub(crate) fn pause(house: &House) {
    let script = "i=0; while :; do i=$((i+1)); echo $i > /tmp/count; sleep 0.02; done";
    let (container, _session) = house.run(&Wanted {
        command: shell(script),
        ..Wanted::default()
    });
    let count = container.folder.join("upper/tmp/count");
    wait_for("it counts", || count.exists());
    container.connect().pause().unwrap();
    assert_eq!(container.state().status, Status::Paused);
    let error = container.connect().pause().unwrap_err();
    assert!(error.to_string().contains("already paused"), "{error}");
    let before = fs::read(&count).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(fs::read(&count).unwrap(), before);
    container.connect().unpause().unwrap();
    wait_for("it goes on", || fs::read(&count).unwrap() != before);
    // A stop reaches a paused container.
    container.connect().pause().unwrap();
    assert_eq!(container.connect().stop(None, Some(1)).unwrap().code, 137);
}

pub(crate) fn own_init(house: &House) {
    let script =
        "trap 'exit 11' TERM; (sleep 0.1 &) ; ps; echo ready; while :; do sleep 0.05; done";
    let wanted = Wanted {
        command: shell(script),
        init: true,
        ..Wanted::default()
    };
    let (container, mut session) = house.run(&wanted);
    listen_for(&mut session, "ready");
    assert_eq!(container.connect().stop(None, None).unwrap().code, 11);
}
