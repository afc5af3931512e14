//! What the address of a remote source means.
//!
//! BuildKit's forms: `http://` and `https://` are files, or git repositories where the path ends
//! with `.git`; `git://`, `ssh://` and `user@host:path` are git repositories. What follows `#` is
//! `reference:folder`; the query says the same by names, and more.

use gantry_dockerfile::mask::masked;
use gantry_http::address::{authority, is_web, small_scheme};
use gantry_model::digest::hex_encode;

/// A remote source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    /// A file.
    Http(String),
    /// A repository.
    Git(GitAddress),
}

/// A place in a git repository.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct GitAddress {
    /// What git is given.
    pub(crate) remote: String,
    /// Branch, tag, commit or full name of a reference.
    pub(crate) reference: Option<String>,
    /// What the commit must be, or begin with.
    pub(crate) commit: Option<String>,
    /// The folder that is wanted: absolute, `/` for all.
    pub(crate) folder: String,
    /// Whether `.git` stays, where the address says so.
    pub(crate) keep_git_dir: Option<bool>,
    /// Whether submodules are fetched, where the address says so.
    pub(crate) submodules: Option<bool>,
}

impl Address {
    /// What `text` is; `None` where it is something local.
    ///
    /// # Errors
    /// It is an address, and cannot be right; says why.
    pub(crate) fn parse(text: &str) -> Result<Option<Self>, String> {
        let text = small_scheme(text);
        let text = text.as_str();
        let scheme = text.split_once("://").map(|(scheme, _)| scheme);
        let is_repository = match scheme {
            Some("git" | "ssh") => true,
            Some("http" | "https") => {
                let path = text.split(['?', '#']).next().unwrap_or_default();
                path.ends_with(".git")
            }
            Some(_) => return Ok(None),
            None if is_scp(text) => true,
            None => return Ok(None),
        };
        if text.chars().any(|c| c.is_control() || c == ' ') {
            return Err("an address has no spaces and control characters".to_owned());
        }
        if scheme.is_some() {
            has_server(text)?;
        }
        if is_repository {
            GitAddress::parse(text).map(|address| Some(Self::Git(address)))
        } else {
            Ok(Some(Self::Http(text.to_owned())))
        }
    }

    /// The same for a build context, which may leave the scheme of GitHub out.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub(crate) fn of_context(text: &str) -> Result<Option<Self>, String> {
        match text.strip_prefix("github.com/") {
            Some(_) => {
                GitAddress::parse(&format!("https://{text}")).map(|git| Some(Self::Git(git)))
            }
            None => Self::parse(text),
        }
    }
}

/// Refuses an address without a host, and one whose password ends it too early.
fn has_server(text: &str) -> Result<(), String> {
    let host = authority(text);
    if host.is_empty() {
        return Err("the address has no host".to_owned());
    }
    match host.rsplit_once(':') {
        // The rest of an address of IPv6.
        Some((_, rest)) if rest.contains(']') => Ok(()),
        Some((_, port)) if !port.chars().all(|c| c.is_ascii_digit()) => Err(
            "the port of the address is not a number; in a user or password write `/` as %2F, \
             `?` as %3F, `#` as %23 and `@` as %40"
                .to_owned(),
        ),
        _ => Ok(()),
    }
}

/// Whether the address of a repository is one of ssh: by its scheme, or in the short form.
pub(crate) fn is_ssh(address: &str) -> bool {
    address.starts_with("ssh://") || !address.contains("://")
}

