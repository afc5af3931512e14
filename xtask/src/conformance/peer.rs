//! Other builders, asked in their own words.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};
use gantry_sys::{mount, system};
use gantry_testkit::conformance;
use gantry_testkit::environment::{Answer, answer};
use gantry_testkit::fixture;

use super::seen::Seen;
use crate::say;

/// What BuildKit gives an image whose base has no `PATH`.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// For Buildah, which otherwise writes its version into every image.
const NO_LABEL: &str = "--identity-label=false";

/// Whose words a program has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Docker,
    Podman,
    Buildah,
}

/// A builder with a busybox of its own.
pub(super) struct Peer {
    program: String,
    flags: Vec<String>,
    kind: Kind,
    version: String,
    work: tempfile::TempDir,
    base: Vec<String>,
    /// What the base looks like from above.
    seen: Seen,
}

impl Peer {
    /// Asks the program who it is and gives it the base of all cases. Podman and Buildah keep
    /// their images in a folder that goes with this value, unless `--root` says where.
    pub(super) fn new(program: &str, flags: &[String]) -> Result<Self> {
        let says = succeed(Command::new(program).arg("--version"))?.stdout;
        let kind = match says.split(' ').next() {
            Some("Docker") => Kind::Docker,
            Some("podman") => Kind::Podman,
            Some("buildah") => Kind::Buildah,
            _ => bail!("{program} is neither docker nor podman nor buildah: {says}"),
        };
        let mut peer = Self {
            program: program.to_owned(),
            flags: flags.to_vec(),
            kind,
            version: says.split(' ').nth(2).unwrap_or_default().to_owned(),
            work: tempfile::tempdir()?,
            base: Vec::new(),
            seen: Seen::default(),
        };
        if kind == Kind::Docker {
            let mut asked = peer.command(&["version", "--format", "{{.Server.Version}}"]);
            peer.version = succeed(&mut asked)?.stdout;
        } else if !flags.iter().any(|flag| flag.starts_with("--root")) {
            for (flag, folder) in [("--root", "storage"), ("--runroot", "run")] {
                let folder = peer.work().join(folder).display().to_string();
                peer.flags.extend([flag.to_owned(), folder]);
            }
        }
        peer.import(&fixture::busybox())?;
        let archive = peer.save("busybox")?;
        peer.base = conformance::diff_ids(&archive);
        peer.seen = Seen::of_base(&conformance::describe(&archive, &[]));
        Ok(peer)
    }

    /// Whose list of differences it has: Podman builds with Buildah, and of Docker the version
    /// counts.
    pub(super) fn name(&self) -> String {
        match self.kind {
            Kind::Docker => {
                let mut numbers = self.version.trim().split('.');
                let mut next = || numbers.next().unwrap_or_default();
                format!("docker-{}.{}", next(), next())
            }
            Kind::Podman | Kind::Buildah => "buildah".to_owned(),
        }
    }

    /// Its program and version.
    pub(super) fn title(&self) -> String {
        format!("{} {}", self.program, self.version.trim())
    }

    /// A folder that goes with this value.
    pub(super) fn work(&self) -> &Path {
        self.work.path()
    }

    pub(super) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.flags).args(words);
        // Flags of cases name files from here, as in Gantry's tests.
        command.current_dir(self.work());
        // Docker before 23 has another builder, too.
        command.env("DOCKER_BUILDKIT", "1");
        command
    }

    /// Makes `busybox:latest` of a tar.
    fn import(&self, archive: &Path) -> Result<()> {
        if self.kind == Kind::Buildah {
            let container = succeed(&mut self.command(&["from", "scratch"]))?.stdout;
            let container = container.trim();
            succeed(self.command(&["add", container]).arg(archive).arg("/"))?;
            succeed(&mut self.command(&["config", "--cmd", "sh", "--env", PATH, container]))?;
            succeed(&mut self.command(&["commit", "--rm", NO_LABEL, container, "busybox:latest"]))?;
            return Ok(());
        }
        let mut import = self.command(&["import", "--change", "CMD [\"sh\"]"]);
        if self.kind == Kind::Podman {
            import.args(["--change", &format!("ENV {PATH}")]);
        }
        succeed(import.arg(archive).arg("busybox:latest"))?;
        Ok(())
    }

    fn save(&self, image: &str) -> Result<PathBuf> {
        let archive = self.work().join("saved.tar");
        if archive.exists() {
            fs::remove_file(&archive)?;
        }
        if self.kind == Kind::Buildah {
            let target = format!("docker-archive:{}", archive.display());
            succeed(&mut self.command(&["push", "--quiet", image, &target]))?;
        } else {
            succeed(self.command(&["save", "-o"]).arg(&archive).arg(image))?;
        }
        Ok(archive)
    }

    /// The description of the image that it builds, or `failed` and why.
    pub(super) fn built(
        &self,
        dockerfile: &[u8],
        flags: &[String],
        context: &Path,
    ) -> Result<String> {
        // Podman takes the image away where one stage is nothing but another.
        if self.kind == Kind::Podman
            && answer(&mut self.command(&["image", "exists", "busybox"])).code != 0
        {
            self.import(&fixture::busybox())?;
        }
        let path = self.work().join("Dockerfile");
        fs::write(&path, dockerfile)?;
        let mut command = self.command(&["build", "-q", "-t", "case", "-f"]);
        command.arg(&path).args(flags);
        if self.kind != Kind::Docker {
            // As Buildah has it by itself: Podman has a layer for each step, but for WORKDIR,
            // whose folder is then missing where no step comes after. Without a cache, which
            // takes `ENV B=$A` for what it was with another value.
            command.args(["--layers=false", "--no-cache", "--pull=never"]);
            command.args(["--format=docker", NO_LABEL, "--force-rm"]);
        }
        let built = answer(command.arg(context));
        if built.code != 0 {
            // A daemon that has come to its end refuses everything.
            succeed(&mut self.command(&["version"]))?;
            return Ok(format!("failed\n{}", reason(&built.stderr, self.work())));
        }
        Ok(conformance::describe(&self.save("case")?, &self.base))
    }

    /// What of a description can be compared with this builder's.
    pub(super) fn comparable(&self, description: &str) -> String {
        match self.kind {
            Kind::Docker => description.to_owned(),
            Kind::Podman | Kind::Buildah => self.seen.compared(description),
        }
    }
}

/// What was mounted in its storage, which Podman and Buildah leave mounted, ends before the folder
/// goes.
impl Drop for Peer {
    fn drop(&mut self) {
        for mount in system::mounts().unwrap_or_default().iter().rev() {
            if mount.mount_point.starts_with(self.work.path())
                && let Err(error) = mount::detach(&mount.mount_point)
            {
                say(&format!("{}: {error}", mount.mount_point.display()));
            }
        }
    }
}

fn succeed(command: &mut Command) -> Result<Answer> {
    let answered = answer(command);
    if answered.code != 0 {
        bail!("{command:?}: {}", answered.stderr);
    }
    Ok(answered)
}

/// The line that says why, for readers: no test compares it.
fn reason(said: &str, work: &Path) -> String {
    let line = said.lines().rev().find(|line| line.starts_with("ERROR: "));
    let line = line.or_else(|| said.lines().last()).unwrap_or_default();
    format!("{}\n", line.replace(&work.display().to_string(), ""))
}
