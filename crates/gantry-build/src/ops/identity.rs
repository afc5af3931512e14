//! Names of users and groups, looked up in the files of a root file system.

use std::io::{self, BufRead, BufReader, Read};

use gantry_dockerfile::owner::{self, Identity};
use gantry_sys::path::Directory;
use gantry_sys::users::{parse_group, parse_passwd};

use super::view;
use crate::error::StepError;

/// Most bytes of a line of `/etc/passwd` or `/etc/group`.
const LONGEST_LINE: u64 = 1 << 20;

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

/// Who `user[:group]` is. As in BuildKit, a user that the files do not know is root, and a group
/// that they do not know is the user's.
pub(crate) fn resolve(text: &str, root: Option<&Directory>) -> Result<Owner, StepError> {
    let mut found = Owner::default();
    let Ok(owner) = owner::parse(text) else {
        return Ok(found);
    };
    match owner.user {
        None => {}
        Some(Identity::Id(id)) => (found.uid, found.gid) = (id, id),
        Some(Identity::Name(name)) => {
            let known = |line: &[u8]| parse_passwd(line).find(|user| user.name == name);
            match search(root, "/etc/passwd", known)? {
                Some(user) => (found.uid, found.gid) = (user.uid, user.gid),
                None => found
                    .unknown
                    .push(format!("no user \"{name}\": root is used")),
            }
        }
    }
    match owner.group {
        None => {}
        Some(Identity::Id(id)) => found.gid = id,
        Some(Identity::Name(name)) => {
            let known = |line: &[u8]| parse_group(line).find(|group| group.name == name);
            match search(root, "/etc/group", known)? {
                Some(group) => found.gid = group.gid,
                None => found
                    .unknown
                    .push(format!("no group \"{name}\": that of the user is used")),
            }
        }
    }
    Ok(found)
}

/// Goes through the lines of a file of the root file system until one gives something. However many
/// there are, one is in memory.
fn search<T>(
    root: Option<&Directory>,
    path: &str,
    mut each: impl FnMut(&[u8]) -> Option<T>,
) -> Result<Option<T>, StepError> {
    let failed = |source| StepError::io("read", path, source);
    let Some(root) = root else { return Ok(None) };
    let Some(file) = view::open_file(root, path).map_err(failed)? else {
        return Ok(None);
    };
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    loop {
        line.clear();
        let most = LONGEST_LINE + 1;
        let length = (&mut reader)
            .take(most)
            .read_until(b'\n', &mut line)
            .map_err(failed)?;
        if length as u64 == most {
            // What is cut off may be read as something else.
            let reason = format!("it has a line of more than {LONGEST_LINE} bytes");
            return Err(failed(io::Error::other(reason)));
        }
        if let Some(found) = each(&line) {
            return Ok(Some(found));
        }
        if length == 0 {
            return Ok(None);
        }
    }
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
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (text, None),
    };
    let user = if user.is_empty() { "0" } else { user };
    let id = number(user);
    let known = search(root, "/etc/passwd", |line| {
        parse_passwd(line).find(|entry| entry.name == user || Some(entry.uid) == id)
    })?;
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
    match (group, &known) {
        (Some(wanted), _) => {
            let id = number(wanted);
            let known = search(root, "/etc/group", |line| {
                parse_group(line).find(|entry| entry.name == wanted || Some(entry.gid) == id)
            })?;
            let gid = known.map(|entry| entry.gid).or(id);
            found.gid = gid.ok_or_else(|| StepError::UnknownUser {
                what: "group",
                name: wanted.to_owned(),
                file: "group file",
            })?;
        }
        (None, Some(entry)) => {
            search(root, "/etc/group", |line| {
                let mut member = parse_group(line);
                let group = member.find(|group| group.members.contains(&entry.name));
                found.groups.extend(group.map(|group| group.gid));
                None::<()>
            })?;
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
            ("nobody", 0, 0, vec!["no user \"nobody\": root is used"]),
            (
                "5:nogroup",
                5,
                5,
                vec!["no group \"nogroup\": that of the user is used"],
            ),
            (":", 0, 0, vec![]),
        ] {
            let owner = resolve(text, Some(&root)).unwrap();
            assert_eq!((owner.uid, owner.gid), (uid, gid), "{text}");
            assert_eq!(owner.unknown, unknown, "{text}");
        }
        let nobody = resolve("node", None).unwrap();
        assert_eq!(nobody.unknown, ["no user \"node\": root is used"]);
        // However many there are: the one that is meant may be the last.
        let many = "u:x:1:1::/:\n".repeat(1_000_000) + "late:x:4321:4322::/:\nlate";
        std::fs::write(folder.path().join("etc/passwd"), &many).unwrap();
        let late = resolve("late", Some(&root)).unwrap();
        assert_eq!((late.uid, late.gid), (4321, 4322));
        assert_eq!(process_user("late", Some(&root)).unwrap().uid, 4321);
        std::fs::write(folder.path().join("etc/passwd"), "x".repeat(2 << 20)).unwrap();
        let error = resolve("late", Some(&root)).unwrap_err();
        assert!(matches!(error, StepError::Io { .. }), "{error}");
        assert!(
            is_numeric("5:6") && is_numeric("") && !is_numeric("node") && !is_numeric("5:staff")
        );
    }
}
