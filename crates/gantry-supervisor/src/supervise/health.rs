//! The health check: a probe now and then, and what follows from how it ends.

use std::time::{Duration, Instant};

use gantry_model::record::{HealthProbe, HealthState, HealthStatus};

use super::libc_signal::KILL;
use super::{INIT, Phase, Supervisor};
use crate::launch::HealthCheck;
use crate::protocol::{Attach, ExecRequest};
use crate::state::now;

/// Bytes of a probe's output that are kept.
const MOST_OUTPUT: usize = 4096;
/// Probes that are kept.
const MOST_PROBES: usize = 5;

/// The health check of one run.
#[derive(Debug)]
pub(super) struct Health {
    /// When the run began.
    since: Instant,
    /// When the next probe is due.
    next: Option<Instant>,
    probe: Option<Probe>,
}

/// A probe that runs.
#[derive(Debug)]
struct Probe {
    process: u32,
    start: String,
    /// When it has failed.
    until: Instant,
    late: bool,
    output: Vec<u8>,
}

impl Health {
    pub(super) fn new(check: &HealthCheck, state: &HealthState) -> Self {
        let since = Instant::now();
        Self {
            since,
            next: Some(since + pause(check, state, Duration::ZERO)),
            probe: None,
        }
    }

    /// When something is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.probe {
            Some(probe) => (!probe.late).then_some(probe.until),
            None => self.next,
        }
    }

    /// Takes output of a probe; false when it is another process's.
    pub(super) fn hear(&mut self, process: u32, bytes: &[u8]) -> bool {
        let Some(probe) = self.probe.as_mut().filter(|probe| probe.process == process) else {
            return false;
        };
        let room = MOST_OUTPUT.saturating_sub(probe.output.len());
        probe
            .output
            .extend_from_slice(&bytes[..bytes.len().min(room)]);
        true
    }
}

/// How long to wait for the next probe.
fn pause(check: &HealthCheck, state: &HealthState, running_for: Duration) -> Duration {
    if state.status == HealthStatus::Starting && running_for < check.start_period {
        check.start_interval
    } else {
        check.interval
    }
}

/// What one probe makes of the verdict. Failures do not count while the container starts.
fn judge(state: &mut HealthState, check: &HealthCheck, probe: HealthProbe, running_for: Duration) {
    let starting = state.status == HealthStatus::Starting && running_for < check.start_period;
    if probe.exit_code == 0 {
        state.failing_streak = 0;
        state.status = HealthStatus::Healthy;
    } else if !starting {
        state.failing_streak = state.failing_streak.saturating_add(1);
        if state.failing_streak >= check.retries {
            state.status = HealthStatus::Unhealthy;
        }
    }
    state.log.push(probe);
    let surplus = state.log.len().saturating_sub(MOST_PROBES);
    state.log.drain(..surplus);
}

impl Supervisor {
    /// Begins to check the health of a run that began.
    pub(super) fn watch_health(&mut self) {
        let Some(check) = &self.settings.health else {
            return;
        };
        let state = HealthState::default();
        self.health = Some(Health::new(check, &state));
        self.state.health = Some(state);
    }

    /// Runs the probe that is due, or ends the one that takes too long.
    pub(super) fn tend_health(&mut self) {
        let Some(health) = &mut self.health else {
            return;
        };
        if let Some(probe) = &mut health.probe {
            probe.late = true;
            if let Some(process) = self.processes.get(&probe.process) {
                process.signal(KILL);
            }
            return;
        }
        health.next = None;
        let runs = self.phase == Phase::Running && self.processes.contains_key(&INIT);
        let Some(check) = self.settings.health.clone().filter(|_| runs) else {
            return;
        };
        let attach = Attach {
            stdout: true,
            stderr: true,
            ..Attach::default()
        };
        let request = ExecRequest {
            process: *check.process.clone(),
            attach: Some(attach),
        };
        let start = now();
        match self.start_exec(&request) {
            Ok((process, _)) => {
                let probe = Probe {
                    process,
                    start,
                    until: Instant::now() + check.timeout,
                    late: false,
                    output: Vec::new(),
                };
                if let Some(health) = &mut self.health {
                    health.probe = Some(probe);
                }
            }
            // A paused container is asked again later, without a verdict.
            Err(failure) if failure.conflict => self.plan_probe(&check),
            Err(failure) => {
                let output = failure.message;
                let probe = HealthProbe {
                    start,
                    end: now(),
                    exit_code: -1,
                    output,
                };
                self.probed(&check, probe);
            }
        }
    }

