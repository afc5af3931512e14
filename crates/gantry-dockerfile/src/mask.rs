//! Texts as others may see them: without the passwords of the addresses in them.

use std::borrow::Cow;

/// What stands in the place of a password, as in BuildKit.
const MASK: &str = "xxxxx";
/// The password of GitHub's addresses whose user is the token.
const NO_PASSWORD: &str = "x-oauth-basic";

/// The text, its passwords masked: those of `scheme://user:password@host`, and a user alone, which
/// is a token, unless the scheme is that of ssh.
///
/// A password with a slash or the like in it makes no address; to be safe all up to the last `@` of
/// the word is taken for one where it has a colon and what would be the host does not look like one.
///
/// ```
/// # use gantry_dockerfile::mask::masked;
/// assert_eq!(masked("ADD https://me:pw@host/x /"), "ADD https://me:xxxxx@host/x /");
/// ```
#[must_use]
pub fn masked(text: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(found) = rest.find("://") {
        let (before, behind) = rest.split_at(found + 3);
        let Some(user) = user(behind) else {
            out.push_str(before);
            rest = behind;
            continue;
        };
        out.push_str(before);
        let is_ssh = before[..found].to_ascii_lowercase().ends_with("ssh");
        out.push_str(&match user.split_once(':') {
            Some((_, NO_PASSWORD)) => MASK.to_owned(),
            Some((user, _)) => format!("{user}:{MASK}"),
            None if is_ssh => user.to_owned(),
            None => MASK.to_owned(),
        });
        rest = &behind[user.len()..];
    }
    if out.is_empty() {
        return Cow::Borrowed(text);
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// User and password of an address whose scheme is left out, as far as they may reach.
fn user(address: &str) -> Option<&str> {
    let upto =
        |text: &'_ str, is_end: &dyn Fn(char) -> bool| text.find(is_end).unwrap_or(text.len());
    let word = &address[..upto(address, &|c| c.is_whitespace() || "\"'`".contains(c))];
    let authority = &word[..upto(word, &|c| "/?#".contains(c))];
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    let may_go_on = user.is_none_or(|user| user.contains(':')) && !looks_like_host(host);
    let longest = word.rsplit_once('@').map(|(user, _)| user);
    longest
        .filter(|longest| may_go_on && longest.contains(':'))
        .or(user)
}

/// Whether it is `host` or `host:port` and no part of a password, as far as can be told; nothing at
/// all is where an address has no host.
fn looks_like_host(text: &str) -> bool {
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, port),
        _ => (text, "0"),
    };
    let is_name = name
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    let is_known = name.is_empty()
        || name.eq_ignore_ascii_case("localhost")
        || (name.starts_with('[') && name.ends_with(']'))
        || (is_name && name.contains('.'));
    is_known && !port.is_empty() && port.chars().all(|c| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::masked;

    #[test]
    fn passwords_and_tokens_are_masked_and_nothing_else() {
        for (text, want) in [
            ("https://u:p@e.org/x?a@b", "https://u:xxxxx@e.org/x?a@b"),
            (
                "https://u:p@localhost:1/a.git#v@2",
                "https://u:xxxxx@localhost:1/a.git#v@2",
            ),
            (
                "https://u:s3c/r3t@h/a.git x@y",
                "https://u:xxxxx@h/a.git x@y",
            ),
            ("https://u:s3c#r3t@h/a", "https://u:xxxxx@h/a"),
            ("https://u:s3c?r3t@h/a", "https://u:xxxxx@h/a"),
            ("https://u:1/2@h/a", "https://u:xxxxx@h/a"),
            ("https://u:p@ss/word@h/a", "https://u:xxxxx@h/a"),
            ("https://t@h/a:b@c", "https://xxxxx@h/a:b@c"),
            ("https://e.org:8080/@scope/x", "https://e.org:8080/@scope/x"),
            ("http://[::1]:80/a@b", "http://[::1]:80/a@b"),
            ("oci:///a:b@c", "oci:///a:b@c"),
            ("https://u:p@q@h", "https://u:xxxxx@h"),
            ("https://token@h/x.git", "https://xxxxx@h/x.git"),
            ("https://t:x-oauth-basic@h", "https://xxxxx@h"),
            ("ssh://git@h:22/x", "ssh://git@h:22/x"),
            ("SSH://git@h/x", "SSH://git@h/x"),
            ("ssh://git:pw@h/x", "ssh://git:xxxxx@h/x"),
            ("git@h:x", "git@h:x"),
            ("https://h/a@b", "https://h/a@b"),
            (
                "ADD [\"http://a:b@c\", \"http://d\", \"http://e:f@g/\"]",
                "ADD [\"http://a:xxxxx@c\", \"http://d\", \"http://e:xxxxx@g/\"]",
            ),
            ("://", "://"),
            ("://@", "://xxxxx@"),
            ("é://ü:ß@ö", "é://ü:xxxxx@ö"),
        ] {
            assert_eq!(masked(text), want, "{text}");
        }
    }
}
