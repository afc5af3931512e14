//! The health check: a probe now and then, and what follows from how it ends.

mod connection;

use std::time::{Duration, Instant};

use gantry_model::container::HealthOnFailure;
use gantry_model::record::{HealthProbe, HealthState, HealthStatus, Status};

use super::libc_signal::KILL;
use super::poller::{Interest, Token};
use super::{INIT, Phase, Supervisor, note};
use crate::launch::{self, HealthCheck};
use crate::protocol::{Attach, ExecRequest, Failure};
use crate::state::now;
use connection::{Connection, Outcome};

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
    means: Means,
    start: String,
    /// When it has failed.
    until: Instant,
    late: bool,
    output: Vec<u8>,
}

/// By what a probe finds out.
#[derive(Debug)]
enum Means {
    /// A process in the container.
    Process(u32),
    /// A connection.
    Connection(Box<Connection>),
}

impl Probe {
    fn is(&self, process: u32) -> bool {
        matches!(self.means, Means::Process(own) if own == process)
    }
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
        let Some(probe) = self.probe.as_mut().filter(|probe| probe.is(process)) else {
            return false;
        };
        // One more than is kept, which tells that there was more.
        let room = (MOST_OUTPUT + 1).saturating_sub(probe.output.len());
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
        // What the run before was found to be stays on record, as with Docker.
        let state = HealthState {
            log: self.state.health.take().unwrap_or_default().log,
            ..HealthState::default()
        };
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
            match probe.means {
                // Its end is what is waited for then.
                Means::Process(process) => {
                    if let Some(process) = self.processes.get(&process) {
                        process.signal(KILL);
                    }
                }
                Means::Connection(_) => self.probe_over(-1, String::new()),
            }
            return;
        }
        health.next = None;
        let runs = self.phase == Phase::Running && self.processes.contains_key(&INIT);
        let Some(check) = self.settings.health.clone().filter(|_| runs) else {
            return;
        };
        let start = now();
        match self.begin_probe(&check) {
            Ok(means) => {
                if let Some(health) = &mut self.health {
                    health.probe = Some(Probe {
                        means,
                        start,
                        until: Instant::now() + check.timeout,
                        late: false,
                        output: Vec::new(),
                    });
                }
                self.on_contact();
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
        let Some(probe) = health.probe.as_ref().filter(|probe| probe.is(process)) else {
            return false;
        };
        let output = shortened(&probe.output);
        self.probe_over(code, output);
        true
    }

    /// Goes on with a connection as far as that goes without waiting.
    pub(super) fn on_contact(&mut self) {
        let probe = self
            .health
            .as_mut()
            .and_then(|health| health.probe.as_mut());
        let Some(Means::Connection(connection)) = probe.map(|probe| &mut probe.means) else {
            return;
        };
        if let Some(socket) = connection.socket() {
            self.poller.remove(socket);
        }
        match connection.advance() {
            Outcome::Done(well, output) => self.probe_over(i32::from(!well), output),
            Outcome::Pending => {
                let interest = if connection.is_connecting() {
                    Interest::Write
                } else {
                    Interest::Read
                };
                if let Some(socket) = connection.socket()
                    && let Err(error) = self.poller.add(socket, Token::Contact, interest)
                {
                    note(&format!("cannot wait for a probe's connection: {error}"));
                }
            }
        }
    }

    /// Ends the present probe.
    fn probe_over(&mut self, code: i32, output: String) {
        let Some(probe) = self.health.as_mut().and_then(|health| health.probe.take()) else {
            return;
        };
        let Some(check) = self.settings.health.clone() else {
            return;
        };
        let (exit_code, output) = if probe.late {
            let timeout = go_duration(check.timeout);
            (-1, format!("Health check exceeded timeout ({timeout})"))
        } else {
            (code, output)
        };
        let probe = HealthProbe {
            start: probe.start,
            end: now(),
            exit_code,
            output,
        };
        self.probed(&check, probe);
    }

    fn begin_probe(&mut self, check: &HealthCheck) -> Result<Means, Failure> {
        match &check.probe {
            launch::Probe::Run(process) => {
                let attach = Attach {
                    stdout: true,
                    stderr: true,
                    ..Attach::default()
                };
                let request = ExecRequest {
                    process: *process.clone(),
                    attach: Some(attach),
                    toolbox: None,
                };
                self.start_exec(&request)
                    .map(|(process, _)| Means::Process(process))
            }
            launch::Probe::Contact(contact) => {
                let init = self.processes.get(&INIT);
                let Some(init) = init.filter(|_| self.state.status == Status::Running) else {
                    return Err(Failure::conflict("the container is paused"));
                };
                let own = self.state.network.as_ref();
                let own = own.and_then(|network| network.ip_address.parse().ok());
                Connection::new(contact.clone(), init.pid, own)
                    .map(|connection| Means::Connection(Box::new(connection)))
                    .map_err(|error| {
                        Failure::internal(format!("cannot enter the container's network: {error}"))
                    })
            }
        }
    }

    fn probed(&mut self, check: &HealthCheck, probe: HealthProbe) {
        if self.ended.is_some() {
            return;
        }
        let Some(health) = &self.health else { return };
        let running_for = health.since.elapsed();
        let state = self.state.health.get_or_insert_default();
        let before = state.status;
        judge(state, check, probe, running_for);
        let status = state.status;
        let changed = status != before;
        if changed {
            self.tell(format!("health_status: {status}"));
        }
        let fell_ill = changed && status == HealthStatus::Unhealthy;
        self.write_state();
        self.plan_probe(check);
        if fell_ill {
            self.react(check.on_failure);
        }
    }

    /// Does what a container is to suffer that became unhealthy.
    fn react(&mut self, action: HealthOnFailure) {
        match action {
            HealthOnFailure::None => {}
            HealthOnFailure::Kill => self.kill_everything(),
            HealthOnFailure::Restart => {
                self.restart_once = true;
                self.ask_to_end(None, None);
            }
            HealthOnFailure::Stop => self.stop(None, None),
        }
    }

    fn plan_probe(&mut self, check: &HealthCheck) {
        if let (Some(health), Some(state)) = (&mut self.health, &self.state.health) {
            let pause = pause(check, state, health.since.elapsed());
            health.next = Some(Instant::now() + pause);
        }
    }
}

