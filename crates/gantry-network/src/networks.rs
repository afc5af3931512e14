//! The handle on an installation's networks: attach, detach, look, clean up.

use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use gantry_sys::netlink::{LinkChange, LinkName, NetlinkError, delete_link, link, set_link};
use rustix::io::Errno;

use crate::apply::{remove_guest_rules, remove_link, remove_ports, remove_table};
use crate::config::NetworkConfig;
use crate::endpoint::{DetachOutcome, EndpointView};
use crate::error::NetworkError;
use crate::flows::forget_orphaned;
use crate::names::Names;
use crate::observe::Kernel;
use crate::owner::Owner;
use crate::ruleset::PortRule;
use crate::state::{Record, StateDir};

/// How long the last one to leave should wait before [`Networks::teardown_if_idle`]: a next
/// container within this time finds the bridge still there.
pub const LINGER: Duration = Duration::from_secs(5);

/// The networks of one installation.
///
/// Keeps its sockets to the kernel until it is dropped: closing one through which firewall
/// elements were deleted waits for the kernel's grace period.
#[derive(Debug)]
pub struct Networks {
    pub(crate) names: Names,
    pub(crate) state: StateDir,
    pub(crate) config: NetworkConfig,
    kernel: Mutex<Option<Kernel>>,
}

/// What to make of the kernel's refusal of a task.
pub(crate) fn kernel_error(task: &'static str) -> impl FnOnce(NetlinkError) -> NetworkError {
    move |source| NetworkError::Kernel { task, source }
}

impl Networks {
    /// The networks of the installation with this run root. Touches nothing yet.
    ///
    /// # Errors
    /// [`NetworkError::File`] when the path of the run root cannot be told.
    pub fn open(run_root: &Path, config: NetworkConfig) -> Result<Networks, NetworkError> {
        let run_root = absolute(run_root).map_err(|source| NetworkError::File {
            task: "find",
            path: run_root.to_path_buf(),
            source,
        })?;
        let state = StateDir::new(run_root.join("network"));
        Ok(Networks {
            names: Names::of(&run_root),
            state,
            config,
            kernel: Mutex::new(None),
        })
    }

    /// What this installation's bridge and table are called.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// Does something with the kept sockets, or with new ones if another thread has them.
    pub(crate) fn with_kernel<T>(
        &self,
        work: impl FnOnce(&mut Kernel) -> Result<T, NetworkError>,
    ) -> Result<T, NetworkError> {
        let slot = || self.kernel.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = slot().take();
        let mut kernel = kept.map_or_else(Kernel::open, Ok)?;
        let result = work(&mut kernel);
        // The one it replaces, if another thread was here too, is closed without the lock.
        let other = slot().replace(kernel);
        drop(other);
        result
    }

    /// Takes a container off the bridge: its address and ports are free at once. Its
    /// interface dies with its network namespace: deleting or even unplugging it here would
    /// wait for the kernel's grace periods.
    pub fn detach(&self, endpoint_id: &str) -> DetachOutcome {
        let mut outcome = DetachOutcome {
            was_attached: false,
            bridge_in_use: false,
            failures: Vec::new(),
        };
        if let Err(error) = self.leave(endpoint_id, &mut outcome) {
            outcome.failures.push(error);
        }
        outcome
    }

    fn leave(&self, endpoint_id: &str, outcome: &mut DetachOutcome) -> Result<(), NetworkError> {
        let locked = self.state.lock()?;
        let mut state = locked.read()?;
        let record = state.take(endpoint_id);
        outcome.bridge_in_use = !state.endpoints.is_empty();
        let Some(record) = record else { return Ok(()) };
        outcome.was_attached = true;
        let ports = PortRule::of(&record.attachment);
        if !ports.is_empty() {
            let withdraw = |kernel: &mut Kernel| {
                remove_ports(kernel, &self.names, &ports)
                    .map_err(kernel_error("withdraw the published ports"))?;
                forget_orphaned(kernel, &ports).map_err(kernel_error("forget old UDP connections"))
            };
            outcome.failures.extend(self.with_kernel(withdraw).err());
        }
        locked.write(&state)
    }

    /// Removes bridge and table when nobody is on the bridge; says whether it did. The slow
    /// part, deleting the bridge, happens under another name and without the lock: an attach
    /// meanwhile makes a new one.
    ///
    /// # Errors
    /// The first thing that could not be removed; the rest is tried all the same.
    pub fn teardown_if_idle(&self) -> Result<bool, NetworkError> {
        self.with_kernel(|kernel| self.teardown(kernel))
    }

    fn teardown(&self, kernel: &mut Kernel) -> Result<bool, NetworkError> {
        let locked = self.state.lock()?;
        let mut state = locked.read()?;
        let gone = state.take_gone(Owner::is_gone);
        if !state.endpoints.is_empty() {
            self.release(kernel, &gone)?;
            if !gone.is_empty() {
                locked.write(&state)?;
            }
            return Ok(false);
        }
        let table = remove_table(kernel, &self.names);
        let guests = remove_guest_rules(kernel, &self.names);
        let doomed = self.retire_bridge(kernel);
        state.subnet = None;
        locked.write(&state)?;
        drop(locked);
        let links = gone.iter().filter_map(Record::link);
        let deleted = match doomed {
            Ok(doomed) => links
                .chain([doomed.as_str()])
                .try_for_each(|name| remove_link(kernel, name)),
            Err(error) => Err(error),
        };
        table.map_err(kernel_error("remove the firewall table"))?;
        guests.map_err(kernel_error("remove our rules from iptables"))?;
        deleted.map_err(kernel_error("remove the bridge"))?;
        Ok(true)
    }

