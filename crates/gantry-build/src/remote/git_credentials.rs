//! The caller's settings of credentials, narrowed to one server.
//!
//! A repository names the servers of its submodules itself. A helper that is set up for all of them
//! would answer whomever it names, so that each setting gets a key that means one server.

use gantry_http::address::authority;

/// The key that a setting `credential.NAME` or `credential.PATTERN.NAME` has when it is to hold for
/// the server of `address` (`scheme://host[:port]/…`) alone; `None` where it is for others.
///
/// Patterns are those of gitcredentials(7): `[scheme://][user@][host[:port]][/path]`, where a `*` in
/// the host stands for one of its labels.
pub(super) fn narrowed(key: &str, address: &str) -> Option<String> {
    let (scheme, _) = address.split_once("://")?;
    let host = authority(address);
    let rest = key.strip_prefix("credential.")?;
    let (pattern, name) = rest.rsplit_once('.').unwrap_or(("", rest));
    let pattern = match pattern.split_once("://") {
        Some((other, _)) if !other.eq_ignore_ascii_case(scheme) => return None,
        Some((_, pattern)) => pattern,
        None => pattern,
    };
    let (server, path) = pattern.split_at(pattern.find('/').unwrap_or(pattern.len()));
    let (user, meant) = server.split_at(server.rfind('@').map_or(0, |at| at + 1));
    let is_meant = meant.is_empty() || means(meant, host, scheme);
    is_meant.then(|| format!("credential.{scheme}://{user}{host}{path}.{name}"))
}

/// Whether `host[:port]` of a pattern means that of an address.
fn means(pattern: &str, host: &str, scheme: &str) -> bool {
    let usual = if scheme == "http" { "80" } else { "443" };
    let parts = |text| match str::rsplit_once(text, ':') {
        Some((name, "")) => (name, usual),
        // Else it is the end of an address of IPv6.
        Some((name, port)) if !port.contains(']') => (name, port),
        _ => (text, usual),
    };
    let ((pattern, wanted), (host, port)) = (parts(pattern), parts(host));
    let (patterns, labels) = (pattern.split('.'), host.split('.'));
    wanted == port
        && patterns.clone().count() == labels.clone().count()
        && patterns
            .zip(labels)
            .all(|(pattern, label)| pattern == "*" || pattern.eq_ignore_ascii_case(label))
}

#[cfg(test)]
mod tests {
    use super::narrowed;

    #[test]
    fn settings_mean_one_server() {
        let address = "https://git.e.org:8443/a/b.git";
        let this = "credential.https://git.e.org:8443";
        for (key, want) in [
            ("credential.helper", ".helper"),
            ("credential.usehttppath", ".usehttppath"),
            ("credential.https://git.e.org:8443.username", ".username"),
            ("credential.HTTPS://GIT.e.org:8443/a.helper", "/a.helper"),
            ("credential.https://*.e.org:8443.helper", ".helper"),
            ("credential.git.e.org:8443.helper", ".helper"),
            ("credential.https://.helper", ".helper"),
            ("credential./a/b.git.helper", "/a/b.git.helper"),
        ] {
            let want = format!("{this}{want}");
            assert_eq!(narrowed(key, address), Some(want), "{key}");
        }
        let user = narrowed("credential.https://me@git.e.org:8443.helper", address);
        let want = "credential.https://me@git.e.org:8443.helper";
        assert_eq!(user.as_deref(), Some(want));
        for key in [
            "credential.https://git.e.org.helper",
            "credential.http://git.e.org:8443.helper",
            "credential.https://e.org:8443.helper",
            "credential.https://*.org:8443.helper",
            "credential.https://other.e.org:8443.helper",
            "credential.other.helper",
            "core.editor",
        ] {
            assert_eq!(narrowed(key, address), None, "{key}");
        }
        for (key, address) in [
            ("credential.https://e.org:443.helper", "https://e.org/a"),
            ("credential.http://[::1].helper", "http://[::1]:80/a"),
        ] {
            assert!(narrowed(key, address).is_some(), "{key}");
        }
    }
}
