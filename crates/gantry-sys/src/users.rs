//! The text of `passwd` and `group` files (passwd(5), group(5)): parsing only.
//!
//! The files come from inside a root file system, so that they are outside bytes: a line that
//! does not have the form is skipped, as the C library does.

/// A line of a `passwd` file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The login name.
    pub name: String,
    /// The numeric user ID.
    pub uid: u32,
    /// The numeric ID of the main group.
    pub gid: u32,
    /// The home directory.
    pub home: String,
    /// The shell.
    pub shell: String,
}

/// A line of a `group` file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The name.
    pub name: String,
    /// The numeric ID.
    pub gid: u32,
    /// The login names of the members.
    pub members: Vec<String>,
}

/// The users of a `passwd` file, in order.
pub fn parse_passwd(text: &[u8]) -> impl Iterator<Item = User> {
    lines(text).filter_map(|line| {
        let mut fields = line.split(':');
        Some(User {
            name: fields.next().filter(|name| !name.is_empty())?.to_owned(),
            uid: fields.nth(1)?.parse().ok()?,
            gid: fields.next()?.parse().ok()?,
            home: fields.nth(1).unwrap_or_default().to_owned(),
            shell: fields.next().unwrap_or_default().to_owned(),
        })
    })
}

/// The groups of a `group` file, in order.
pub fn parse_group(text: &[u8]) -> impl Iterator<Item = Group> {
    lines(text).filter_map(|line| {
        let mut fields = line.split(':');
        Some(Group {
            name: fields.next().filter(|name| !name.is_empty())?.to_owned(),
            gid: fields.nth(1)?.parse().ok()?,
            members: fields
                .next()
                .unwrap_or_default()
                .split(',')
                .filter(|member| !member.is_empty())
                .map(str::to_owned)
                .collect(),
        })
    })
}

fn lines(text: &[u8]) -> impl Iterator<Item = std::borrow::Cow<'_, str>> {
    text.split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty() && line[0] != b'#')
        .map(String::from_utf8_lossy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwd_lines() {
        let text = b"root:x:0:0:root:/root:/bin/sh\n#no\n\nbad\nshort:x:1:2\nminus:x:-1:0::/:\n:x:1:1::/:\nlast:*:7:8::/home/l:/bin/false";
        let users: Vec<_> = parse_passwd(text).collect();
        let names: Vec<_> = users.iter().map(|user| user.name.as_str()).collect();
        assert_eq!(names, ["root", "short", "last"]);
        assert_eq!((users[2].uid, users[2].gid), (7, 8));
        assert_eq!(users[2].home, "/home/l");
        assert_eq!(users[0].shell, "/bin/sh");
        assert_eq!(users[1].home, "");
    }

    proptest::proptest! {
        #[test]
        fn any_text_parses_to_something(text in proptest::collection::vec(0u8.., 0..400)) {
            parse_passwd(&text).count();
            parse_group(&text).count();
        }
    }

    #[test]
    fn group_lines() {
        let text = b"wheel:x:10:root,joe\nempty:x:11:\nnone:x:12\nbad:x:y:\n";
        let groups: Vec<_> = parse_group(text).collect();
        assert_eq!(groups.len(), 3);
        assert_eq!(groups[0].members, ["root", "joe"]);
        assert!(groups[1].members.is_empty());
        assert_eq!(groups[2].gid, 12);
    }
}
