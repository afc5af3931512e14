//! Containers and volumes from end to end. Needs root; the test program itself is re-executed
//! as the supervisor of the containers it starts.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod house;
mod life;
mod powers;
mod seen;

use std::process::ExitCode;

use gantry_testkit::runner::{Test, run_within};

use crate::house::House;

const TESTS: &[Test<House>] = &[
    (
        "root_a_run_gives_what_the_image_says",
        life::run_as_the_image_says,
    ),
    (
        "root_names_prefixes_and_conflicts",
        life::names_and_conflicts,
    ),
    (
        "root_a_container_stays_and_starts_again",
        life::stays_and_starts_again,
    ),
    ("root_what_cannot_start_stays_created", life::cannot_start),
    (
        "root_volumes_are_filled_shared_and_removed",
        powers::volumes,
    ),
    ("root_mounts_of_all_kinds", powers::mounts),
    ("root_exec_follows_the_containers_users", seen::exec),
    ("root_logs_follow_and_tail", seen::logs),
    (
        "root_a_killed_supervisor_is_cleaned_up",
        life::killed_supervisor,
    ),
    (
        "root_removal_at_the_end_leaves_nothing",
        life::removal_at_the_end,
    ),
    ("root_network_modes", powers::network_modes),
    ("root_limits_and_powers", powers::limits_and_powers),
    ("root_inspect_is_dockers", seen::inspect),
    ("root_pause_top_rename_prune", seen::pause_top_rename_prune),
];

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(gantry_supervisor::ARGUMENT) {
        return gantry_supervisor::main();
    }
    run_within(TESTS, House::new, House::close)
}