    /// Takes note of the end of a process; true when it was a probe.
    pub(super) fn probe_ended(&mut self, process: u32, code: i32) -> bool {
        let Some(health) = &mut self.health else {
            return false;
        };
        let Some(probe) = health.probe.take_if(|probe| probe.process == process) else {
            return false;
        };
        let Some(check) = self.settings.health.clone() else {
            return true;
        };
        let output = if probe.late {
            format!("Health check exceeded timeout ({:?})", check.timeout)
        } else {
            String::from_utf8_lossy(&probe.output).into_owned()
        };
        let exit_code = if probe.late { -1 } else { code };
        let probe = HealthProbe {
            start: probe.start,
            end: now(),
            exit_code,
            output,
        };
        self.probed(&check, probe);
        true
    }

    fn probed(&mut self, check: &HealthCheck, probe: HealthProbe) {
        if self.ended.is_some() {
            return;
        }
        let Some(health) = &self.health else { return };
        let running_for = health.since.elapsed();
        judge(
            self.state.health.get_or_insert_default(),
            check,
            probe,
            running_for,
        );
        self.write_state();
        self.plan_probe(check);
    }

    fn plan_probe(&mut self, check: &HealthCheck) {
        if let (Some(health), Some(state)) = (&mut self.health, &self.state.health) {
            let pause = pause(check, state, health.since.elapsed());
            health.next = Some(Instant::now() + pause);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check() -> HealthCheck {
        HealthCheck {
            process: Box::default(),
            interval: Duration::from_secs(30),
            timeout: Duration::from_secs(3),
            start_period: Duration::from_secs(10),
            start_interval: Duration::from_secs(5),
            retries: 2,
        }
    }

    fn verdict(codes: &[(u64, i32)]) -> (HealthStatus, u32) {
        let mut state = HealthState::default();
        for (seconds, exit_code) in codes {
            let probe = HealthProbe {
                exit_code: *exit_code,
                ..HealthProbe::default()
            };
            judge(&mut state, &check(), probe, Duration::from_secs(*seconds));
        }
        assert!(state.log.len() <= MOST_PROBES);
        (state.status, state.failing_streak)
    }

    #[test]
    fn verdicts_are_dockers() {
        use HealthStatus::{Healthy, Starting, Unhealthy};
        for (codes, want) in [
            (&[][..], (Starting, 0)),
            (&[(1, 1), (6, 1)], (Starting, 0)),
            (&[(1, 1), (11, 1)], (Starting, 1)),
            (&[(11, 1), (12, 1)], (Unhealthy, 2)),
            (&[(11, 1), (12, 0), (13, 1)], (Healthy, 1)),
            (&[(1, 0), (2, 1), (3, 1)], (Unhealthy, 2)),
            (&[(11, 1), (12, 1), (13, 0)], (Healthy, 0)),
            (
                &[(1, 0), (2, 0), (3, 0), (4, 0), (5, 0), (6, 0)],
                (Healthy, 0),
            ),
        ] {
            assert_eq!(verdict(codes), want, "{codes:?}");
        }
    }

    #[test]
    fn probes_come_faster_while_it_starts() {
        let mut state = HealthState::default();
        let pause =
            |state: &HealthState, seconds| pause(&check(), state, Duration::from_secs(seconds));
        assert_eq!(pause(&state, 1).as_secs(), 5);
        assert_eq!(pause(&state, 11).as_secs(), 30);
        state.status = HealthStatus::Healthy;
        assert_eq!(pause(&state, 1).as_secs(), 30);
    }
}
