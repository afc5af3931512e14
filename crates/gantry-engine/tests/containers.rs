//! Containers and volumes from end to end. Needs root; the test program itself is re-executed
//! as the supervisor of the containers it starts.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::process::ExitCode;

use gantry_engine::containers::{
    Begun, ContainerError, ExecSpec, ListOptions, LogOptions, RemoveOptions, StartOptions,
};
use gantry_engine::{Engine, Surroundings};
use gantry_model::container::{NetworkMode, Resources};
use gantry_model::image::{ImageConfig, ProcessConfig, RootFs};
use gantry_model::mount::MountSpec;
use gantry_model::record::Status;
use gantry_model::{ContainerSpec, Fault, FaultKind};
use gantry_store::NewImage;
use gantry_supervisor::client::{ClientError, Event, Session};
use gantry_supervisor::protocol::{Attach, Exit};
use gantry_testkit::environment::{PATIENCE, wait_for};
use gantry_testkit::runner::{Test, run_within};
use rustix::event::{PollFd, PollFlags, poll};

const TESTS: &[Test<House>] = &[
    (
        "root_a_run_gives_what_the_image_says",
        run_as_the_image_says,
    ),
    ("root_names_prefixes_and_conflicts", names_and_conflicts),
    (
        "root_a_container_stays_and_starts_again",
        stays_and_starts_again,
    ),
    ("root_what_cannot_start_stays_created", cannot_start),
    ("root_volumes_are_filled_shared_and_removed", volumes),
    ("root_mounts_of_all_kinds", mounts),
    ("root_exec_follows_the_containers_users", exec),
    ("root_logs_follow_and_tail", logs),
    ("root_a_killed_supervisor_is_cleaned_up", killed_supervisor),
    ("root_removal_at_the_end_leaves_nothing", removal_at_the_end),
    ("root_network_modes", network_modes),
    ("root_limits_and_powers", limits_and_powers),
    ("root_inspect_is_dockers", inspect),
    ("root_pause_top_rename_prune", pause_top_rename_prune),
];

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(gantry_supervisor::ARGUMENT) {
        return gantry_supervisor::main();
    }
    run_within(TESTS, House::new, House::close)
}

/// An installation with the image `busybox`.
struct House {
    engine: Engine,
    folder: tempfile::TempDir,
}

