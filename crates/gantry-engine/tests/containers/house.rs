//! An installation with an image, and what its containers say.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;

use gantry_engine::containers::{Begun, ContainerError, ListOptions, RemoveOptions, StartOptions};
use gantry_engine::{Engine, Surroundings};
use gantry_model::ContainerSpec;
use gantry_model::container::NetworkMode;
use gantry_model::image::{ImageConfig, ProcessConfig, RootFs};
use gantry_model::mount::MountSpec;
use gantry_store::NewImage;
use gantry_supervisor::client::{Event, Session};
use gantry_supervisor::protocol::{Attach, Exit};
use gantry_testkit::environment::{PATIENCE, wait_for};
use rustix::event::{PollFd, PollFlags, poll};

/// An installation with the image `busybox`.
pub(crate) struct House {
    pub(crate) engine: Engine,
    pub(crate) folder: tempfile::TempDir,
}

impl House {
    pub(crate) fn new() -> Self {
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

    pub(crate) fn make_image(&self) {
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

    pub(crate) fn spec(&self, script: &str) -> ContainerSpec {
        ContainerSpec {
            image: "busybox".into(),
            command: ["sh", "-c", script].map(str::to_owned).into(),
            network: NetworkMode::None,
            ..ContainerSpec::default()
        }
    }

    /// Runs to the end.
    pub(crate) fn run(&self, spec: &ContainerSpec) -> Heard {
        let begun = self.begin(spec);
        listen(begun.session)
    }

    pub(crate) fn begin(&self, spec: &ContainerSpec) -> Begun {
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

    pub(crate) fn remove(&self, name: &str) {
        let options = RemoveOptions {
            force: true,
            volumes: true,
        };
        match self.engine.containers().remove(name, options) {
            // On its way out by itself.
            Ok(_) | Err(ContainerError::NotFound { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }

    /// Removes everything, and looks that nothing is left.
    pub(crate) fn close(&self) {
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

pub(crate) const ALL: Attach = Attach {
    stdin: false,
    stdout: true,
    stderr: true,
    lossless: true,
};

#[derive(Debug, Default)]
pub(crate) struct Heard {
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) exit: Exit,
}

pub(crate) fn listen(mut session: Session) -> Heard {
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

pub(crate) fn all_names(house: &House) -> Vec<String> {
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

pub(crate) fn mount(text: &str) -> MountSpec {
    MountSpec::parse_volume(text).unwrap()
}

pub(crate) fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}
