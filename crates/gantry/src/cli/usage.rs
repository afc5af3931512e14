//! What is wrong with the words of a command, in Docker's words.

use gantry_model::quantity::counted;

use crate::exit;

/// A command that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UsageError {
    /// What is wrong.
    pub(crate) message: String,
    /// What was probably meant.
    pub(crate) suggestion: Option<String>,
    /// The usage line of the command, without the program's name.
    pub(crate) usage: Option<String>,
    /// The command as it was spelt, without the program's name.
    pub(crate) command: String,
    /// Whether the program's name stands before the message.
    pub(crate) prefixed: bool,
    /// Exit code.
    pub(crate) code: u8,
}

impl UsageError {
    /// A flag that is unknown, malformed or refused.
    pub(crate) fn flag(command: &str, usage: &str, message: String) -> Self {
        Self {
            message,
            suggestion: None,
            usage: Some(usage.to_owned()),
            command: command.to_owned(),
            prefixed: false,
            code: exit::BAD_FLAG,
        }
    }

    /// Too many or too few arguments, or an unknown command.
    pub(crate) fn words(command: &str, usage: Option<String>, message: String) -> Self {
        Self {
            message,
            suggestion: None,
            usage,
            command: command.to_owned(),
            prefixed: true,
            code: exit::BAD_USAGE,
        }
    }
}

/// How many arguments a command takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arity {
    /// This many.
    Exactly(usize),
    /// This many or more.
    AtLeast(usize),
    /// This many or fewer.
    AtMost(usize),
    /// From this to that many.
    Between(usize, usize),
}

impl Arity {
    /// Why `count` arguments are too many or too few for `name`, in Docker's words.
    pub(crate) fn complaint(self, name: &str, count: usize) -> Option<String> {
        let fits = match self {
            Self::Exactly(n) => count == n,
            Self::AtLeast(n) => count >= n,
            Self::AtMost(n) => count <= n,
            Self::Between(low, high) => (low..=high).contains(&count),
        };
        let words = |n: usize| counted(n, "argument");
        (!fits).then(|| match self {
            Self::Exactly(0) => format!("'{name}' accepts no arguments"),
            Self::Exactly(n) => format!("'{name}' requires {}", words(n)),
            Self::AtLeast(n) => format!("'{name}' requires at least {}", words(n)),
            Self::AtMost(n) => format!("'{name}' requires at most {}", words(n)),
            Self::Between(low, high) => {
                format!(
                    "'{name}' requires at least {low} and at most {}",
                    words(high)
                )
            }
        })
    }
}

/// The candidate that `word` was probably meant to be.
pub(crate) fn suggest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    // One slip in a short word, two in a longer one.
    let allowed = if word.chars().count() < 5 { 1 } else { 2 };
    let close = |candidate: &&str| {
        let distance = distance(word, candidate);
        (distance <= allowed && distance < candidate.chars().count()).then_some(distance)
    };
    candidates
        .into_iter()
        .filter_map(|candidate| close(&candidate).map(|distance| (distance, candidate)))
        .min()
        .map(|(_, candidate)| candidate)
}

/// Edit distance with transpositions of neighbours (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len().abs_diff(b.len()) > 2 {
        return usize::MAX;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let same = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (last[j] + 1).min(row[j - 1] + 1).min(last[j - 1] + same);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arities_complain_as_docker() {
        for (arity, count, want) in [
            (
                Arity::Exactly(0),
                1,
                Some("'gantry ps' accepts no arguments"),
            ),
            (
                Arity::Exactly(1),
                0,
                Some("'gantry ps' requires 1 argument"),
            ),
            (
                Arity::Exactly(2),
                1,
                Some("'gantry ps' requires 2 arguments"),
            ),
            (
                Arity::AtLeast(1),
                0,
                Some("'gantry ps' requires at least 1 argument"),
            ),
            (
                Arity::AtMost(1),
                2,
                Some("'gantry ps' requires at most 1 argument"),
            ),
            (
                Arity::Between(1, 2),
                3,
                Some("'gantry ps' requires at least 1 and at most 2 arguments"),
            ),
            (Arity::AtLeast(1), 3, None),
        ] {
            assert_eq!(arity.complaint("gantry ps", count).as_deref(), want);
        }
    }

    #[test]
    fn misspelt_words_are_recognised() {
        let words = ["run", "rm", "rmi", "images", "image", "inspect"];
        assert_eq!(suggest("rmm", words), Some("rm"));
        assert_eq!(suggest("inpsect", words), Some("inspect"));
        assert_eq!(suggest("imagess", words), Some("images"));
        assert_eq!(suggest("xyz", words), None);
        assert_eq!(suggest("foo", ["top"]), None);
        assert_eq!(suggest("a", ["b"]), None);
    }
}
