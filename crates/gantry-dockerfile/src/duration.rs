//! Durations as Go writes them: `1h30m`, `1.5s`, `300ms`.

use std::time::Duration;

use gantry_model::{Fault, FaultKind};

/// Why a text is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// It is not of that form.
    #[error("invalid duration \"{text}\"")]
    Invalid {
        /// The text.
        text: String,
    },
    /// A number without a unit.
    #[error("missing unit in duration \"{text}\"")]
    MissingUnit {
        /// The text.
        text: String,
    },
    /// A unit that does not exist.
    #[error("unknown unit \"{unit}\" in duration \"{text}\"")]
    UnknownUnit {
        /// The unit.
        unit: String,
        /// The text.
        text: String,
    },
    /// It is below zero.
    #[error("duration \"{text}\" is negative")]
    Negative {
        /// The text.
        text: String,
    },
}

impl Fault for DurationError {
    fn kind(&self) -> FaultKind {
        FaultKind::Invalid
    }

    fn hints(&self) -> Vec<String> {
        vec!["write a duration as 30s, 1m30s or 500ms".to_owned()]
    }
}

/// Longest duration, as Go's: 2^63 - 1 nanoseconds.
const LONGEST: u128 = i64::MAX as u128;

/// Reads a duration: decimal numbers, each with a unit of `ns`, `us`, `ms`, `s`, `m` or `h`.
///
/// # Errors
/// See [`DurationError`].
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let invalid = || DurationError::Invalid {
        text: text.to_owned(),
    };
    let negative = text.starts_with('-');
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let end = rest
            .find(|letter: char| !letter.is_ascii_digit() && letter != '.')
            .unwrap_or(rest.len());
        let (number, behind) = rest.split_at(end);
        let unit_end = behind
            .find(|letter: char| letter.is_ascii_digit() || letter == '.')
            .unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(unit_end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
            return Err(invalid());
        }
        let scale = nanoseconds(unit, text)?;
        let whole = digits(whole)
            .filter(|whole| *whole <= LONGEST)
            .ok_or_else(invalid)?;
        total += whole * scale + fraction_of(fraction, scale);
        if total > LONGEST {
            return Err(invalid());
        }
        rest = behind;
    }
    if negative && total > 0 {
        return Err(DurationError::Negative {
            text: text.to_owned(),
        });
    }
    let nanos = u64::try_from(total).map_err(|_| invalid())?;
    Ok(Duration::from_nanos(nanos))
}

fn nanoseconds(unit: &str, text: &str) -> Result<u128, DurationError> {
    Ok(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60 * 1_000_000_000,
        "h" => 3_600 * 1_000_000_000,
        "" => {
            return Err(DurationError::MissingUnit {
                text: text.to_owned(),
            });
        }
        _ => {
            return Err(DurationError::UnknownUnit {
                unit: unit.to_owned(),
                text: text.to_owned(),
            });
        }
    })
}

/// Decimal digits as a number; nothing is zero. `None` where they are too many.
fn digits(text: &str) -> Option<u128> {
    text.bytes().try_fold(0u128, |sum, byte| {
        sum.checked_mul(10)?.checked_add(u128::from(byte - b'0'))
    })
}

/// The fraction of a unit; digits beyond a nanosecond of an hour count for nothing.
fn fraction_of(fraction: &str, scale: u128) -> u128 {
    let kept = &fraction[..fraction.len().min(18)];
    let power = kept.bytes().fold(1u128, |power, _| power * 10);
    digits(kept).map_or(0, |number| number * scale / power)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{DurationError, parse};

    #[test]
    fn durations() {
        let cases = [
            ("0", 0),
            ("0s", 0),
            ("5s", 5_000_000_000),
            ("30s", 30_000_000_000),
            ("1478s", 1_478_000_000_000),
            ("+5s", 5_000_000_000),
            ("5.0s", 5_000_000_000),
            ("5.6s", 5_600_000_000),
            ("5.s", 5_000_000_000),
            (".5s", 500_000_000),
            ("100.00100s", 100_001_000_000),
            ("10ns", 10),
            ("11us", 11_000),
            ("12µs", 12_000),
            ("12μs", 12_000),
            ("13ms", 13_000_000),
            ("15m", 900_000_000_000),
            ("16h", 57_600_000_000_000),
            ("3h30m", 12_600_000_000_000),
            ("1m30.5s", 90_500_000_000),
            ("0.3333333333333333333h", 1_200_000_000_000 - 1),
            ("9223372036854775807ns", 9_223_372_036_854_775_807),
            ("-0s", 0),
        ];
        for (text, nanos) in cases {
            assert_eq!(parse(text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
    }

    #[test]
    fn refusals() {
        for text in [
            "",
            "3",
            "-",
            "s",
            ".",
            "-.",
            ".s",
            "+.s",
            "1d",
            "1..2s",
            "1.2.3s",
            " 1s",
            "1s ",
            "1 s",
            "9223372036854775808ns",
            "3000000h",
            "99999999999999999999999999999999999999999999s",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(matches!(parse("-5s"), Err(DurationError::Negative { .. })));
    }
}
