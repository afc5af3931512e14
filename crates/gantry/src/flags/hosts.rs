//! `--add-host`, `--dns` and their like.

use std::net::IpAddr;

/// `NAME:ADDRESS` or `NAME=ADDRESS`; the address may be in brackets, or `host-gateway`.
pub(crate) fn split(text: &str) -> Result<(String, String), String> {
    let bad = || "bad format for add-host, expected NAME:ADDRESS".to_owned();
    let (name, address) = text
        .split_once('=')
        .or_else(|| text.split_once(':'))
        .ok_or_else(bad)?;
    if name.is_empty() || name.contains(char::is_whitespace) {
        return Err(bad());
    }
    let address = match address.strip_prefix('[').and_then(|a| a.strip_suffix(']')) {
        Some(inner) if inner.contains(':') => inner,
        _ => address,
    };
    if address != "host-gateway" && address.parse::<IpAddr>().is_err() {
        return Err(format!("invalid IP address in add-host: {address:?}"));
    }
    Ok((name.to_owned(), address.to_owned()))
}

/// The address of a name server.
pub(crate) fn name_server(text: &str) -> Result<String, String> {
    text.trim()
        .parse::<IpAddr>()
        .map(|a| a.to_string())
        .map_err(|_| format!("{text} is not an ip address"))
}

/// A search domain; `.` alone means none.
pub(crate) fn search_domain(text: &str) -> Result<String, String> {
    let text = text.trim();
    let label = |l: &str| {
        !l.is_empty()
            && l.len() <= 63
            && !l.starts_with('-')
            && !l.ends_with('-')
            && l.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    if text == "." || (text.len() <= 255 && text.trim_end_matches('.').split('.').all(label)) {
        Ok(text.to_owned())
    } else {
        Err(format!("{text} is not a valid domain"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_split() {
        for (text, want) in [
            ("db:10.0.0.1", Ok(("db", "10.0.0.1"))),
            ("db=10.0.0.1", Ok(("db", "10.0.0.1"))),
            ("db:::1", Ok(("db", "::1"))),
            ("db=[::1]", Ok(("db", "::1"))),
            (
                "host.docker.internal:host-gateway",
                Ok(("host.docker.internal", "host-gateway")),
            ),
            ("db", Err(())),
            (":1.2.3.4", Err(())),
            ("db:nonsense", Err(())),
        ] {
            let got = split(text);
            let got = got
                .as_ref()
                .map(|(n, a)| (n.as_str(), a.as_str()))
                .map_err(|_| ());
            assert_eq!(got, want, "{text}");
        }
    }

    #[test]
    fn domains_are_checked() {
        assert!(search_domain(".").is_ok());
        assert!(search_domain("a.example").is_ok());
        assert!(search_domain("a..b").is_err());
        assert!(search_domain("-a").is_err());
        assert!(name_server("::1").is_ok());
        assert!(name_server("one").is_err());
    }
}
