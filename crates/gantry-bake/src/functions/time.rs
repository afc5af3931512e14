//! Dates and times. The clock is an input: [`Surroundings::now`].

use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};

use super::{Answer, Function, Parameter, Problem, number, text};
use crate::surroundings::Surroundings;
use crate::value::Value;

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "formatdate",
        parameters: &[Parameter::text("format"), Parameter::text("time")],
        rest: None,
        run: |_, a| Ok(Value::from(format(text(a, 0), &moment(a, 1)?)?)),
    },
    Function {
        name: "rfc3339parse",
        parameters: &[Parameter::text("timestamp")],
        rest: None,
        run: |_, a| Ok(parts(&moment(a, 0)?)),
    },
    Function {
        name: "timeadd",
        parameters: &[Parameter::text("timestamp"), Parameter::text("duration")],
        rest: None,
        run: add,
    },
    Function {
        name: "timestamp",
        parameters: &[],
        rest: None,
        run: |surroundings, _| Ok(Value::from(written(&utc(surroundings.now)?))),
    },
    Function {
        name: "unixtimestampparse",
        parameters: &[Parameter::number("unix_timestamp")],
        rest: None,
        run: |_, a| {
            let whole = number(a, 0).to_i64();
            let seconds = whole.ok_or_else(|| Problem::at(0, "whole seconds are required"))?;
            Ok(parts(&utc(seconds)?))
        },
    },
];

fn utc(seconds: i64) -> Result<Zoned, Problem> {
    match Timestamp::from_second(seconds) {
        Ok(time) => Ok(time.to_zoned(TimeZone::UTC)),
        Err(error) => Err(Problem::new(error.to_string())),
    }
}

/// A time as RFC 3339 writes it, in its own offset.
fn moment(arguments: &[Value], at: usize) -> Result<Zoned, Problem> {
    let written = text(arguments, at);
    let wrong = || {
        Problem::at(
            at,
            format!("{written:?} is no time as 2006-01-02T15:04:05Z"),
        )
    };
    let bytes = written.as_bytes();
    if bytes.len() < 20 || bytes[10] != b'T' {
        return Err(wrong());
    }
    let time: Timestamp = written.parse().map_err(|_| wrong())?;
    let offset = match written.get(written.len() - 6..) {
        Some(offset) if offset.starts_with(['+', '-']) => {
            let digit = |range: std::ops::Range<usize>| offset[range].parse::<i32>().ok();
            let (hours, minutes) = digit(1..3).zip(digit(4..6)).ok_or_else(wrong)?;
            let seconds = (hours * 60 + minutes) * 60;
            if offset.starts_with('-') {
                -seconds
            } else {
                seconds
            }
        }
        _ => 0,
    };
    let offset = jiff::tz::Offset::from_seconds(offset).map_err(|_| wrong())?;
    Ok(time.to_zoned(TimeZone::fixed(offset)))
}

/// `+02:00`, or `Z`.
fn zone(time: &Zoned, colon: &str, letter: bool) -> String {
    let seconds = time.offset().seconds();
    if seconds == 0 && letter {
        return "Z".to_owned();
    }
    let sign = if seconds < 0 { '-' } else { '+' };
    let minutes = seconds.abs() / 60;
    format!("{sign}{:02}{colon}{:02}", minutes / 60, minutes % 60)
}

/// As RFC 3339 writes it.
fn written(time: &Zoned) -> String {
    let civil = time.datetime();
    let whole = civil.strftime("%Y-%m-%dT%H:%M:%S");
    format!("{whole}{}", zone(time, ":", true))
}

fn parts(time: &Zoned) -> Value {
    let number = |value: i64| Value::Number(value.into());
    let name = |format: &str| Value::from(time.strftime(format).to_string());
    Value::object_of([
        ("year", number(time.year().into())),
        ("year_day", number(time.day_of_year().into())),
        ("day", number(time.day().into())),
        ("month", number(time.month().into())),
        ("month_name", name("%B")),
        (
            "weekday",
            number(time.weekday().to_sunday_zero_offset().into()),
        ),
        ("weekday_name", name("%A")),
        ("hour", number(time.hour().into())),
        ("minute", number(time.minute().into())),
        ("second", number(time.second().into())),
        ("unix", number(time.timestamp().as_second())),
        (
            "iso_year",
            number(time.date().iso_week_date().year().into()),
        ),
        (
            "iso_week",
            number(time.date().iso_week_date().week().into()),
        ),
    ])
}

