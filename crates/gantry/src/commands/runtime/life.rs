//! create, start, run, kill, delete.

use std::path::PathBuf;

use gantry_oci::NewContainer;
use gantry_sys::process::{Image, Program};
use gantry_sys::signal;

use super::Call;
use crate::failure::{CommandError, Exit, Failure, Outcome};

/// What a container is created with, as long as it takes.
struct Request {
    id: String,
    bundle: PathBuf,
    console_socket: Option<PathBuf>,
    pid_file: Option<PathBuf>,
    preserve_fds: u32,
}

impl Request {
    fn of(call: &Call<'_>) -> Result<Request, Failure> {
        Ok(Request {
            id: call.id(),
            bundle: call.bundle(),
            console_socket: call.words.path("console-socket"),
            pid_file: call.words.path("pid-file"),
            preserve_fds: call.preserved_fds()?,
        })
    }

    fn new_container<'a>(&'a self, call: &'a Call<'_>) -> NewContainer<'a> {
        NewContainer {
            id: &self.id,
            bundle: &self.bundle,
            console_socket: self.console_socket.as_deref(),
            pid_file: self.pid_file.as_deref(),
            preserve_fds: self.preserve_fds,
            no_pivot: call.words.is_set("no-pivot"),
            no_new_keyring: call.words.is_set("no-new-keyring"),
            cgroup_optional: call.rootless,
            systemd: call.systemd.as_ref(),
            listen_fds: super::listen_fds(),
        }
    }
}

pub(super) fn create(call: &Call<'_>) -> Outcome {
    run_from_image()?;
    let request = Request::of(call)?;
    gantry_oci::create(&call.root, &request.new_container(call))?;
    Ok(Exit::SUCCESS)
}

pub(super) fn start(call: &Call<'_>) -> Outcome {
    gantry_oci::start(&call.root, &call.id())?;
    Ok(Exit::SUCCESS)
}

pub(super) fn run(call: &Call<'_>) -> Outcome {
    run_from_image()?;
    let request = Request::of(call)?;
    let detach = call.words.is_set("detach");
    call.take_in_orphans(detach)?;
    let keep = call.words.is_set("keep");
    let (code, hooks) = gantry_oci::run(&call.root, &request.new_container(call), detach, keep)?;
    call.warn_of(hooks);
    Ok(Exit::from_code(code))
}

pub(super) fn kill(call: &Call<'_>) -> Outcome {
    let name = call.words.positional(1).unwrap_or("TERM");
    // 0 asks only whether there is somebody.
    let number = match name {
        "0" => Some(0),
        name => signal::number(name),
    };
    let number = number.ok_or_else(|| Failure::invalid(format!("unknown signal {name:?}")))?;
    gantry_oci::kill(&call.root, &call.id(), number, call.words.is_set("all"))?;
    Ok(Exit::SUCCESS)
}

pub(super) fn delete(call: &Call<'_>) -> Outcome {
    let hooks = gantry_oci::delete(&call.root, &call.id(), call.words.is_set("force"))?;
    call.warn_of(hooks);
    Ok(Exit::SUCCESS)
}

/// Goes on from a copy of this program that nobody can write to: a process that enters a container
/// is for a moment visible there, and with it the file it executes (CVE-2019-5736).
pub(super) fn run_from_image() -> Result<(), Failure> {
    let failed = || CommandError::file("run from a read-only copy of", "this program");
    if Image::is_running().map_err(failed())? {
        return Ok(());
    }
    let image = Image::own().map_err(failed())?;
    let program = Program::inheriting("".as_ref(), std::env::args_os()).map_err(failed())?;
    Err(failed()(program.execute_file(std::os::fd::AsFd::as_fd(image))).into())
}
