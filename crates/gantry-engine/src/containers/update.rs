//! Changing the limits and the restart policy of a container, running or not.

use std::fs::{self, File};
use std::io;

use gantry_model::container::Resources;
use gantry_model::restart::RestartPolicy;
use gantry_model::{ContainerId, ContainerRecord};
use gantry_supervisor::DOCUMENT_FILE;
use gantry_supervisor::launch::Launch;
use gantry_sys::lock::{Kind, lock};
use oci_spec::runtime::{LinuxPids, LinuxResources};

use super::error::{ContainerError, file};
use super::folders::Folders;
use super::spec::{self, SpecError, resources};
use super::status::is_live;
use super::{Containers, host};

/// What is to be changed; what is not set stays as it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Changes {
    /// Limits.
    pub resources: Resources,
    /// When it is started again.
    pub restart: Option<RestartPolicy>,
}

impl Containers<'_> {
    /// Changes a container: its document, and what runs of it at once.
    ///
    /// # Errors
    /// [`ContainerError::Spec`] for a change that contradicts what is in force, and others;
    /// nothing is changed then.
    pub fn update(&self, name: &str, changes: &Changes) -> Result<(), ContainerError> {
        let (found, state) = self.look(name)?;
        if found.spec.auto_remove
            && changes
                .restart
                .is_some_and(|policy| policy != RestartPolicy::No)
        {
            return Err(wrong(
                "Restart policy cannot be updated because AutoRemove is enabled for the container",
            ));
        }
        let before = found.spec.resources.clone();
        let merged = merge(&before, &changes.resources)?;
        resources::check_cpus(&changes.resources, host::cpus)?;
        let decide = |wanted: &Resources| resources::decide(wanted, &spec::devices::number);
        let mut wanted = decide(&merged)?;
        lift_limit_of_pids(&mut wanted, &changes.resources);
        let live = is_live(state.status) && changes.resources != Resources::default();
        let cgroup = live.then(|| self.cgroup_of(&found)).flatten();
        if let Some(cgroup) = &cgroup
            && let Err(error) = gantry_runtime::update(cgroup, &wanted)
        {
            // What was in force before was accepted once.
            drop(decide(&before).map(|before| gantry_runtime::update(cgroup, &before)));
            return Err(ContainerError::Apply { source: error });
        }
        let changed = self.change(&found.id, |record| {
            record.spec.resources = merged;
            record.spec.restart = changes.restart.unwrap_or(record.spec.restart);
        });
        if let (Err(_), Some(cgroup)) = (&changed, &cgroup) {
            drop(decide(&before).map(|before| gantry_runtime::update(cgroup, &before)));
        }
        let record = changed?;
        if live {
            self.update_launch(&record, &wanted)?;
        }
        if let Some(policy) = changes.restart
            && let Some(mut session) = self.supervisor(&record)?
        {
            session.set_restart(policy)?;
        }
        self.engine.tell_of(&record, "update", &[]);
        Ok(())
    }

    /// Reads the document, changes it and writes it, alone among those who do so.
    pub(super) fn change(
        &self,
        id: &ContainerId,
        change: impl FnOnce(&mut ContainerRecord),
    ) -> Result<ContainerRecord, ContainerError> {
        let folders = Folders::of(self.engine, id);
        let not_found = || ContainerError::NotFound {
            name: id.to_string(),
        };
        let alone = match File::open(&folders.folder) {
            Ok(folder) => folder,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(not_found()),
            Err(error) => return Err(file("open", &folders.folder)(error)),
        };
        lock(&alone, Kind::Exclusive).map_err(file("lock", &folders.folder))?;
        let mut record = folders.record()?.ok_or_else(not_found)?;
        change(&mut record);
        match folders.write_record(&record, true) {
            // Removed in the middle of it.
            Err(_) if !folders.folder.exists() => return Err(not_found()),
            other => other?,
        }
        drop(alone);
        Ok(record)
    }

    /// What a restart by policy starts with has the new limits, too.
    fn update_launch(
        &self,
        record: &ContainerRecord,
        wanted: &LinuxResources,
    ) -> Result<(), ContainerError> {
        let path = Folders::of(self.engine, &record.id)
            .run_folder
            .join(DOCUMENT_FILE);
        let text = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other.map_err(file("read", &path))?,
        };
        let mut launch: Launch =
            serde_json::from_slice(&text).map_err(|error| file("read", &path)(error.into()))?;
        let Some(linux) = launch.config.linux_mut() else {
            return Ok(());
        };
        let mut wanted = wanted.clone();
        let devices = linux
            .resources()
            .as_ref()
            .and_then(|old| old.devices().clone());
        wanted.set_devices(devices);
        linux.set_resources(Some(wanted));
        let text =
            serde_json::to_vec(&launch).map_err(|error| file("write", &path)(error.into()))?;
        let aside = path.with_extension("new");
        fs::write(&aside, text)
            .and_then(|()| fs::rename(&aside, &path))
            .map_err(file("write", &path))
    }
}

