//! Quantities as Docker's flags spell them, sizes of memory and numbers of CPUs, and as sentences do.

use std::fmt::Display;

/// A text that is no quantity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// Not a size.
    #[error("invalid size: {0:?}")]
    Size(String),
    /// Not a number of CPUs.
    #[error("invalid value for cpus: {0:?}")]
    Cpus(String),
}

/// Parses a size in bytes: a number, an optional fraction, and one of `b k m g t p`
/// (binary, with or without `b` or `ib` behind, any case, after at most one space), as go-units'
/// `RAMInBytes`.
///
/// # Errors
/// [`QuantityError::Size`] when the text is anything else or does not fit 63 bits.
pub fn parse_bytes(text: &str) -> Result<u64, QuantityError> {
    let bad = || QuantityError::Size(text.chars().take(60).collect());
    let end = text
        .rfind(|letter: char| letter.is_ascii_digit() || letter == '.')
        .map_or(0, |at| at + 1);
    let (number, unit) = text.split_at(end);
    let unit = unit.strip_prefix(' ').unwrap_or(unit).to_ascii_lowercase();
    let shift = match unit.as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        "p" | "pb" | "pib" => 50,
        _ => return Err(bad()),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_number(whole) || !is_number(fraction) || fraction.len() > 18 {
        return Err(bad());
    }
    let whole: u64 = whole.parse().map_err(|_| bad())?;
    let power = 10_u128.pow(u32::try_from(fraction.len()).map_err(|_| bad())?);
    // A digit in front, for the fraction may have none.
    let fraction: u128 = format!("0{fraction}").parse().map_err(|_| bad())?;
    let bytes = (u128::from(whole) << shift) + (fraction << shift) / power;
    match i64::try_from(bytes) {
        Ok(_) => u64::try_from(bytes).map_err(|_| bad()),
        Err(_) => Err(bad()),
    }
}

/// Parses a number of CPUs (`1.5`) into billionths of a CPU, as Docker's `NanoCpus`.
///
/// # Errors
/// [`QuantityError::Cpus`] when the text is no non-negative decimal with up to nine places.
pub fn parse_nano_cpus(text: &str) -> Result<u64, QuantityError> {
    let bad = || QuantityError::Cpus(text.chars().take(60).collect());
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty())
        || !digits(whole)
        || !digits(fraction)
        || fraction.len() > 9
        || whole.len() > 9
    {
        return Err(bad());
    }
    let whole: u64 = if whole.is_empty() {
        0
    } else {
        whole.parse().map_err(|_| bad())?
    };
    let fraction: u64 = format!("{fraction:0<9}").parse().map_err(|_| bad())?;
    Ok(whole * 1_000_000_000 + fraction)
}

/// A number with what it counts, in the plural unless it is one: `1 step`, `2 steps`.
pub fn counted<N: Display + PartialEq + From<u8>>(count: N, what: &str) -> String {
    let s = if count == N::from(1) { "" } else { "s" };
    format!("{count} {what}{s}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_binary() {
        for (text, want) in [
            ("0", 0),
            ("512", 512),
            ("32b", 32),
            ("1k", 1024),
            ("32K", 32 << 10),
            ("32KiB", 32 << 10),
            ("64m", 64 << 20),
            ("64MB", 64 << 20),
            ("1.5GiB", 3 << 29),
            ("2 g", 2 << 30),
            ("2t", 2 << 40),
            ("1p", 1 << 50),
        ] {
            assert_eq!(parse_bytes(text), Ok(want), "{text}");
        }
        for bad in [
            "",
            "k",
            "-1",
            "1x",
            "1..2m",
            "99999999999999999999",
            "16384p",
            "9000p",
            "1e3",
            "x",
            ".5k",
            " 1",
            "32  b",
        ] {
            assert!(parse_bytes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn cpus_have_nine_places() {
        assert_eq!(parse_nano_cpus("1.5"), Ok(1_500_000_000));
        assert_eq!(parse_nano_cpus(".25"), Ok(250_000_000));
        assert_eq!(parse_nano_cpus("2"), Ok(2_000_000_000));
        for bad in ["", ".", "-1", "1.0000000001", "a", "1,5"] {
            assert!(parse_nano_cpus(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn one_is_no_plural() {
        assert_eq!(counted(1_u64, "step"), "1 step");
        assert_eq!(counted(0_usize, "step"), "0 steps");
        assert_eq!(counted(2_u8, "layer"), "2 layers");
    }
}
