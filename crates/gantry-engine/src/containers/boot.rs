//! After a boot: the containers that have to run again do.

use gantry_model::container::NetworkMode;
use gantry_model::restart::RestartPolicy;
use gantry_model::{ContainerRecord, ContainerState};

use super::error::ContainerError;
use super::start::StartOptions;
use super::status::{is_live, observe};
use super::{Containers, sweep};

/// One container that was to be started.
#[derive(Debug)]
pub struct Booted {
    /// Its name.
    pub name: String,
    /// Why it could not be.
    pub outcome: Result<(), ContainerError>,
}

impl Containers<'_> {
    /// Cleans up after an unclean shutdown, and starts what its restart policy wants to run.
    ///
    /// # Errors
    /// [`ContainerError`] when not even the containers can be listed.
    pub fn boot(&self) -> Result<Vec<Booted>, ContainerError> {
        let mut wanted = Vec::new();
        for record in self.records()? {
            // What the last boot left is cleaned up here, whatever the policy.
            let Some(state) = observe(self.engine, &record)? else {
                continue;
            };
            if !is_live(state.status) && starts_at_boot(record.spec.restart, &state) {
                wanted.push(record);
            }
        }
        wanted.sort_by(|a, b| a.created.cmp(&b.created));
        let booted = in_order(wanted)
            .into_iter()
            .map(|record| Booted {
                outcome: self.boot_one(&record),
                name: record.name,
            })
            .collect();
        sweep::sweep(self.engine)?;
        Ok(booted)
    }

    fn boot_one(&self, record: &ContainerRecord) -> Result<(), ContainerError> {
        match self.start(record.id.as_str(), StartOptions::default()) {
            Ok(mut begun) => Ok(begun.session.started().map(drop)?),
            // Somebody was faster.
            Err(ContainerError::AlreadyRunning { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Whether a container that does not run is started with the system.
fn starts_at_boot(policy: RestartPolicy, state: &ContainerState) -> bool {
    if state.started_at.is_none() {
        return false;
    }
    match policy {
        RestartPolicy::No => false,
        RestartPolicy::Always => true,
        RestartPolicy::UnlessStopped => !state.stopped_by_user,
        RestartPolicy::OnFailure { maximum_retries } => {
            !state.stopped_by_user
                && state.exit_code != 0
                && maximum_retries.is_none_or(|most| state.restart_count < most)
        }
    }
}

/// Those first whose namespaces others join.
fn in_order(mut left: Vec<ContainerRecord>) -> Vec<ContainerRecord> {
    let mut ordered: Vec<ContainerRecord> = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let waits = |record: &ContainerRecord, others: &[ContainerRecord]| {
            others
                .iter()
                .any(|other| other.id != record.id && joins(record, other))
        };
        let (later, now): (Vec<_>, Vec<_>) = left
            .iter()
            .cloned()
            .partition(|record| waits(record, &left));
        if now.is_empty() {
            // A circle: whoever cannot start says so.
            ordered.extend(later);
            break;
        }
        ordered.extend(now);
        left = later;
    }
    ordered
}

fn joins(record: &ContainerRecord, other: &ContainerRecord) -> bool {
    let means = |name: &str| name == other.name || other.id.as_str().starts_with(name);
    let network = match &record.spec.network {
        NetworkMode::Container(name) => Some(name.as_str()),
        _ => None,
    };
    let modes = [&record.spec.pid_mode, &record.spec.ipc_mode];
    let named = modes
        .into_iter()
        .filter_map(|mode| mode.strip_prefix("container:"));
    network.into_iter().chain(named).any(means)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_decide_over_a_boot() {
        let state = |started: bool, stopped_by_user: bool, exit_code: i32| ContainerState {
            started_at: started.then(|| "2026-01-01T00:00:00Z".to_owned()),
            stopped_by_user,
            exit_code,
            restart_count: 2,
            ..ContainerState::default()
        };
        let on_failure = |maximum_retries| RestartPolicy::OnFailure { maximum_retries };
        for (policy, state, want) in [
            (RestartPolicy::No, state(true, false, 137), false),
            (RestartPolicy::Always, state(true, true, 0), true),
            (RestartPolicy::Always, state(false, false, 0), false),
            (RestartPolicy::UnlessStopped, state(true, false, 0), true),
            (RestartPolicy::UnlessStopped, state(true, true, 137), false),
            (on_failure(None), state(true, false, 137), true),
            (on_failure(None), state(true, false, 0), false),
            (on_failure(None), state(true, true, 137), false),
            (on_failure(Some(2)), state(true, false, 1), false),
            (on_failure(Some(3)), state(true, false, 1), true),
        ] {
            assert_eq!(starts_at_boot(policy, &state), want, "{policy} {state:?}");
        }
    }
}
