//! Names of users and groups, looked up in the files of a root file system.

use gantry_dockerfile::owner::{self, Identity};
use gantry_sys::path::Directory;
use gantry_sys::users::{parse_group, parse_passwd};

use super::view;
use crate::error::StepError;

/// Most bytes read of `/etc/passwd` and `/etc/group`.
const LARGEST: u64 = 8 << 20;

/// Numeric owner, and the names that no file knew.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Owner {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) unknown: Vec<String>,
}

/// Whether numbers alone say who it is.
pub(crate) fn is_numeric(text: &str) -> bool {
    let number = |identity: &Option<Identity>| !matches!(identity, Some(Identity::Name(_)));
    text.is_empty()
        || owner::parse(text).is_ok_and(|owner| number(&owner.user) && number(&owner.group))
}

/// Who `user[:group]` is. As in BuildKit, a name that the files do not know is root.
pub(crate) fn resolve(text: &str, root: Option<&Directory>) -> Result<Owner, StepError> {
    let mut found = Owner::default();
    let Ok(owner) = owner::parse(text) else {
        return Ok(found);
    };
    let read = |path: &str| match root {
        Some(root) => view::read(root, path, LARGEST)
            .map_err(|source| StepError::io("read", path, source))
            .map(Option::unwrap_or_default),
        None => Ok(Vec::new()),
    };
    match owner.user {
        None => {}
        Some(Identity::Id(id)) => (found.uid, found.gid) = (id, id),
        Some(Identity::Name(name)) => {
            let passwd = read("/etc/passwd")?;
            match parse_passwd(&passwd).find(|user| user.name == name) {
                Some(user) => (found.uid, found.gid) = (user.uid, user.gid),
                None => found.unknown.push(name),
            }
        }
    }
    match owner.group {
        None => {}
        Some(Identity::Id(id)) => found.gid = id,
        Some(Identity::Name(name)) => {
            let group = read("/etc/group")?;
            match parse_group(&group).find(|group| group.name == name) {
                Some(group) => found.gid = group.gid,
                None => {
                    found.gid = 0;
                    found.unknown.push(name);
                }
            }
        }
    }
    Ok(found)
}

/// Who the process of a `RUN` is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ProcessUser {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
    pub(crate) home: String,
}

/// The user `user[:group]` of a `RUN` (empty for root): unlike the owner of a copy it must exist,
/// has the groups it is a member of, and a home.
pub(crate) fn process_user(text: &str, root: Option<&Directory>) -> Result<ProcessUser, StepError> {
    let read = |path: &str| match root {
        Some(root) => view::read(root, path, LARGEST)
            .map_err(|source| StepError::io("read", path, source))
            .map(Option::unwrap_or_default),
        None => Ok(Vec::new()),
    };
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (text, None),
    };
    let user = if user.is_empty() { "0" } else { user };
    let id = number(user);
    let passwd = read("/etc/passwd")?;
    let known = parse_passwd(&passwd).find(|entry| entry.name == user || Some(entry.uid) == id);
    let mut found = match (&known, id) {
        (Some(entry), _) => ProcessUser {
            uid: entry.uid,
            gid: entry.gid,
            groups: Vec::new(),
            home: entry.home.clone(),
        },
        (None, Some(uid)) => ProcessUser {
            uid,
            ..ProcessUser::default()
        },
        (None, None) => {
            return Err(StepError::UnknownUser {
                what: "user",
                name: user.to_owned(),
                file: "passwd file",
            });
        }
    };
    let groups = read("/etc/group")?;
    match (group, &known) {
        (Some(wanted), _) => {
            let id = number(wanted);
            let known =
                parse_group(&groups).find(|entry| entry.name == wanted || Some(entry.gid) == id);
            let gid = known.map(|entry| entry.gid).or(id);
            found.gid = gid.ok_or_else(|| StepError::UnknownUser {
                what: "group",
                name: wanted.to_owned(),
                file: "group file",
            })?;
        }
        (None, Some(entry)) => {
            let member = parse_group(&groups).filter(|group| group.members.contains(&entry.name));
            found.groups = member.map(|group| group.gid).collect();
        }
        (None, None) => {}
    }
    // The main group is one of the supplementary ones, too: without it a set-group-ID program could
    // give up the right to what is denied to the group (CVE-2022-36109).
    found.groups.retain(|gid| *gid != found.gid);
    found.groups.insert(0, found.gid);
    if found.home.is_empty() {
        found.home.push('/');
    }
    Ok(found)
}

fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_the_root_file_system() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("etc")).unwrap();
        std::fs::write(
            folder.path().join("etc/passwd"),
            "root:x:0:0::/:\nnode:x:1000:1001::/home:/bin/sh\n",
        )
        .unwrap();
        std::fs::write(folder.path().join("etc/group"), "root:x:0:\nstaff:x:50:\n").unwrap();
        let root = Directory::open(folder.path()).unwrap();
        for (text, uid, gid, unknown) in [
            ("node", 1000, 1001, vec![]),
            ("node:staff", 1000, 50, vec![]),
            ("node:7", 1000, 7, vec![]),
            ("5", 5, 5, vec![]),
            ("5:staff", 5, 50, vec![]),
            (":staff", 0, 50, vec![]),
            ("nobody", 0, 0, vec!["nobody"]),
            ("5:nogroup", 5, 0, vec!["nogroup"]),
        ] {
            let owner = resolve(text, Some(&root)).unwrap();
            assert_eq!((owner.uid, owner.gid), (uid, gid), "{text}");
            assert_eq!(owner.unknown, unknown, "{text}");
        }
        assert_eq!(resolve("node", None).unwrap().unknown, ["node"]);
        assert!(
            is_numeric("5:6") && is_numeric("") && !is_numeric("node") && !is_numeric("5:staff")
        );
    }
}
