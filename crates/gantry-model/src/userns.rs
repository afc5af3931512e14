//! User namespaces of containers, as `--userns` spells them.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// IDs that a container has when nobody says how many: what programs expect to find.
pub const USUAL_SIZE: u32 = 65_536;
/// The user and group that the kernel shows for those which a user namespace has not.
pub const NOBODY: u32 = 65_534;

/// A range of IDs in the container, and what they are on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdRange {
    /// The first one in the container.
    pub container: u32,
    /// The first one on the host.
    pub host: u32,
    /// How many there are.
    pub size: u32,
}

/// The users and groups of a container's user namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdRanges {
    /// Users.
    pub uids: Vec<IdRange>,
    /// Groups.
    pub gids: Vec<IdRange>,
}

/// The user namespace that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UsernsMode {
    /// The caller's.
    Host,
    /// One of its own, on IDs that no other container has.
    Auto {
        /// How many; `None`: as many as are usual.
        size: Option<u32>,
    },
    /// One of its own in which the caller is the same user, or this one.
    KeepId {
        /// The caller's user in the container.
        uid: Option<u32>,
        /// The caller's group in the container.
        gid: Option<u32>,
    },
    /// One of its own with all IDs of an ordinary user but the user's own.
    NoMap,
    /// One of its own with these IDs, for users and groups alike.
    Mapped(Vec<IdRange>),
}

/// A text that names no user namespace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid USER mode: {0:?}, it is host, auto[:size=N], keep-id[:uid=N,gid=N], \
     nomap or CONTAINER:HOST:SIZE[,…]"
)]
pub struct UsernsError(String);

impl FromStr for UsernsMode {
    type Err = UsernsError;

    fn from_str(text: &str) -> Result<Self, UsernsError> {
        let bad = || UsernsError(text.chars().take(100).collect());
        let number = |value: Option<&str>| value.and_then(|v| v.parse::<u32>().ok());
        if text.starts_with(|first: char| first.is_ascii_digit()) {
            return ranges(text).map(Self::Mapped).ok_or_else(bad);
        }
        let (name, options) = text.split_once(':').unwrap_or((text, ""));
        let options = options.split(',').filter(|option| !option.is_empty());
        match name {
            "host" if text == "host" => Ok(Self::Host),
            "nomap" if text == "nomap" => Ok(Self::NoMap),
            "auto" => {
                let mut size = None;
                for option in options {
                    let given = number(option.strip_prefix("size=")).filter(|size| *size > 0);
                    size = Some(given.ok_or_else(bad)?);
                }
                Ok(Self::Auto { size })
            }
            "keep-id" => {
                let (mut uid, mut gid) = (None, None);
                for option in options {
                    match option.split_once('=') {
                        Some(("uid", value)) => uid = Some(number(Some(value)).ok_or_else(bad)?),
                        Some(("gid", value)) => gid = Some(number(Some(value)).ok_or_else(bad)?),
                        _ => return Err(bad()),
                    }
                }
                Ok(Self::KeepId { uid, gid })
            }
            _ => Err(bad()),
        }
    }
}

fn ranges(text: &str) -> Option<Vec<IdRange>> {
    let range = |part: &str| {
        let mut numbers = part.split(':').map(str::parse::<u32>);
        let range = IdRange {
            container: numbers.next()?.ok()?,
            host: numbers.next()?.ok()?,
            size: numbers.next()?.ok()?,
        };
        let fits = |first: u32| first.checked_add(range.size).is_some();
        let whole = range.size > 0 && fits(range.container) && fits(range.host);
        (whole && numbers.next().is_none()).then_some(range)
    };
    text.split(',').map(range).collect()
}

impl IdRanges {
    /// The host's ID of an ID in the container.
    #[must_use]
    pub fn host_id(ranges: &[IdRange], id: u32) -> Option<u32> {
        let range = ranges
            .iter()
            .find(|range| id >= range.container && id - range.container < range.size)?;
        Some(range.host + (id - range.container))
    }

    /// The host's user and group of a user and a group in the container; `None` when it has not
    /// both.
    #[must_use]
    pub fn outside(&self, uid: u32, gid: u32) -> Option<(u32, u32)> {
        Self::host_id(&self.uids, uid).zip(Self::host_id(&self.gids, gid))
    }

    /// What a user and a group of the host are in the container: nobody, as the kernel shows
    /// them, when it has them not.
    #[must_use]
    pub fn inside(&self, uid: u32, gid: u32) -> (u32, u32) {
        let id = |ranges: &[IdRange], id: u32| {
            let range = ranges
                .iter()
                .find(|range| id >= range.host && id - range.host < range.size);
            range.map_or(NOBODY, |range| range.container + (id - range.host))
        };
        (id(&self.uids, uid), id(&self.gids, gid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_read() {
        let range = |container, host, size| IdRange {
            container,
            host,
            size,
        };
        let keep = |uid, gid| UsernsMode::KeepId { uid, gid };
        for (text, expected) in [
            ("host", UsernsMode::Host),
            ("auto", UsernsMode::Auto { size: None }),
            ("auto:size=10", UsernsMode::Auto { size: Some(10) }),
            ("nomap", UsernsMode::NoMap),
            ("keep-id", keep(None, None)),
            ("keep-id:uid=7,gid=8", keep(Some(7), Some(8))),
            (
                "0:100000:65536,70000:1000:1",
                UsernsMode::Mapped(vec![range(0, 100_000, 65536), range(70_000, 1000, 1)]),
            ),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        for text in [
            "",
            "private",
            "host:x",
            "nomap:1",
            "auto:size=0",
            "auto:x",
            "keep-id:uid=",
            "0:1",
            "0:1:0",
            "0:1:2:3",
            "1:4294967295:2",
            "0:1:2,",
        ] {
            assert!(text.parse::<UsernsMode>().is_err(), "{text}");
        }
    }

    #[test]
    fn ids_have_their_host_ids() {
        let Ok(UsernsMode::Mapped(ranges)) = "0:1000:10,20:5:1".parse() else {
            panic!("it is a mapping");
        };
        for (id, host) in [(0, Some(1000)), (9, Some(1009)), (10, None), (20, Some(5))] {
            assert_eq!(IdRanges::host_id(&ranges, id), host);
        }
        let both = IdRanges {
            uids: ranges.clone(),
            gids: ranges,
        };
        assert_eq!(both.outside(9, 20), Some((1009, 5)));
        assert_eq!(both.outside(9, 21), None);
        assert_eq!(both.inside(1009, 5), (9, 20));
        assert_eq!(both.inside(0, 1010), (NOBODY, NOBODY));
    }
}
