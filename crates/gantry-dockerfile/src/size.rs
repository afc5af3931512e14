//! Sizes in bytes as Docker writes them: `64m`, `1.5g`, `512`.

use gantry_model::{Fault, FaultKind};

/// A text that is no size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid size: '{text}'")]
pub struct SizeError {
    /// The text.
    pub text: String,
}

impl Fault for SizeError {
    fn kind(&self) -> FaultKind {
        FaultKind::Invalid
    }

    fn hints(&self) -> Vec<String> {
        vec!["write a size as a number of bytes or with a unit: 512k, 64m, 1.5g".to_owned()]
    }
}

/// Reads a size; units are powers of 1024: `k`, `m`, `g`, `t`, `p`, each also as `kb` and `kib`.
///
/// # Errors
/// Anything else, and what does not fit 63 bits.
pub fn parse(text: &str) -> Result<u64, SizeError> {
    let invalid = || SizeError {
        text: text.to_owned(),
    };
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
        _ => return Err(invalid()),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_number(whole) || !is_number(fraction) || fraction.len() > 18 {
        return Err(invalid());
    }
    let whole = whole.parse::<u64>().map_err(|_| invalid())?;
    let power = 10u128.pow(u32::try_from(fraction.len()).map_err(|_| invalid())?);
    let fraction = if fraction.is_empty() {
        0
    } else {
        fraction.parse::<u128>().map_err(|_| invalid())?
    };
    let bytes = (u128::from(whole) << shift) + (fraction << shift) / power;
    i64::try_from(bytes)
        .ok()
        .and_then(|bytes| u64::try_from(bytes).ok())
        .ok_or_else(invalid)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn sizes() {
        let cases = [
            ("0", 0),
            ("32", 32),
            ("32b", 32),
            ("32k", 32 << 10),
            ("32K", 32 << 10),
            ("32kb", 32 << 10),
            ("32KiB", 32 << 10),
            ("32 mb", 32 << 20),
            ("1.5g", 3 << 29),
            ("2t", 2 << 40),
            ("1p", 1 << 50),
        ];
        for (text, bytes) in cases {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        for text in [
            "",
            "-1",
            "x",
            "1x",
            "1.2.3k",
            "k",
            ".5k",
            "32  b",
            "99999999999999999999",
            "9000p",
            " 1",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
