//! The patterns of `--filter reference=…`: Go's `path.Match` on names as people write them.

use gantry_model::Reference;

/// Whether a reference fits a pattern: its short form with or without the tag, or a whole
/// number of the last parts of either (`reference=box` does not fit `busybox`, `*/x` fits `a/x`).
pub(crate) fn fits(pattern: &str, reference: &Reference) -> bool {
    let name = reference.familiar_name();
    let whole = reference.familiar();
    matches(pattern.as_bytes(), name.as_bytes()) || matches(pattern.as_bytes(), whole.as_bytes())
}

/// Go's `path.Match`: `*` and `?` do not cross a slash, `[a-z]` and `[^a-z]` are classes, `\`
/// quotes. A malformed pattern fits nothing.
pub(crate) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    // The last star and the place it is tried at: enough, because a later star makes an
    // earlier one's choice irrelevant.
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        if p < pattern.len() && pattern[p] == b'*' {
            retry = Some((p + 1, t));
            p += 1;
            continue;
        }
        if p == pattern.len() && t == text.len() {
            return true;
        }
        let step = if t < text.len() {
            one(&pattern[p..], text[t])
        } else {
            None
        };
        if let Some(length) = step {
            p += length;
            t += 1;
            continue;
        }
        match retry {
            Some((after, at)) if at < text.len() && text[at] != b'/' => {
                retry = Some((after, at + 1));
                (p, t) = (after, at + 1);
            }
            _ => return false,
        }
    }
}

/// How much of the pattern fits this one byte.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match *pattern.first()? {
        b'?' => (byte != b'/').then_some(1),
        b'\\' => (*pattern.get(1)? == byte).then_some(2),
        b'[' => class(pattern, byte),
        literal => (literal == byte).then_some(1),
    }
}

fn class(pattern: &[u8], byte: u8) -> Option<usize> {
    let mut at = 1;
    let negated = pattern.get(at) == Some(&b'^');
    at += usize::from(negated);
    let mut hit = false;
    let first = at;
    while at == first || *pattern.get(at)? != b']' {
        let low = bound(pattern, &mut at)?;
        let high = if pattern.get(at) == Some(&b'-') {
            at += 1;
            bound(pattern, &mut at)?
        } else {
            low
        };
        hit |= (low..=high).contains(&byte);
    }
    (hit != negated && byte != b'/').then_some(at + 1)
}

fn bound(pattern: &[u8], at: &mut usize) -> Option<u8> {
    if pattern.get(*at) == Some(&b'\\') {
        *at += 1;
    }
    let byte = *pattern.get(*at)?;
    *at += 1;
    Some(byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_gos_path_match() {
        for (pattern, text, want) in [
            ("abc", "abc", true),
            ("*", "abc", true),
            ("*c", "abc", true),
            ("a*", "abc", true),
            ("a*", "ab/c", false),
            ("a*/b", "abc/b", true),
            ("a*b*c*d*e*/f", "axbxcxdxe/f", true),
            ("a*b*c*d*e*/f", "axbxcxdxexxx/fff", false),
            ("a*b?c*x", "abxbbxdbxebxczzx", true),
            ("ab[c]", "abc", true),
            ("ab[b-d]", "abc", true),
            ("ab[e-g]", "abc", false),
            ("ab[^e-g]", "abc", true),
            ("a\\*b", "a*b", true),
            ("a?b", "a/b", false),
            ("[", "a", false),
            ("[]a]", "a", true),
            ("", "", true),
            ("*:1*", "busybox:1.36", true),
            ("busy*:*", "busybox:latest", true),
        ] {
            assert_eq!(
                matches(pattern.as_bytes(), text.as_bytes()),
                want,
                "{pattern} {text}"
            );
        }
    }

    #[test]
    fn short_names_count() {
        let reference: Reference = "docker.io/library/busybox:1.36".parse().unwrap();
        assert!(fits("busybox", &reference) && fits("busy*:1*", &reference));
        assert!(!fits("box", &reference) && !fits("docker.io/library/busybox", &reference));
    }
}
