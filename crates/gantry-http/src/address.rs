//! What the parts of an address are.

/// `host[:port]` of an address or of what is such a pair already; names and passwords left out.
#[must_use]
pub fn authority(address: &str) -> &str {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let whole = rest.split(['/', '?', '#']).next().unwrap_or_default();
    whole.rsplit('@').next().unwrap_or_default()
}

/// Whether an address is one of HTTP or HTTPS.
#[must_use]
pub fn is_web(address: &str) -> bool {
    let scheme = address.split_once("://").map_or("", |(scheme, _)| scheme);
    ["http", "https"]
        .iter()
        .any(|web| scheme.eq_ignore_ascii_case(web))
}

/// The address with its scheme in small letters, as all that compare it expect.
#[must_use]
pub fn small_scheme(address: &str) -> String {
    match address.split_once("://") {
        Some((scheme, rest)) => format!("{}://{rest}", scheme.to_ascii_lowercase()),
        None => address.to_owned(),
    }
}

/// Whether `host[:port]` is on this machine, where plain HTTP is as good as any.
#[must_use]
pub fn is_loopback(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// Scheme and authority are the same.
#[must_use]
pub fn same_origin(one: &str, other: &str) -> bool {
    let origin = |address: &str| {
        let (scheme, _) = address.split_once("://").unwrap_or(("", address));
        (
            scheme.to_ascii_lowercase(),
            authority(address).to_ascii_lowercase(),
        )
    };
    origin(one) == origin(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_scheme_and_authority() {
        assert!(same_origin("https://a", "https://A/x?y"));
        assert!(!same_origin("https://a", "http://a/"));
        assert!(!same_origin("https://a", "https://a.b/"));
        assert!(!same_origin("https://a:1", "https://a:2/"));
    }

    #[test]
    fn schemes_have_no_case() {
        for yes in ["http://x", "HTTPS://x"] {
            assert!(is_web(yes), "{yes}");
        }
        for no in ["httpx://x", "http@host:x", "ssh://x", "x"] {
            assert!(!is_web(no), "{no}");
        }
        assert_eq!(small_scheme("HTTPS://U@H/X"), "https://U@H/X");
        assert_eq!(small_scheme("Git@H:X"), "Git@H:X");
    }

    #[test]
    fn an_authority_has_no_password() {
        for (address, want) in [
            ("https://u:p@host:1/x@y", "host:1"),
            ("host?x", "host"),
            ("http://[::1]:80#f", "[::1]:80"),
        ] {
            assert_eq!(authority(address), want);
        }
    }

    #[test]
    fn loopback_is_recognised() {
        for yes in [
            "localhost",
            "localhost:5000",
            "127.0.0.1",
            "127.9.9.9:1",
            "[::1]:5000",
        ] {
            assert!(is_loopback(yes), "{yes}");
        }
        for no in [
            "localhost.example",
            "10.0.0.1:5000",
            "127.0.0.1.example",
            "[::2]:1",
        ] {
            assert!(!is_loopback(no), "{no}");
        }
    }
}
