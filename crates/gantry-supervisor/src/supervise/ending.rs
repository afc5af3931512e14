//! The end of processes, of runs and of the supervisor.

use std::time::{Duration, Instant};

use gantry_model::record::{HealthStatus, Status};
use gantry_runtime::ExitStatus;
use rustix::process::{WaitOptions, wait};

use super::client::Role;
use super::libc_signal::KILL;
use super::start::Run;
use super::{Finishing, INIT, Phase, Supervisor, note};
use crate::protocol::{Exit, Failure, Reply, chain};
use crate::state;

/// First wait for processes that were killed but are not gone from the cgroup.
const RETRY: Duration = Duration::from_millis(10);
/// After so long what is left of a run is left alone, and said.
const GIVE_UP: Duration = Duration::from_secs(5);

impl Supervisor {
    /// Takes note of every child that ended.
    pub(super) fn reap(&mut self) {
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            let Some(status) = ExitStatus::from_wait_status(status.as_raw()) else {
                continue;
            };
            let pid = pid.as_raw_nonzero().get();
            let process = self
                .processes
                .iter()
                .find(|(_, process)| process.pid == pid);
            match process.map(|(id, _)| *id) {
                Some(INIT) => self.ended = Some(status.code()),
                Some(id) => self.exec_ended(id, status.code()),
                // That of a log that has arrived.
                None if self.courier_ended(pid) => self.finish(),
                // An orphan of a container without a PID namespace of its own, or a compressor.
                None => {}
            }
        }
        if self.ended.is_some() {
            self.conclude();
        }
    }

    fn exec_ended(&mut self, id: u32, code: i32) {
        self.tell_exec_end(id, code);
        self.drain(id);
        if self.probe_ended(id, code) {
            return;
        }
        let exit = Reply::Exited(Exit {
            code,
            ..Exit::default()
        });
        for (client, _) in self.followers(id) {
            client.reply(&exit);
            client.role = Role::Answered;
        }
    }

    fn tell_exec_end(&self, id: u32, code: i32) {
        if let Some(process) = self.processes.get(&id) {
            let code = code.to_string();
            let more = [("execID", process.exec_id.as_str()), ("exitCode", &code)];
            self.tell_with("exec_die", &more);
        }
    }

    /// Kills every process of the container.
    pub(super) fn kill_everything(&mut self) {
        if let Some(init) = self.processes.get(&INIT).filter(|_| self.ended.is_none()) {
            init.signal(KILL);
        }
        if let Some(cgroup) = self.run.as_ref().and_then(|run| run.running.cgroup())
            && let Err(error) = cgroup.kill_all()
        {
            note(&format!("cannot kill all processes: {}", chain(&error)));
        }
        self.thaw_after_signal();
    }

    /// Brings a run to its end once its first process ended: nothing of it may remain.
    pub(super) fn conclude(&mut self) {
        let (Some(code), Some(run)) = (self.ended, self.run.as_ref()) else {
            return;
        };
        let oom_killed = run
            .running
            .cgroup()
            .is_some_and(|cgroup| cgroup.oom_kills() > 0);
        self.state.oom_killed |= oom_killed;
        let others = self.processes.keys().any(|id| *id != INIT);
        let left = if others {
            vec!["processes remain".to_owned()]
        } else {
            clean_cgroup(run)
        };
        if !left.is_empty() {
            let until = *self
                .conclude_until
                .get_or_insert_with(|| Instant::now() + GIVE_UP);
            if Instant::now() < until {
                self.kill_everything();
                self.conclude_at = Some(Instant::now() + RETRY);
                return;
            }
            for error in &left {
                note(&format!("cannot clean up: {error}"));
            }
        }
        self.conclude_at = None;
        self.conclude_until = None;
        self.kill_at = None;
        self.ended = None;
        self.drain(INIT);
        self.health = None;
        let Some(run) = self.run.take() else { return };
        let attached = run.joined.is_some();
        let since = run.since;
        if let Some(relay) = run.joined.as_ref().and_then(|joined| joined.relay.as_ref()) {
            self.poller.remove(relay);
        }
        drop(run);
        if self.state.oom_killed {
            self.tell("oom");
        }
        self.leave_network(attached);
        self.tell_unmounts();
        self.tell_end(code, since.elapsed());
        let exit = Exit {
            code,
            oom_killed: self.state.oom_killed,
            error: left.join("; "),
            ..Exit::default()
        };
        self.decide_what_next(code, since, exit);
    }

    fn tell_end(&mut self, code: i32, ran_for: Duration) {
        if std::mem::take(&mut self.stop_asked) {
            self.tell("stop");
        }
        let (code, seconds) = (code.to_string(), ran_for.as_secs().to_string());
        let more = [("execDuration", seconds.as_str()), ("exitCode", &code)];
        self.tell_with("die", &more);
    }

    /// Restart, or the end.
    pub(super) fn decide_what_next(&mut self, code: i32, since: Instant, mut exit: Exit) {
        exit.code = code;
        self.state.exit_code = code;
        self.state.pid = None;
        self.state.pid_start = None;
        self.state.network = None;
        self.state.finished_at = Some(state::now());
        if let Some(health) = &mut self.state.health {
            health.status = HealthStatus::Unhealthy;
        }
        let once = std::mem::take(&mut self.restart_once);
        let wait = if self.ended_by_user {
            None
        } else if once {
            Some(Duration::ZERO)
        } else {
            let by_user = self.state.stopped_by_user;
            self.backoff
                .next(self.settings.restart, code, by_user, since.elapsed())
        };
        let Some(wait) = wait else {
            self.state.status = Status::Exited;
            return self.finish_life(&exit);
        };
        self.phase = Phase::Restarting {
            at: Instant::now() + wait,
        };
        self.state.status = Status::Restarting;
        self.write_state();
        exit.restarting = true;
        self.answer(&exit, false);
    }

    /// The container has ended for good: its log first.
    pub(super) fn finish_life(&mut self, exit: &Exit) {
        self.phase = Phase::Over;
        self.finishing = Some(Finishing {
            exit: exit.clone(),
            until: Instant::now() + GIVE_UP,
        });
        if self.end_log() {
            self.finish();
        }
    }

    /// Then record, release, answer. Afterwards this process only passes on what clients have
    /// not read yet.
    pub(super) fn finish(&mut self) {
        let Some(Finishing { mut exit, .. }) = self.finishing.take() else {
            return;
        };
        self.state.supervisor_pid = None;
        if let Some(removal) = &self.settings.removal {
            match removal.hide() {
                Ok(()) => {
                    exit.removed = true;
                    self.tell("destroy");
                }
                Err(error) => {
                    note(&chain(&error));
                    exit.error = chain(&error);
                    self.write_state();
                }
            }
        } else {
            self.write_state();
            let socket = self.settings.run_folder.join(crate::SOCKET_FILE);
            // A socket without a listener says "not running" just as well.
            let _remains = std::fs::remove_file(socket);
        }
        if let Some(listener) = self.listener.take() {
            self.poller.remove(&listener);
        }
        // Who may take the lock may start the container again: only now, that all is done.
        self.lock = None;
        self.answer(&exit, true);
        if let Some(removal) = self.settings.removal.take_if(|_| exit.removed)
            && let Err(error) = removal.delete()
        {
            note(&chain(&error));
        }
    }

    fn answer(&mut self, exit: &Exit, over: bool) {
        let failure = Failure::conflict("the container is not running");
        for client in self.clients.values_mut() {
            let reply = match client.role {
                Role::Attached { process: INIT, .. } | Role::WaitingForExit => {
                    Reply::Exited(exit.clone())
                }
                Role::WaitingForStop if over => Reply::Exited(exit.clone()),
                Role::WaitingForStop | Role::Answered => continue,
                _ if over => Reply::Failed(failure.clone()),
                _ => continue,
            };
            client.reply(&reply);
            client.role = Role::Answered;
        }
    }

    /// Removes the bridge if nobody came in the meantime.
    pub(super) fn tear_down_bridge(&self) {
        let Some(networks) = &self.networks else {
            return;
        };
        // A whole installation that was removed meanwhile is not to be made anew.
        let removed = if self.settings.run_root.exists() {
            networks.teardown_if_idle().map(drop)
        } else {
            networks.remove_abandoned()
        };
        if let Err(error) = removed {
            note(&format!("network: {}", chain(&error)));
        }
    }
}

fn clean_cgroup(run: &Run) -> Vec<String> {
    run.running
        .cleanup()
        .iter()
        .map(|error| chain(error))
        .collect()
}
