//! From an image's health check to one that a supervisor can run. Pure.

use std::time::Duration;

use gantry_model::ContainerRecord;
use gantry_model::container::HealthOnFailure;
use gantry_model::image::Healthcheck;
use gantry_supervisor::launch::{Contact, HealthCheck, Probe};
use oci_spec::runtime::Process;

const INTERVAL: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(30);
const START_INTERVAL: Duration = Duration::from_secs(5);
const RETRIES: u32 = 3;
const HTTP: u16 = 80;

/// The check of a container, whose own process is `own`; `None` when there is none.
pub(super) fn decide(record: &ContainerRecord, own: &Process) -> Option<HealthCheck> {
    let check = record.healthcheck.as_ref()?;
    let shell = record.process.shell.as_deref();
    let exposed: Vec<&str> = record
        .process
        .exposed_ports
        .keys()
        .map(String::as_str)
        .collect();
    let probe = probe(check, shell, &exposed, own)?;
    Some(schedule(check, probe, record.spec.health_on_failure))
}

/// What is done: a process run as the container's own is, or a connection.
fn probe(
    check: &Healthcheck,
    shell: Option<&[String]>,
    exposed: &[&str],
    own: &Process,
) -> Option<Probe> {
    let default_shell = ["/bin/sh".to_owned(), "-c".to_owned()];
    let (kind, rest) = check.test.split_first()?;
    let args = match (kind.as_str(), rest) {
        ("CMD", rest) if !rest.is_empty() => rest.to_vec(),
        ("CMD-SHELL", [command]) => {
            let shell = shell
                .filter(|shell| !shell.is_empty())
                .unwrap_or(&default_shell);
            shell.iter().chain([command]).cloned().collect()
        }
        // Gantry's own kinds, which only its flags make.
        ("TCP", [port]) => {
            let port = port.parse().ok()?;
            return Some(Probe::Contact(Contact::Tcp { port }));
        }
        ("HTTP", [place]) => {
            let (port, path) = place.split_once('/')?;
            let port = match port {
                "" => own_port(exposed),
                port => port.parse().ok()?,
            };
            let path = format!("/{path}");
            return Some(Probe::Contact(Contact::Http { port, path }));
        }
        // `NONE`, and what Docker does not understand either.
        _ => return None,
    };
    let mut process = own.clone();
    process.set_args(Some(args));
    process.set_terminal(Some(false));
    process.set_console_size(None);
    Some(Probe::Run(Box::new(process)))
}

/// The port of a page whose flag names none: the only one that is exposed, or else that of HTTP.
fn own_port(exposed: &[&str]) -> u16 {
    let mut ports = exposed.iter().filter_map(|port| {
        let number = port.strip_suffix("/tcp").unwrap_or(port);
        number.parse::<u16>().ok()
    });
    match (ports.next(), ports.next()) {
        (Some(port), None) => port,
        _ => HTTP,
    }
}

fn schedule(check: &Healthcheck, probe: Probe, on_failure: HealthOnFailure) -> HealthCheck {
    let or = |nanoseconds: i64, default: Duration| match u64::try_from(nanoseconds) {
        Ok(nanoseconds) if nanoseconds > 0 => Duration::from_nanos(nanoseconds),
        _ => default,
    };
    HealthCheck {
        probe,
        on_failure,
        interval: or(check.interval, INTERVAL),
        timeout: or(check.timeout, TIMEOUT),
        start_period: or(check.start_period, Duration::ZERO),
        start_interval: or(check.start_interval, START_INTERVAL),
        retries: u32::try_from(check.retries)
            .ok()
            .filter(|n| *n > 0)
            .unwrap_or(RETRIES),
    }
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
        let probe = probe(&check, shell, &[], &Process::default())?;
        let check = schedule(&check, probe, HealthOnFailure::None);
        assert_eq!(
            (check.interval.as_secs(), check.timeout, check.retries),
            (5, TIMEOUT, 3)
        );
        match check.probe {
            Probe::Run(process) => process.args().clone(),
            Probe::Contact(_) => None,
        }
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
    }

    #[test]
    fn own_kinds_make_connections() {
        let contact = |kind: &str, place: &str, exposed: &[&str]| {
            let check = Healthcheck {
                test: vec![kind.to_owned(), place.to_owned()],
                ..Healthcheck::default()
            };
            match probe(&check, None, exposed, &Process::default()) {
                Some(Probe::Contact(contact)) => Some(contact),
                _ => None,
            }
        };
        let http = |port, path: &str| {
            let path = path.to_owned();
            Some(Contact::Http { port, path })
        };
        assert_eq!(
            contact("TCP", "6379", &[]),
            Some(Contact::Tcp { port: 6379 })
        );
        assert_eq!(contact("TCP", "x", &[]), None);
        assert_eq!(contact("HTTP", "8080/a/b", &["90/tcp"]), http(8080, "/a/b"));
        assert_eq!(contact("HTTP", "/", &["90/tcp", "5/udp"]), http(90, "/"));
        assert_eq!(contact("HTTP", "/", &["90/tcp", "91/tcp"]), http(80, "/"));
        assert_eq!(contact("HTTP", "nothing", &[]), None);
    }
}
