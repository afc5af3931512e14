//! Versions.

use std::cmp::Ordering;

use super::{Answer, Function, Parameter, Problem, text};
use crate::surroundings::Surroundings;
use crate::value::Value;

pub(super) const FUNCTIONS: &[Function] = &[Function {
    name: "semvercmp",
    parameters: &[Parameter::text("version"), Parameter::text("constraint")],
    rest: None,
    run: satisfies,
}];

/// A version (semver.org): three numbers and what comes before a release.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Version {
    numbers: [u64; 3],
    /// How many of the numbers were written.
    written: usize,
    before: Vec<String>,
}

impl Version {
    /// Numbers that are missing or `x` are nought.
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim().trim_start_matches('v');
        let text = text.split_once('+').map_or(text, |(version, _)| version);
        let (numbers, before) = text.split_once('-').unwrap_or((text, ""));
        let mut version = Self {
            numbers: [0; 3],
            written: 0,
            before: before
                .split('.')
                .filter(|part| !part.is_empty())
                .map(String::from)
                .collect(),
        };
        for part in numbers.split('.') {
            if matches!(part, "x" | "X" | "*") {
                break;
            }
            *version.numbers.get_mut(version.written)? = part.parse().ok()?;
            version.written += 1;
        }
        Some(version)
    }

    fn order(&self, other: &Self) -> Ordering {
        let release = self.before.is_empty().cmp(&other.before.is_empty());
        self.numbers
            .cmp(&other.numbers)
            .then(release)
            .then_with(|| {
                let pairs = self.before.iter().zip(&other.before);
                let mut parts =
                    pairs.map(
                        |(left, right)| match (left.parse::<u64>(), right.parse::<u64>()) {
                            (Ok(left), Ok(right)) => left.cmp(&right),
                            (Ok(_), Err(_)) => Ordering::Less,
                            (Err(_), Ok(_)) => Ordering::Greater,
                            (Err(_), Err(_)) => left.cmp(right),
                        },
                    );
                let first = parts.find(|order| order.is_ne());
                first.unwrap_or_else(|| self.before.len().cmp(&other.before.len()))
            })
    }

    /// The first version that has a larger number at this place.
    fn beyond(&self, place: usize) -> Self {
        let mut numbers = self.numbers;
        for number in numbers.iter_mut().skip(place + 1) {
            *number = 0;
        }
        if let Some(number) = numbers.get_mut(place) {
            *number = number.saturating_add(1);
        }
        Self {
            numbers,
            written: 3,
            before: Vec::new(),
        }
    }
}

/// `>= 1.2, < 2 || ^3`
fn satisfies(_: &Surroundings, arguments: &[Value]) -> Answer {
    let wrong = || Problem::at(0, format!("{:?} is no version", text(arguments, 0)));
    let version = Version::parse(text(arguments, 0)).ok_or_else(wrong)?;
    for alternative in text(arguments, 1).split("||") {
        let mut all = true;
        for condition in conditions(alternative) {
            let wrong = || Problem::at(1, format!("{condition:?} is no condition on a version"));
            all &= holds(&version, &condition).ok_or_else(wrong)?;
        }
        if all {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}

/// The conditions of one alternative: separated by commas or spaces, `1 - 2` is two.
fn conditions(text: &str) -> Vec<String> {
    if let Some((from, to)) = text.split_once(" - ") {
        return vec![format!(">={}", from.trim()), format!("<={}", to.trim())];
    }
    let mut all: Vec<String> = Vec::new();
    for word in text.split([',', ' ']).filter(|word| !word.is_empty()) {
        match all.last_mut() {
            // An operator may stand apart from its version.
            Some(last) if !last.contains(|c: char| c.is_alphanumeric() || c == '*') => {
                last.push_str(word);
            }
            _ => all.push(word.to_owned()),
        }
    }
    all
}

fn holds(version: &Version, condition: &str) -> Option<bool> {
    let start = condition.find(|letter: char| !"=<>!~^".contains(letter))?;
    let (operator, wanted) = condition.split_at(start);
    let wanted = Version::parse(wanted)?;
    // A version before a release satisfies only what names one.
    if !version.before.is_empty() && wanted.before.is_empty() {
        return Some(false);
    }
    let order = version.order(&wanted);
    let within = |place: usize| order.is_ge() && version.order(&wanted.beyond(place)).is_lt();
    let partly = wanted.written < 3;
    let same = match wanted.written {
        0 => true,
        1 | 2 => within(wanted.written - 1),
        _ => order.is_eq(),
    };
    Some(match operator {
        "" | "=" | "==" => same,
        "!=" => !same,
        ">" if partly && wanted.written > 0 => {
            version.order(&wanted.beyond(wanted.written - 1)).is_ge()
        }
        ">" => order.is_gt(),
        ">=" | "=>" => order.is_ge(),
        "<" => order.is_lt(),
        "<=" | "=<" => order.is_le() || partly && same,
        "~" | "~>" => match wanted.written {
            0 => true,
            1 => within(0),
            _ => within(1),
        },
        "^" => match wanted.numbers {
            [0, 0, _] if wanted.written == 3 => within(2),
            [0, _, _] if wanted.written >= 2 => within(1),
            _ => within(0),
        },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_on_versions() {
        for (version, condition, wanted) in [
            ("1.2.3", "1.2.3", true),
            ("v1.2.3", ">= 1.2, < 2", true),
            ("1.2.3", "^1.3", false),
            ("1.2.9", "~1.2.3", true),
            ("1.3.0", "~1.2.3", false),
            ("0.2.9", "^0.2.3", true),
            ("0.3.0", "^0.2.3", false),
            ("2.0.0", "1.x || 2.x", true),
            ("1.5.0", "1 - 2", true),
            ("1.2.3-beta.1", ">1.0", false),
            ("1.2.3-beta.2", ">1.2.3-beta.1", true),
            ("1.2.3", "!=1.2.4", true),
            ("1.9.0", ">1", false),
            ("2.0.0", ">1", true),
        ] {
            let version = Value::from(version);
            let answer = satisfies(
                &Surroundings::default(),
                &[version.clone(), condition.into()],
            );
            assert_eq!(
                answer.unwrap(),
                Value::Bool(wanted),
                "{version:?} {condition}"
            );
        }
    }
}
