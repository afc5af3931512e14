//! An installation of Gantry of one's own: two state folders and the real binary.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::caller::Caller;
use crate::leftover::Belongings;

/// An installation that lives as long as this value; dropping it removes every container
/// and asserts that nothing is left behind.
#[derive(Debug)]
pub struct TestEnv {
    binary: PathBuf,
    folder: tempfile::TempDir,
    caller: Caller,
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
        Self::of(Caller::Root, binary)
    }

    /// The same for a caller who need not be root.
    #[must_use]
    pub fn of(caller: Caller, binary: impl Into<PathBuf>) -> Self {
        assert!(rustix::process::geteuid().is_root(), "this test needs root");
        let folder = tempfile::Builder::new()
            .prefix("gantry-test-")
            .tempdir()
            .expect("a temporary folder can be made");
        for name in ["home", "work"] {
            fs::create_dir(folder.path().join(name)).expect("a folder can be made");
        }
        caller.prepare(folder.path());
        Self {
            binary: binary.into(),
            folder,
            caller,
        }
    }

    /// One that has `busybox:latest`.
    #[must_use]
    pub fn with_busybox(binary: impl Into<PathBuf>) -> Self {
        Self::busybox_of(Caller::Root, binary)
    }

    /// The same for a caller who need not be root.
    #[must_use]
    pub fn busybox_of(caller: Caller, binary: impl Into<PathBuf>) -> Self {
        let env = Self::of(caller, binary);
        env.import(
            &crate::fixture::busybox(),
            "busybox:latest",
            &["CMD [\"sh\"]"],
        );
        env
    }

    /// Who runs its commands.
    #[must_use]
    pub const fn caller(&self) -> Caller {
        self.caller
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
        let own = path.ancestors().take_while(|part| *part != self.work());
        own.for_each(|part| self.caller.give(part));
        path
    }

    /// A command of this installation, not started yet.
    pub fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let words = self.caller.words(self.folder.path(), &self.binary);
        let (program, before) = words.split_first().expect("a command has a first word");
        let mut command = Command::new(program);
        command
            .args(before)
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

    /// A command of this installation as a line for a shell, which is given the environment of
    /// [`Self::command`]; `rest` are its words as the shell reads them.
    #[must_use]
    pub fn line(&self, rest: &str) -> String {
        let quoted = |word: &OsString| {
            let word = word.to_str().expect("tests have plain paths");
            format!("'{}'", word.replace('\'', "'\\''"))
        };
        let words = self.caller.words(self.folder.path(), &self.binary);
        let words: Vec<String> = words.iter().map(quoted).collect();
        format!("{} {rest}", words.join(" "))
    }

    /// A command of this installation at a terminal of its own, of 33 rows and 101 columns, not
    /// started yet; `rest` as with [`Self::line`]. What the terminal shows is its standard output.
    pub fn at_terminal(&self, rest: &str) -> Command {
        let command = self.line(rest);
        let mut script = Command::new("script");
        script
            .args(["-qec", &format!("stty rows 33 cols 101; {command}")])
            .arg("/dev/null")
            .current_dir(self.work());
        let environment = self.command(["x"]);
        let variables = environment.get_envs();
        script.envs(variables.filter_map(|(name, value)| Some((name, value?))));
        script
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
        // The fixtures lie where only root may look.
        let copy = self.folder.path().join("archive.tar");
        fs::copy(archive, &copy).expect("a fixture can be copied");
        self.caller.give(&copy);
        args.extend([copy.to_str().expect("tests have plain paths"), name]);
        drop(self.gantry(args).ok());
        fs::remove_file(&copy).expect("a copy can be removed");
    }

    /// Parses what a command printed as JSON; panics unless it succeeded.
    pub fn json<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> serde_json::Value {
        let text = self.gantry(args).ok();
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e} in {text}"))
    }

    /// Everything it has of the machine now.
    #[must_use]
    pub fn belongings(&self) -> Belongings {
        let ids = self.gantry(["ps", "--all", "--quiet", "--no-trunc"]).stdout;
        let note =
            fs::read_to_string(self.run_root().join("network/state.json")).unwrap_or_default();
        let link = |word: &&str| word.starts_with("veth");
        Belongings {
            containers: ids.lines().map(str::to_owned).collect(),
            links: note.split('"').filter(link).map(str::to_owned).collect(),
            ..Belongings::of(self.folder.path(), &self.run_root())
        }
    }
}

impl Drop for TestEnv {
    fn drop(&mut self) {
        let belongings = self.belongings();
        for id in &belongings.containers {
            drop(self.gantry(["rm", "--force", "--volumes", id]));
        }
        let left = belongings.settle(PATIENCE);
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

/// How long a test waits for what has to happen: longer than a machine with too much to do takes.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until a condition holds; panics with its name when it does not within [`PATIENCE`].
pub fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
