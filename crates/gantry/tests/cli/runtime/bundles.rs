//! A state folder and a bundle with busybox for one test.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use gantry_testkit::environment::{Answer, wait_for};
use gantry_testkit::{TestEnv, fixture};
use serde_json::{Value, json};

use crate::GANTRY;

/// A state folder and a bundle; dropping them deletes the containers and looks for what is left.
pub(super) struct Bundles {
    pub(super) env: TestEnv,
    /// What identifiers begin with, so that tests do not meet in one cgroup hierarchy.
    name: String,
}

impl Bundles {
    /// A bundle with the document that `spec` writes, without a terminal.
    pub(super) fn new() -> Bundles {
        let env = TestEnv::new(GANTRY);
        let rootfs = env.work().join("bundle/rootfs");
        fs::create_dir_all(&rootfs).unwrap();
        let unpacked = Command::new("tar")
            .arg("-xf")
            .arg(fixture::busybox())
            .arg("-C")
            .arg(&rootfs)
            .status();
        assert!(unpacked.unwrap().success());
        let folder = env.root();
        let name = folder
            .parent()
            .and_then(Path::file_name)
            .unwrap()
            .to_str()
            .unwrap();
        let bundles = Bundles {
            name: name.to_owned(),
            env,
        };
        bundles
            .runtime(["spec", "--bundle", bundles.bundle().to_str().unwrap()])
            .ok();
        bundles.edit(|document| {
            document["process"]["terminal"] = json!(false);
            document["root"]["readonly"] = json!(false);
        });
        bundles
    }

    /// A bundle whose process executes a shell script.
    pub(super) fn running(script: &str) -> Bundles {
        let bundles = Bundles::new();
        bundles.script(script);
        bundles
    }

    pub(super) fn bundle(&self) -> PathBuf {
        self.env.work().join("bundle")
    }

    pub(super) fn state(&self) -> PathBuf {
        self.env.work().join("state")
    }

    /// The identifier of a container.
    pub(super) fn id(&self, name: &str) -> String {
        format!("{}-{name}", self.name)
    }

    /// Changes the document.
    pub(super) fn edit(&self, edit: impl FnOnce(&mut Value)) {
        let path = self.bundle().join("config.json");
        let mut document = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        edit(&mut document);
        fs::write(&path, serde_json::to_vec_pretty(&document).unwrap()).unwrap();
    }

    /// Has the process execute a shell script.
    pub(super) fn script(&self, script: &str) {
        self.edit(|document| document["process"]["args"] = json!(["sh", "-c", script]));
    }

    /// A command of the runtime, not started yet, in the bundle.
    pub(super) fn command<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Command {
        let state = self.state();
        let mut command = self
            .env
            .command(["runtime", "--root", state.to_str().unwrap()]);
        command.args(words).current_dir(self.bundle());
        command
    }

    /// Runs a command of the runtime. Its output goes through files: a container that stays would
    /// keep a pipe open.
    pub(super) fn runtime<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Answer {
        let [out, err] = ["out", "err"].map(|name| self.env.work().join(name));
        let status = self
            .command(words)
            .stdin(Stdio::null())
            .stdout(fs::File::create(&out).unwrap())
            .stderr(fs::File::create(&err).unwrap())
            .status()
            .unwrap();
        Answer {
            code: status.code().unwrap(),
            stdout: fs::read_to_string(out).unwrap(),
            stderr: fs::read_to_string(err).unwrap(),
        }
    }

    /// Runs the bundle to its end.
    pub(super) fn run(&self) -> Answer {
        self.runtime(["run", &self.id("run")])
    }

    /// What the bundle's process says.
    pub(super) fn says(&self) -> String {
        self.run().ok()
    }

    /// The state of a container.
    pub(super) fn told(&self, id: &str) -> Value {
        serde_json::from_str(&self.runtime(["state", id]).ok()).unwrap()
    }

    /// Waits until a container is in a state.
    pub(super) fn wait(&self, id: &str, status: &str) {
        wait_for(&format!("{id} {status}"), || {
            self.told(id)["status"] == status
        });
    }

    /// A socket that receives a terminal.
    pub(super) fn console(&self) -> (PathBuf, UnixListener) {
        let path = self.env.work().join("console");
        let listener = UnixListener::bind(&path).unwrap();
        (path, listener)
    }

    /// The cgroup directories of a container that there are.
    pub(super) fn cgroups(&self, id: &str) -> Vec<PathBuf> {
        let name = format!("gantry-runtime-{id}");
        let hierarchies = fs::read_dir("/sys/fs/cgroup").unwrap();
        let places = hierarchies.map(|entry| entry.unwrap().path().join(&name));
        places
            .chain([Path::new("/sys/fs/cgroup").join(&name)])
            .filter(|path| path.exists())
            .collect()
    }
}

impl Drop for Bundles {
    fn drop(&mut self) {
        let ids = self.runtime(["list", "-q"]).stdout;
        for id in ids.lines() {
            self.runtime(["delete", "--force", id]);
        }
        if !std::thread::panicking() {
            for name in ["run", "one", "two"] {
                assert_eq!(self.cgroups(&self.id(name)), Vec::<PathBuf>::new());
            }
            let left: Vec<_> = fs::read_dir(self.state())
                .map(|entries| entries.map(|entry| entry.unwrap().path()).collect())
                .unwrap_or_default();
            assert_eq!(left, Vec::<PathBuf>::new());
        }
    }
}
