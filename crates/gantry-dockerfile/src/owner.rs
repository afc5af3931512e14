//! Owners as `--chown` and `USER` spell them: `user`, `user:group`, with names or numbers.

use gantry_model::{Fault, FaultKind};

/// A text that is no owner.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid owner '{text}'")]
pub struct OwnerError {
    /// The text.
    pub text: String,
}

impl Fault for OwnerError {
    fn kind(&self) -> FaultKind {
        FaultKind::Invalid
    }

    fn hints(&self) -> Vec<String> {
        vec!["write <user>[:<group>], each a name or a number".to_owned()]
    }
}

/// A user or a group.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Identity {
    /// By number.
    Id(u32),
    /// By a name that the image's files know.
    Name(String),
}

/// Who owns a file.
///
/// A group that is left out is the group of the same number as the user.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Owner {
    /// The user; root where it is left out (`:group`).
    pub user: Option<Identity>,
    /// The group.
    pub group: Option<Identity>,
}

/// Reads an owner; the first `:` divides. `:` alone, which variables without a value leave, is root.
///
/// # Errors
/// Nothing at all, negative or too large numbers, and names with control characters or `:`.
pub fn parse(text: &str) -> Result<Owner, OwnerError> {
    let invalid = || OwnerError {
        text: text.to_owned(),
    };
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    };
    let user = identity(user).ok_or_else(invalid)?;
    let group = group.map_or(Some(None), identity).ok_or_else(invalid)?;
    if text.is_empty() {
        Err(invalid())
    } else {
        Ok(Owner { user, group })
    }
}

/// `Some(None)` for nothing, `None` for nonsense.
fn identity(text: &str) -> Option<Option<Identity>> {
    if text.is_empty() {
        return Some(None);
    }
    let unsigned = text.strip_prefix('+').unwrap_or(text);
    if !unsigned.is_empty() && unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
        return unsigned.parse().ok().map(|id| Some(Identity::Id(id)));
    }
    let negative = text
        .strip_prefix('-')
        .is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()));
    let allowed = !negative && !text.contains(|letter: char| letter == ':' || letter.is_control());
    allowed.then(|| Some(Identity::Name(text.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::{Identity, Owner, parse};

    #[test]
    fn owners() {
        let name = |name: &str| Some(Identity::Name(name.to_owned()));
        let id = |id| Some(Identity::Id(id));
        let cases = [
            ("55", id(55), None),
            ("55:mygroup", id(55), name("mygroup")),
            ("bin", name("bin"), None),
            ("1:1000", id(1), id(1000)),
            ("10:11", id(10), id(11)),
            ("node:node", name("node"), name("node")),
            (":staff", None, name("staff")),
            (":", None, None),
            ("app:", name("app"), None),
            ("4294967295", id(u32::MAX), None),
            (
                "ContainerAdministrator",
                name("ContainerAdministrator"),
                None,
            ),
        ];
        for (text, user, group) in cases {
            assert_eq!(parse(text), Ok(Owner { user, group }), "{text}");
        }
        for text in ["", "-1", "4294967296", "a:b:c", "a\nb"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
