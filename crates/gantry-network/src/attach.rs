//! Attaching: from looking to doing, under the lock.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use gantry_model::port::PortMapping;
use rustix::rand::{GetRandomFlags, getrandom};

use crate::apply::{ApplyError, apply, remove_link, remove_table};
use crate::endpoint::{AttachRequest, Attachment, Endpoint, INTERFACE};
use crate::error::NetworkError;
use crate::flows::forget_misled;
use crate::inside;
use crate::networks::{Networks, kernel_error};
use crate::observe::Kernel;
use crate::owner::Owner;
use crate::plan::{Desired, Observed, Step, choose_subnet, mac_of, plan};
use crate::ports::{self, Held};
use crate::ruleset::PortRule;
use crate::state::{Locked, Record, State};
use crate::subnet::Subnet;

/// How often a plan is made anew because another program was quicker.
const ATTEMPTS: usize = 8;

impl Networks {
    /// Puts a container on the bridge, making the bridge if it is the first.
    ///
    /// # Errors
    /// Says which port cannot be published and who has it, or which step failed; nothing of
    /// the attachment is left then.
    pub fn attach(&self, request: &AttachRequest<'_>) -> Result<Endpoint, NetworkError> {
        let held = ports::hold(request.ports, || self.state.peek().ok())?;
        let (attachment, warnings) =
            self.with_kernel(|kernel| self.join(kernel, request, &held))?;
        let inside =
            inside::configure(request.netns, &attachment, request.link_local).and_then(|()| {
                self.with_kernel(|kernel| {
                    kernel
                        .settle(&attachment.host_interface, &self.names.bridge)
                        .map_err(kernel_error("wait for the container's interface"))
                })
            });
        if let Err(error) = inside {
            self.abandon(&attachment);
            return Err(error);
        }
        let port_holders: Vec<OwnedFd> = held.into_iter().map(|held| held.socket).collect();
        Ok(Endpoint {
            attachment,
            port_holders,
            warnings,
        })
    }

    /// Everything on the host's side: under the lock, from looking to doing.
    fn join(
        &self,
        kernel: &mut Kernel,
        request: &AttachRequest<'_>,
        held: &[Held],
    ) -> Result<(Attachment, Vec<String>), NetworkError> {
        let locked = self.state.lock()?;
        let mut state = locked.read()?;
        let mut gone = state.take_gone(Owner::is_gone_at_a_glance);
        if let Some(record) = state.find(request.endpoint_id) {
            if !record.owner.is_gone() {
                let endpoint = request.endpoint_id.to_owned();
                return Err(NetworkError::AlreadyAttached { endpoint });
            }
            gone.extend(state.take(request.endpoint_id));
        }
        let mut excluded = Vec::new();
        let mut last = None;
        for _ in 0..ATTEMPTS {
            let mut draft = self.draft(kernel, request, held, &mut state, &excluded)?;
            draft.desired.gone = gone
                .iter()
                .flat_map(|record| PortRule::of(&record.attachment))
                .collect();
            match self.carry_out(kernel, &locked, &mut state, request, draft)? {
                Carried::Done(attachment, warnings) => return Ok((attachment, warnings)),
                Carried::SubnetRace(subnet) => {
                    last = Some(NetworkError::SubnetTaken {
                        subnet,
                        taken: subnet,
                    });
                    if self.config.subnet.is_some() {
                        break;
                    }
                    excluded.push(subnet);
                    state.subnet = None;
                }
                Carried::StalePort => {
                    gone.extend(state.take_gone(Owner::is_gone));
                    self.flush_orphans(kernel)?;
                    last = None;
                }
            }
        }
        Err(last.unwrap_or(NetworkError::NoFreeSubnet))
    }