/// The beginning of what a probe wrote, marked where there was more.
fn shortened(output: &[u8]) -> String {
    let kept = &output[..output.len().min(MOST_OUTPUT)];
    let mut text = String::from_utf8_lossy(kept).into_owned();
    if output.len() > MOST_OUTPUT {
        text.push_str("...");
    }
    text
}

/// A span as Go writes it.
fn go_duration(span: Duration) -> String {
    if span < Duration::from_mins(1) {
        return format!("{span:?}");
    }
    let (minutes, rest) = (span.as_secs() / 60, span.as_secs() % 60);
    let rest = match Duration::new(rest, span.subsec_nanos()) {
        Duration::ZERO => "0s".to_owned(),
        rest => format!("{rest:?}"),
    };
    match (minutes / 60, minutes % 60) {
        (0, minutes) => format!("{minutes}m{rest}"),
        (hours, minutes) => format!("{hours}h{minutes}m{rest}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check() -> HealthCheck {
        HealthCheck {
            probe: launch::Probe::Run(Box::default()),
            on_failure: HealthOnFailure::None,
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
    fn texts_are_dockers() {
        assert_eq!(shortened(b"short"), "short");
        let long = shortened(&[b'x'; MOST_OUTPUT + 1]);
        assert_eq!((long.len(), &long[4090..]), (4099, "xxxxxx..."));
        for (span, want) in [
            (Duration::from_millis(200), "200ms"),
            (Duration::from_millis(1500), "1.5s"),
            (Duration::from_secs(30), "30s"),
            (Duration::from_secs(90), "1m30s"),
            (Duration::from_secs(3600), "1h0m0s"),
        ] {
            assert_eq!(go_duration(span), want);
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