    /// Removes bridge and table of an installation whose run root was deleted: nobody's state
    /// is left to ask, and none is made anew.
    ///
    /// # Errors
    /// The first thing that could not be removed; the rest is tried all the same.
    pub fn remove_abandoned(&self) -> Result<(), NetworkError> {
        let mut kernel = Kernel::open()?;
        let table = remove_table(&mut kernel, &self.names);
        let guests = remove_guest_rules(&mut kernel, &self.names);
        let bridge = remove_link(&mut kernel, &self.names.bridge);
        table.map_err(kernel_error("remove the firewall table"))?;
        guests.map_err(kernel_error("remove our rules from iptables"))?;
        bridge.map_err(kernel_error("remove the bridge"))
    }

    /// Takes the bridge's name away and gives the one under which it is to be deleted.
    fn retire_bridge(&self, kernel: &mut Kernel) -> Result<String, NetlinkError> {
        let (bridge, tombstone) = (&self.names.bridge, &self.names.tombstone);
        let Some(found) = link(&mut kernel.route, LinkName::Name(bridge))? else {
            return Ok(tombstone.clone());
        };
        let target = LinkName::Index(found.index);
        let down = LinkChange {
            up: Some(false),
            ..LinkChange::default()
        };
        let rename = LinkChange {
            name: Some(tombstone),
            ..LinkChange::default()
        };
        match kernel
            .route
            .transact(&[set_link(target, &down), set_link(target, &rename)])
        {
            Ok(()) => Ok(tombstone.clone()),
            // An earlier one is still being deleted: this one then keeps its name.
            Err(error) if error.errno() == Some(Errno::EXIST.raw_os_error()) => {
                kernel.route.transact(&[delete_link(target)])?;
                Ok(tombstone.clone())
            }
            Err(error) => Err(error),
        }
    }

    /// Everybody on the bridge, as noted; nothing is locked.
    ///
    /// # Errors
    /// [`NetworkError::File`] or [`NetworkError::Damaged`] for the state.
    pub fn observe(&self) -> Result<Vec<EndpointView>, NetworkError> {
        let view = |record: Record| EndpointView {
            alive: !record.owner.is_gone(),
            owner_pid: record.owner.pid,
            netns: record.netns,
            attachment: record.attachment,
        };
        Ok(self.state.peek()?.endpoints.into_iter().map(view).collect())
    }

    /// Takes back what those left who went without detaching; gives their ids.
    ///
    /// # Errors
    /// The first thing that could not be taken back.
    pub fn collect_stale(&self) -> Result<Vec<String>, NetworkError> {
        // Usually nobody is gone: seen without a lock.
        if !self
            .state
            .peek()?
            .endpoints
            .iter()
            .any(|record| record.owner.is_gone())
        {
            return Ok(Vec::new());
        }
        self.with_kernel(|kernel| self.collect(kernel))
    }

    fn collect(&self, kernel: &mut Kernel) -> Result<Vec<String>, NetworkError> {
        let locked = self.state.lock()?;
        let mut state = locked.read()?;
        let gone = state.take_gone(Owner::is_gone);
        self.release(kernel, &gone)?;
        locked.write(&state)?;
        drop(locked);
        for link in gone.iter().filter_map(Record::link) {
            remove_link(kernel, link).map_err(kernel_error("remove an abandoned interface"))?;
        }
        Ok(gone
            .into_iter()
            .map(|record| record.attachment.endpoint_id)
            .collect())
    }

    fn release(&self, kernel: &mut Kernel, gone: &[Record]) -> Result<(), NetworkError> {
        let ports: Vec<PortRule> = gone
            .iter()
            .flat_map(|record| PortRule::of(&record.attachment))
            .collect();
        if ports.is_empty() {
            return Ok(());
        }
        remove_ports(kernel, &self.names, &ports).map_err(kernel_error("withdraw abandoned ports"))
    }

    /// The address of the bridge: what a container reaches the host by. `None` while there is
    /// no bridge.
    ///
    /// # Errors
    /// [`NetworkError::File`] or [`NetworkError::Damaged`] for the state.
    pub fn gateway(&self) -> Result<Option<Ipv4Addr>, NetworkError> {
        Ok(self.state.peek()?.subnet.map(|subnet| subnet.gateway()))
    }
}

/// The path without links, as far as it exists: the same before and after it is made.
fn absolute(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    for ancestor in path.ancestors() {
        match ancestor.canonicalize() {
            Ok(real) => {
                let missing = path.strip_prefix(ancestor).unwrap_or(Path::new(""));
                // Joining an empty path would add a slash to the end.
                return Ok(if missing.as_os_str().is_empty() {
                    real
                } else {
                    real.join(missing)
                });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_depend_on_links_nor_on_what_exists_yet() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().canonicalize().unwrap().join("run");
        std::fs::create_dir(&real).unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let expected = real.join("gantry/one");
        assert_eq!(absolute(&link.join("gantry/one")).unwrap(), expected);
        std::fs::create_dir_all(&expected).unwrap();
        assert_eq!(absolute(&link.join("gantry/one")).unwrap(), expected);
        let networks = Networks::open(&link, NetworkConfig::default()).unwrap();
        assert_eq!(networks.names(), &Names::of(&real));
    }
}
