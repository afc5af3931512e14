//! `HEALTHCHECK`, and what of it stands in the configuration of an image.

use std::time::Duration;

use gantry_model::image;

use super::CommandLine;

/// `HEALTHCHECK`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Healthcheck {
    /// `NONE`: takes an inherited check away.
    None,
    /// `CMD`.
    Command(HealthcheckCommand),
}

/// `HEALTHCHECK CMD` with its options; `None` and zero alike mean the engine's default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthcheckCommand {
    /// What to run; it exits with 0 while all is well.
    pub command: CommandLine,
    /// `--interval`
    pub interval: Option<Duration>,
    /// `--timeout`
    pub timeout: Option<Duration>,
    /// `--start-period`
    pub start_period: Option<Duration>,
    /// `--start-interval`
    pub start_interval: Option<Duration>,
    /// `--retries`
    pub retries: Option<u32>,
}

/// The check as the configuration has it.
impl From<&Healthcheck> for image::Healthcheck {
    fn from(check: &Healthcheck) -> Self {
        let command = match check {
            Healthcheck::None => {
                return Self {
                    test: vec!["NONE".to_owned()],
                    ..Self::default()
                };
            }
            Healthcheck::Command(command) => command,
        };
        let kind = match command.command {
            CommandLine::Shell(_) => "CMD-SHELL",
            CommandLine::Exec(_) => "CMD",
        };
        let mut test = vec![kind.to_owned()];
        test.extend(command.command.arguments::<&str>(&[]));
        Self {
            test,
            interval: nanoseconds(command.interval),
            timeout: nanoseconds(command.timeout),
            start_period: nanoseconds(command.start_period),
            start_interval: nanoseconds(command.start_interval),
            retries: command.retries.map_or(0, i64::from),
        }
    }
}

fn nanoseconds(time: Option<Duration>) -> i64 {
    time.map_or(0, |time| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX))
}