impl House {
    fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("gantry-engine-")
            .tempdir()
            .unwrap();
        let engine = Engine::open(
            Some(folder.path().join("root")),
            Some(folder.path().join("run")),
            Surroundings {
                root: true,
                ..Surroundings::default()
            },
        )
        .unwrap();
        let house = Self { engine, folder };
        house.make_image();
        house
    }

    fn make_image(&self) {
        let store = self.engine.store().unwrap();
        let draft = store.layers().draft().unwrap();
        let root = draft.upper().to_owned();
        for name in ["etc", "tmp", "root", "srv/data/sub", "var"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
        gantry_testkit::fixture::install_busybox(&root.join("bin"));
        fs::write(
            root.join("etc/passwd"),
            "root:x:0:0::/root:/bin/sh\nweb:x:33:34::/srv:/bin/sh\n",
        )
        .unwrap();
        fs::write(
            root.join("etc/group"),
            "root:x:0:\nweb:x:34:\nlog:x:44:web\n",
        )
        .unwrap();
        fs::write(root.join("srv/data/file"), "from the image").unwrap();
        std::os::unix::fs::chown(root.join("srv/data"), Some(33), Some(34)).unwrap();
        let layer = draft.commit().unwrap();
        let config = ImageConfig {
            architecture: gantry_model::Platform::host().architecture,
            os: "linux".into(),
            rootfs: RootFs {
                kind: "layers".into(),
                diff_ids: vec![layer.diff_id],
            },
            config: ProcessConfig {
                env: vec!["FROM_IMAGE=1".into()],
                cmd: Some(vec!["sh".into()]),
                working_dir: "/work/dir".into(),
                labels: [("a".to_owned(), "1".to_owned())].into(),
                ..ProcessConfig::default()
            },
            ..ImageConfig::default()
        };
        let config = serde_json::to_vec(&config).unwrap();
        let tags = vec!["busybox".parse().unwrap()];
        let image = NewImage {
            config: &config,
            tags,
            ..NewImage::default()
        };
        store.images().put(&image).unwrap();
    }

    fn spec(&self, script: &str) -> ContainerSpec {
        ContainerSpec {
            image: "busybox".into(),
            command: ["sh", "-c", script].map(str::to_owned).into(),
            network: NetworkMode::None,
            ..ContainerSpec::default()
        }
    }

    /// Runs to the end.
    fn run(&self, spec: &ContainerSpec) -> Heard {
        let begun = self.begin(spec);
        listen(begun.session)
    }

    fn begin(&self, spec: &ContainerSpec) -> Begun {
        let options = StartOptions {
            attach: Some(ALL),
            window: None,
        };
        let mut begun = self
            .engine
            .containers()
            .run(spec, options)
            .unwrap_or_else(|error| panic!("{error}: {error:?}"));
        begun
            .session
            .started()
            .unwrap_or_else(|error| panic!("{error}: {error:?}"));
        begun
    }

    fn remove(&self, name: &str) {
        let options = RemoveOptions {
            force: true,
            volumes: true,
        };
        match self.engine.containers().remove(name, options) {
            // On its way out by itself.
            Ok(()) | Err(ContainerError::NotFound { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }

    /// Removes everything, and looks that nothing is left.
    fn close(&self) {
        let containers = self.engine.containers();
        for view in containers
            .list(ListOptions {
                all: true,
                sizes: false,
            })
            .unwrap()
        {
            self.remove(view.record.id.as_str());
        }
        self.engine.volumes().prune(true, &|_| false).unwrap();
        for name in [
            "root/containers",
            "root/names",
            "root/trash",
            "root/volumes",
            "run/containers",
        ] {
            let folder = self.folder.path().join(name);
            wait_for(name, || {
                fs::read_dir(&folder).map_or(true, |entries| entries.count() == 0)
            });
        }
        // Not to leave it to the supervisors, which would do it a few seconds later.
        let run_root = self.folder.path().join("run");
        let networks =
            gantry_network::Networks::open(&run_root, gantry_network::NetworkConfig::default());
        let networks = networks.unwrap();
        wait_for("the bridge is gone", || {
            networks.teardown_if_idle().unwrap();
            networks.gateway().unwrap().is_none()
        });
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(
            !mounts.contains(self.folder.path().to_str().unwrap()),
            "{mounts}"
        );
    }
}

const ALL: Attach = Attach {
    stdin: false,
    stdout: true,
    stderr: true,
    lossless: true,
};

#[derive(Debug, Default)]
struct Heard {
    out: String,
    err: String,
    exit: Exit,
}

fn listen(mut session: Session) -> Heard {
    let mut heard = Heard::default();
    loop {
        match session.read().unwrap() {
            Event::Stdout(bytes) => heard.out.push_str(&String::from_utf8_lossy(bytes)),
            Event::Stderr(bytes) => heard.err.push_str(&String::from_utf8_lossy(bytes)),
            Event::Exited(exit) => {
                heard.exit = exit;
                return heard;
            }
            Event::Pending => {
                let mut fds = [PollFd::from_borrowed_fd(session.as_fd(), PollFlags::IN)];
                let timeout = PATIENCE.try_into().unwrap();
                assert_eq!(
                    poll(&mut fds, Some(&timeout)).unwrap(),
                    1,
                    "silence after {heard:?}"
                );
            }
            other => panic!("{other:?}"),
        }
    }
}

fn run_as_the_image_says(house: &House) {
    let heard = house.run(&house.spec("pwd; env; hostname; id; cat /etc/hosts; ls -d /work/dir"));
    assert_eq!(heard.exit.code, 0, "{heard:?}");
    let lines: Vec<&str> = heard.out.lines().collect();
    assert_eq!(lines[0], "/work/dir");
    for line in [
        "FROM_IMAGE=1",
        "HOME=/root",
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    ] {
        assert!(lines.contains(&line), "{line} in {lines:?}");
    }
    let (record, state) = house
        .engine
        .containers()
        .look(&all_names(house)[0])
        .unwrap();
    assert!(lines.contains(&record.id.short()));
    assert!(
        heard.out.contains("uid=0(root) gid=0(root)"),
        "{}",
        heard.out
    );
    assert!(heard.out.contains("127.0.0.1\tlocalhost"));
    assert_eq!((state.status, state.exit_code), (Status::Exited, 0));
    let heard = house.run(&ContainerSpec {
        user: Some("web".into()),
        env: vec!["OWN=2".into(), "FROM_IMAGE".into()],
        working_dir: Some("/tmp".into()),
        hostname: Some("web1".into()),
        entrypoint: Some(vec!["sh".into(), "-c".into()]),
        command: vec!["id; pwd; hostname; echo $OWN:$FROM_IMAGE:$HOME; exit 42".into()],
        ..house.spec("")
    });
    assert_eq!(heard.exit.code, 42);
    assert_eq!(
        heard.out,
        "uid=33(web) gid=34(web) groups=34(web),44(log)\n/tmp\nweb1\n2::/srv\n"
    );
}

fn all_names(house: &House) -> Vec<String> {
    let list = house
        .engine
        .containers()
        .list(ListOptions {
            all: true,
            sizes: false,
        })
        .unwrap();
    list.into_iter().map(|view| view.record.name).collect()
}

fn names_and_conflicts(house: &House) {
    let containers = house.engine.containers();
    let named = ContainerSpec {
        name: Some("web".into()),
        ..house.spec("true")
    };
    let created = containers.create(&named).unwrap();
    let error = containers.create(&named).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "Conflict. The container name \"/web\" is already in use by container \"{}\". You have to remove (or rename) that container to be able to reuse that name.",
            created.id
        )
    );
    assert_eq!(error.kind(), FaultKind::Conflict);
    for name in [
        "web",
        "/web",
        created.id.as_str(),
        created.id.short(),
        &created.id.as_str()[..4],
    ] {
        assert_eq!(containers.resolve(name).unwrap(), created.id, "{name}");
    }
    for name in ["nobody", "", "..", "/", "a/b", "zz"] {
        let error = containers.resolve(name).unwrap_err();
        assert_eq!(error.to_string(), format!("No such container: {name}"));
    }
    let bad = ContainerSpec {
        name: Some("a/b".into()),
        ..house.spec("true")
    };
    assert!(matches!(
        containers.create(&bad),
        Err(ContainerError::Name { .. })
    ));
    let missing = ContainerSpec {
        image: "nothing".into(),
        ..house.spec("true")
    };
    assert!(matches!(
        containers.create(&missing),
        Err(ContainerError::NoImage { .. })
    ));
    assert_eq!(all_names(house), ["web"]);
    // A name whose command was killed in the middle is free again.
    let ghost = "f".repeat(64);
    symlink(&ghost, house.folder.path().join("root/names/ghost")).unwrap();
    let spec = ContainerSpec {
        name: Some("ghost".into()),
        ..house.spec("true")
    };
    containers.create(&spec).unwrap();
    // Nobody named it.
    let anonymous = containers.create(&house.spec("true")).unwrap();
    assert!(anonymous.name.contains('_'), "{}", anonymous.name);
}

fn stays_and_starts_again(house: &House) {
    let containers = house.engine.containers();
    let spec = ContainerSpec {
        name: Some("keep".into()),
        ..house.spec("echo x >> /tmp/mark; cat /tmp/mark; while [ ! -e /tmp/go ]; do sleep 0.01; done; rm /tmp/go; exit 3")
    };
    let go_on = ExecSpec {
        command: ["touch", "/tmp/go"].map(str::to_owned).into(),
        ..ExecSpec::default()
    };
    let created = containers.create(&spec).unwrap();
    assert_eq!(containers.look("keep").unwrap().1.status, Status::Created);
    for round in 1..=3 {
        let mut begun = containers
            .start(
                "keep",
                StartOptions {
                    attach: Some(ALL),
                    window: None,
                },
            )
            .unwrap();
        begun.session.started().unwrap();
        assert!(matches!(
            containers.start("keep", StartOptions::default()),
            Err(ContainerError::AlreadyRunning { .. })
        ));
        containers.exec("keep", &go_on).unwrap();
        let heard = listen(begun.session);
        assert_eq!(
            (heard.out.as_str(), heard.exit.code),
            ("x\n".repeat(round).as_str(), 3)
        );
    }
    assert_eq!(containers.wait("keep").unwrap().code, 3);
    assert_eq!(containers.resolve("keep").unwrap(), created.id);
    let error = containers.kill("keep", "TERM").unwrap_err();
    assert_eq!(error.to_string(), "container keep is not running");
    containers.stop("keep", None, None).unwrap();
}

fn cannot_start(house: &House) {
    let containers = house.engine.containers();
    let spec = ContainerSpec {
        name: Some("bad".into()),
        command: vec!["nonsense".into()],
        ..house.spec("")
    };
    let mut begun = containers.run(&spec, StartOptions::default()).unwrap();
    let error = begun.session.started().unwrap_err();
    assert!(
        matches!(&error, ClientError::Failed(failure) if failure.code == 127),
        "{error:?}"
    );
    assert_eq!(error.kind(), FaultKind::CommandNotFound);
    wait_for("the state is written", || {
        containers.look("bad").unwrap().1.exit_code == 127
    });
    assert_eq!(containers.look("bad").unwrap().1.status, Status::Created);
    let spec = ContainerSpec {
        user: Some("nobody".into()),
        ..house.spec("true")
    };
    let error = containers.run(&spec, StartOptions::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "unable to find user nobody: no matching entries in passwd file"
    );
    let spec = ContainerSpec {
        auto_remove: true,
        ..ContainerSpec {
            name: Some("gone".into()),
            ..spec
        }
    };
    let spec = ContainerSpec {
        user: None,
        command: vec!["nonsense".into()],
        ..spec
    };
    let mut begun = containers.run(&spec, StartOptions::default()).unwrap();
    assert!(begun.session.started().is_err());
    wait_for("it is gone", || containers.resolve("gone").is_err());
}

fn mount(text: &str) -> MountSpec {
    MountSpec::parse_volume(text).unwrap()
}

fn volumes(house: &House) {
    let (containers, volumes) = (house.engine.containers(), house.engine.volumes());
    let with = |mounts: &[&str], script: &str| ContainerSpec {
        mounts: mounts.iter().map(|text| mount(text)).collect(),
        ..house.spec(script)
    };
    let script = "cat /srv/data/file; stat -c ' %u %g' /srv/data; echo more > /srv/data/more";
    let heard = house.run(&with(&["data:/srv/data"], script));
    assert_eq!(heard.out, "from the image 33 34\n", "{heard:?}");
    let heard = house.run(&with(
        &["data:/other:ro"],
        "cat /other/more; touch /other/x",
    ));
    assert_eq!(heard.out, "more\n");
    assert!(heard.err.contains("Read-only"), "{}", heard.err);
    let volume = volumes.inspect("data").unwrap();
    assert_eq!(fs::metadata(&volume.mountpoint).unwrap().uid(), 33);
    let error = volumes.remove("data", false).unwrap_err();
    assert_eq!(error.kind(), FaultKind::Conflict);
    assert!(
        error
            .to_string()
            .starts_with("remove data: volume is in use - ["),
        "{error}"
    );
    assert!(volumes.remove("nothing", false).is_err());
    volumes.remove("nothing", true).unwrap();
    // Anonymous ones go with their container when that is asked for.
    let created = containers.create(&with(&["/cache"], "true")).unwrap();
    assert_eq!(volumes.list().unwrap().len(), 2);
    containers
        .remove(
            &created.name,
            RemoveOptions {
                force: false,
                volumes: true,
            },
        )
        .unwrap();
    assert_eq!(volumes.list().unwrap().len(), 1);
    for name in all_names(house) {
        containers
            .remove(
                &name,
                RemoveOptions {
                    force: false,
                    volumes: true,
                },
            )
            .unwrap();
    }
    assert_eq!(volumes.list().unwrap().len(), 1, "named ones stay");
    assert!(volumes.prune(false, &|_| false).unwrap().deleted.is_empty());
    assert_eq!(volumes.prune(true, &|_| false).unwrap().deleted, ["data"]);
    let error = volumes
        .create(Some("a/b"), "", &BTreeMap::new(), &BTreeMap::new())
        .unwrap_err();
    assert_eq!(error.kind(), FaultKind::Invalid);
}

fn mounts(house: &House) {
    let host = house.folder.path().join("host");
    let heard = house.run(&ContainerSpec {
        mounts: vec![
            mount(&format!("{}:/bind", host.display())),
            MountSpec::parse_tmpfs("/scratch:size=1m,mode=700").unwrap(),
        ],
        read_only: true,
        ..house.spec("echo hi > /bind/x; stat -c %a /scratch; touch /scratch/y && touch /z")
    });
    assert_eq!(heard.out, "700\n");
    assert!(
        heard.err.contains("/z: Read-only file system"),
        "{}",
        heard.err
    );
    assert_eq!(fs::read_to_string(host.join("x")).unwrap(), "hi\n");
    let missing = ContainerSpec {
        mounts: vec![MountSpec::parse_mount("type=bind,src=/no/such/place,dst=/x").unwrap()],
        ..house.spec("true")
    };
    let error = house.engine.containers().create(&missing).unwrap_err();
    assert_eq!(
        error.to_string(),
        "invalid mount config for type \"bind\": bind source path does not exist: /no/such/place"
    );
}

fn exec(house: &House) {
    let containers = house.engine.containers();
    let spec = ContainerSpec {
        name: Some("box".into()),
        env: vec!["A=1".into()],
        ..house.spec("echo 'late:x:77:78::/late:' >> /etc/passwd; echo ready; sleep 1000")
    };
    let begun = house.begin(&spec);
    let run = |exec: ExecSpec| {
        let exec = ExecSpec {
            attach: Some(ALL),
            ..exec
        };
        listen(
            containers
                .exec("box", &exec)
                .unwrap_or_else(|error| panic!("{error}"))
                .session,
        )
    };
    let command = |text: &str| ["sh", "-c", text].map(str::to_owned).into();
    wait_for("it is ready", || {
        let mut reader = containers.logs("box", LogOptions::default()).unwrap();
        reader.next_line().unwrap().is_some()
    });
    let heard = run(ExecSpec {
        command: command("pwd; echo $A$FROM_IMAGE; exit 9"),
        ..ExecSpec::default()
    });
    assert_eq!(
        (heard.out.as_str(), heard.exit.code),
        ("/work/dir\n11\n", 9)
    );
    let heard = run(ExecSpec {
        command: command("id; pwd; echo $A $HOME"),
        user: Some("late".into()),
        working_dir: Some("/tmp".into()),
        env: vec!["A=2".into()],
        ..ExecSpec::default()
    });
    assert_eq!(heard.out, "uid=77(late) gid=78 groups=78\n/tmp\n2 /late\n");
    let error = containers
        .exec(
            "box",
            &ExecSpec {
                command: vec!["nonsense".into()],
                attach: Some(ALL),
                ..ExecSpec::default()
            },
        )
        .unwrap_err();
    assert_eq!(error.kind(), FaultKind::CommandNotFound);
    containers.kill("box", "KILL").unwrap();
    assert_eq!(listen(begun.session).exit.code, 137);
    let error = containers.exec(
        "box",
        &ExecSpec {
            command: vec!["id".into()],
            ..ExecSpec::default()
        },
    );
    assert_eq!(
        error.unwrap_err().to_string(),
        "container box is not running"
    );
}

fn logs(house: &House) {
    let containers = house.engine.containers();
    let script = "seq 5; echo err >&2; sleep 0.3; echo late";
    let spec = ContainerSpec {
        name: Some("log".into()),
        ..house.spec(script)
    };
    let mut begun = containers.run(&spec, StartOptions::default()).unwrap();
    begun.session.started().unwrap();
    let follow = LogOptions {
        follow: true,
        ..LogOptions::default()
    };
    let mut reader = containers.logs("log", follow).unwrap();
    let mut all = String::new();
    while let Some(line) = reader.next_line().unwrap() {
        all.push_str(&line.text);
    }
    assert_eq!(all.len(), "1\n2\n3\n4\n5\nerr\nlate\n".len(), "{all:?}");
    assert!(all.ends_with("late\n"));
    let tail = LogOptions {
        tail: Some(1),
        ..LogOptions::default()
    };
    let mut reader = containers.logs("log", tail).unwrap();
    assert_eq!(reader.next_line().unwrap().unwrap().text, "late\n");
    assert!(reader.next_line().unwrap().is_none());
}

fn killed_supervisor(house: &House) {
    let containers = house.engine.containers();
    let spec = ContainerSpec {
        name: Some("orphan".into()),
        ..house.spec("sleep 1000")
    };
    let begun = house.begin(&spec);
    let (record, state) = containers.look("orphan").unwrap();
    kill(state.supervisor_pid.unwrap());
    wait_for("its process is gone", || {
        fs::read_to_string(format!("/proc/{}/stat", state.pid.unwrap()))
            .map_or(true, |stat| stat.contains(") Z "))
    });
    drop(begun);
    wait_for("it is known to have ended", || {
        let state = containers.look("orphan").unwrap().1;
        (state.status, state.exit_code) == (Status::Exited, 137)
    });
    for hierarchy in fs::read_dir("/sys/fs/cgroup").unwrap() {
        let left = hierarchy
            .unwrap()
            .path()
            .join("gantry")
            .join(record.id.as_str());
        assert!(!left.exists(), "{}", left.display());
    }
    let mut begun = containers.start("orphan", StartOptions::default()).unwrap();
    begun.session.started().unwrap();
    // One that was to be removed at its end is.
    let spec = ContainerSpec {
        name: Some("brief".into()),
        auto_remove: true,
        ..house.spec("sleep 1000")
    };
    let begun = house.begin(&spec);
    kill(containers.look("brief").unwrap().1.supervisor_pid.unwrap());
    drop(begun);
    wait_for("it is removed", || containers.look("brief").is_err());
}

fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

fn removal_at_the_end(house: &House) {
    let spec = ContainerSpec {
        name: Some("once".into()),
        auto_remove: true,
        mounts: vec![mount("/cache")],
        ..house.spec("echo x > /cache/x; touch /tmp/y")
    };
    for _ in 0..3 {
        let heard = house.run(&spec);
        assert!(heard.exit.removed, "{heard:?}");
        assert!(all_names(house).is_empty());
        assert!(house.engine.volumes().list().unwrap().is_empty());
    }
}

fn network_modes(house: &House) {
    let containers = house.engine.containers();
    let heard = house.run(&ContainerSpec {
        network: NetworkMode::Host,
        ..house.spec("hostname; ls -l /proc/self/ns/net")
    });
    let host = fs::read_link("/proc/self/ns/net").unwrap();
    assert!(heard.out.contains(host.to_str().unwrap()), "{}", heard.out);
    let first = house.begin(&ContainerSpec {
        name: Some("first".into()),
        network: NetworkMode::Bridge,
        add_hosts: vec!["gate:host-gateway".into()],
        ..house.spec("sleep 1000")
    });
    let network = containers.look("first").unwrap().1.network.unwrap();
    let heard = house.run(&ContainerSpec {
        network: NetworkMode::Container("first".into()),
        ..house.spec("ip addr show eth0; cat /etc/hosts; cat /etc/resolv.conf")
    });
    assert!(heard.out.contains(&network.ip_address), "{heard:?}");
    assert!(
        heard.out.contains(&format!("{}\tgate\n", network.gateway)),
        "{heard:?}"
    );
    drop(first);
    house.remove("first");
    let spec = ContainerSpec {
        network: NetworkMode::Container("first".into()),
        ..house.spec("true")
    };
    assert!(containers.run(&spec, StartOptions::default()).is_err());
}

fn limits_and_powers(house: &House) {
    let heard = house.run(&ContainerSpec {
        resources: Resources { memory: Some(64 << 20), pids_limit: Some(50), ..Resources::default() },
        ulimits: vec!["nofile=100:200".parse().unwrap()],
        sysctls: [("net.ipv4.ip_forward".to_owned(), "1".to_owned())].into(),
        cap_drop: vec!["ALL".into()],
        ..house.spec("ulimit -n; ulimit -Hn; cat /proc/sys/net/ipv4/ip_forward; grep CapBnd /proc/self/status; grep -c Seccomp /proc/self/status")
    });
    assert!(
        heard
            .out
            .starts_with("100\n200\n1\nCapBnd:\t0000000000000000\n"),
        "{heard:?}"
    );
    let heard = house.run(&ContainerSpec {
        resources: Resources { memory: Some(16 << 20), memory_swap: Some(16 << 20), ..Resources::default() },
        ..house.spec("x=; i=0; while [ $i -lt 30 ]; do x=\"$x$(seq 200000)\"; i=$((i+1)); done; echo survived")
    });
    assert!(
        heard.exit.oom_killed && heard.exit.code == 137,
        "{:?}",
        heard.exit
    );
    let heard = house.run(&ContainerSpec {
        privileged: true,
        ..house.spec("mount -t tmpfs x /var && touch /var/ok && ls /var; ls /dev/null; grep Seccomp: /proc/self/status")
    });
    assert_eq!(heard.out, "ok\n/dev/null\nSeccomp:\t0\n", "{heard:?}");
    let error = house
        .engine
        .containers()
        .create(&ContainerSpec {
            cap_add: vec!["X".into()],
            ..house.spec("true")
        })
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "invalid CapAdd: unknown capability: \"X\""
    );
}

