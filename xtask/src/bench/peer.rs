//! The two sides of every comparison: an installation of Gantry, and a private Docker.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::{cargo, packages, say};

/// What the benchmarks run on.
pub(crate) struct Bench {
    pub(crate) binary: PathBuf,
    pub(crate) folder: tempfile::TempDir,
    docker: Option<Docker>,
}

/// A dockerd of our own in its own mount and network namespaces, from the `PATH`.
pub(crate) struct Docker {
    process: Child,
    socket: PathBuf,
}

impl Bench {
    pub(crate) fn new(binary: PathBuf) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("gantry-bench-").tempdir()?;
        let docker = match packages::find("dockerd") {
            Some(_) => Some(Docker::start(folder.path())?),
            None => None,
        };
        let bench = Self {
            binary,
            folder,
            docker,
        };
        bench.import_busybox()?;
        Ok(bench)
    }

    fn import_busybox(&self) -> Result<()> {
        let archive = gantry_testkit::fixture::busybox();
        let import = |mut command: Command| {
            command
                .args(["import", "--change", "CMD [\"sh\"]"])
                .arg(&archive)
                .arg("busybox:latest");
            cargo::output(&mut command)
        };
        import(self.gantry())?;
        if let Some(docker) = self.docker() {
            import(docker)?;
        }
        Ok(())
    }

    pub(crate) fn describe(&self) -> String {
        let docker = match self.docker() {
            Some(mut docker) => {
                cargo::output(docker.args(["version", "--format", "{{.Server.Version}}"]))
                    .map_or_else(|e| e.to_string(), |v| format!("docker {}", v.trim()))
            }
            None => "no dockerd on the PATH".to_owned(),
        };
        let crun = packages::find("crun").map_or_else(
            || "no crun on the PATH".to_owned(),
            |path| {
                cargo::output(Command::new(path).arg("--version")).map_or_else(
                    |e| e.to_string(),
                    |v| v.lines().next().unwrap_or("crun").to_owned(),
                )
            },
        );
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        format!("peers: {docker}; {crun}; {cores} cores")
    }

    /// A call of Gantry on the benchmark's own installation.
    pub(crate) fn gantry(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .env("GANTRY_ROOT", self.folder.path().join("gantry/root"))
            .env("GANTRY_RUN", self.run_root());
        command
    }

    /// The folder of what runs.
    pub(crate) fn run_root(&self) -> PathBuf {
        self.folder.path().join("gantry/run")
    }

    /// A call of Docker on its private daemon.
    pub(crate) fn docker(&self) -> Option<Command> {
        let docker = self.docker.as_ref()?;
        let mut command = Command::new("docker");
        command
            .env("DOCKER_HOST", format!("unix://{}", docker.socket.display()))
            .env("DOCKER_BUILDKIT", "1");
        Some(command)
    }

    /// `command` moved into the network namespace of the private dockerd.
    pub(crate) fn beside_docker(&self, command: &Command) -> Option<Command> {
        let docker = self.docker.as_ref()?;
        let mut inside = Command::new("nsenter");
        inside
            .arg(format!("--net=/proc/{}/ns/net", docker.process.id()))
            .arg(command.get_program());
        inside.args(command.get_args());
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                inside.env(name, value);
            }
        }
        Some(inside)
    }

    /// A bundle of busybox for bare OCI runtimes that runs `true`.
    pub(crate) fn bundle(&self) -> Result<PathBuf> {
        let bundle = self.folder.path().join("bundle");
        if bundle.exists() {
            return Ok(bundle);
        }
        fs::create_dir_all(bundle.join("rootfs"))?;
        cargo::run(
            Command::new("tar")
                .args(["--extract", "--file"])
                .arg(gantry_testkit::fixture::busybox())
                .arg("--directory")
                .arg(bundle.join("rootfs")),
        )?;
        cargo::run(Command::new("crun").arg("spec").current_dir(&bundle))?;
        let path = bundle.join("config.json");
        let mut spec: serde_json::Value = serde_json::from_str(&fs::read_to_string(&path)?)?;
        spec["process"]["args"] = serde_json::json!(["true"]);
        spec["process"]["terminal"] = false.into();
        if let Some(process) = spec["process"].as_object_mut() {
            // Machines without CAP_SYS_RESOURCE refuse crun's default limits.
            process.remove("rlimits");
        }
        fs::write(&path, serde_json::to_vec(&spec)?)?;
        Ok(bundle)
    }

    /// Ends the private dockerd and waits for Gantry's last container to be gone.
    pub(crate) fn end(mut self) -> Result<()> {
        let ids = cargo::output(self.gantry().args(["ps", "--all", "--quiet"]))?;
        for id in ids.lines() {
            cargo::output(self.gantry().args(["rm", "--force", id]))?;
        }
        if let Some(docker) = self.docker.take() {
            docker.end()?;
        }
        Ok(())
    }
}

impl Docker {
    fn start(folder: &Path) -> Result<Self> {
        let base = folder.join("docker");
        fs::create_dir_all(&base)?;
        let socket = base.join("docker.sock");
        let log = fs::File::create(base.join("log"))?;
        let script = format!(
            "ip link set lo up && mount --make-rprivate / && mount -t tmpfs tmpfs /run && \
             mkdir -p /run/docker && exec dockerd --data-root {base}/data --exec-root {base}/exec \
             -H unix://{base}/docker.sock --pidfile {base}/pid",
            base = base.display()
        );
        let process = Command::new("unshare")
            .args(["--mount", "--net", "sh", "-c", &script])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot start a private dockerd")?;
        let docker = Self { process, socket };
        let deadline = Instant::now() + Duration::from_secs(30);
        while std::os::unix::net::UnixStream::connect(&docker.socket).is_err() {
            if Instant::now() > deadline {
                let said = fs::read_to_string(base.join("log")).unwrap_or_default();
                docker.end()?;
                bail!("the private dockerd did not start:\n{said}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(docker)
    }

    fn end(mut self) -> Result<()> {
        // SIGTERM lets dockerd end its containerd.
        cargo::run(Command::new("kill").arg(self.process.id().to_string()))?;
        let status = self.process.wait()?;
        if !status.success() {
            say(&format!("the private dockerd ended with {status}"));
        }
        Ok(())
    }
}