    /// Chooses subnet and address, and decides on everything else.
    fn draft(
        &self,
        kernel: &mut Kernel,
        request: &AttachRequest<'_>,
        held: &[Held],
        state: &mut State,
        excluded: &[Subnet],
    ) -> Result<Draft, NetworkError> {
        let observed = kernel.observe(&self.names, state.subnet.is_some())?;
        let live = !state.endpoints.is_empty();
        let subnet = choose_subnet(&self.config, state.subnet, live, &observed, excluded)?;
        let (address, cursor) = subnet
            .allocate(&state.addresses(), state.cursor)
            .ok_or(NetworkError::AddressesExhausted { subnet })?;
        let mac = request.mac.unwrap_or_else(|| mac_of(address));
        let mappings: Vec<PortMapping> = held.iter().map(|held| held.mapping.clone()).collect();
        let mut attachment = Attachment {
            endpoint_id: request.endpoint_id.to_owned(),
            interface: INTERFACE.to_owned(),
            host_interface: interface_name()?,
            address,
            prefix: subnet.prefix(),
            gateway: subnet.gateway(),
            mac: mac.to_string(),
            mtu: 0,
            ports: mappings,
            hostname: request.hostname.to_owned(),
        };
        let desired = Desired {
            subnet,
            mtu: self.config.mtu,
            host_interface: attachment.host_interface.clone(),
            mac,
            ports: PortRule::of(&attachment),
            others: state
                .endpoints
                .iter()
                .flat_map(|other| PortRule::of(&other.attachment))
                .collect(),
            gone: Vec::new(),
        };
        let sketch = plan(&self.names, &desired, &observed)?;
        attachment.mtu = sketch.mtu;
        state.cursor = cursor;
        Ok(Draft {
            observed,
            desired,
            attachment,
        })
    }

    /// Notes the attachment, then makes it: a process killed in between leaves a note of
    /// what may be there.
    fn carry_out(
        &self,
        kernel: &mut Kernel,
        locked: &Locked,
        state: &mut State,
        request: &AttachRequest<'_>,
        draft: Draft,
    ) -> Result<Carried, NetworkError> {
        let Draft {
            observed,
            desired,
            attachment,
        } = draft;
        let plan = plan(&self.names, &desired, &observed)?;
        let netns = rustix::fs::fstat(request.netns).map_err(|errno| NetworkError::File {
            task: "look at",
            path: PathBuf::from("the container's network namespace"),
            source: errno.into(),
        })?;
        let before = state.subnet;
        state.subnet = Some(desired.subnet);
        state.endpoints.push(Record {
            attachment: attachment.clone(),
            owner: Owner::of(request.owner_pid),
            netns: netns.st_ino,
        });
        locked.write(state)?;
        let error = match apply(kernel, &self.names, &plan, request.netns) {
            Ok(()) => {
                let fresh = plan
                    .steps
                    .iter()
                    .any(|step| matches!(step, Step::InstallTable { .. }));
                let mut warnings = Vec::new();
                if fresh {
                    let obstacles = kernel.obstacles(&self.names);
                    warnings.extend(obstacles.map_err(kernel_error("list firewall chains"))?);
                }
                if let Err(error) = forget_misled(kernel, &desired.ports) {
                    warnings.push(format!(
                        "old UDP connections to published ports remain: {error}"
                    ));
                }
                return Ok(Carried::Done(attachment, warnings));
            }
            Err(error) => error,
        };
        state.take(request.endpoint_id);
        state.subnet = before.filter(|_| !state.endpoints.is_empty());
        match error {
            ApplyError::SubnetRace => Ok(Carried::SubnetRace(desired.subnet)),
            ApplyError::StalePort => Ok(Carried::StalePort),
            ApplyError::Failed(error) => {
                locked.write(state)?;
                Err(error)
            }
        }
    }

    /// Takes everything out of the maps that no attachment accounts for, by making the table
    /// anew.
    fn flush_orphans(&self, kernel: &mut Kernel) -> Result<(), NetworkError> {
        // The next observation finds no table, and the plan installs one with the ports of
        // those that are there; the connections of those go on.
        remove_table(kernel, &self.names).map_err(kernel_error("replace the firewall table"))
    }

    /// Takes back an attachment whose inner half failed.
    fn abandon(&self, attachment: &Attachment) {
        // Both report nothing: the error that led here is the one to tell, and what remains
        // is found by the next `collect_stale`.
        drop(self.detach(&attachment.endpoint_id));
        let remove = |kernel: &mut Kernel| {
            remove_link(kernel, &attachment.host_interface)
                .map_err(kernel_error("remove the container's interface"))
        };
        drop(self.with_kernel(remove));
    }
}

/// Everything decided for an attachment.
#[derive(Debug)]
struct Draft {
    observed: Observed,
    desired: Desired,
    attachment: Attachment,
}

/// What came of a plan.
#[derive(Debug)]
enum Carried {
    Done(Attachment, Vec<String>),
    SubnetRace(Subnet),
    StalePort,
}

/// A name that no other interface has: one may still be dying under the last one.
fn interface_name() -> Result<String, NetworkError> {
    let mut bytes = [0; 4];
    getrandom(&mut bytes, GetRandomFlags::empty()).map_err(|errno| NetworkError::File {
        task: "get random bytes for",
        path: PathBuf::from("an interface name"),
        source: errno.into(),
    })?;
    Ok(format!("veth{:08x}", u32::from_ne_bytes(bytes)))
}
