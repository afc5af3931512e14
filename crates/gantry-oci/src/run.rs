//! Creating and starting in one go.

use std::os::fd::OwnedFd;

use gantry_runtime::Running;
use gantry_runtime::hooks::HookError;

use crate::attach::Attachment;
use crate::create::{Kind, Made, NewContainer, make};
use crate::delete::destroy;
use crate::error::OciError;
use crate::root::Root;

/// Creates and starts a container. Detached, this ends when the command has begun; else with the
/// container, whose exit code it returns, and which is deleted then unless it is to be kept.
pub fn run(
    root: &Root,
    request: &NewContainer<'_>,
    detach: bool,
    keep: bool,
) -> Result<(i32, Vec<HookError>), OciError> {
    let kind = match detach {
        true => Kind::Detached,
        false => Kind::Attached,
    };
    let made = make(root, request, kind)?;
    // Signals from now on are the container's.
    let attachment = match detach {
        true => None,
        false => Some(Attachment::new().map_err(OciError::system("take over signals"))?),
    };
    let (container, terminal, running) = begin(made)?;
    let Some(attachment) = attachment else {
        return Ok((0, Vec::new()));
    };
    let ended = attachment
        .stay(&running, terminal)
        .map_err(OciError::system("wait for the container"));
    if keep {
        return Ok((ended?, Vec::new()));
    }
    let hooks = destroy(&container)?;
    Ok((ended?, hooks))
}

fn begin(made: Made) -> Result<(crate::Container, Option<OwnedFd>, Running), OciError> {
    let Made {
        container,
        created,
        terminal,
    } = made;
    match created.start() {
        Ok(running) => Ok((container, terminal, running)),
        Err(error) => {
            // It never ran; its own failure is the one to tell.
            destroy(&container).ok();
            Err(error.into())
        }
    }
}
