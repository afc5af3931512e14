//! IDs of the machine that root's containers get.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use gantry_model::userns::{IdRanges, USUAL_SIZE};
use serde::Deserialize;

use super::super::error::{ContainerError, file};
use super::super::{fill_random, folders};
use super::refused;
use crate::Engine;

/// IDs that nobody's users have: above those of people, machines and container managers, below
/// those that count as negative somewhere.
const FIRST: u32 = 0x7000_0000;
const SLOTS: u32 = 0x0f00;

/// The part of [`ContainerRecord`] that tells which IDs are taken.
#[derive(Debug, Deserialize)]
struct Taken {
    #[serde(default)]
    id_ranges: Option<IdRanges>,
}

/// The first of so many IDs that no container here has.
pub(super) fn free(engine: &Engine, size: u32) -> Result<u32, ContainerError> {
    let mut taken = BTreeSet::new();
    for ranges in in_use(engine)? {
        for range in ranges.uids.iter().chain(&ranges.gids) {
            taken.extend(slots(range.host, range.size));
        }
    }
    let mut random = [0; 4];
    fill_random(&mut random).map_err(file("read random numbers from", Path::new("the kernel")))?;
    choose(size, u32::from_ne_bytes(random), &taken).ok_or_else(|| {
        refused(format!(
            "no {size} IDs are free for the container's user namespace"
        ))
    })
}

/// The IDs of every container here.
pub(super) fn in_use(engine: &Engine) -> Result<Vec<IdRanges>, ContainerError> {
    let folder = engine.root().join(folders::CONTAINERS);
    let mut all = Vec::new();
    for entry in fs::read_dir(&folder)
        .map_err(file("read", &folder))?
        .flatten()
    {
        // One that is just being made, or damaged, has said nothing yet.
        let text = fs::read(entry.path().join("container.json")).unwrap_or_default();
        if let Ok(Taken {
            id_ranges: Some(ranges),
        }) = serde_json::from_slice(&text)
        {
            all.push(ranges);
        }
    }
    Ok(all)
}

fn slots(first: u32, size: u32) -> impl Iterator<Item = u32> {
    let slot = |id: u32| id.checked_sub(FIRST).map(|above| above / USUAL_SIZE);
    let last = first.saturating_add(size.saturating_sub(1));
    let (from, to) = (slot(first), slot(last));
    from.zip(to)
        .into_iter()
        .flat_map(|(from, to)| from..=to.min(SLOTS))
}

/// Begins anywhere, so that two commands at once hardly ever meet.
fn choose(size: u32, random: u32, taken: &BTreeSet<u32>) -> Option<u32> {
    let needed = size.div_ceil(USUAL_SIZE);
    if needed > SLOTS {
        return None;
    }
    (0..SLOTS)
        .map(|step| (random % SLOTS + step) % SLOTS)
        .filter(|slot| slot + needed <= SLOTS)
        .find(|slot| (*slot..slot + needed).all(|slot| !taken.contains(&slot)))
        .map(|slot| FIRST + slot * USUAL_SIZE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_ids_do_not_overlap() {
        let mut taken = BTreeSet::new();
        assert_eq!(choose(65536, 0, &taken), Some(FIRST));
        taken.extend(slots(FIRST, 65536));
        assert_eq!(choose(65536, 0, &taken), Some(FIRST + 65536));
        taken.extend(slots(FIRST + 65536, 65537));
        assert_eq!(choose(1, 0, &taken), Some(FIRST + 3 * 65536));
        assert_eq!(choose(70_000, SLOTS - 1, &taken), Some(FIRST + 3 * 65536));
        assert_eq!(choose(u32::MAX, 5, &taken), None);
        taken.extend(0..SLOTS);
        assert_eq!(choose(1, 5, &taken), None);
        assert_eq!(slots(1000, 5).count(), 0, "IDs of people take no slot");
    }
}
