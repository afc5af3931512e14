//! Real supervisors over real containers. Needs root; the test program itself is re-executed
//! as the supervisor.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use gantry_model::record::{HealthStatus, Status};
use gantry_model::restart::RestartPolicy;
use gantry_model::{ContainerId, ContainerState};
use gantry_runtime::defaults;
use gantry_supervisor::client::{ClientError, Event, Session, spawn};
use gantry_supervisor::launch::{
    self, EventFacts, HealthCheck, HostsFile, Launch, Network, Overlay, Settings, Stdin,
};
use gantry_supervisor::log::{LogFiles, LogSettings};
use gantry_supervisor::protocol::{Attach, ExecRequest, Exit, WindowSize};
use gantry_supervisor::removal::Removal;
use gantry_supervisor::state;
use gantry_testkit::environment::{PATIENCE, wait_for};
use gantry_testkit::runner::{Test, run_within};
use oci_spec::runtime::{Capabilities, LinuxCapabilities, Process, Root, Spec, User};
use rustix::event::{PollFd, PollFlags, poll};

const TESTS: &[Test<House>] = &[
    ("root_exit_codes_and_output", exit_codes_and_output),
    ("root_a_million_lines_lose_nothing", a_million_lines),
    ("root_stdin_closes_by_half", stdin_closes_by_half),
    ("root_stdin_that_nobody_reads_does_not_block", unread_stdin),
    ("root_a_terminal_resizes_and_ends", terminal),
    ("root_signals_and_stop_with_timeout", signals_and_stop),
    (
        "root_commands_that_cannot_be_run",
        commands_that_cannot_be_run,
    ),
    ("root_restarts_back_off", restarts),
    ("root_a_stop_ends_restarting", stop_while_restarting),
    ("root_two_clients_see_the_same", two_clients),
    ("root_exec_in_all_ways", exec_in_all_ways),
    (
        "root_a_background_child_does_not_hold_the_end",
        background_child,
    ),
    (
        "root_a_killed_supervisor_takes_its_container_along",
        killed_supervisor,
    ),
    ("root_removal_leaves_nothing", removal),
    ("root_pause_and_unpause", pause),
    ("root_an_own_init_reaps_and_forwards", own_init),
    ("root_a_bridge_gives_an_address", bridge),
    ("root_health_is_checked", health),
    ("root_memory_stays_small", memory),
];

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(gantry_supervisor::ARGUMENT) {
        return gantry_supervisor::main();
    }
    run_within(TESTS, House::new, House::check_empty)
}

/// An installation with one image: the host's static busybox.
struct House {
    folder: tempfile::TempDir,
}

/// A container as a test wants it.
struct Wanted {
    command: Vec<String>,
    stdin: Stdin,
    terminal: bool,
    restart: RestartPolicy,
    attach: Option<Attach>,
    remove: bool,
    init: bool,
    bridge: bool,
    stop_timeout: i64,
    health: Option<HealthCheck>,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            command: Vec::new(),
            stdin: Stdin::Closed,
            terminal: false,
            restart: RestartPolicy::No,
            attach: Some(ALL),
            remove: false,
            init: false,
            bridge: false,
            stop_timeout: 10,
            health: None,
        }
    }
}

const ALL: Attach = Attach {
    stdin: true,
    stdout: true,
    stderr: true,
    lossless: true,
};

fn shell(script: &str) -> Vec<String> {
    ["sh", "-c", script].map(str::to_owned).into()
}

