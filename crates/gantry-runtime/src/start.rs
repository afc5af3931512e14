//! Starting the command of a container that somebody else created.

use std::os::fd::OwnedFd;

use crate::container::failure;
use crate::error::StartError;
use crate::listener::Listening;
use crate::protocol::{Channel, Order, Report};

/// Lets the command of a created container execute, through a connection to the socket it was
/// created with ([`Gate::Socket`](crate::Gate::Socket)), and returns when it has begun or failed
/// to. After a failure it may be there still: the caller should kill it.
pub fn start(connection: OwnedFd, listening: Option<&Listening<'_>>) -> Result<(), StartError> {
    let channel = Channel::of(connection);
    let failed = |source| StartError::Parent {
        action: "talk to the container's first process",
        source,
    };
    channel.order(Order::Go).map_err(failed)?;
    match channel.next_report().map_err(failed)? {
        Some((Report::Executing, _)) => {}
        Some((report, _)) => return Err(failure(report)),
        None => {
            return Err(StartError::ChildEnded {
                ended: "it went away without a word".to_owned(),
            });
        }
    }
    await_end(&channel, listening)
}

/// Waits until the connection ends with the execution, and hands over what comes before.
pub(crate) fn await_end(
    channel: &Channel,
    listening: Option<&Listening<'_>>,
) -> Result<(), StartError> {
    loop {
        let last = channel.next_report().map_err(|source| StartError::Parent {
            action: "hear from the container's first process",
            source,
        })?;
        match (last, listening) {
            (None, _) => return Ok(()),
            (Some((Report::Listening, Some(decide))), Some(listening)) => {
                listening.hand_over(&decide)?;
            }
            (Some((report, _)), _) => return Err(failure(report)),
        }
    }
}
