//! From an image's health check to one that a supervisor can run. Pure.

use std::time::Duration;

use gantry_model::image::Healthcheck;
use gantry_supervisor::launch::HealthCheck;
use oci_spec::runtime::Process;

const INTERVAL: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(30);
const START_INTERVAL: Duration = Duration::from_secs(5);
const RETRIES: u32 = 3;

/// The check, run as the container's own process is; `None` when there is none.
pub(super) fn decide(
    check: Option<&Healthcheck>,
    shell: Option<&[String]>,
    own: &Process,
) -> Option<HealthCheck> {
    let check = check?;
    let default_shell = ["/bin/sh".to_owned(), "-c".to_owned()];
    let args = match check.test.split_first() {
        Some((kind, rest)) if kind == "CMD" && !rest.is_empty() => rest.to_vec(),
        Some((kind, [command])) if kind == "CMD-SHELL" => {
            let shell = shell
                .filter(|shell| !shell.is_empty())
                .unwrap_or(&default_shell);
            shell.iter().chain([command]).cloned().collect()
        }
        // `NONE`, and what Docker does not understand either.
        _ => return None,
    };
    let mut process = own.clone();
    process.set_args(Some(args));
    process.set_terminal(Some(false));
    process.set_console_size(None);
    let or = |nanoseconds: i64, default: Duration| match u64::try_from(nanoseconds) {
        Ok(nanoseconds) if nanoseconds > 0 => Duration::from_nanos(nanoseconds),
        _ => default,
    };
    Some(HealthCheck {
        process: Box::new(process),
        interval: or(check.interval, INTERVAL),
        timeout: or(check.timeout, TIMEOUT),
        start_period: or(check.start_period, Duration::ZERO),
        start_interval: or(check.start_interval, START_INTERVAL),
        retries: u32::try_from(check.retries)
            .ok()
            .filter(|n| *n > 0)
            .unwrap_or(RETRIES),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(test: &[&str], shell: Option<&[String]>) -> Option<Vec<String>> {
        let check = Healthcheck {
            test: test.iter().map(ToString::to_string).collect(),
            interval: 5_000_000_000,
            ..Healthcheck::default()
        };
        let check = decide(Some(&check), shell, &Process::default())?;
        assert_eq!(
            (check.interval.as_secs(), check.timeout, check.retries),
            (5, TIMEOUT, 3)
        );
        check.process.args().clone()
    }

    #[test]
    fn forms_are_dockers() {
        let text = |items: &[&str]| Some(items.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(args(&["CMD", "a", "b c"], None), text(&["a", "b c"]));
        assert_eq!(
            args(&["CMD-SHELL", "a b"], None),
            text(&["/bin/sh", "-c", "a b"])
        );
        let bash = ["bash".to_owned(), "-ec".to_owned()];
        assert_eq!(
            args(&["CMD-SHELL", "a"], Some(&bash)),
            text(&["bash", "-ec", "a"])
        );
        for none in [&["NONE"][..], &[], &["CMD"], &["X", "y"]] {
            assert_eq!(args(none, None), None, "{none:?}");
        }
        assert!(decide(None, None, &Process::default()).is_none());
    }
}