impl House {
    fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("gantry-supervise-")
            .tempdir()
            .unwrap();
        let layer = folder.path().join("layer");
        for name in ["etc", "tmp", "proc", "dev", "sys"] {
            fs::create_dir_all(layer.join(name)).unwrap();
        }
        gantry_testkit::fixture::install_busybox(&layer.join("bin"));
        fs::create_dir_all(folder.path().join("names")).unwrap();
        Self { folder }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn container(&self, wanted: &Wanted) -> Container<'_> {
        let mut random = [0_u8; 32];
        let flags = rustix::rand::GetRandomFlags::empty();
        rustix::rand::getrandom(&mut random, flags).unwrap();
        let id = ContainerId::from_random(random);
        let folder = self.at("containers").join(id.as_str());
        let run_folder = self.at("run/containers").join(id.as_str());
        for path in [
            folder.join("upper"),
            folder.join("work"),
            folder.join("log"),
            run_folder.clone(),
        ] {
            fs::create_dir_all(path).unwrap();
        }
        symlink(id.as_str(), self.at("names/web")).unwrap();
        fs::write(folder.join("hosts"), "").unwrap();
        let container = Container {
            house: self,
            id,
            folder,
            run_folder,
        };
        let launch = container.launch(wanted);
        let lock = File::create(container.run_folder.join(gantry_supervisor::LOCK_FILE)).unwrap();
        assert!(gantry_sys::lock::try_lock(&lock, gantry_sys::lock::Kind::Exclusive).unwrap());
        container.spawn(&launch, &lock)
    }

    /// A container that must start.
    fn run(&self, wanted: &Wanted) -> (Container<'_>, Session) {
        let container = self.container(wanted);
        let mut session = SESSION.with(|session| session.borrow_mut().take()).unwrap();
        session
            .started()
            .unwrap_or_else(|error| panic!("{error}: {error:?}"));
        (container, session)
    }

    /// Nothing may be left but what tests made themselves.
    fn check_empty(&self) {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let here = self.folder.path().to_str().unwrap();
        assert!(!mounts.contains(here), "mounts are left:\n{mounts}");
        for hierarchy in fs::read_dir("/sys/fs/cgroup").unwrap() {
            let parent = hierarchy.unwrap().path().join("gantry-test");
            wait_for("the cgroups are gone", || {
                !parent.exists() || fs::remove_dir(&parent).is_ok()
            });
        }
    }
}

thread_local! {
    static SESSION: std::cell::RefCell<Option<Session>> = const { std::cell::RefCell::new(None) };
}

struct Container<'a> {
    house: &'a House,
    id: ContainerId,
    folder: PathBuf,
    run_folder: PathBuf,
}

impl<'a> Container<'a> {
    fn spawn(self, launch: &Launch, lock: &File) -> Container<'a> {
        let session = spawn(launch, lock).unwrap();
        SESSION.with(|slot| *slot.borrow_mut() = Some(session));
        self
    }

    fn launch(&self, wanted: &Wanted) -> Launch {
        let mut spec = Spec::default();
        let mut root = Root::default();
        root.set_path("rootfs".into());
        root.set_readonly(None);
        spec.set_root(Some(root));
        spec.set_hostname(Some("box".into()));
        spec.set_process(Some(process(&wanted.command, wanted.terminal)));
        spec.set_mounts(Some(defaults::mounts()));
        let mut linux = oci_spec::runtime::Linux::default();
        linux.set_namespaces(Some(defaults::namespaces()));
        linux.set_cgroups_path(Some(Path::new("/gantry-test").join(self.id.as_str())));
        linux.set_masked_paths(None);
        linux.set_readonly_paths(None);
        linux.set_resources(None);
        spec.set_linux(Some(linux));
        let network = if wanted.bridge {
            Network::Bridge {
                ports: Vec::new(),
                hostname: "box".into(),
                subnet: None,
                mtu: None,
                hosts: HostsFile {
                    path: self.folder.join("hosts"),
                    head: "host-gateway\tgate\n".into(),
                    names: "box".into(),
                },
                relay_to: Vec::new(),
                mac: None,
                link_local: Vec::new(),
            }
        } else {
            Network::Loopback
        };
        Launch {
            version: launch::VERSION,
            config: Box::new(spec),
            overlay: Overlay {
                lowers: vec![self.house.at("layer")],
                upper: self.folder.join("upper"),
                work: self.folder.join("work"),
            },
            default_seccomp: true,
            init: wanted.init,
            strict_rlimits: false,
            window: Some(WindowSize {
                rows: 24,
                columns: 80,
            }),
            attach: wanted.attach,
            settings: Settings {
                events: EventFacts::default(),
                id: self.id.clone(),
                name: "web".into(),
                stdin: wanted.stdin,
                terminal: wanted.terminal,
                log: LogSettings::files(LogFiles {
                    compress: false,
                    ..LogFiles::rotated(self.folder.join("log/json.log"))
                }),
                network,
                health: wanted.health.clone(),
                restart: wanted.restart,
                stop_signal: 15,
                stop_timeout: wanted.stop_timeout,
                removal: wanted.remove.then(|| Removal {
                    folder: self.folder.clone(),
                    run_folder: self.run_folder.clone(),
                    name_link: self.house.at("names/web"),
                    volumes: Vec::new(),
                    trash: self.house.at("trash"),
                }),
                folder: self.folder.clone(),
                run_folder: self.run_folder.clone(),
                run_root: self.house.at("run"),
            },
        }
    }

    fn connect(&self) -> Session {
        Session::connect(&self.run_folder).unwrap()
    }

    fn state(&self) -> ContainerState {
        state::read(&self.folder).unwrap()
    }

    fn log(&self) -> String {
        let text = fs::read_to_string(self.folder.join("log/json.log")).unwrap();
        let mut all = String::new();
        for line in text.lines() {
            let entry: BTreeMap<String, String> = serde_json::from_str(line).unwrap();
            all.push_str(&entry["log"]);
        }
        all
    }

    fn exec(&self, command: &[String], tty: bool, attach: Option<Attach>) -> (Session, u32) {
        let mut session = self.connect();
        let process = process(command, tty);
        let pid = session
            .exec(ExecRequest {
                process,
                attach,
                toolbox: None,
            })
            .unwrap();
        (session, pid)
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        if let Ok(mut session) = Session::connect(&self.run_folder) {
            drop(session.stop(Some(9), Some(0)));
        }
        drop(fs::remove_file(self.house.at("names/web")));
    }
}