fn inspect(house: &House) {
    let spec = ContainerSpec {
        name: Some("seen".into()),
        ports: gantry_model::port::parse_published("127.0.0.1::80").unwrap(),
        network: NetworkMode::Bridge,
        mounts: vec![mount("vv:/v")],
        ..house.spec("sleep 1000")
    };
    let begun = house.begin(&spec);
    let inspected = house.engine.containers().inspect("seen", true).unwrap();
    let value = serde_json::to_value(&inspected).unwrap();
    assert_eq!(value["Id"], begun.id.as_str());
    assert_eq!(value["Name"], "/seen");
    assert_eq!(value["Path"], "sh");
    assert_eq!(value["State"]["Running"], true);
    assert_eq!(value["Config"]["Labels"]["a"], "1");
    assert_eq!(value["HostConfig"]["Binds"][0], "vv:/v");
    assert_eq!(value["Mounts"][0]["Type"], "volume");
    let binding = &value["NetworkSettings"]["Ports"]["80/tcp"][0];
    assert_eq!(binding["HostIp"], "127.0.0.1");
    assert!(
        binding["HostPort"]
            .as_str()
            .unwrap()
            .parse::<u16>()
            .unwrap()
            > 0
    );
    let address = value["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
        .as_str()
        .unwrap();
    assert!(address.parse::<std::net::Ipv4Addr>().is_ok());
    let text = serde_json::to_string(&inspected).unwrap();
    assert!(text.starts_with("{\"Id\":"), "{text}");
    house.remove("seen");
    house.engine.volumes().remove("vv", false).unwrap();
}

fn pause_top_rename_prune(house: &House) {
    let containers = house.engine.containers();
    let spec = ContainerSpec {
        name: Some("one".into()),
        stop_timeout: Some(1000),
        ..house.spec("sleep 1000")
    };
    let _begun = house.begin(&spec);
    containers.pause("one").unwrap();
    assert_eq!(containers.look("one").unwrap().1.status, Status::Paused);
    assert!(containers.pause("one").is_err());
    containers.unpause("one").unwrap();
    let top = containers.top("one", &[]).unwrap();
    assert!(
        top.rows
            .iter()
            .any(|row| row[7] == "sleep 1000" || row[7].contains("sh -c")),
        "{top:?}"
    );
    containers.rename("one", "two").unwrap();
    assert!(containers.resolve("one").is_err());
    let error = containers
        .remove("two", RemoveOptions::default())
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot remove container \"two\": container is running: stop the container before removing or force remove"
    );
    containers
        .create(&ContainerSpec {
            name: Some("idle".into()),
            ..house.spec("true")
        })
        .unwrap();
    let pruned = containers.prune(&|_| false).unwrap();
    assert_eq!(pruned.deleted.len(), 1);
    assert_eq!(all_names(house), ["two"]);
    // It does not wait for the thousand seconds that the container itself asks for.
    containers.restart("two", None, Some(0)).unwrap();
    assert_eq!(containers.look("two").unwrap().1.status, Status::Running);
}
