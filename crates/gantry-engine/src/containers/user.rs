//! Who a process runs as: `user[:group]` against the container's own files. Pure.

use gantry_model::userns::NOBODY;
use gantry_sys::users::{Group, User, parse_group, parse_passwd};

/// A user as the kernel knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ResolvedUser {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
    pub(crate) home: String,
}

/// A user or group that cannot be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// No such user.
    #[error("unable to find user {0}: no matching entries in passwd file")]
    User(String),
    /// No such group.
    #[error("unable to find group {0}: no matching entries in group file")]
    Group(String),
}

fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits
        .then(|| text.parse().ok())
        .flatten()
        .filter(|id| *id <= i32::MAX.unsigned_abs())
}

/// Resolves `user[:group]` (empty for root) and further groups.
pub(crate) fn resolve(
    text: &str,
    further: &[String],
    passwd: &[u8],
    group: &[u8],
) -> Result<ResolvedUser, UserError> {
    let clip = |text: &str| text.chars().take(100).collect::<String>();
    let (user, own_group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (text, None),
    };
    let user = if user.is_empty() { "0" } else { user };
    let id = number(user);
    let found: Option<User> =
        parse_passwd(passwd).find(|entry| entry.name == user || Some(entry.uid) == id);
    let (uid, mut gid, home, name) = match (found, id) {
        (Some(found), _) => (found.uid, found.gid, found.home, found.name),
        (None, Some(id)) => (id, 0, String::new(), String::new()),
        (None, None) => return Err(UserError::User(clip(user))),
    };
    let mut groups = Vec::new();
    match own_group {
        Some(wanted) => {
            gid = find_group(wanted, group).ok_or_else(|| UserError::Group(clip(wanted)))?
        }
        None if !name.is_empty() => {
            groups = parse_group(group)
                .filter(|entry| entry.members.contains(&name))
                .map(|entry| entry.gid)
                .collect();
        }
        None => {}
    }
    for wanted in further {
        let gid = find_group(wanted, group).ok_or_else(|| UserError::Group(clip(wanted)))?;
        groups.push(gid);
    }
    groups.dedup();
    let home = if home.is_empty() {
        "/".to_owned()
    } else {
        home
    };
    Ok(ResolvedUser {
        uid,
        gid,
        groups,
        home,
    })
}

/// The highest number of a user or group that container images are made with; nobody does not
/// count.
pub(crate) fn highest(passwd: &[u8], group: &[u8]) -> u32 {
    let users = parse_passwd(passwd).flat_map(|user| [user.uid, user.gid]);
    let groups = parse_group(group).map(|group| group.gid);
    let usual = users.chain(groups).filter(|id| *id < NOBODY);
    usual.max().unwrap_or_default()
}

fn find_group(wanted: &str, group: &[u8]) -> Option<u32> {
    let id = number(wanted);
    let found: Option<Group> =
        parse_group(group).find(|entry| entry.name == wanted || Some(entry.gid) == id);
    found.map(|entry| entry.gid).or(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/sh\nweb:x:33:33::/var/www:/bin/false\n\
                            7:x:1007:1007::/seven:/bin/sh\nbroken line\n";
    #[test]
    fn nobody_is_not_the_highest() {
        assert_eq!(highest(PASSWD, GROUP), 1007);
        assert_eq!(
            highest(b"nobody:x:65534:65534::/:/x\n", b"big:x:2000:\n"),
            2000
        );
        assert_eq!(highest(b"", b""), 0);
    }

    const GROUP: &[u8] = b"root:x:0:root\nweb:x:33:\nlog:x:44:web,x\nwheel:x:10:root\n";

    #[test]
    fn users_resolve_as_dockers() {
        for (text, further, want) in [
            ("", &[] as &[&str], (0, 0, vec![0, 10], "/root")),
            ("root", &[], (0, 0, vec![0, 10], "/root")),
            ("web", &[], (33, 33, vec![44], "/var/www")),
            ("33", &[], (33, 33, vec![44], "/var/www")),
            ("web:wheel", &[], (33, 10, vec![], "/var/www")),
            ("web:", &[], (33, 33, vec![44], "/var/www")),
            (":44", &[], (0, 44, vec![], "/root")),
            ("7", &[], (1007, 1007, vec![], "/seven")),
            ("1234", &[], (1234, 0, vec![], "/")),
            ("1234:99", &["log", "5000"], (1234, 99, vec![44, 5000], "/")),
        ] {
            let further: Vec<String> = further.iter().map(ToString::to_string).collect();
            let got = resolve(text, &further, PASSWD, GROUP).unwrap();
            assert_eq!(
                (got.uid, got.gid, got.groups, got.home.as_str()),
                want,
                "{text}"
            );
        }
    }

    #[test]
    fn strangers_are_named() {
        assert_eq!(
            resolve("nobody", &[], PASSWD, GROUP)
                .unwrap_err()
                .to_string(),
            "unable to find user nobody: no matching entries in passwd file"
        );
        assert!(matches!(
            resolve("0:x", &[], PASSWD, GROUP),
            Err(UserError::Group(_))
        ));
        assert!(resolve("0", &["x".into()], PASSWD, GROUP).is_err());
        assert!(resolve("4294967295", &[], b"", b"").is_err());
        assert_eq!(resolve("", &[], b"", b"").unwrap().home, "/");
    }
}
