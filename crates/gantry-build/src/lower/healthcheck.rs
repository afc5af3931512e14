//! `HEALTHCHECK` in the history.

use gantry_model::image::Healthcheck;

use super::history::{quoted, quoted_list, quoted_number};

/// `HEALTHCHECK &{["CMD" "x"] "30s" "0s" "0s" "0s" '\x03'}`
pub(super) fn history(check: &Healthcheck) -> String {
    format!(
        "HEALTHCHECK &{{{} {} {} {} {} {}}}",
        quoted_list(&check.test),
        quoted(&duration(check.interval)),
        quoted(&duration(check.timeout)),
        quoted(&duration(check.start_period)),
        quoted(&duration(check.start_interval)),
        quoted_number(u32::try_from(check.retries).unwrap_or(u32::MAX)),
    )
}

/// A time as Go writes it: `1h30m0s`, `1.5s`, `500ms`, `2µs`.
fn duration(nanoseconds: i64) -> String {
    let total = nanoseconds.unsigned_abs();
    if total == 0 {
        return "0s".to_owned();
    }
    let sign = if nanoseconds < 0 { "-" } else { "" };
    for (unit, name) in [(1, "ns"), (1_000, "µs"), (1_000_000, "ms")] {
        if total < unit * 1000 {
            return format!("{sign}{}{name}", decimal(total, unit));
        }
    }
    let second = 1_000_000_000;
    let (minutes, rest) = (total / (60 * second), total % (60 * second));
    let (hours, minutes) = (minutes / 60, minutes % 60);
    let seconds = decimal(rest, second);
    match (hours, minutes) {
        (0, 0) => format!("{sign}{seconds}s"),
        (0, _) => format!("{sign}{minutes}m{seconds}s"),
        _ => format!("{sign}{hours}h{minutes}m{seconds}s"),
    }
}

/// `value / unit` with as many digits behind the point as it needs.
fn decimal(value: u64, unit: u64) -> String {
    let (whole, fraction) = (value / unit, value % unit);
    if fraction == 0 {
        return whole.to_string();
    }
    let width = unit.to_string().len() - 1;
    let digits = format!("{fraction:0width$}");
    format!("{whole}.{}", digits.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use gantry_dockerfile::ast;

    use super::*;

    #[test]
    fn times_as_go_writes_them() {
        for (time, want) in [
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5µs"),
            (500_000_000, "500ms"),
            (1_500_000_000, "1.5s"),
            (30_000_000_000, "30s"),
            (90_000_000_000, "1m30s"),
            (3_600_000_000_000, "1h0m0s"),
            (3_661_010_000_000, "1h1m1.01s"),
        ] {
            assert_eq!(duration(time), want);
        }
    }

    #[test]
    fn none() {
        let check = Healthcheck::from(&ast::Healthcheck::None);
        assert_eq!(
            history(&check),
            r#"HEALTHCHECK &{["NONE"] "0s" "0s" "0s" "0s" '\x00'}"#
        );
    }
}