/// The limits in force afterwards, by Docker's rules.
fn merge(now: &Resources, change: &Resources) -> Result<Resources, ContainerError> {
    if change.nano_cpus.is_some() {
        for (set, what) in [
            (now.cpu_period.is_some(), "CPU Period"),
            (now.cpu_quota.is_some(), "CPU Quota"),
        ] {
            if set {
                return Err(wrong(format!(
                    "Conflicting options: Nano CPUs cannot be updated as {what} has already been set"
                )));
            }
        }
    }
    if now.nano_cpus.is_some() {
        for (set, what) in [
            (change.cpu_period.is_some(), "CPU Period"),
            (change.cpu_quota.is_some(), "CPU Quota"),
        ] {
            if set {
                return Err(wrong(format!(
                    "Conflicting options: {what} cannot be updated as NanoCPUs has already been set"
                )));
            }
        }
    }
    // As much swap as memory, where nothing else was said.
    let swap = match (now.memory_swap, now.memory) {
        (Some(swap), _) => Some(swap),
        (None, Some(memory)) => i64::try_from(memory.saturating_mul(2)).ok(),
        (None, None) => None,
    };
    if let (Some(memory), Some(swap), None) = (change.memory, swap, change.memory_swap)
        && u64::try_from(swap).is_ok_and(|swap| memory > swap)
    {
        return Err(wrong(
            "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time",
        ));
    }
    let mut merged = now.clone();
    // Docker has written the swap down when it made the container.
    merged.memory_swap = swap.filter(|_| change.memory.is_some()).or(now.memory_swap);
    macro_rules! take {
        ($($field:ident),*) => {$(
            if change.$field.is_some() {
                merged.$field.clone_from(&change.$field);
            }
        )*};
    }
    take!(
        memory,
        memory_reservation,
        memory_swap,
        nano_cpus,
        cpu_shares,
        cpu_period,
        cpu_quota,
        cpu_rt_period,
        cpu_rt_runtime,
        cpuset_cpus,
        cpuset_mems,
        pids_limit,
        blkio_weight
    );
    Ok(merged)
}

/// A document without a limit means none; a cgroup keeps the one it has until told.
fn lift_limit_of_pids(wanted: &mut LinuxResources, change: &Resources) {
    if change.pids_limit.is_some_and(|limit| limit <= 0) {
        let mut pids = LinuxPids::default();
        pids.set_limit(-1);
        wanted.set_pids(Some(pids));
    }
}

fn wrong(text: impl Into<String>) -> ContainerError {
    ContainerError::Spec(SpecError::Resources(text.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(memory: Option<u64>, memory_swap: Option<i64>) -> Resources {
        Resources {
            memory,
            memory_swap,
            ..Resources::default()
        }
    }

    #[test]
    fn what_is_not_named_stays() {
        let now = Resources {
            pids_limit: Some(5),
            ..of(Some(64 << 20), None)
        };
        let change = Resources {
            nano_cpus: Some(1),
            ..of(Some(32 << 20), None)
        };
        let merged = merge(&now, &change).unwrap();
        assert_eq!(merged.pids_limit, Some(5));
        assert_eq!(merged.nano_cpus, Some(1));
        // The swap it had by default stays what it was.
        assert_eq!(merged.memory, Some(32 << 20));
        assert_eq!(merged.memory_swap, Some(128 << 20));
    }

    #[test]
    fn contradictions_are_refused_in_dockers_words() {
        let nano = Resources {
            nano_cpus: Some(1),
            ..Resources::default()
        };
        let quota = Resources {
            cpu_quota: Some(1000),
            ..Resources::default()
        };
        for (now, change, want) in [
            (
                of(Some(64), None),
                of(Some(200), None),
                "update the memoryswap at the same time",
            ),
            (
                nano.clone(),
                quota.clone(),
                "CPU Quota cannot be updated as NanoCPUs",
            ),
            (quota, nano, "Nano CPUs cannot be updated as CPU Quota"),
        ] {
            let error = merge(&now, &change).unwrap_err().to_string();
            assert!(error.contains(want), "{error}");
        }
        merge(&of(Some(64), Some(-1)), &of(Some(200), None)).unwrap();
        merge(&of(Some(64), None), &of(Some(200), Some(400))).unwrap();
    }
}
