//! Writing the note of who is on the bridge anew where it is damaged, from what others remember.

use std::net::Ipv4Addr;

use gantry_model::record::NetworkState;

use crate::endpoint::{Attachment, INTERFACE};
use crate::error::NetworkError;
use crate::networks::Networks;
use crate::owner::Owner;
use crate::state::{Record, State};
use crate::subnet::Subnet;

/// A container that is on the bridge, by its own record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Id of the container.
    pub endpoint_id: String,
    /// The process that holds the attachment.
    pub owner_pid: u32,
    /// Inode of its network namespace.
    pub netns: u64,
    /// Where it is.
    pub place: NetworkState,
}

impl Networks {
    /// What is wrong with the note of who is on the bridge; `None` when it can be read.
    ///
    /// # Errors
    /// [`NetworkError::File`] when the machine is to blame.
    pub fn damage(&self) -> Result<Option<NetworkError>, NetworkError> {
        match self.state.peek() {
            Ok(_) => Ok(None),
            Err(error @ NetworkError::Damaged { .. }) => Ok(Some(error)),
            Err(error) => Err(error),
        }
    }

    /// Writes the note anew unless it can be read by now; says whether it did.
    ///
    /// # Errors
    /// [`NetworkError::File`] when it cannot be written.
    pub fn restore(&self, members: &[Member]) -> Result<bool, NetworkError> {
        let locked = self.state.lock()?;
        match locked.read() {
            Err(NetworkError::Damaged { .. }) => {}
            other => return other.map(|_| false),
        }
        locked.clear()?;
        locked.write(&state_of(members))?;
        Ok(true)
    }
}

fn state_of(members: &[Member]) -> State {
    let endpoints: Vec<Record> = members.iter().filter_map(record_of).collect();
    State {
        subnet: endpoints
            .first()
            .and_then(|record| Subnet::of(record.attachment.address, record.attachment.prefix)),
        endpoints,
        ..State::default()
    }
}

/// The record of a member; none for one whose addresses are none.
fn record_of(member: &Member) -> Option<Record> {
    let address: Ipv4Addr = member.place.ip_address.parse().ok()?;
    Some(Record {
        attachment: Attachment {
            endpoint_id: member.endpoint_id.clone(),
            interface: INTERFACE.to_owned(),
            // Nobody remembers its name; the kernel removes it with the namespace.
            host_interface: String::new(),
            address,
            prefix: member.place.prefix_length,
            gateway: member.place.gateway.parse().ok()?,
            mac: member.place.mac_address.clone(),
            mtu: 0,
            ports: member.place.ports.clone(),
            hostname: String::new(),
        },
        owner: Owner::of(member.owner_pid),
        netns: member.netns,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::NetworkConfig;

    #[test]
    fn a_damaged_note_is_written_anew_and_a_whole_one_is_left() {
        let run_root = tempfile::tempdir().unwrap();
        let networks = Networks::open(run_root.path(), NetworkConfig::default()).unwrap();
        let member = |id: &str, address: &str| Member {
            endpoint_id: id.to_owned(),
            owner_pid: std::process::id(),
            netns: 7,
            place: NetworkState {
                ip_address: address.to_owned(),
                prefix_length: 24,
                gateway: "10.1.2.1".to_owned(),
                mac_address: "02:00:00:00:00:01".to_owned(),
                ports: Vec::new(),
            },
        };
        let members = [member("one", "10.1.2.9"), member("odd", "nowhere")];
        assert!(!networks.restore(&members).unwrap(), "there is none");
        let note = run_root.path().join("network/state.json");
        std::fs::create_dir(&note).unwrap();
        for text in ["{", ""] {
            assert!(networks.damage().unwrap().is_some());
            assert!(networks.restore(&members).unwrap());
            assert!(networks.damage().unwrap().is_none());
            let seen = networks.observe().unwrap();
            assert_eq!(seen.len(), 1);
            assert!(seen[0].alive);
            let gateway = networks.gateway().unwrap();
            assert_eq!(gateway, Some(Ipv4Addr::new(10, 1, 2, 1)));
            assert!(!networks.restore(&[]).unwrap(), "it is whole");
            std::fs::write(&note, text).unwrap();
        }
    }
}
