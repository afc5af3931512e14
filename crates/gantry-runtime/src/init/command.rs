//! Finding and executing the command.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use gantry_sys::process::Program;
use gantry_sys::users::parse_passwd;
use rustix::fs::{Access, AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::error::errno_name;
use crate::plan::ProcessPlan;
use crate::protocol::Report;

/// Where commands are searched when the environment does not say.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The command with everything it gets.
#[derive(Debug)]
pub(super) struct Command<'a> {
    arguments: &'a [String],
    environment: Vec<String>,
}

impl<'a> Command<'a> {
    /// Prepares the command; must be called inside the container's root, before the user changes.
    pub(super) fn new(plan: &'a ProcessPlan) -> Command<'a> {
        let mut environment = plan.env.clone();
        if !environment.iter().any(|line| line.starts_with("HOME=")) {
            environment.push(format!("HOME={}", home(plan.uid)));
        }
        Command {
            arguments: &plan.args,
            environment,
        }
    }

    /// Executes the command. Returns only when that failed, with what to tell.
    pub(super) fn execute(&self) -> Report {
        let name = self.arguments.first().map_or("", String::as_str);
        let report = |not_found: bool, reason: String| {
            let command = name.to_owned();
            match not_found {
                true => Report::CommandNotFound { command, reason },
                false => Report::CannotInvoke { command, reason },
            }
        };
        let program = Program::new(OsStr::new(name), self.arguments, &self.environment);
        let mut program = match program {
            Ok(program) => program,
            Err(error) => return report(false, error.to_string()),
        };
        if name.contains('/') {
            let error = program.execute();
            let (not_found, reason) = explain(Path::new(name), &error, true);
            return report(not_found, reason);
        }
        // Like Go's LookPath, which Docker uses: what cannot be executed is passed over.
        for folder in self
            .search_path()
            .split(':')
            .filter(|part| !part.is_empty())
        {
            let path = Path::new(folder).join(name);
            if let Err(error) = program.set_path(path.as_os_str()) {
                return report(false, error.to_string());
            }
            let error = program.execute();
            let passed_over = [Errno::NOENT, Errno::NOTDIR, Errno::ACCESS];
            let passed_over = passed_over.map(|errno| Some(errno.raw_os_error()));
            if !passed_over.contains(&error.raw_os_error()) || lacks_interpreter(&path, &error) {
                let (not_found, reason) = explain(&path, &error, false);
                return report(not_found, reason);
            }
        }
        report(true, "executable file not found in $PATH".to_owned())
    }

    /// Whether the command is there to be executed, as far as that can be known without executing
    /// it; else what to tell.
    pub(super) fn find(&self) -> Result<(), Report> {
        let name = self.arguments.first().map_or("", String::as_str);
        let refuse = |not_found: bool, reason: String| {
            let command = name.to_owned();
            Err(match not_found {
                true => Report::CommandNotFound { command, reason },
                false => Report::CannotInvoke { command, reason },
            })
        };
        if name.contains('/') {
            return match executable(Path::new(name)) {
                Ok(()) => Ok(()),
                Err(error) => {
                    let (not_found, reason) = explain(Path::new(name), &error, true);
                    refuse(not_found, reason)
                }
            };
        }
        let mut folders = self
            .search_path()
            .split(':')
            .filter(|part| !part.is_empty());
        match folders.any(|folder| executable(&Path::new(folder).join(name)).is_ok()) {
            true => Ok(()),
            false => refuse(true, "executable file not found in $PATH".to_owned()),
        }
    }

    fn search_path(&self) -> &str {
        self.environment
            .iter()
            .rev()
            .find_map(|line| line.strip_prefix("PATH="))
            .unwrap_or(DEFAULT_PATH)
    }
}

/// Whether this process may execute a file.
fn executable(path: &Path) -> io::Result<()> {
    rustix::fs::accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS)?;
    match fs::metadata(path)?.is_dir() {
        true => Err(Errno::ACCESS.into()),
        false => Ok(()),
    }
}

/// Whether the file is there and executable, and what is missing is what it needs to run.
fn lacks_interpreter(path: &Path, error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound && fs::metadata(path).is_ok()
}

/// Whether it counts as "not found", and Docker's words for it.
fn explain(path: &Path, error: &io::Error, given: bool) -> (bool, String) {
    let errno = error.raw_os_error().unwrap_or_default();
    if lacks_interpreter(path, error) {
        let reason = match interpreter(path) {
            Some(interpreter) => format!(
                "no such file or directory: it needs the interpreter {interpreter:?}, \
                 which is not there"
            ),
            None => "no such file or directory: its interpreter is not there".to_owned(),
        };
        return (true, reason);
    }
    match error.kind() {
        io::ErrorKind::NotFound if given => (
            true,
            format!("stat {}: {}", path.display(), errno_name(errno)),
        ),
        io::ErrorKind::NotFound => (true, errno_name(errno)),
        io::ErrorKind::PermissionDenied if path.is_dir() => {
            (false, errno_name(Errno::ISDIR.raw_os_error()))
        }
        _ => (false, errno_name(errno)),
    }
}

/// The program that a script names in its first line.
fn interpreter(path: &Path) -> Option<String> {
    let mut start = [0; 256];
    let length = open_regular(path)?.read(&mut start).ok()?;
    let line = start[..length].split(|byte| *byte == b'\n').next()?;
    let line = line.strip_prefix(b"#!")?;
    let text = OsStr::from_bytes(line).to_string_lossy();
    // A carriage return of an editor from elsewhere is a common reason, and shows in the quotes.
    let word = text.trim_matches(' ').split(' ').next()?;
    Some(word.to_owned())
}

/// Opens a file of the container for reading, only if it is a regular one.
fn open_regular(path: &Path) -> Option<fs::File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty()).ok()?;
    let stat = rustix::fs::fstat(&file).ok()?;
    (FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile).then(|| file.into())
}

/// The home directory of a user by the container's own list; `/` when it is not in it.
fn home(uid: u32) -> String {
    const LONGEST: u64 = 1 << 20;
    let read = || {
        let mut text = Vec::new();
        let file = open_regular(Path::new("/etc/passwd"))?;
        file.take(LONGEST).read_to_end(&mut text).ok()?;
        let found = parse_passwd(&text).find(|user| user.uid == uid)?;
        Some(found.home).filter(|home| !home.is_empty() && !home.contains('\0'))
    };
    read().unwrap_or_else(|| "/".to_owned())
}
