//! Which users and groups the namespace has.

use std::fmt::Write as _;
use std::fs;
use std::io;

use gantry_sys::process::IdMapping;
use gantry_sys::users::parse_passwd;

use super::RootlessError;
use super::subordinate::{Range, ranges};

/// The mappings of an installation's namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mapping {
    pub(super) uids: Vec<IdMapping>,
    pub(super) gids: Vec<IdMapping>,
}

impl Mapping {
    /// By the machine's files.
    pub(super) fn of_caller(uid: u32, gid: u32) -> Result<Mapping, RootlessError> {
        if !["newuidmap", "newgidmap"].into_iter().all(is_installed) {
            return Ok(Mapping::single(uid, gid));
        }
        let users = read("/etc/passwd")?;
        let own = parse_passwd(users.as_bytes()).find(|user| user.uid == uid);
        let name = own.map(|user| user.name);
        let ranges = |path| -> Result<Vec<Range>, RootlessError> {
            Ok(ranges(&read(path)?, name.as_deref(), uid))
        };
        Ok(Mapping::decide(
            uid,
            gid,
            &ranges("/etc/subuid")?,
            &ranges("/etc/subgid")?,
        ))
    }

    /// User 0 is the caller, and from 1 on come the subordinate IDs. With one kind of them alone
    /// nothing could be owned by anybody else, so that it takes both.
    fn decide(uid: u32, gid: u32, subuids: &[Range], subgids: &[Range]) -> Mapping {
        if subuids.is_empty() || subgids.is_empty() {
            return Mapping::single(uid, gid);
        }
        Mapping {
            uids: lay_out(uid, subuids),
            gids: lay_out(gid, subgids),
        }
    }

    /// The caller alone.
    pub(super) fn single(uid: u32, gid: u32) -> Mapping {
        Mapping {
            uids: lay_out(uid, &[]),
            gids: lay_out(gid, &[]),
        }
    }

    pub(super) fn is_single(&self) -> bool {
        self.uids.len() == 1 && self.gids.len() == 1
    }
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).exists())
}

fn lay_out(own: u32, ranges: &[Range]) -> Vec<IdMapping> {
    let mut all = vec![IdMapping {
        inside: 0,
        outside: own,
        size: 1,
    }];
    let mut next = 1_u32;
    for range in ranges {
        let size = range.count.min(u32::MAX - next);
        if size == 0 {
            break;
        }
        all.push(IdMapping {
            inside: next,
            outside: range.first,
            size,
        });
        next += size;
    }
    all
}

/// As the kernel and the helpers take mappings: three numbers each.
pub(super) fn words(mappings: &[IdMapping]) -> Vec<String> {
    mappings
        .iter()
        .flat_map(|ids| [ids.inside, ids.outside, ids.size])
        .map(|number| number.to_string())
        .collect()
}

/// One line a mapping.
pub(super) fn lines(kind: char, mappings: &[IdMapping]) -> String {
    mappings.iter().fold(String::new(), |mut text, ids| {
        // Writing to a string cannot fail.
        writeln!(text, "{kind} {} {} {}", ids.inside, ids.outside, ids.size).ok();
        text
    })
}

fn read(path: &'static str) -> Result<String, RootlessError> {
    match fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(source) => Err(RootlessError::Folder {
            path: path.into(),
            source,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subordinate_ids_follow_the_caller() {
        let range = |first, count| Range { first, count };
        let mapping = Mapping::decide(
            1000,
            1001,
            &[range(100_000, 65536), range(300_000, 10)],
            &[range(200_000, 5)],
        );
        assert_eq!(
            words(&mapping.uids).join(" "),
            "0 1000 1 1 100000 65536 65537 300000 10"
        );
        assert_eq!(words(&mapping.gids).join(" "), "0 1001 1 1 200000 5");
        assert!(!mapping.is_single());
        assert_eq!(lines('g', &mapping.gids), "g 0 1001 1\ng 1 200000 5\n");
    }

    #[test]
    fn without_both_kinds_there_is_the_caller_alone() {
        let range = [Range {
            first: 100_000,
            count: 65536,
        }];
        for (subuids, subgids) in [(&[][..], &[][..]), (&range, &[]), (&[], &range)] {
            let mapping = Mapping::decide(7, 8, subuids, subgids);
            assert_eq!(mapping, Mapping::single(7, 8));
            assert!(mapping.is_single());
        }
    }
}
