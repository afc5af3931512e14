//! Real supervisors over real containers. Needs root; the test program itself is re-executed
//! as the supervisor.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod beside;
mod house;
mod life;
mod streams;

use std::process::ExitCode;

use gantry_testkit::runner::{Test, run_within};

use crate::house::House;

const TESTS: &[Test<House>] = &[
    ("root_exit_codes_and_output", streams::exit_codes_and_output),
    (
        "root_a_million_lines_lose_nothing",
        streams::a_million_lines,
    ),
    ("root_stdin_closes_by_half", streams::stdin_closes_by_half),
    (
        "root_stdin_that_nobody_reads_does_not_block",
        streams::unread_stdin,
    ),
    ("root_a_terminal_resizes_and_ends", streams::terminal),
    ("root_signals_and_stop_with_timeout", life::signals_and_stop),
    (
        "root_commands_that_cannot_be_run",
        life::commands_that_cannot_be_run,
    ),
    ("root_restarts_back_off", life::restarts),
    ("root_a_stop_ends_restarting", life::stop_while_restarting),
    ("root_two_clients_see_the_same", streams::two_clients),
    ("root_exec_in_all_ways", beside::exec_in_all_ways),
    (
        "root_a_background_child_does_not_hold_the_end",
        life::background_child,
    ),
    (
        "root_a_killed_supervisor_takes_its_container_along",
        life::killed_supervisor,
    ),
    ("root_removal_leaves_nothing", life::removal),
    ("root_pause_and_unpause", life::pause),
    ("root_an_own_init_reaps_and_forwards", life::own_init),
    ("root_a_bridge_gives_an_address", beside::bridge),
    ("root_health_is_checked", beside::health),
    ("root_memory_stays_small", beside::memory),
];

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(gantry_supervisor::ARGUMENT) {
        return gantry_supervisor::main();
    }
    run_within(TESTS, House::new, House::check_empty)
}
