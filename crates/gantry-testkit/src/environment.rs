//! An installation of Gantry of one's own: two state folders and the real binary.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::leftover::Belongings;

/// An installation that lives as long as this value; dropping it removes every container
/// and asserts that nothing is left behind.
#[derive(Debug)]
pub struct TestEnv {
    binary: PathBuf,
    folder: tempfile::TempDir,
}

/// What a command answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Exit code; 128 + n when a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Answer {
    /// Standard output without the newline at its end; panics unless the command succeeded.
    pub fn ok(self) -> String {
        assert_eq!(
            self.code, 0,
            "stdout:\n{}\nstderr:\n{}",
            self.stdout, self.stderr
        );
        self.stdout.trim_end_matches('\n').to_owned()
    }

    /// Standard error; panics unless the command ended with this code.
    pub fn fails(self, code: i32) -> String {
        assert_eq!(
            self.code, code,
            "stdout:\n{}\nstderr:\n{}",
            self.stdout, self.stderr
        );
        self.stderr
    }
}

impl TestEnv {
    /// A new installation driven by this binary (`env!("CARGO_BIN_EXE_gantry")`).
    #[must_use]
    pub fn new(binary: impl Into<PathBuf>) -> Self {
        assert!(rustix::process::geteuid().is_root(), "this test needs root");
        let folder = tempfile::Builder::new()
            .prefix("gantry-test-")
            .tempdir()
            .expect("a temporary folder can be made");
        for name in ["home", "work"] {
            fs::create_dir(folder.path().join(name)).expect("a folder can be made");
        }
        Self {
            binary: binary.into(),
            folder,
        }
    }

    /// One that has `busybox:latest`.
    #[must_use]
    pub fn with_busybox(binary: impl Into<PathBuf>) -> Self {
        let env = Self::new(binary);
        env.import(
            &crate::fixture::busybox(),
            "busybox:latest",
            &["CMD [\"sh\"]"],
        );
        env
    }

    /// A folder for the test's own files, removed with the installation.
    #[must_use]
    pub fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    /// The folder that `GANTRY_ROOT` names.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// The folder that `GANTRY_RUN` names.
    #[must_use]
    pub fn run_root(&self) -> PathBuf {
        self.folder.path().join("run")
    }

    /// Writes a configuration file that this installation reads.
    pub fn configure(&self, toml: &str) {
        let folder = self.folder.path().join("home/.config/gantry");
        fs::create_dir_all(&folder).expect("a folder can be made");
        fs::write(folder.join("config.toml"), toml).expect("a file can be written");
    }

    /// Writes a file below [`Self::work`], its folders too, and returns its path.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.work().join(path);
        let folder = path.parent().expect("a file lies in a folder");
        fs::create_dir_all(folder).expect("a folder can be made");
        fs::write(&path, content).expect("a file can be written");
        path
    }

    /// A command of this installation, not started yet.
    pub fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.folder.path().join("home"))
            .env("GANTRY_ROOT", self.root())
            .env("GANTRY_RUN", self.run_root())
            .env("COLUMNS", "120")
            .current_dir(self.work())
            .args(args)
            .stdin(Stdio::null());
        command
    }

    /// Runs a command of this installation to its end.
    pub fn gantry<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Answer {
        answer(&mut self.command(args))
    }

    /// Runs a command with this on its standard input.
    pub fn gantry_with_input<S: AsRef<OsStr>>(
        &self,
        args: impl IntoIterator<Item = S>,
        input: &[u8],
    ) -> Answer {
        let mut child = self
            .command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("gantry can be started");
        let mut stdin = child.stdin.take().expect("stdin is a pipe");
        let input = input.to_vec();
        let writer = std::thread::spawn(move || {
            // The command may end without reading all of it.
            drop(stdin.write_all(&input));
        });
        let output = child.wait_with_output().expect("gantry can be waited for");
        writer.join().expect("the writer does not panic");
        Answer::from(output)
    }

    /// Starts a command of this installation and leaves it running.
    pub fn spawn<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Child {
        self.command(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("gantry can be started")
    }

    /// Makes an image of a root file system's tar; `changes` are Dockerfile instructions.
    pub fn import(&self, archive: &Path, name: &str, changes: &[&str]) {
        let mut args = vec!["import"];
        for change in changes {
            args.extend(["--change", change]);
        }
        let archive = archive.to_str().expect("fixtures have plain paths");
        args.extend([archive, name]);
        drop(self.gantry(args).ok());
    }

    /// Parses what a command printed as JSON; panics unless it succeeded.
    pub fn json<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> serde_json::Value {
        let text = self.gantry(args).ok();
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e} in {text}"))
    }

    /// Everything it has of the machine now.
    fn belongings(&self) -> Belongings {
        let ids = self.gantry(["ps", "--all", "--quiet", "--no-trunc"]).stdout;
        let note =
            fs::read_to_string(self.run_root().join("network/state.json")).unwrap_or_default();
        let link = |word: &&str| word.starts_with("veth") || word.starts_with("gantry");
        Belongings {
            folder: self.folder.path().to_path_buf(),
            containers: ids.lines().map(str::to_owned).collect(),
            links: note.split('"').filter(link).map(str::to_owned).collect(),
        }
    }
}

impl Drop for TestEnv {
    fn drop(&mut self) {
        let belongings = self.belongings();
        for id in &belongings.containers {
            drop(self.gantry(["rm", "--force", "--volumes", id]));
        }
        let left = belongings.settle(Duration::from_secs(20));
        if !std::thread::panicking() {
            assert!(left.is_empty(), "left behind:\n{}", left.join("\n"));
        }
    }
}

impl From<std::process::Output> for Answer {
    fn from(output: std::process::Output) -> Self {
        use std::os::unix::process::ExitStatusExt;
        let code = output
            .status
            .code()
            .or_else(|| output.status.signal().map(|s| 128 + s))
            .expect("a process ends by a code or a signal");
        Self {
            code,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Runs any command to its end.
pub fn answer(command: &mut Command) -> Answer {
    command
        .output()
        .unwrap_or_else(|e| panic!("cannot run {}: {e}", command.get_program().display()))
        .into()
}

/// Waits until a condition holds; panics with its name when it does not within 20 seconds.
pub fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
