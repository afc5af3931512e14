//! `/etc/subuid` and `/etc/subgid` (subuid(5)): parsing only.

/// A range of IDs that belongs to a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) first: u32,
    pub(super) count: u32,
}

/// The ranges of a user, who may be named or numbered; lines that do not have the form are
/// skipped, as the helpers do.
pub(super) fn ranges(text: &str, name: Option<&str>, uid: u32) -> Vec<Range> {
    let number = uid.to_string();
    text.lines()
        .filter_map(|line| {
            let mut fields = line.split(':');
            let owner = fields.next()?;
            let first: u32 = fields.next()?.trim().parse().ok()?;
            let count: u32 = fields.next()?.trim().parse().ok()?;
            let own = Some(owner) == name || owner == number;
            let fits = count > 0 && first.checked_add(count).is_some();
            (own && fits && fields.next().is_none()).then_some(Range { first, count })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_a_user() {
        let text = "joe:100000:65536\n1000:300000:10\nann:1:1\njoe:x:1\njoe:5:0\njoe:4294967295:1\n\n\
                    joe:1:2:3\n";
        let found = ranges(text, Some("joe"), 1000);
        let range = |first, count| Range { first, count };
        assert_eq!(found, [range(100_000, 65536), range(300_000, 10)]);
        assert!(ranges(text, None, 7).is_empty());
    }
}
