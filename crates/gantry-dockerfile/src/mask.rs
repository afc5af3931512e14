//! Texts as others may see them: without the passwords of the addresses in them.

use std::borrow::Cow;

/// What stands in the place of a password, as in BuildKit.
const MASK: &str = "xxxxx";
/// The password of GitHub's addresses whose user is the token.
const NO_PASSWORD: &str = "x-oauth-basic";

/// The text, its passwords masked: those of `scheme://user:password@host`, and a user alone, which
/// is a token, unless the scheme is that of ssh.
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
        let end = behind
            .find(|c: char| c.is_whitespace() || "/?#\"'`".contains(c))
            .unwrap_or(behind.len());
        let Some((user, _)) = behind[..end].rsplit_once('@') else {
            out.push_str(before);
            rest = behind;
            continue;
        };
        out.push_str(before);
        let is_ssh = before[..found].ends_with("ssh");
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

#[cfg(test)]
mod tests {
    use super::masked;

    #[test]
    fn passwords_and_tokens_are_masked_and_nothing_else() {
        for (text, want) in [
            ("https://u:p@h/x?a@b", "https://u:xxxxx@h/x?a@b"),
            ("https://u:p@q@h", "https://u:xxxxx@h"),
            ("https://token@h/x.git", "https://xxxxx@h/x.git"),
            ("https://t:x-oauth-basic@h", "https://xxxxx@h"),
            ("ssh://git@h:22/x", "ssh://git@h:22/x"),
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
