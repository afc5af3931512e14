//! The wait of a created container for the one who starts it: a process that this one has never
//! seen, since its creator is gone by then.

use std::convert::Infallible;
use std::os::fd::BorrowedFd;

use gantry_sys::process;
use rustix::net::SocketFlags;

use super::finish::Prepared;
use super::{Birth, OrFail, fail, run_start_hooks};
use crate::error::Step;
use crate::protocol::{Channel, Failure, Order};

/// Waits at the listening socket for the order to execute, and executes the command.
pub(super) fn pass(
    gate: BorrowedFd<'_>,
    birth: &Birth<'_>,
    prepared: &Prepared<'_>,
) -> Result<Infallible, Failure> {
    let starter = loop {
        let accepted =
            rustix::io::retry_on_intr(|| rustix::net::accept_with(gate, SocketFlags::CLOEXEC));
        let starter = Channel::of(accepted.or_fail(Step::Synchronize)?);
        // Somebody who goes away without a word has not started anything.
        if starter.wait_for(Order::Go).is_ok() {
            break starter;
        }
    };
    let Err(failure) = run_start_hooks(birth, &starter).and_then(|()| prepared.execute(&starter));
    process::exit_now(fail(&starter, failure))
}
