//! Numbers of Bake files: binary floating point of 512 bits, as the language of HCL has them, so
//! that `0.1 + 0.2` is `0.3` and whole numbers of 150 digits are exact.

use std::cmp::Ordering;
use std::fmt;
use std::ops::Neg;

use num_bigint::{BigInt, BigUint, Sign};

/// Bits of the mantissa.
const PRECISION: u64 = 512;
/// Largest magnitude of a number's binary exponent; what is beyond is refused.
const LARGEST_EXPONENT: i64 = 1 << 12;

/// A number: `mantissa × 2^exponent`, the mantissa odd or zero.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Number {
    mantissa: BigInt,
    exponent: i64,
}

/// The number is too large, too small, or the result of a division by zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutOfRange;

impl Number {
    /// Zero.
    pub fn zero() -> Self {
        Self::from(0_i64)
    }

    /// The number nearest to `mantissa × 2^exponent`.
    fn rounded(mantissa: BigInt, exponent: i64) -> Result<Self, OutOfRange> {
        let (sign, mut magnitude) = mantissa.into_parts();
        let mut exponent = exponent;
        let extra = magnitude.bits().saturating_sub(PRECISION);
        if extra > 0 {
            let half = BigUint::from(1_u8) << (extra - 1);
            let rest = &magnitude & &((BigUint::from(1_u8) << extra) - 1_u8);
            magnitude >>= extra;
            let up = match rest.cmp(&half) {
                Ordering::Greater => true,
                Ordering::Equal => magnitude.bit(0),
                Ordering::Less => false,
            };
            if up {
                magnitude += 1_u8;
            }
            exponent += i64::try_from(extra).map_err(|_| OutOfRange)?;
        }
        let zeros = magnitude.trailing_zeros().unwrap_or(0);
        magnitude >>= zeros;
        exponent += i64::try_from(zeros).map_err(|_| OutOfRange)?;
        if magnitude.bits() == 0 {
            exponent = 0;
        }
        if exponent.abs() > LARGEST_EXPONENT {
            return Err(OutOfRange);
        }
        Ok(Self {
            mantissa: BigInt::from_biguint(sign, magnitude),
            exponent,
        })
    }

