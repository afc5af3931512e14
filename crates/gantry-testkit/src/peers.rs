//! skopeo, buildah and podman on one image storage of their own.

use std::path::PathBuf;
use std::process::Command;

use crate::environment::{TestEnv, answer};

/// Limits that every machine grants; without them podman's and buildah's containers ask for more
/// open files than a machine without `CAP_SYS_RESOURCE` gives.
pub const MODEST_LIMITS: [&str; 4] = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024"];

/// What starts their containers: Debian's crun refuses machines where the second version of
/// control groups has a controller beside the first one's.
const RUNTIME: &str = "runc";

/// The three programs with a storage below an installation's [`TestEnv::work`], where they also
/// run; it goes with the installation.
#[derive(Debug)]
pub struct Peers {
    work: PathBuf,
}

impl Peers {
    /// An empty storage beside this installation.
    #[must_use]
    pub fn beside(env: &TestEnv) -> Self {
        Self { work: env.work() }
    }

    /// One in a folder of its own, which is made.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn at(work: PathBuf) -> std::io::Result<Self> {
        std::fs::create_dir_all(&work)?;
        Ok(Self { work })
    }

    /// What skopeo prints; panics unless it succeeds.
    #[must_use]
    pub fn skopeo(&self, args: &[&str]) -> String {
        let mut command = self.command("skopeo");
        command.args(["--insecure-policy", "--tmpdir"]);
        answer(command.arg(&self.work).args(args)).ok()
    }

    /// What buildah prints; panics unless it succeeds.
    #[must_use]
    pub fn buildah(&self, args: &[&str]) -> String {
        let mut command = self.command("buildah");
        self.name_storage(&mut command);
        answer(command.args(args)).ok()
    }

    /// What podman prints; panics unless it succeeds.
    #[must_use]
    pub fn podman(&self, args: &[&str]) -> String {
        answer(self.podman_command().args(args)).ok()
    }

    /// A call of podman on the storage.
    #[must_use]
    pub fn podman_command(&self) -> Command {
        let mut command = self.command("podman");
        self.name_storage(&mut command);
        command
            .args(["--cgroup-manager", "cgroupfs", "--events-backend", "file"])
            .args(["--runtime", RUNTIME])
            .arg("--tmpdir")
            .arg(self.work.join("peers/tmp"));
        command
    }

    /// How skopeo names an image of the storage.
    #[must_use]
    pub fn stored(&self, image: &str) -> String {
        let [root, run] = self.storage();
        format!(
            "containers-storage:[vfs@{}+{}]{image}",
            root.display(),
            run.display()
        )
    }

    fn storage(&self) -> [PathBuf; 2] {
        ["root", "run"].map(|name| self.work.join("peers").join(name))
    }

    fn name_storage(&self, command: &mut Command) {
        let [root, run] = self.storage();
        command
            .args(["--storage-driver", "vfs", "--root"])
            .arg(root)
            .arg("--runroot")
            .arg(run);
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.work);
        command.env("BUILDAH_RUNTIME", RUNTIME);
        command
    }
}