/// `user@host:path`, which is ssh.
fn is_scp(text: &str) -> bool {
    let is_plain = |part: &str| {
        !part.is_empty()
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    let Some((user, rest)) = text.split_once('@') else {
        return false;
    };
    let host = rest.split_once(':').map(|(host, _)| host);
    is_plain(user) && host.is_some_and(is_plain)
}

impl GitAddress {
    fn parse(text: &str) -> Result<Self, String> {
        let (rest, fragment) = text.split_once('#').unwrap_or((text, ""));
        // In the short form of ssh a question mark is part of the path.
        let (remote, query) = match rest.split_once('?') {
            Some(parts) if text.contains("://") => parts,
            _ => (rest, ""),
        };
        let (reference, folder) = fragment.split_once(':').unwrap_or((fragment, ""));
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let mut address = Self {
            remote: remote.to_owned(),
            reference: given(reference),
            ..Self::default()
        };
        let mut folder = given(folder);
        address.query(query, &mut folder)?;
        address.folder = crate::tree::clean(&folder.unwrap_or_default());
        address.checked()
    }

    fn query(&mut self, query: &str, folder: &mut Option<String>) -> Result<(), String> {
        let mut names = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_decoded(value)?;
            if names.contains(&name) {
                return Err(format!("query {name:?} has multiple values"));
            }
            names.push(name);
            let is_switch = matches!(name, "keep-git-dir" | "submodules");
            if value.is_empty() && !is_switch {
                return Err(format!("query {name:?} has no value"));
            }
            match name {
                "ref" => agree(&mut self.reference, value, "ref")?,
                "tag" => agree(&mut self.reference, full(&value, "refs/tags/"), "ref")?,
                "branch" => agree(&mut self.reference, full(&value, "refs/heads/"), "ref")?,
                "subdir" => agree(folder, value, "subdir")?,
                "commit" | "checksum" => agree(&mut self.commit, value, "commit")?,
                "keep-git-dir" => self.keep_git_dir = Some(switch(name, &value)?),
                "submodules" => self.submodules = Some(switch(name, &value)?),
                // The time of the commit is what all files get, and a commit is what is fetched.
                "mtime" if value == "commit" => {}
                "fetch-by-commit" => drop(switch(name, &value)?),
                "mtime" => {
                    return Err(format!(
                        "mtime={value} is not supported: files have the time of their commit"
                    ));
                }
                _ => return Err(format!("unexpected query {name:?}")),
            }
        }
        Ok(())
    }

    /// Refuses what git could take for something else.
    fn checked(mut self) -> Result<Self, String> {
        // Git decodes the host before ssh gets it.
        let host = percent_decoded(authority(&self.remote))?;
        if self.remote.starts_with('-') || host.starts_with('-') {
            return Err("a host does not begin with a dash".to_owned());
        }
        if !is_web(&self.remote)
            && let Some((user, password)) = split_user(&self.remote).0
        {
            if user.starts_with('-') {
                return Err("a user does not begin with a dash".to_owned());
            }
            if !password.is_empty() {
                return Err(
                    "ssh and git take no password from an address: take it out; \
                     keys come from an agent (--ssh default)"
                        .to_owned(),
                );
            }
        }
        let path = self.remote.split_once(':').map_or("", |(_, path)| path);
        if path.starts_with('-') {
            return Err("a path does not begin with a dash".to_owned());
        }
        if let Some(commit) = &self.commit {
            let is_hex = commit.chars().all(|c| c.is_ascii_hexdigit());
            if !is_hex || !(7..=64).contains(&commit.len()) {
                return Err(format!("{commit:?} is not the name of a commit"));
            }
            if self.reference.is_none() {
                if !is_commit(commit) {
                    return Err(format!(
                        "the short commit {commit} needs a branch, tag or ref to look on"
                    ));
                }
                self.reference = Some(commit.clone());
            }
        }
        if let Some(reference) = &self.reference {
            let is_odd = |c: char| c.is_control() || " ~^:?*[\\".contains(c);
            if reference.starts_with(['-', '/'])
                || reference.contains("..")
                || reference.contains(is_odd)
            {
                return Err(format!(
                    "{reference:?} is not the name of a branch, tag or commit"
                ));
            }
        }
        Ok(self)
    }
}

/// Whether this is the whole name of a commit.
pub(crate) fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.chars().all(|c| c.is_ascii_hexdigit())
}

fn full(name: &str, prefix: &str) -> String {
    if name.starts_with(prefix) {
        name.to_owned()
    } else {
        format!("{prefix}{name}")
    }
}

/// Sets what may be said twice only if it is said alike.
fn agree(slot: &mut Option<String>, value: String, what: &str) -> Result<(), String> {
    match slot {
        Some(known) if *known != value => Err(format!("{what} conflicts: {known:?} vs {value:?}")),
        _ => {
            *slot = Some(value);
            Ok(())
        }
    }
}

fn switch(name: &str, value: &str) -> Result<bool, String> {
    match value {
        "" | "1" | "t" | "T" | "true" | "True" | "TRUE" => Ok(true),
        "0" | "f" | "F" | "false" | "False" | "FALSE" => Ok(false),
        _ => Err(format!("invalid {name} value: {value:?}")),
    }
}

/// Where an answer of `base` that names another place leads; to HTTP and HTTPS only.
///
/// # Errors
/// It leads elsewhere; says where.
pub(crate) fn redirected(base: &str, location: &str) -> Result<String, String> {
    let (scheme, rest) = base.split_once("://").unwrap_or(("http", base));
    if is_web(location) {
        return Ok(small_scheme(location));
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, path) = rest.split_at(end);
    if let Some(other) = location.strip_prefix("//") {
        return Ok(format!("{scheme}://{other}"));
    }
    if location.starts_with('/') {
        return Ok(format!("{scheme}://{host}{location}"));
    }
    let first = location.split(['/', '?', '#']).next().unwrap_or_default();
    if location.is_empty() || first.contains(':') {
        return Err(format!(
            "it leads to {location:?}, which is neither HTTP nor HTTPS"
        ));
    }
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let folder = path.rfind('/').map_or("/", |at| &path[..=at]);
    Ok(format!("{scheme}://{host}{folder}{location}"))
}