    /// A number in decimal notation: `-12`, `1.5`, `2e10`.
    ///
    /// # Errors
    /// The text is no number, or one that is out of range.
    pub fn parse(text: &str) -> Option<Result<Self, OutOfRange>> {
        let (sign, digits) = match text.as_bytes().first()? {
            b'-' => (Sign::Minus, &text[1..]),
            b'+' => (Sign::Plus, &text[1..]),
            _ => (Sign::Plus, text),
        };
        let (digits, power) = match digits.find(['e', 'E']) {
            Some(at) => (&digits[..at], digits[at + 1..].parse::<i64>().ok()?),
            None => (digits, 0),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.len() + fraction.len() == 0 || !all_digits(whole) || !all_digits(fraction) {
            return None;
        }
        Some(Self::from_decimal(
            sign,
            &format!("{whole}{fraction}"),
            power,
            fraction.len(),
        ))
    }

    fn from_decimal(
        sign: Sign,
        digits: &str,
        power: i64,
        places: usize,
    ) -> Result<Self, OutOfRange> {
        // What has more digits is beyond the range or tells nothing more.
        const MOST_DIGITS: usize = 2000;
        if digits.len() > MOST_DIGITS || power.abs() > MOST_DIGITS as i64 {
            return Err(OutOfRange);
        }
        let magnitude = BigUint::parse_bytes(digits.as_bytes(), 10).ok_or(OutOfRange)?;
        let sign = if magnitude.bits() == 0 {
            Sign::NoSign
        } else {
            sign
        };
        let integer = BigInt::from_biguint(sign, magnitude);
        let places = i64::try_from(places).map_err(|_| OutOfRange)?;
        let power = power - places;
        let ten =
            BigInt::from(10).pow(u32::try_from(power.unsigned_abs()).map_err(|_| OutOfRange)?);
        if power >= 0 {
            Self::rounded(integer * ten, 0)
        } else {
            quotient(&integer, 0, &ten, 0)
        }
    }

    /// The sum.
    ///
    /// # Errors
    /// The result is out of range.
    pub fn add(&self, other: &Self) -> Result<Self, OutOfRange> {
        let exponent = self.exponent.min(other.exponent);
        let aligned = |number: &Self| &number.mantissa << (number.exponent - exponent);
        Self::rounded(aligned(self) + aligned(other), exponent)
    }

    /// The difference.
    ///
    /// # Errors
    /// The result is out of range.
    pub fn subtract(&self, other: &Self) -> Result<Self, OutOfRange> {
        self.add(&-other.clone())
    }

    /// The product.
    ///
    /// # Errors
    /// The result is out of range.
    pub fn multiply(&self, other: &Self) -> Result<Self, OutOfRange> {
        Self::rounded(
            &self.mantissa * &other.mantissa,
            self.exponent + other.exponent,
        )
    }

    /// The quotient.
    ///
    /// # Errors
    /// `other` is zero, or the result is out of range.
    pub fn divide(&self, other: &Self) -> Result<Self, OutOfRange> {
        quotient(
            &self.mantissa,
            self.exponent,
            &other.mantissa,
            other.exponent,
        )
    }

    /// What is left of a division whose quotient is cut to a whole number; the sign is that of
    /// `self`.
    ///
    /// # Errors
    /// `other` is zero, or the result is out of range.
    pub fn remainder(&self, other: &Self) -> Result<Self, OutOfRange> {
        if other.is_zero() {
            return Err(OutOfRange);
        }
        let exponent = self.exponent.min(other.exponent);
        let aligned = |number: &Self| &number.mantissa << (number.exponent - exponent);
        Self::rounded(aligned(self) % aligned(other), exponent)
    }

    /// Without what is behind the point.
    pub fn truncated(&self) -> Self {
        if self.exponent >= 0 {
            return self.clone();
        }
        let (sign, magnitude) = self.mantissa.clone().into_parts();
        let whole = magnitude >> self.exponent.unsigned_abs();
        Self::rounded(BigInt::from_biguint(sign, whole), 0).unwrap_or_else(|_| Self::zero())
    }

    /// The largest whole number that is not larger.
    pub fn floor(&self) -> Self {
        let cut = self.truncated();
        if cut != *self && self.is_negative() {
            return cut.subtract(&Self::from(1_i64)).unwrap_or(cut);
        }
        cut
    }

    /// The smallest whole number that is not smaller.
    pub fn ceiling(&self) -> Self {
        -(-self.clone()).floor()
    }

    /// Whether it is zero.
    pub fn is_zero(&self) -> bool {
        self.mantissa.sign() == Sign::NoSign
    }

    /// Whether it is below zero.
    pub fn is_negative(&self) -> bool {
        self.mantissa.sign() == Sign::Minus
    }

    /// Whether nothing is behind the point.
    pub fn is_whole(&self) -> bool {
        self.exponent >= 0
    }

    /// The whole number, where it is one that fits.
    pub fn to_i64(&self) -> Option<i64> {
        if !self.is_whole() || self.exponent > 64 {
            return None;
        }
        i64::try_from(&self.mantissa << self.exponent).ok()
    }

    /// The whole number, however large.
    pub fn to_integer(&self) -> Option<BigInt> {
        self.is_whole().then(|| &self.mantissa << self.exponent)
    }

    /// The nearest number of 64 bits.
    pub fn to_f64(&self) -> f64 {
        self.to_string().parse().unwrap_or(f64::NAN)
    }

    /// The number that `value` is written as.
    ///
    /// # Errors
    /// It is infinite, not a number, or out of range.
    pub fn from_f64(value: f64) -> Result<Self, OutOfRange> {
        Self::parse(&value.to_string()).unwrap_or(Err(OutOfRange))
    }

    /// A whole number of any size.
    ///
    /// # Errors
    /// It is out of range.
    pub fn from_integer(integer: BigInt) -> Result<Self, OutOfRange> {
        Self::rounded(integer, 0)
    }

    /// The digits before and behind the point, as few as tell this number from its neighbours.
    fn digits(&self) -> (String, String) {
        let (_, magnitude) = self.mantissa.clone().into_parts();
        let bits = magnitude.bits();
        let exponent = self.exponent;
        if exponent >= 0 && bits + exponent.unsigned_abs() <= PRECISION {
            return ((magnitude << exponent).to_string(), String::new());
        }
        // The lowest bit of `scaled` is half of what the last bit of the mantissa counts.
        let shift = PRECISION + 1 - bits;
        let scaled = magnitude << shift;
        let even = !scaled.bit(1);
        let exponent = exponent - i64::try_from(shift).unwrap_or(0);
        let places = usize::try_from((-exponent).max(0)).unwrap_or(0);
        let exact = |magnitude: BigUint| {
            if exponent >= 0 {
                magnitude << exponent
            } else {
                magnitude * BigUint::from(5_u8).pow(u32::try_from(places).unwrap_or(0))
            }
        };
        let lower = exact(&scaled - 1_u8).to_string();
        let upper = exact(&scaled + 1_u8).to_string();
        let digits = exact(scaled).to_string();
        let width = upper.len();
        let shortest = shortest(
            format!("{digits:0>width$}").as_bytes(),
            format!("{lower:0>width$}").as_bytes(),
            upper.as_bytes(),
            even,
        );
        let padded = format!("{shortest:0<width$}");
        let padded = format!("{padded:0>least$}", least = places + 1);
        let (whole, fraction) = padded.split_at(padded.len() - places);
        let whole = whole.trim_start_matches('0');
        (
            if whole.is_empty() { "0" } else { whole }.to_owned(),
            fraction.trim_end_matches('0').to_owned(),
        )
    }
}

/// The fewest digits between `lower` and `upper` that are read as `digits`; all three of one
/// length, with as many places behind the point.
fn shortest(digits: &[u8], lower: &[u8], upper: &[u8], inclusive: bool) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    for at in 0..digits.len() {
        let (digit, low, high) = (digits[at], lower[at], upper[at]);
        let rest_is_zero = |of: &[u8]| of[at + 1..].iter().all(|digit| *digit == b'0');
        let down = low != digit || inclusive && rest_is_zero(lower);
        let up = digit != high && (inclusive || digit + 1 < high || !rest_is_zero(upper));
        let cut = &digits[..=at];
        match (down, up) {
            (true, true) => {
                let above = digits.get(at + 1).is_some_and(|next| *next >= b'5');
                return if above { raised(cut) } else { text(cut) };
            }
            (true, false) => return text(cut),
            (false, true) => return raised(cut),
            (false, false) => {}
        }
    }
    text(digits)
}

