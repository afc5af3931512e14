//! An installation with one image, its containers, and what a session hears of them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Instant;

use gantry_model::restart::RestartPolicy;
use gantry_model::{ContainerId, ContainerState};
use gantry_runtime::defaults;
use gantry_supervisor::client::{Event, Session, spawn};
use gantry_supervisor::launch::{
    self, EventFacts, HealthCheck, HostsFile, Launch, Network, Overlay, Settings, Stdin,
};
use gantry_supervisor::log::{LogFiles, LogSettings};
use gantry_supervisor::protocol::{Attach, ExecRequest, Exit, WindowSize};
use gantry_supervisor::removal::Removal;
use gantry_supervisor::state;
use gantry_testkit::environment::{PATIENCE, wait_for};
use oci_spec::runtime::{Capabilities, LinuxCapabilities, Process, Root, Spec, User};
use rustix::event::{PollFd, PollFlags, poll};

/// An installation with one image: the host's static busybox.
pub(crate) struct House {
    pub(crate) folder: tempfile::TempDir,
}

/// A container as a test wants it.
pub(crate) struct Wanted {
    pub(crate) command: Vec<String>,
    pub(crate) stdin: Stdin,
    pub(crate) terminal: bool,
    pub(crate) restart: RestartPolicy,
    pub(crate) attach: Option<Attach>,
    pub(crate) remove: bool,
    pub(crate) init: bool,
    pub(crate) bridge: bool,
    pub(crate) stop_timeout: i64,
    pub(crate) health: Option<HealthCheck>,
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

pub(crate) const ALL: Attach = Attach {
    stdin: true,
    stdout: true,
    stderr: true,
    lossless: true,
};

pub(crate) fn shell(script: &str) -> Vec<String> {
    ["sh", "-c", script].map(str::to_owned).into()
}

impl House {
    pub(crate) fn new() -> Self {
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

    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// A container and the session that started it.
    pub(crate) fn container(&self, wanted: &Wanted) -> (Container<'_>, Session) {
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
        let session = spawn(&launch, &lock).unwrap();
        (container, session)
    }

    /// A container that must start.
    pub(crate) fn run(&self, wanted: &Wanted) -> (Container<'_>, Session) {
        let (container, mut session) = self.container(wanted);
        session
            .started()
            .unwrap_or_else(|error| panic!("{error}: {error:?}"));
        (container, session)
    }

    /// Nothing may be left but what tests made themselves.
    pub(crate) fn check_empty(&self) {
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

pub(crate) struct Container<'a> {
    pub(crate) house: &'a House,
    pub(crate) id: ContainerId,
    pub(crate) folder: PathBuf,
    pub(crate) run_folder: PathBuf,
}

impl Container<'_> {
    pub(crate) fn launch(&self, wanted: &Wanted) -> Launch {
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
                data: Vec::new(),
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

    pub(crate) fn connect(&self) -> Session {
        Session::connect(&self.run_folder).unwrap()
    }

    pub(crate) fn state(&self) -> ContainerState {
        state::read(&self.folder).unwrap()
    }

    pub(crate) fn log(&self) -> String {
        let text = fs::read_to_string(self.folder.join("log/json.log")).unwrap();
        let mut all = String::new();
        for line in text.lines() {
            let entry: BTreeMap<String, String> = serde_json::from_str(line).unwrap();
            all.push_str(&entry["log"]);
        }
        all
    }

    pub(crate) fn exec(
        &self,
        command: &[String],
        tty: bool,
        attach: Option<Attach>,
    ) -> (Session, u32) {
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

pub(crate) fn process(command: &[String], terminal: bool) -> Process {
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
pub(crate) struct Heard {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    pub(crate) exit: Exit,
}

impl Heard {
    pub(crate) fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

pub(crate) fn wait_readable(session: &Session, until: Instant) {
    let left = until.saturating_duration_since(Instant::now());
    assert!(!left.is_zero(), "nothing came in time");
    let timeout = left.try_into().unwrap();
    let mut fds = [PollFd::from_borrowed_fd(session.as_fd(), PollFlags::IN)];
    poll(&mut fds, Some(&timeout)).unwrap();
}

pub(crate) fn listen_while(
    session: &mut Session,
    heard: &mut Heard,
    go_on: impl Fn(&Heard) -> bool,
) -> bool {
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

pub(crate) fn listen(session: &mut Session) -> Heard {
    let mut heard = Heard::default();
    assert!(listen_while(session, &mut heard, |_| true));
    heard
}

pub(crate) fn listen_for(session: &mut Session, text: &str) -> Heard {
    let mut heard = Heard::default();
    let ended = listen_while(session, &mut heard, |heard| !heard.out().contains(text));
    assert!(!ended, "ended before {text:?}: {heard:?}");
    heard
}
