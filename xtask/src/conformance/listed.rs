//! Where other builders differ from Gantry, and why.
//!
//! `peers/NAME.txt` has them by the names of the cases:
//! ```text
//! === group/name
//! because BuildKit has it so, and the reference
//! - a line that only Gantry's image has
//! + a line that only the other's has
//! ```
//! `built` and `failed` stand for all lines where one of the two refuses. A case whose only line
//! is `+ not asked` is left out: with it the builder itself comes to its end.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use gantry_testkit::conformance::{Expected, alike};
use gantry_testkit::dockerfiles::expectations;

use super::{Found, peer::Peer};
use crate::say;

/// The reason of what nobody has looked at.
const UNEXPLAINED: &str = "because ?";

/// The result of a case that is left out, and its line in the list.
const NOT_ASKED: &str = "not asked\n";

/// A builder's differences by the key of what they are of.
#[derive(Default)]
pub(super) struct List(BTreeMap<String, String>);

impl List {
    /// An empty one where there is no file.
    pub(super) fn read(path: &Path) -> Result<Self> {
        if !path.exists() {
            return Ok(Self::default());
        }
        Ok(Self(expectations(&fs::read_to_string(path)?)))
    }

    /// The builder's answer, unless it is not to be asked.
    pub(super) fn ask(&self, key: &str, answer: impl FnOnce() -> Result<String>) -> Result<String> {
        let listed = self.0.get(key);
        if listed.is_some_and(|entry| entry.ends_with(&format!("+ {NOT_ASKED}"))) {
            return Ok(NOT_ASKED.to_owned());
        }
        answer().with_context(|| key.to_owned())
    }
}

/// How a result differs from Gantry's.
enum Verdict {
    Equal,
    /// The builder does as BuildKit, and Gantry's expectations say why it does not.
    Intended,
    /// The lines that only one of the two has.
    Other(String),
}

/// Fails when the builder differs in something that is not listed, or no longer differs in
/// something that is.
pub(super) fn compare(
    peer: &Peer,
    expected: &Expected,
    all: &[Found],
    List(list): &List,
) -> Result<()> {
    let (mut equal, mut listed, mut unlisted) = (0, 0, 0);
    for found in all {
        let entry = list.get(&found.key);
        let wrong = match (judge(peer, expected, found), entry) {
            (Verdict::Equal, None) => {
                equal += 1;
                continue;
            }
            (Verdict::Intended, None) => None,
            (Verdict::Other(lines), Some(entry)) => match entry.split_once('\n') {
                Some((_, known)) if known != lines => {
                    Some(format!("another difference than the listed one\n{lines}"))
                }
                Some((reason, _)) if reason.starts_with("because ") && reason != UNEXPLAINED => {
                    None
                }
                _ => Some(format!("without a reason\n{lines}")),
            },
            (Verdict::Other(lines), None) => Some(lines),
            (Verdict::Equal | Verdict::Intended, Some(_)) => {
                Some("is listed without a difference\n".to_owned())
            }
        };
        if let Some(wrong) = wrong {
            unlisted += 1;
            say(&format!("=== {} {}\n{wrong}", found.key, found.origin));
        } else {
            listed += 1;
        }
    }
    let title = peer.title();
    say(&format!(
        "{title}: {equal} equal, {listed} differ as listed, {unlisted} unlisted"
    ));
    if unlisted > 0 {
        bail!("{title} differs in what is not listed, or not as listed");
    }
    Ok(())
}

/// Writes the list anew, with the reasons that it has.
pub(super) fn write(
    peer: &Peer,
    expected: &Expected,
    all: &[Found],
    List(mut list): List,
    path: &Path,
) -> Result<()> {
    let mut entries = BTreeMap::new();
    for found in all {
        let entry = list.remove(&found.key);
        if let Verdict::Other(lines) = judge(peer, expected, found) {
            let reason = entry.as_deref().and_then(|entry| entry.lines().next());
            let reason = reason.unwrap_or(UNEXPLAINED);
            let head = format!("{} {}", found.key, found.origin);
            entries.insert(head.trim_end().to_owned(), format!("{reason}\n{lines}"));
        }
    }
    // Those that were not asked about stay.
    entries.extend(list);
    let text = entries.iter().fold(String::new(), |text, (head, entry)| {
        text + &format!("=== {head}\n{entry}")
    });
    fs::create_dir_all(path.parent().context("a list has a folder")?)?;
    fs::write(path, text)?;
    Ok(())
}

fn judge(peer: &Peer, expected: &Expected, found: &Found) -> Verdict {
    if found.result == NOT_ASKED {
        return Verdict::Other(format!("+ {NOT_ASKED}"));
    }
    let got = peer.comparable(&found.result);
    let same = |text: &str| alike(text, &found.result) || alike(&peer.comparable(text), &got);
    let gantry = expected.of_gantry(&found.key).unwrap_or_default();
    if same(&gantry) {
        return Verdict::Equal;
    }
    if expected.of_buildkit(&found.key).is_some_and(same) {
        return Verdict::Intended;
    }
    let short = |failed: bool| if failed { "failed\n" } else { "built\n" };
    let failed = [&gantry, &found.result].map(|text| text.starts_with("failed"));
    let [gantry, got] = if failed.contains(&true) {
        failed.map(|failed| short(failed).to_owned())
    } else {
        [peer.comparable(&gantry), got]
    };
    Verdict::Other(difference(&gantry, &got))
}

/// The lines that only one of two texts has, or that they have in another order.
fn difference(expected: &str, result: &str) -> String {
    let only = |sign: &str, these: &str, those: &str| -> String {
        let mut those: Vec<&str> = those.lines().collect();
        let mut text = String::new();
        for line in these.lines() {
            match those.iter().position(|known| *known == line) {
                Some(known) => drop(those.remove(known)),
                None => text += &format!("{sign} {line}\n"),
            }
        }
        text
    };
    let lines = only("-", expected, result) + &only("+", result, expected);
    if lines.is_empty() {
        return "another order\n".to_owned();
    }
    lines
}
