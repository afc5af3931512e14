//! Starting a created container.

use gantry_runtime::hooks::{Hooks, Turn};
use gantry_runtime::{Listener, Listening, Status};

use crate::error::OciError;
use crate::kill::KILL;
use crate::root::Root;

/// Lets the command of a created container execute; returns when it has begun or failed to.
pub fn start(root: &Root, id: &str) -> Result<(), OciError> {
    let container = root.take(id)?;
    match container.status() {
        Status::Created => {}
        Status::Stopped => {
            return Err(OciError::NotRunning {
                id: id.to_owned(),
                action: "start",
            });
        }
        other => {
            return Err(OciError::WrongState {
                id: id.to_owned(),
                action: "start",
                status: other.name(),
            });
        }
    }
    let record = container.made("start")?;
    let spec = container.spec()?;
    let state = record.state.at(Status::Running, record.state.pid);
    let seccomp = spec
        .linux()
        .as_ref()
        .and_then(|linux| linux.seccomp().as_ref());
    let listener = seccomp.and_then(Listener::of);
    let listening = listener.as_ref().map(|listener| Listening {
        listener,
        state: &state,
        pid: state.pid,
    });
    let started = gantry_runtime::start(container.reach_gate()?, listening.as_ref());
    container.remove_gate()?;
    let hooks = Hooks::of(spec.hooks().as_ref())?;
    let complete = started
        .map_err(OciError::from)
        .and_then(|()| Ok(hooks.run(Turn::Poststart, &state)?));
    if complete.is_err()
        && let Some(process) = container.first_process()
    {
        // It must not go on without what has failed.
        process
            .signal(KILL)
            .map_err(OciError::system("kill the container"))?;
    }
    complete
}