fn add(_: &Surroundings, arguments: &[Value]) -> Answer {
    let time = moment(arguments, 0)?;
    let span = duration(text(arguments, 1))
        .ok_or_else(|| Problem::at(1, "a duration is written as 1h30m, -45s or 1.5h"))?;
    let later = time
        .checked_add(span)
        .map_err(|error| Problem::new(error.to_string()))?;
    Ok(Value::from(written(&later)))
}

/// A duration as Go writes it: `1h15m30.5s`.
fn duration(text: &str) -> Option<SignedDuration> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest.is_empty() {
        return None;
    }
    let mut nanoseconds = 0_f64;
    while !rest.is_empty() && rest != "0" {
        let digits = rest.find(|letter: char| !(letter.is_ascii_digit() || letter == '.'))?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest
            .find(|letter: char| letter.is_ascii_digit())
            .unwrap_or(rest.len());
        nanoseconds += number
            * match &rest[..unit] {
                "ns" => 1.0,
                "us" | "µs" => 1e3,
                "ms" => 1e6,
                "s" => 1e9,
                "m" => 60e9,
                "h" => 3600e9,
                _ => return None,
            };
        rest = &rest[unit..];
    }
    let span = SignedDuration::try_from_secs_f64(nanoseconds / 1e9).ok()?;
    Some(if negative { -span } else { span })
}

/// `YYYY-MM-DD hh:mm:ss ZZZZZ`; texts between single quotes stand for themselves.
fn format(pattern: &str, time: &Zoned) -> Result<String, Problem> {
    let mut made = String::new();
    let mut rest = pattern;
    while let Some(letter) = rest.chars().next() {
        if letter == '\'' {
            rest = quoted(&rest[1..], &mut made)?;
            continue;
        }
        let length = rest.len() - rest.trim_start_matches(letter).len();
        let (verb, behind) = rest.split_at(length);
        rest = behind;
        if letter.is_ascii_alphabetic() {
            let shown = shown(verb, time);
            let wrong = || Problem::at(0, format!("there is no verb {verb}"));
            made.push_str(&shown.ok_or_else(wrong)?);
        } else {
            made.push_str(verb);
        }
    }
    Ok(made)
}

/// A text between quotes; two quotes are one. Returns what is behind.
fn quoted<'t>(text: &'t str, made: &mut String) -> Result<&'t str, Problem> {
    let mut rest = text;
    loop {
        let Some(end) = rest.find('\'') else {
            return Err(Problem::at(0, "a quote is not closed"));
        };
        made.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('\'') {
            Some(behind) => {
                made.push('\'');
                rest = behind;
            }
            None => return Ok(rest),
        }
    }
}

fn shown(verb: &str, time: &Zoned) -> Option<String> {
    let hour = match time.hour() % 12 {
        0 => 12,
        hour => hour,
    };
    let noon = if time.hour() < 12 { "am" } else { "pm" };
    let strf = |format: &str| time.strftime(format).to_string();
    Some(match verb {
        "YYYY" => format!("{:04}", time.year()),
        "YY" => format!("{:02}", time.year() % 100),
        "MMMM" => strf("%B"),
        "MMM" => strf("%b"),
        "MM" => format!("{:02}", time.month()),
        "M" => time.month().to_string(),
        "DD" => format!("{:02}", time.day()),
        "D" => time.day().to_string(),
        "EEEE" => strf("%A"),
        "EEE" => short(time.weekday()).to_owned(),
        "hh" => format!("{:02}", time.hour()),
        "h" => time.hour().to_string(),
        "HH" => format!("{hour:02}"),
        "H" => hour.to_string(),
        "AA" => noon.to_uppercase(),
        "aa" => noon.to_owned(),
        "mm" => format!("{:02}", time.minute()),
        "m" => time.minute().to_string(),
        "ss" => format!("{:02}", time.second()),
        "s" => time.second().to_string(),
        "ZZZZZ" => zone(time, ":", false),
        "ZZZZ" => zone(time, "", false),
        "ZZZ" if time.offset().seconds() == 0 => "UTC".to_owned(),
        "ZZZ" => zone(time, "", false),
        "Z" => zone(time, ":", true),
        _ => return None,
    })
}

fn short(day: Weekday) -> &'static str {
    match day {
        Weekday::Monday => "Mon",
        Weekday::Tuesday => "Tue",
        Weekday::Wednesday => "Wed",
        Weekday::Thursday => "Thu",
        Weekday::Friday => "Fri",
        Weekday::Saturday => "Sat",
        Weekday::Sunday => "Sun",
    }
}