fn process(command: &[String], terminal: bool) -> Process {
    let set: Capabilities = ["CHOWN", "KILL", "SETUID", "SETGID", "NET_RAW"]
        .iter()
        .map(|name| name.parse().unwrap())
        .collect();
    let mut capabilities = LinuxCapabilities::default();
    capabilities.set_bounding(Some(set.clone()));
    capabilities.set_effective(Some(set.clone()));
    capabilities.set_permitted(Some(set));
    capabilities.set_inheritable(None);
    capabilities.set_ambient(None);
    let mut process = Process::default();
    process.set_terminal(Some(terminal));
    process.set_user(User::default());
    process.set_args(Some(command.to_vec()));
    process.set_env(Some(vec!["PATH=/bin".into(), "TERM=xterm".into()]));
    process.set_cwd("/".into());
    process.set_capabilities(Some(capabilities));
    process.set_rlimits(None);
    process.set_no_new_privileges(Some(false));
    process
}

/// Everything a session gives until its process ends.
#[derive(Debug, Default)]
struct Heard {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    exit: Exit,
}

impl Heard {
    fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

fn wait_readable(session: &Session, until: Instant) {
    let left = until.saturating_duration_since(Instant::now());
    assert!(!left.is_zero(), "nothing came in time");
    let timeout = left.try_into().unwrap();
    let mut fds = [PollFd::from_borrowed_fd(session.as_fd(), PollFlags::IN)];
    poll(&mut fds, Some(&timeout)).unwrap();
}

fn listen_while(session: &mut Session, heard: &mut Heard, go_on: impl Fn(&Heard) -> bool) -> bool {
    let until = Instant::now() + PATIENCE;
    while go_on(heard) {
        match session.read().unwrap() {
            Event::Stdout(bytes) => heard.stdout.extend_from_slice(bytes),
            Event::Stderr(bytes) => heard.stderr.extend_from_slice(bytes),
            Event::Exited(exit) => {
                heard.exit = exit;
                return true;
            }
            Event::Pending => wait_readable(session, until),
            other => panic!("{other:?}"),
        }
    }
    false
}

fn listen(session: &mut Session) -> Heard {
    let mut heard = Heard::default();
    assert!(listen_while(session, &mut heard, |_| true));
    heard
}

fn listen_for(session: &mut Session, text: &str) -> Heard {
    let mut heard = Heard::default();
    let ended = listen_while(session, &mut heard, |heard| !heard.out().contains(text));
    assert!(!ended, "ended before {text:?}: {heard:?}");
    heard
}

fn exit_codes_and_output(house: &House) {
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

fn a_million_lines(house: &House) {
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

fn stdin_closes_by_half(house: &House) {
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

fn unread_stdin(house: &House) {
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

fn terminal(house: &House) {
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

fn signals_and_stop(house: &House) {
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

fn commands_that_cannot_be_run(house: &House) {
    for (command, code) in [("nonsense", 127), ("/etc", 126), ("/bin/nothing", 127)] {
        let container = house.container(&Wanted {
            command: vec![command.into()],
            ..Wanted::default()
        });
        let mut session = SESSION.with(|session| session.borrow_mut().take()).unwrap();
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

fn restarts(house: &House) {
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

fn stop_while_restarting(house: &House) {
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

fn two_clients(house: &House) {
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

fn exec_in_all_ways(house: &House) {
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

fn background_child(house: &House) {
    let (_container, mut session) = house.run(&Wanted {
        command: shell("sleep 1000 & echo done"),
        ..Wanted::default()
    });
    assert_eq!(listen(&mut session).out(), "done\n");
}

fn killed_supervisor(house: &House) {
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

fn removal(house: &House) {
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

fn pause(house: &House) {
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

fn own_init(house: &House) {
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

fn bridge(house: &House) {
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

fn health(house: &House) {
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

fn memory(house: &House) {
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
