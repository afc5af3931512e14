//! The flags of the health check.

use gantry_model::container::HealthOnFailure;
use gantry_model::image::Healthcheck;

use crate::failure::Failure;
use crate::flags::container::ContainerFlags;
use crate::flags::value::{FlagError, wrong};
use crate::output::time::go_duration;

/// Docker takes no shorter times.
const SHORTEST: i64 = 1_000_000;

/// The check that the flags ask for; `None` leaves it to the image.
pub(super) fn check(flags: &ContainerFlags) -> Result<Option<Healthcheck>, Failure> {
    let check = Healthcheck {
        test: test(flags)?,
        interval: time(
            "--health-interval",
            "Interval",
            flags.health_interval.as_deref(),
        )?,
        timeout: time(
            "--health-timeout",
            "Timeout",
            flags.health_timeout.as_deref(),
        )?,
        start_period: time(
            "--health-start-period",
            "StartPeriod",
            flags.health_start_period.as_deref(),
        )?,
        start_interval: time(
            "--health-start-interval",
            "StartInterval",
            flags.health_start_interval.as_deref(),
        )?,
        retries: match flags.health_retries {
            Some(retries) if retries < 0 => {
                return Err(Failure::invalid("--health-retries cannot be negative"));
            }
            retries => retries.map_or(0, i64::from),
        },
    };
    let given = check != Healthcheck::default();
    match (flags.no_healthcheck, given) {
        (true, true) => Err(Failure::invalid(
            "--no-healthcheck conflicts with --health-* options",
        )),
        (true, false) => Ok(Some(Healthcheck {
            test: vec!["NONE".to_owned()],
            ..Healthcheck::default()
        })),
        (false, true) => Ok(Some(check)),
        (false, false) => Ok(None),
    }
}

/// What is done with an unhealthy container.
pub(super) fn on_failure(flags: &ContainerFlags) -> Result<HealthOnFailure, FlagError> {
    match flags.health_on_failure.as_deref() {
        None => Ok(HealthOnFailure::None),
        Some(text) => text.parse().map_err(wrong("--health-on-failure", text)),
    }
}

fn test(flags: &ContainerFlags) -> Result<Vec<String>, Failure> {
    let command = flags.health_cmd.as_deref().filter(|text| !text.is_empty());
    let words = |words: &[&str]| words.iter().map(ToString::to_string).collect();
    match (command, flags.health_tcp, flags.health_http.as_deref()) {
        (None, None, None) => Ok(Vec::new()),
        (Some(command), None, None) => Ok(words(&["CMD-SHELL", command])),
        (None, Some(0), None) => {
            Err(wrong("--health-tcp", "0")("expected a port from 1 to 65535").into())
        }
        (None, Some(port), None) => Ok(words(&["TCP", &port.to_string()])),
        (None, None, Some(place)) => Ok(words(&["HTTP", page(place)?])),
        _ => Err(Failure::invalid(
            "conflicting options: --health-cmd, --health-tcp and --health-http are three ways of one check",
        )),
    }
}

/// `[[:]PORT]/PATH`, without the colon.
fn page(text: &str) -> Result<&str, FlagError> {
    let bad = |reason| wrong("--health-http", text)(reason);
    let place = text.strip_prefix(':').unwrap_or(text);
    let Some((port, path)) = place.split_once('/') else {
        return Err(bad("expected [PORT]/PATH, as in 8080/healthz"));
    };
    if !port.is_empty() && !port.parse::<u16>().is_ok_and(|port| port > 0) {
        return Err(bad("expected a port from 1 to 65535 before the path"));
    }
    if path.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
        return Err(bad("a path has no spaces and no control characters"));
    }
    Ok(place)
}

fn time(flag: &'static str, field: &str, text: Option<&str>) -> Result<i64, Failure> {
    let Some(text) = text else { return Ok(0) };
    let time = go_duration(text)
        .and_then(|d| i64::try_from(d.as_nanos()).ok())
        .ok_or_else(|| wrong(flag, text)("invalid duration"))?;
    if time != 0 && time < SHORTEST {
        return Err(Failure::invalid(format!(
            "{field} in Healthcheck cannot be less than 1ms"
        )));
    }
    Ok(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_have_a_port_and_a_path() {
        for (text, want) in [
            ("/", Some("/")),
            ("/a/b?c=d", Some("/a/b?c=d")),
            ("8080/x", Some("8080/x")),
            (":8080/x", Some("8080/x")),
            ("8080", None),
            ("0/x", None),
            ("x/y", None),
            ("http://x/y", None),
            ("/a b", None),
            ("/a\r\nHost: x", None),
        ] {
            assert_eq!(page(text).ok(), want, "{text}");
        }
    }
}