/// The name that a downloaded file gets: the last one of the path, as in BuildKit.
pub(crate) fn file_name(address: &str) -> String {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let path = rest.split(['?', '#']).next().unwrap_or_default();
    let path = path.split_once('/').map_or("", |(_, path)| path);
    let path = percent_decoded(path).unwrap_or_else(|_| path.to_owned());
    let name = path
        .trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or_default();
    if matches!(name, "" | "." | "..") || name.contains('\0') || name.len() > 255 {
        "__unnamed__".to_owned()
    } else {
        name.to_owned()
    }
}

fn percent_decoded(text: &str) -> Result<String, String> {
    let wrong = || format!("{text:?} is not well encoded");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = rest
            .get(..2)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.filter(|digits| digits.chars().all(|c| c.is_ascii_hexdigit()));
        let byte = byte.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.ok_or_else(wrong)?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

/// An address as messages show it: without the password that may stand in it.
pub(crate) fn shown(address: &str) -> String {
    masked(address).into_owned()
}

/// User and password of an address, decoded, and the address without them.
pub(crate) fn split_user(address: &str) -> (Option<(String, String)>, String) {
    let nobody = || (None, address.to_owned());
    let Some((scheme, rest)) = address.split_once("://") else {
        return nobody();
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let Some((user, host)) = rest[..end].rsplit_once('@') else {
        return nobody();
    };
    let (user, password) = user.split_once(':').unwrap_or((user, ""));
    let plain = |text: &str| percent_decoded(text).unwrap_or_else(|_| text.to_owned());
    let bare = format!("{scheme}://{host}{}", &rest[end..]);
    (Some((plain(user), plain(password))), bare)
}

/// A text that stands for an address where the address itself may hold a password.
pub(crate) fn fingerprint(address: &str) -> String {
    hex_encode(&blake3::hash(address.as_bytes()).as_bytes()[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn git(text: &str) -> GitAddress {
        match Address::parse(text) {
            Ok(Some(Address::Git(address))) => address,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn what_is_local_and_what_is_not() {
        for text in [
            ".",
            "./x.git",
            "/srv/x.git",
            "x.git",
            "file:///x.git",
            "C:x",
            "a@b/c:d",
            "",
        ] {
            assert_eq!(Address::parse(text), Ok(None), "{text}");
        }
        for (text, want) in [
            ("https://e.org:1/x.tar.gz", "https://e.org:1/x.tar.gz"),
            ("HTTP://e.org/X", "http://e.org/X"),
            ("https://[::1]/x.git/y", "https://[::1]/x.git/y"),
        ] {
            let http = Address::Http(want.to_owned());
            assert_eq!(Address::parse(text), Ok(Some(http)), "{text}");
        }
        assert_eq!(git("HTTPS://t@e.org/a.git").remote, "https://t@e.org/a.git");
        assert_eq!(git("SSH://git@e.org/a").remote, "ssh://git@e.org/a");
        assert_eq!(Address::parse("github.com/a/b"), Ok(None));
        let Ok(Some(Address::Git(address))) = Address::of_context("github.com/a/b#:c") else {
            panic!("a repository")
        };
        assert_eq!(
            (&*address.remote, &*address.folder),
            ("https://github.com/a/b", "/c")
        );
    }

    #[test]
    fn parts_of_a_git_address() {
        let table = [
            ("https://e.org/a.git", "https://e.org/a.git", None, "/"),
            (
                "https://e.org/a.git#v1",
                "https://e.org/a.git",
                Some("v1"),
                "/",
            ),
            (
                "git://e.org/a#:sub/./dir/",
                "git://e.org/a",
                None,
                "/sub/dir",
            ),
            (
                "git@e.org:a/b.git#main:x",
                "git@e.org:a/b.git",
                Some("main"),
                "/x",
            ),
            (
                "ssh://git@e.org:22/a#b:../../c",
                "ssh://git@e.org:22/a",
                Some("b"),
                "/c",
            ),
            (
                "https://e.org/a.git?tag=v1&subdir=x%20y",
                "https://e.org/a.git",
                Some("refs/tags/v1"),
                "/x y",
            ),
            (
                "https://e.org/a.git?branch=m#refs/heads/m",
                "https://e.org/a.git",
                Some("refs/heads/m"),
                "/",
            ),
        ];
        for (text, remote, reference, folder) in table {
            let address = git(text);
            assert_eq!(address.remote, remote, "{text}");
            assert_eq!(address.reference.as_deref(), reference, "{text}");
            assert_eq!(address.folder, folder, "{text}");
        }
        let address = git("https://e.org/a.git?keep-git-dir&submodules=false&ref=x&commit=abcdef1");
        assert_eq!(
            (address.keep_git_dir, address.submodules),
            (Some(true), Some(false))
        );
        assert_eq!(address.commit.as_deref(), Some("abcdef1"));
        let commit = "0123456789abcdef0123456789abcdef01234567";
        let address = git(&format!("https://e.org/a.git?commit={commit}"));
        assert_eq!(address.reference.as_deref(), Some(commit));
    }

    #[test]
    fn what_git_could_misunderstand_is_refused() {
        for text in [
            "https://e.org/a.git#--upload-pack=x",
            "https://e.org/a.git#a..b",
            "https://e.org/a.git#a b",
            "https://e.org/a.git?ref=%2D-x",
            "https://e.org/a.git?ref=a%0Ab",
            "https://e.org/a.git?ref=a#b",
            "https://e.org/a.git?tag=a&branch=b",
            "https://e.org/a.git?ref=a&ref=a",
            "https://e.org/a.git?what=x",
            "https://e.org/a.git?subdir=",
            "https://e.org/a.git?submodules=maybe",
            "https://e.org/a.git?ref=x&commit=xyz",
            "https://e.org/a.git?commit=abcdef1",
            "https://e.org/a.git?mtime=checkout",
            "https://e.org/a.git?ref=%zz",
            "ssh://-oProxyCommand=x/a",
            "ssh://-oProxyCommand=x@127.0.0.1:1/a.git",
            "ssh://%2DoProxyCommand=x@127.0.0.1:1/a.git",
            "SSH://%2DoProxyCommand=x/a",
            "git@h:-oX",
            "git://-x/a",
            "https:///a.git",
            "https://e.org/a b.git",
            "git@e.org:a\n.git",
        ] {
            assert!(Address::parse(text).is_err(), "{text}");
        }
        for text in [
            "https://u:s3c/r3t@h/a.git",
            "https://u:s3c#r3t@h/a.git",
            "https://u:s3c?r3t@h/a",
        ] {
            let refused = Address::parse(text).map(|_| ()).unwrap_err();
            assert!(refused.contains("%2F"), "{refused}");
            assert!(!refused.contains("r3t"), "{refused}");
        }
        assert_eq!(
            Address::parse("-x@host:a"),
            Err("a host does not begin with a dash".to_owned())
        );
        assert_eq!(
            Address::parse("x@-host:a").map(|_| ()),
            Err("a host does not begin with a dash".to_owned())
        );
    }

    #[test]
    fn names_of_files() {
        for (address, want) in [
            ("https://e.org/a/b.tar.gz?x=/y#z", "b.tar.gz"),
            ("https://e.org/a/", "a"),
            ("https://e.org", "__unnamed__"),
            ("https://e.org/?q=x", "__unnamed__"),
            ("https://e.org/a%2F..%2Fb", "b"),
            ("https://e.org/a%2F..", "__unnamed__"),
            ("https://e.org/%zz", "%zz"),
        ] {
            assert_eq!(file_name(address), want, "{address}");
        }
    }

    #[test]
    fn answers_lead_to_the_web_only() {
        let base = "https://e.org:1/a/b?c#d";
        for (location, want) in [
            ("HTTP://x/Y", "http://x/Y"),
            ("//x/y", "https://x/y"),
            ("/y", "https://e.org:1/y"),
            ("y?z:1", "https://e.org:1/a/y?z:1"),
        ] {
            assert_eq!(redirected(base, location).as_deref(), Ok(want));
        }
        for location in ["file:///etc/passwd", "FTP://x", "data:,x", "", "c:y"] {
            assert!(redirected(base, location).is_err(), "{location}");
        }
        assert_eq!(redirected("http://x", "y").as_deref(), Ok("http://x/y"));
    }

    #[test]
    fn passwords_are_not_shown() {
        assert_eq!(shown("https://u:p/q@h/x"), "https://u:xxxxx@h/x");
        assert_eq!(shown("https://h/x@y"), "https://h/x@y");
        let (user, bare) = split_user("https://u:p%40q@h:1/x");
        assert_eq!(user, Some(("u".to_owned(), "p@q".to_owned())));
        assert_eq!(bare, "https://h:1/x");
        assert_eq!(split_user("git@h:x").0, None);
    }
}