/// The digits with one more in the last place.
fn raised(digits: &[u8]) -> String {
    let mut all = digits.to_vec();
    for digit in all.iter_mut().rev() {
        if *digit < b'9' {
            *digit += 1;
            break;
        }
        *digit = b'0';
    }
    String::from_utf8_lossy(&all).into_owned()
}

fn quotient(
    number: &BigInt,
    exponent: i64,
    divisor: &BigInt,
    divisor_exponent: i64,
) -> Result<Number, OutOfRange> {
    if divisor.sign() == Sign::NoSign {
        return Err(OutOfRange);
    }
    let (sign, magnitude) = number.clone().into_parts();
    let (divisor_sign, divisor) = divisor.clone().into_parts();
    // Two bits more than are kept, and a third that says whether anything is left.
    let shift = (PRECISION + 2 + divisor.bits()).saturating_sub(magnitude.bits());
    let shifted = magnitude << shift;
    let cut = &shifted / &divisor;
    let sticky = u8::from(&cut * &divisor != shifted);
    let magnitude = (cut << 1_u8) + sticky;
    let sign = if magnitude.bits() == 0 {
        Sign::NoSign
    } else {
        sign * divisor_sign
    };
    let shift = i64::try_from(shift).map_err(|_| OutOfRange)?;
    Number::rounded(
        BigInt::from_biguint(sign, magnitude),
        exponent - divisor_exponent - shift - 1,
    )
}

impl From<i64> for Number {
    fn from(value: i64) -> Self {
        // 64 bits are within every limit.
        Self::rounded(BigInt::from(value), 0).unwrap_or(Self {
            mantissa: BigInt::ZERO,
            exponent: 0,
        })
    }
}

impl From<usize> for Number {
    fn from(value: usize) -> Self {
        Self::from(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl Neg for Number {
    type Output = Self;

    fn neg(self) -> Self {
        Self {
            mantissa: -self.mantissa,
            exponent: self.exponent,
        }
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        let exponent = self.exponent.min(other.exponent);
        let aligned = |number: &Self| &number.mantissa << (number.exponent - exponent);
        aligned(self).cmp(&aligned(other))
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, fraction) = self.digits();
        let sign = if self.is_negative() { "-" } else { "" };
        if fraction.is_empty() {
            write!(f, "{sign}{whole}")
        } else {
            write!(f, "{sign}{whole}.{fraction}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Number {
        Number::parse(text).unwrap().unwrap()
    }

    #[test]
    fn decimals_are_written_as_they_were_read() {
        for text in [
            "0",
            "1",
            "-12",
            "0.1",
            "1.5",
            "-0.001",
            "123456789012345678901234567890",
        ] {
            assert_eq!(number(text).to_string(), text);
        }
        assert_eq!(number("1e3").to_string(), "1000");
        assert_eq!(number("12.50e-1").to_string(), "1.25");
        assert_eq!(number("0.1").add(&number("0.2")).unwrap(), number("0.3"));
        for text in ["", "-", "1.2.3", "0x1", "1e", "a", "."] {
            assert!(Number::parse(text).is_none(), "{text}");
        }
        assert!(Number::parse("1e9999999").unwrap().is_err());
    }

    #[test]
    fn a_third_has_154_digits() {
        // As the reference implementation prints it.
        let third = number("1").divide(&number("3")).unwrap().to_string();
        assert_eq!(third, format!("0.{}5", "3".repeat(154)));
        assert!(number("1").divide(&Number::zero()).is_err());
    }

    #[test]
    fn rounding_and_order() {
        assert_eq!(number("-1.5").floor(), number("-2"));
        assert_eq!(number("-1.5").ceiling(), number("-1"));
        assert_eq!(number("-1.5").truncated(), number("-1"));
        assert_eq!(number("7").remainder(&number("-3")).unwrap(), number("1"));
        assert_eq!(number("-7").remainder(&number("3")).unwrap(), number("-1"));
        assert!(number("1.5") < number("2") && number("-3") < number("0.1"));
        assert_eq!(number("3").to_i64(), Some(3));
        assert_eq!(number("3.5").to_i64(), None);
        assert_eq!(
            Number::from_f64(2.0_f64.sqrt()).unwrap().to_string(),
            "1.4142135623730951"
        );
    }
}
