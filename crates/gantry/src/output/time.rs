//! Points in time and durations as people read them (go-units).

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A duration in words: `3 seconds`, `About an hour`, `2 weeks`.
pub(crate) fn human_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let minutes = seconds / 60;
    let hours = (seconds + 1800) / 3600;
    match (seconds, minutes, hours) {
        (0, ..) => "Less than a second".to_owned(),
        (1, ..) => "1 second".to_owned(),
        (2..60, ..) => format!("{seconds} seconds"),
        (_, 1, _) => "About a minute".to_owned(),
        (_, 2..60, _) => format!("{minutes} minutes"),
        (.., 1) => "About an hour".to_owned(),
        (.., 2..48) => format!("{hours} hours"),
        (.., 48..336) => format!("{} days", hours / 24),
        (.., 336..1440) => format!("{} weeks", hours / 24 / 7),
        (.., 1440..17520) => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", hours / 24 / 365),
    }
}

/// The time since a point in time written as RFC 3339, in words; empty when it is none.
pub(crate) fn since(text: &str, now: Timestamp) -> String {
    parse(text).map_or_else(String::new, |then| human_duration(elapsed(then, now)))
}

/// As [`since`], with `ago` behind; `N/A` when there is no such time.
pub(crate) fn ago(text: &str, now: Timestamp) -> String {
    match parse(text) {
        Some(then) => format!("{} ago", human_duration(elapsed(then, now))),
        None => "N/A".to_owned(),
    }
}

/// Seconds since the epoch as `docker images` shows a date: `2026-11-21 08:18:42 +0000 UTC`.
pub(crate) fn go_date(text: &str) -> String {
    let Some(time) = parse(text) else {
        return "N/A".to_owned();
    };
    let zoned = time.to_zoned(TimeZone::system());
    zoned.strftime("%Y-%m-%d %H:%M:%S %z %Z").to_string()
}

/// RFC 3339 with seconds in the caller's time zone, as `docker history` shows it.
pub(crate) fn rfc3339_seconds(text: &str) -> String {
    let Some(time) = parse(text) else {
        return String::new();
    };
    let zoned = time.to_zoned(TimeZone::system());
    let offset = zoned.offset();
    if offset.seconds() == 0 {
        zoned.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    } else {
        zoned.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
    }
}

/// A time written as RFC 3339; Go's zero time is none.
pub(crate) fn parse(text: &str) -> Option<Timestamp> {
    let time: Timestamp = text.parse().ok()?;
    (time.as_second() > -60_000_000_000).then_some(time)
}

fn elapsed(then: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(then)).unwrap_or_default()
}

/// A point in time as `--since` and `--until` spell it: RFC 3339 or parts of it (a date alone,
/// without a zone: the caller's), seconds since the epoch, or a Go duration before now.
pub(crate) fn point(text: &str, now: Timestamp) -> Option<Timestamp> {
    // Docker: a bare 0 is the epoch.
    if let Some(back) = go_duration(text).filter(|_| text != "0") {
        return now
            .checked_sub(jiff::SignedDuration::try_from(back).ok()?)
            .ok();
    }
    if let Ok(time) = text.parse() {
        return Some(time);
    }
    if let Some(time) = epoch(text) {
        return Some(time);
    }
    if let Ok(civil) = text.parse::<jiff::civil::DateTime>() {
        return Some(civil.to_zoned(TimeZone::system()).ok()?.timestamp());
    }
    let date: jiff::civil::Date = text.parse().ok()?;
    Some(date.to_zoned(TimeZone::system()).ok()?.timestamp())
}

fn epoch(text: &str) -> Option<Timestamp> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 9 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let nanoseconds = format!("{fraction:0<9}").parse().ok()?;
    Timestamp::new(seconds.parse().ok()?, nanoseconds).ok()
}

/// A duration as Go spells it: `1h30m`, `250ms`, `1.5s`; a sign is refused.
pub(crate) fn go_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = 0.0_f64;
    while !rest.is_empty() {
        let split = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let value: f64 = rest[..split].parse().ok()?;
        rest = &rest[split..];
        let end = rest
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(rest.len());
        let unit = match &rest[..end] {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        total += value * unit;
        rest = &rest[end..];
    }
    if text.is_empty() {
        None
    } else {
        Duration::try_from_secs_f64(total).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_dockers() {
        for (seconds, want) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (119, "About a minute"),
            (120, "2 minutes"),
            (3599, "59 minutes"),
            (3600, "About an hour"),
            (5399, "About an hour"),
            (5400, "2 hours"),
            (86_400, "24 hours"),
            (172_800, "2 days"),
            (1_209_600, "2 weeks"),
            (5_184_000, "2 months"),
            (63_072_000, "2 years"),
        ] {
            assert_eq!(
                human_duration(Duration::from_secs(seconds)),
                want,
                "{seconds}"
            );
        }
    }

    #[test]
    fn gos_zero_time_is_none() {
        assert_eq!(parse("0001-01-01T00:00:00Z"), None);
        let now = "2026-11-21T08:22:49Z".parse().unwrap();
        assert_eq!(ago("0001-01-01T00:00:00Z", now), "N/A");
        assert_eq!(ago("2026-11-21T08:22:46.5Z", now), "2 seconds ago");
    }

    #[test]
    fn durations_of_go_parse() {
        for (text, want) in [
            ("42m", Some(2_520_000)),
            ("1h30m", Some(5_400_000)),
            ("250ms", Some(250)),
            ("1.5s", Some(1500)),
            ("0", Some(0)),
            ("", None),
            ("1", None),
            ("-1s", None),
            ("1x", None),
        ] {
            let got = go_duration(text).map(|d| d.as_millis());
            assert_eq!(got, want, "{text}");
        }
    }

    #[test]
    fn points_in_time_parse() {
        let now: Timestamp = "2026-11-21T08:00:00Z".parse().unwrap();
        assert_eq!(
            point("1h", now),
            Some("2026-11-21T07:00:00Z".parse().unwrap())
        );
        assert_eq!(
            point("2013-01-02T13:23:37Z", now),
            Some("2013-01-02T13:23:37Z".parse().unwrap())
        );
        assert_eq!(
            point("1357133017", now),
            Some("2013-01-02T13:23:37Z".parse().unwrap())
        );
        assert_eq!(
            point("1357133017.5", now),
            Some("2013-01-02T13:23:37.5Z".parse().unwrap())
        );
        assert!(point("2013-01-02", now).is_some());
        assert!(point("2013-01-02T13:23:37", now).is_some());
        assert_eq!(point("nonsense", now), None);
    }
}
