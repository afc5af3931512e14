//! Who is on the bridge by the records of the containers themselves: what the network is told
//! where its own note is damaged.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use gantry_network::{Member, NetworkError, Networks};

use crate::state;

/// Writes the note of who is on the bridge anew if it is damaged; says whether it did.
/// `containers` is the folder of all containers below `$ROOT`.
///
/// # Errors
/// The network's.
pub fn restore_networks(networks: &Networks, containers: &Path) -> Result<bool, NetworkError> {
    networks.restore(&members(containers))
}

/// The containers that run with an address on the bridge. What cannot be read is none.
fn members(containers: &Path) -> Vec<Member> {
    let folders = fs::read_dir(containers).into_iter().flatten().flatten();
    folders
        .filter_map(|folder| {
            let state = state::read(&folder.path()).ok()?;
            let namespace = format!("/proc/{}/ns/net", state.pid?);
            Some(Member {
                endpoint_id: folder.file_name().into_string().ok()?,
                owner_pid: state.supervisor_pid?,
                netns: fs::metadata(namespace).ok()?.ino(),
                place: state.network?,
            })
        })
        .collect()
}
