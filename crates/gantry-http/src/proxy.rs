//! Proxies as the usual variables give them (`HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY`,
//! `NO_PROXY`, in either case), with Go's meaning, which Docker's users know.

use ureq::Proxy;

use crate::address::{authority, is_loopback};
use crate::{Environment, Unusable};

/// The proxy for an address (`scheme://host[:port]`), if it is not to be reached directly.
///
/// What is redirected elsewhere goes through the same proxy, or past it where `NO_PROXY` names
/// that host.
///
/// # Errors
/// The variable does not hold the address of a proxy.
pub fn proxy(environment: &Environment, base: &str) -> Result<Option<Proxy>, Unusable> {
    let variable = |name: &str| variable(environment, name);
    let own = if base.starts_with("http://") {
        "HTTP_PROXY"
    } else {
        "HTTPS_PROXY"
    };
    let Some(address) = variable(own).or_else(|| variable("ALL_PROXY")) else {
        return Ok(None);
    };
    let none = variable("NO_PROXY").unwrap_or_default();
    if is_loopback(authority(base)) || bypassed(none, authority(base)) {
        return Ok(None);
    }
    let settings = |error: ureq::Error| Unusable {
        // Without the name and password that may stand in it.
        what: format!("the proxy {}", authority(address)),
        reason: error.to_string(),
    };
    let parsed = Proxy::new(address).map_err(settings)?;
    let mut builder = Proxy::builder(parsed.protocol())
        .host(parsed.host())
        .port(parsed.port());
    if let Some(user) = parsed.username() {
        builder = builder.username(user);
    }
    if let Some(password) = parsed.password() {
        builder = builder.password(password);
    }
    for host in entries(none) {
        let bare = host.trim_start_matches("*.").trim_start_matches('.');
        if bare == host {
            builder = builder.no_proxy(host);
        }
        builder = builder.no_proxy(&format!(".{bare}"));
    }
    for host in ["localhost", "127.0.0.1", "[::1]"] {
        builder = builder.no_proxy(host);
    }
    builder.build().map(Some).map_err(settings)
}

/// A variable that is not empty, by its name in capitals or, failing that, in small letters.
#[must_use]
pub fn variable<'e>(environment: &'e Environment, name: &str) -> Option<&'e str> {
    let value = |name: &str| environment.get(name).filter(|value| !value.is_empty());
    value(name)
        .or_else(|| value(&name.to_ascii_lowercase()))
        .map(String::as_str)
}

fn entries(list: &str) -> impl Iterator<Item = &str> {
    list.split(',')
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
}

/// Whether a host is one of a list's: a name means itself and all below it, `.name` only what is
/// below, `a.b.c.d/n` a network; with a port it counts for that port only; `*` is everything.
fn bypassed(list: &str, authority: &str) -> bool {
    let (host, port) = split_port(authority);
    let host = host.to_ascii_lowercase();
    entries(list).any(|entry| {
        if entry == "*" {
            return true;
        }
        if let Some((network, bits)) = entry.split_once('/') {
            return in_network(&host, network, bits).unwrap_or(false);
        }
        let (name, wanted) = split_port(entry);
        if wanted.is_some() && wanted != port {
            return false;
        }
        let name = name.to_ascii_lowercase();
        let below = name.trim_start_matches("*.").trim_start_matches('.');
        (below == name && host == name)
            || host
                .strip_suffix(below)
                .is_some_and(|rest| rest.ends_with('.'))
    })
}

fn split_port(authority: &str) -> (&str, Option<&str>) {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').unwrap_or((rest, ""));
        return (host, rest.strip_prefix(':'));
    }
    match authority.split_once(':') {
        // More than one colon: an address of version 6 without its brackets.
        Some((host, port)) if !port.contains(':') => (host, Some(port)),
        _ => (authority, None),
    }
}

fn in_network(host: &str, network: &str, bits: &str) -> Option<bool> {
    use std::net::IpAddr::{V4, V6};
    let bits: u32 = bits.parse().ok()?;
    let equal = |one: u128, other: u128, width: u32| {
        let shift = width.checked_sub(bits)?;
        Some(shift == width || one >> shift == other >> shift)
    };
    match (host.parse().ok()?, network.parse().ok()?) {
        (V4(one), V4(other)) => equal(one.to_bits().into(), other.to_bits().into(), 32),
        // A shift by all bits is none that a number can do: `equal` knows that case.
        (V6(one), V6(other)) => equal(one.to_bits(), other.to_bits(), 128),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn no_proxy_means_what_it_means_to_docker() {
        for (list, host, want) in [
            ("example.com", "example.com", true),
            ("example.com", "a.example.com:5000", true),
            ("example.com", "badexample.com", false),
            (".example.com", "example.com", false),
            (".example.com, other", "a.example.com", true),
            ("*.example.com", "a.EXAMPLE.com", true),
            ("example.com:5000", "example.com:5000", true),
            ("example.com:5000", "example.com", false),
            ("*", "anything", true),
            ("10.0.0.0/8", "10.1.2.3:5000", true),
            ("10.0.0.0/8", "11.1.2.3", false),
            ("0.0.0.0/0", "8.8.8.8", true),
            ("fd00::/8", "[fd12::1]:443", true),
            ("fd00::1", "[fd00::1]:443", true),
            ("10.0.0.0/99", "10.0.0.1", false),
            ("", "a", false),
            (",,", "a", false),
        ] {
            assert_eq!(bypassed(list, host), want, "{list} {host}");
        }
    }

    #[test]
    fn the_right_variable_counts() {
        let environment: BTreeMap<String, String> = [
            ("HTTP_PROXY", ""),
            ("http_proxy", "http://u:p%40@one:1"),
            ("HTTPS_PROXY", "socks5://two:2"),
            ("NO_PROXY", "direct.example"),
        ]
        .map(|(n, v)| (n.to_owned(), v.to_owned()))
        .into();
        let host = |base: &str| {
            proxy(&environment, base)
                .unwrap()
                .map(|p| format!("{}:{}", p.host(), p.port()))
        };
        assert_eq!(host("http://r.example").as_deref(), Some("one:1"));
        assert_eq!(host("https://r.example").as_deref(), Some("two:2"));
        assert_eq!(host("https://direct.example:5000"), None);
        assert_eq!(host("http://127.0.0.1:5000"), None);
        let odd = BTreeMap::from([("ALL_PROXY".to_owned(), "gopher://me:secret@x".to_owned())]);
        let error = proxy(&odd, "https://r").unwrap_err().to_string();
        assert!(error.contains(" x") && !error.contains("secret"), "{error}");
    }
}
