//! Times as people write them.

use jiff::{SignedDuration, Timestamp};

use crate::containers::ContainerError;

/// A time as `--since` and `--until` take it: RFC 3339 (a date alone, too), seconds since 1970
/// with a fraction, or a span before now (`10m`, `1h30m`).
///
/// # Errors
/// [`ContainerError::Time`].
pub fn parse_time(text: &str, now: Timestamp) -> Result<Timestamp, ContainerError> {
    let bad = || ContainerError::Time {
        text: text.chars().take(60).collect(),
    };
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    let zone = jiff::tz::TimeZone::system();
    if let Ok(time) = text.parse::<jiff::civil::DateTime>() {
        return zone.to_timestamp(time).map_err(|_| bad());
    }
    if let Ok(date) = text.parse::<jiff::civil::Date>() {
        return zone.to_timestamp(date.at(0, 0, 0, 0)).map_err(|_| bad());
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !whole.is_empty()
        && (whole.to_owned() + fraction)
            .bytes()
            .all(|byte| byte.is_ascii_digit())
    {
        let seconds: i64 = whole.parse().map_err(|_| bad())?;
        let nanoseconds: i32 = format!("{fraction:0<9}")[..9].parse().map_err(|_| bad())?;
        return Timestamp::new(seconds, nanoseconds).map_err(|_| bad());
    }
    let span = duration(text).ok_or_else(bad)?;
    now.checked_sub(span).map_err(|_| bad())
}

/// A span as Go writes it: numbers with `h`, `m`, `s`, `ms`, `us`, `ns`.
fn duration(text: &str) -> Option<SignedDuration> {
    let mut rest = text;
    let mut total = SignedDuration::ZERO;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        let unit = &rest[digits..];
        let (unit, seconds) = [
            ("ns", 1e-9),
            ("us", 1e-6),
            ("µs", 1e-6),
            ("ms", 1e-3),
            ("s", 1.0),
            ("m", 60.0),
            ("h", 3600.0),
        ]
        .into_iter()
        .find(|(name, _)| unit.starts_with(name))?;
        rest = &rest[digits + unit.len()..];
        total = total.checked_add(SignedDuration::try_from_secs_f64(number * seconds).ok()?)?;
    }
    Some(total)
}
