//! Resource limits (getrlimit(2)).

use std::io;

use rustix::process::{Resource, Rlimit};

/// The resources, by the names `ulimit` options and OCI documents use.
const RESOURCES: [(&str, Resource); 16] = [
    ("as", Resource::As),
    ("core", Resource::Core),
    ("cpu", Resource::Cpu),
    ("data", Resource::Data),
    ("fsize", Resource::Fsize),
    ("locks", Resource::Locks),
    ("memlock", Resource::Memlock),
    ("msgqueue", Resource::Msgqueue),
    ("nice", Resource::Nice),
    ("nofile", Resource::Nofile),
    ("nproc", Resource::Nproc),
    ("rss", Resource::Rss),
    ("rtprio", Resource::Rtprio),
    ("rttime", Resource::Rttime),
    ("sigpending", Resource::Sigpending),
    ("stack", Resource::Stack),
];

/// The value that stands for "unlimited".
pub const UNLIMITED: u64 = u64::MAX;

/// One resource and its two limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// The resource: lowercase, without `RLIMIT_`.
    pub resource: &'static str,
    /// What counts now.
    pub soft: u64,
    /// How far the soft limit can be raised.
    pub hard: u64,
}

/// The name of a resource as [`Limit`] has it, from `nofile`, `NOFILE` or `RLIMIT_NOFILE`.
pub fn resource(name: &str) -> Option<&'static str> {
    let lower = name.to_ascii_lowercase();
    let bare = lower.strip_prefix("rlimit_").unwrap_or(&lower);
    RESOURCES
        .iter()
        .find(|(known, _)| *known == bare)
        .map(|(known, _)| *known)
}

/// Sets a limit of this process.
pub fn set(limit: &Limit) -> io::Result<()> {
    let (_, resource) = RESOURCES
        .iter()
        .find(|(known, _)| *known == limit.resource)
        .ok_or(io::ErrorKind::InvalidInput)?;
    let value = |limit| (limit != UNLIMITED).then_some(limit);
    Ok(rustix::process::setrlimit(
        *resource,
        Rlimit {
            current: value(limit.soft),
            maximum: value(limit.hard),
        },
    )?)
}

/// The limits of this process: soft and hard.
pub fn current(name: &str) -> Option<(u64, u64)> {
    let (_, resource) = RESOURCES.iter().find(|(known, _)| *known == name)?;
    let limit = rustix::process::getrlimit(*resource);
    Some((
        limit.current.unwrap_or(UNLIMITED),
        limit.maximum.unwrap_or(UNLIMITED),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known() {
        for name in ["nofile", "NOFILE", "RLIMIT_NOFILE", "rlimit_nofile"] {
            assert_eq!(resource(name), Some("nofile"));
        }
        assert_eq!(resource("files"), None);
        assert!(current("nofile").is_some());
    }
}
