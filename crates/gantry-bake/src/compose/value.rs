//! Scalars of YAML as texts, truth values and sizes.

use super::yaml::{Node, NodeKind};
use crate::error::Result;
use crate::number::Number;
use crate::resolver::variables::truth as read_truth;

/// A scalar as a text: plain numbers in their shortest form, as Go's decoder reads them.
pub(super) fn text(node: &Node) -> Result<String> {
    match &node.kind {
        NodeKind::Scalar { text, plain: false } => Ok(text.clone()),
        NodeKind::Scalar { text, plain: true } => Ok(number(text).unwrap_or_else(|| text.clone())),
        _ => Err(node.fault("a text is expected here")),
    }
}

/// The same, `None` where there is nothing.
pub(super) fn optional(node: Option<&Node>) -> Result<Option<String>> {
    match node.filter(|node| !node.is_null()) {
        Some(node) => text(node).map(Some),
        None => Ok(None),
    }
}

/// A plain number: decimal, octal (`0644`, `0o644`), hexadecimal, with a point or an exponent.
fn number(text: &str) -> Option<String> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    if !digits.starts_with(|letter: char| letter.is_ascii_digit() || letter == '.') {
        return None;
    }
    let radix = |digits: &str, radix| {
        let number = i64::from_str_radix(digits, radix).ok()?;
        Some(format!("{sign}{number}"))
    };
    if let Some(digits) = digits.strip_prefix("0x") {
        return radix(digits, 16);
    }
    if let Some(digits) = digits.strip_prefix("0o") {
        return radix(digits, 8);
    }
    let is_whole = digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_whole && digits.len() > 1 && digits.starts_with('0') {
        return radix(digits, 8).or_else(|| Some(text.to_owned()));
    }
    Some(Number::parse(text)?.ok()?.to_string())
}

/// A truth value.
pub(super) fn truth(node: Option<&Node>) -> Result<Option<bool>> {
    let Some(node) = node.filter(|node| !node.is_null()) else {
        return Ok(None);
    };
    let text = text(node)?;
    let wrong = || node.fault(format!("true or false is expected here, not {text:?}"));
    read_truth(&text).map(Some).ok_or_else(wrong)
}

/// The texts of a list; of a single text its words, where that is allowed.
pub(super) fn texts(node: Option<&Node>, words: bool) -> Result<Option<Vec<String>>> {
    let Some(node) = node.filter(|node| !node.is_null()) else {
        return Ok(None);
    };
    match &node.kind {
        NodeKind::Sequence(items) => items.iter().map(text).collect::<Result<_>>().map(Some),
        NodeKind::Scalar { .. } if words => Ok(Some(
            text(node)?.split_whitespace().map(String::from).collect(),
        )),
        _ => Err(node.fault("a list is expected here")),
    }
}

/// A size in bytes (`64m`, `1.5gb`, `1000`) as the reference implementation writes it: in the
/// largest unit, with at most four digits.
pub(super) fn size(node: &Node) -> Result<String> {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let text = text(node)?;
    let lower = text.to_lowercase();
    let end = lower.find(|letter: char| !(letter.is_ascii_digit() || letter == '.'));
    let (number, unit) = lower.split_at(end.unwrap_or(lower.len()));
    let power = match unit.trim().trim_end_matches('b').trim_end_matches('i') {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return Err(node.fault(format!("{text:?} is no size as 64m or 1gb"))),
    };
    let Ok(number) = number.parse::<f64>() else {
        return Err(node.fault(format!("{text:?} is no size as 64m or 1gb")));
    };
    let mut bytes = (number * 1024_f64.powi(power)).trunc();
    let mut unit = 0;
    while bytes >= 1024.0 && unit + 1 < UNITS.len() {
        bytes /= 1024.0;
        unit += 1;
    }
    let rounded = format!("{bytes:.3e}").parse::<f64>().unwrap_or(bytes);
    Ok(format!("{rounded}{}", UNITS[unit]))
}
