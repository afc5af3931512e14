//! IDs of an ordinary user that its containers get: those of its own namespace, in which the user
//! is 0 and the subordinate IDs follow from 1 on.

use std::fs::File;

use gantry_model::userns::{IdRange, IdRanges, NOBODY, UsernsMode};
use gantry_sys::lock::{self, Kind};
use gantry_sys::process::{self, IdMapping};

use super::super::error::{ContainerError, file};
use super::super::folders;
use super::{Decided, around, pool, refused};
use crate::Engine;

/// IDs that a container has at least when nobody says how many.
const USUAL: u32 = 1024;

/// The IDs of a new container; `most` tells the highest one that its image has.
pub(super) fn decide(
    engine: &Engine,
    mode: UsernsMode,
    most: impl FnOnce() -> Result<u32, ContainerError>,
) -> Result<Decided, ContainerError> {
    let (uids, gids) = process::id_maps(None).map_err(file("read", "/proc/self".as_ref()))?;
    let end = count(&uids).min(count(&gids));
    if end < 2 {
        return Err(refused(
            "it needs subordinate IDs: lines in /etc/subuid and /etc/subgid, and the programs \
             newuidmap and newgidmap (Debian's package uidmap)",
        ));
    }
    let alike = |ranges: Vec<IdRange>| IdRanges {
        uids: ranges.clone(),
        gids: ranges,
    };
    match mode {
        UsernsMode::Host | UsernsMode::NoMap => Ok(alike(vec![IdRange {
            container: 0,
            host: 1,
            size: end - 1,
        }])
        .into()),
        UsernsMode::Mapped(ranges) => {
            if ranges.iter().any(|range| range.host + range.size > end) {
                return Err(refused(format!(
                    "without root the IDs to choose from are 0, the caller, to {}",
                    end - 1
                )));
            }
            Ok(alike(ranges).into())
        }
        UsernsMode::KeepId { uid, gid } => {
            let own = |ids: &[IdMapping]| ids.first().map_or(0, |first| first.outside);
            let kept = |id| around(1, id, 0, end - 1);
            let ranges = IdRanges {
                uids: kept(uid.unwrap_or_else(|| own(&uids))),
                gids: kept(gid.unwrap_or_else(|| own(&gids))),
            };
            Ok(ranges.into())
        }
        UsernsMode::Auto { size } => {
            let size = match size {
                Some(size) => size,
                None => USUAL.max(most()?.saturating_add(1)),
            };
            let held = hold(engine)?;
            let taken = taken(&pool::in_use(engine)?, end);
            let first = choose(&taken, needed(size), end).ok_or_else(|| {
                refused(format!(
                    "no {size} subordinate IDs are free; a longer range in /etc/subuid and \
                     /etc/subgid has more"
                ))
            })?;
            Ok(Decided {
                ranges: alike(automatic(first, size)),
                held: Some(held),
            })
        }
    }
}

/// Keeps other commands from choosing IDs until it is dropped.
fn hold(engine: &Engine) -> Result<File, ContainerError> {
    let folder = engine.root().join(folders::CONTAINERS);
    let open = || {
        let file = File::open(&folder)?;
        lock::lock(&file, Kind::Exclusive)?;
        Ok(file)
    };
    open().map_err(file("lock", &folder))
}

fn count(mappings: &[IdMapping]) -> u32 {
    mappings.iter().map(|ids| ids.size).sum()
}

/// Nobody has an ID of its own, where the others do not reach that far: images have files of its.
fn automatic(first: u32, size: u32) -> Vec<IdRange> {
    let mut ranges = vec![IdRange {
        container: 0,
        host: first,
        size,
    }];
    if needed(size) > size {
        ranges.push(IdRange {
            container: NOBODY,
            host: first + size,
            size: 1,
        });
    }
    ranges
}

fn needed(size: u32) -> u32 {
    size.saturating_add(u32::from(size <= NOBODY))
}

/// First and last of the IDs that containers have to themselves. Those who have the caller's, or
/// all but the caller's, share them with everybody.
fn taken(in_use: &[IdRanges], end: u32) -> Vec<(u32, u32)> {
    let mut taken: Vec<(u32, u32)> = in_use
        .iter()
        .flat_map(|ranges| [&ranges.uids, &ranges.gids])
        .filter(|ranges| {
            let all = ranges.iter().map(|range| range.size).sum::<u32>() >= end - 1;
            !all && !ranges.iter().any(|range| range.host == 0)
        })
        .flatten()
        .map(|range| (range.host, range.host + (range.size - 1)))
        .collect();
    taken.sort_unstable();
    taken
}

/// The first place where so many IDs are free: the same ones again and again, whose layers are
/// there already.
fn choose(taken: &[(u32, u32)], size: u32, end: u32) -> Option<u32> {
    let mut first = 1;
    for (from, to) in taken {
        if first + size.min(end) <= *from {
            break;
        }
        first = first.max(to + 1);
    }
    (size <= end && first <= end - size).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(container: u32, host: u32, size: u32) -> IdRange {
        IdRange {
            container,
            host,
            size,
        }
    }

    #[test]
    fn gaps_are_found_first() {
        assert_eq!(choose(&[], 1025, 65_537), Some(1));
        assert_eq!(choose(&[(1, 1025)], 1025, 65_537), Some(1026));
        assert_eq!(choose(&[(1026, 2050)], 1025, 65_537), Some(1));
        assert_eq!(choose(&[(1, 10), (12, 20)], 1, 21), Some(11));
        assert_eq!(choose(&[(1, 10), (12, 20)], 1, 22), Some(11));
        assert_eq!(choose(&[(1, 10), (12, 20)], 2, 22), None);
        assert_eq!(choose(&[(1, 10), (12, 20)], 2, 23), Some(21));
        assert_eq!(choose(&[], 65_536, 65_537), Some(1));
        assert_eq!(choose(&[], 65_537, 65_537), None);
        assert_eq!(choose(&[], u32::MAX, 65_537), None);
    }

    #[test]
    fn nobody_is_there() {
        assert_eq!(automatic(5, 10), [range(0, 5, 10), range(65_534, 15, 1)]);
        assert_eq!(automatic(1, 65_534).len(), 2);
        assert_eq!(automatic(1, 65_535), [range(0, 1, 65_535)]);
    }

    #[test]
    fn who_shares_takes_nothing() {
        let alike = |ranges: Vec<IdRange>| IdRanges {
            uids: ranges.clone(),
            gids: ranges,
        };
        let own = alike(automatic(1, 100));
        let kept = alike(around(1, 1000, 0, 65_536));
        let all = alike(vec![range(0, 1, 65_536)]);
        assert_eq!(
            taken(&[own, kept, all], 65_537),
            [(1, 100), (1, 100), (101, 101), (101, 101)]
        );
    }
}
