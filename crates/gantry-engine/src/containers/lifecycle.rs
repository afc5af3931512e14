//! Stopping, killing, waiting, renaming, removing.

use std::fs;
use std::time::Duration;

use gantry_model::record::Status;
use gantry_model::{ContainerId, ContainerRecord, ContainerState};
use gantry_supervisor::client::{ClientError, Session};
use gantry_supervisor::protocol::{Attach, Exit};

use super::error::{ContainerError, file};
use super::folders::{self, Folders, absent};
use super::removal::removal_of;
use super::silent::{self, Ending};
use super::start::{Keeping, STOP_TIMEOUT, StartOptions};
use super::status::{clear_killed_start, is_live, observe};
use super::{Begun, Containers, signal_number};

/// Signal that cannot be refused.
pub(super) const SIGKILL: i32 = 9;

/// How a container is removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RemoveOptions {
    /// Kill it first if it runs.
    pub force: bool,
    /// Remove its anonymous volumes, too.
    pub volumes: bool,
}

/// What a prune took away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContainersPruned {
    /// Ids.
    pub deleted: Vec<ContainerId>,
    /// Bytes of their writable layers and logs.
    pub reclaimed: u64,
}

impl Containers<'_> {
    /// The supervisor of a container; `None` when it does not run.
    pub(super) fn supervisor(
        &self,
        record: &ContainerRecord,
    ) -> Result<Option<Session>, ContainerError> {
        match Session::connect(&Folders::of(self.engine, &record.id).run_folder) {
            Ok(session) => Ok(Some(session)),
            Err(ClientError::NotRunning) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The supervisor of a container that must run.
    pub(super) fn running(
        &self,
        name: &str,
    ) -> Result<(ContainerRecord, ContainerState, Session), ContainerError> {
        let (record, state) = self.look(name)?;
        let session = self
            .supervisor(&record)?
            .ok_or_else(|| ContainerError::NotRunning {
                name: name.to_owned(),
            })?;
        Ok((record, state, session))
    }

    /// Stops a container: its stop signal, then SIGKILL after `timeout` seconds (negative
    /// waits for ever; `None` for the container's own). One that does not run is left alone.
    /// A supervisor that does not answer some seconds later is killed with its container.
    ///
    /// # Errors
    /// [`ContainerError`].
    pub fn stop(
        &self,
        name: &str,
        signal: Option<&str>,
        timeout: Option<i64>,
    ) -> Result<Ending, ContainerError> {
        let signal = signal.map(signal_number).transpose()?;
        let (record, _) = self.look(name)?;
        let Some(mut session) = self.supervisor(&record)? else {
            return Ok(Ending::Orderly);
        };
        let grace = timeout.or(record.spec.stop_timeout).unwrap_or(STOP_TIMEOUT);
        if let Ok(seconds) = u64::try_from(grace) {
            silent::expect_answer(&mut session, Duration::from_secs(seconds));
        }
        let answer = session.stop(signal, timeout);
        self.ended(&record, session, answer)
    }

    /// What a supervisor answered to the wish for its container's end. One that answers nothing
    /// any more is ended with it.
    fn ended(
        &self,
        record: &ContainerRecord,
        mut session: Session,
        mut answer: Result<Exit, ClientError>,
    ) -> Result<Ending, ContainerError> {
        loop {
            match answer {
                Ok(_) => return Ok(Ending::Orderly),
                Err(error) if ended(&error) => return Ok(Ending::Orderly),
                Err(ClientError::Silent { pid }) => {
                    let other = self.supervisor(record)?;
                    if other.is_some_and(silent::answers_nothing) {
                        return silent::end(self.engine, record, pid);
                    }
                    silent::expect_answer(&mut session, Duration::ZERO);
                    answer = session.exit();
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Sends a signal to a container's first process.
    ///
    /// # Errors
    /// [`ContainerError::NotRunning`] and others.
    pub fn kill(&self, name: &str, signal: &str) -> Result<Ending, ContainerError> {
        let signal = signal_number(signal)?;
        let (record, _, mut session) = self.running(name)?;
        silent::expect_answer(&mut session, silent::AT_ONCE);
        match session.kill(signal) {
            Err(ClientError::Silent { pid }) if signal == SIGKILL => {
                return silent::end(self.engine, &record, pid);
            }
            other => other?,
        }
        if signal != SIGKILL {
            return Ok(Ending::Orderly);
        }
        // It is dead when this returns, as with Docker.
        let Some(mut session) = self.supervisor(&record)? else {
            return Ok(Ending::Orderly);
        };
        silent::expect_answer(&mut session, Duration::ZERO);
        let answer = session.wait(false);
        self.ended(&record, session, answer)
    }

    /// Stops and starts a container.
    ///
    /// # Errors
    /// [`ContainerError`].
    pub fn restart(
        &self,
        name: &str,
        signal: Option<&str>,
        timeout: Option<i64>,
    ) -> Result<Ending, ContainerError> {
        let ending = self.stop(name, signal, timeout)?;
        let mut begun = self.start(name, StartOptions::default())?;
        begun.session.started()?;
        let (record, _) = self.look(name)?;
        self.engine.tell_of(&record, "restart", &[]);
        Ok(ending)
    }

    /// Freezes a container.
    ///
    /// # Errors
    /// [`ContainerError::NotRunning`] and others.
    pub fn pause(&self, name: &str) -> Result<(), ContainerError> {
        Ok(self.running(name)?.2.pause()?)
    }

    /// Thaws a container.
    ///
    /// # Errors
    /// [`ContainerError::NotRunning`] and others.
    pub fn unpause(&self, name: &str) -> Result<(), ContainerError> {
        Ok(self.running(name)?.2.unpause()?)
    }

    /// Follows the streams of a running container.
    ///
    /// # Errors
    /// [`ContainerError::NotRunning`] and others.
    pub fn attach(&self, name: &str, attach: Attach) -> Result<Begun, ContainerError> {
        let (record, state, mut session) = self.running(name)?;
        match state.status {
            Status::Paused => {
                return Err(ContainerError::Running {
                    action: "attach to",
                    name: name.to_owned(),
                    status: "paused",
                    advice: "unpause it before",
                });
            }
            Status::Restarting => {
                return Err(ContainerError::Running {
                    action: "attach to",
                    name: name.to_owned(),
                    status: "restarting",
                    advice: "wait until it runs",
                });
            }
            _ => {}
        }
        session.attach(attach)?;
        Ok(Begun {
            id: record.id,
            name: record.name,
            warnings: Vec::new(),
            session,
            keeping: Keeping::default(),
        })
    }

    /// Waits until a container does not run any more; one that never ran counts as exited
    /// with 0.
    ///
    /// # Errors
    /// [`ContainerError`].
    pub fn wait(&self, name: &str) -> Result<Exit, ContainerError> {
        let (record, state) = self.look(name)?;
        let exit_of = |state: &ContainerState| Exit {
            code: state.exit_code,
            oom_killed: state.oom_killed,
            error: state.error.clone(),
            ..Exit::default()
        };
        let Some(mut session) = self.supervisor(&record)? else {
            return Ok(exit_of(&state));
        };
        match session.wait(true) {
            Ok(exit) => Ok(exit),
            Err(error) if ended(&error) => {
                // It ended before it was asked, or its supervisor was killed: the record says.
                let state = observe(self.engine, &record)?.unwrap_or_default();
                Ok(exit_of(&state))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Gives a container another name.
    ///
    /// # Errors
    /// [`ContainerError::NameTaken`] and others.
    pub fn rename(&self, name: &str, new: &str) -> Result<(), ContainerError> {
        let new = new.strip_prefix('/').unwrap_or(new);
        gantry_model::id::check_name(new).map_err(|_| ContainerError::Name {
            name: new.chars().take(100).collect(),
        })?;
        let (record, _) = self.look(name)?;
        if let Some(owner) = folders::reserve(self.engine, new, &record.id)? {
            return Err(ContainerError::NameTaken {
                name: new.to_owned(),
                id: owner.to_string(),
            });
        }
        let mut before = String::new();
        let written = self.change(&record.id, |record| {
            before = std::mem::replace(&mut record.name, new.to_owned());
        });
        let gone = if written.is_ok() { &before } else { new };
        let gone = folders::name_link(self.engine, gone);
        absent(fs::remove_file(&gone)).map_err(file("remove", &gone))?;
        let record = written?;
        let before = format!("/{before}");
        self.engine
            .tell_of(&record, "rename", &[("oldName", &before)]);
        if let Some(mut session) = self.supervisor(&record)? {
            session.renamed(new)?;
        }
        Ok(())
    }

    /// Removes a container.
    ///
    /// # Errors
    /// [`ContainerError::Running`] unless `force` is set, and others.
    pub fn remove(&self, name: &str, options: RemoveOptions) -> Result<Ending, ContainerError> {
        let (record, state) = match self.look(name) {
            Ok(found) => found,
            Err(error) => {
                self.remove_damaged(name, options, error)?;
                return Ok(Ending::Orderly);
            }
        };
        let mut ending = Ending::Orderly;
        if is_live(state.status) {
            if !options.force {
                return Err(runs(name, state.status));
            }
            ending = self.stop(record.id.as_str(), Some("KILL"), Some(0))?;
        }
        let gone = self.delete(&record, options)?;
        if !gone {
            let status = observe(self.engine, &record)?.map(|state| state.status);
            return Err(runs(name, status.unwrap_or(Status::Running)));
        }
        Ok(ending)
    }

    /// Removes a container that does not run; false when it was started in the meantime.
    fn delete(
        &self,
        record: &ContainerRecord,
        options: RemoveOptions,
    ) -> Result<bool, ContainerError> {
        let folders = Folders::of(self.engine, &record.id);
        // Another command may have the lock for a moment; a supervisor that is starting is
        // stopped when that is wished, or is the end of the wait.
        let supervised = || match Session::connect(&folders.run_folder) {
            Ok(mut session) if options.force => {
                silent::expect_answer(&mut session, Duration::ZERO);
                drop(session.stop(Some(SIGKILL), Some(0)));
                false
            }
            Ok(_) => true,
            Err(_) => false,
        };
        let Some(lock) = folders.lock_unless(supervised)? else {
            // Its supervisor removed it meanwhile (`--rm`), or it was started again.
            return Ok(folders.record()?.is_none());
        };
        clear_killed_start(self.engine, &record.id, &folders)?;
        // It may have been given another name since it was looked at.
        let found = folders.record()?;
        let record = found.as_ref().unwrap_or(record);
        let mut removal = removal_of(self.engine, record);
        if !options.volumes {
            removal.volumes.clear();
        }
        removal.hide()?;
        self.engine.tell_of(record, "destroy", &[]);
        drop(lock);
        removal.delete()?;
        Ok(true)
    }

    /// Removes all containers that do not run. `keep` may spare some (filters).
    ///
    /// # Errors
    /// [`ContainerError`].
    pub fn prune(
        &self,
        keep: &dyn Fn(&ContainerRecord) -> bool,
    ) -> Result<ContainersPruned, ContainerError> {
        let mut pruned = ContainersPruned::default();
        for record in self.records()? {
            let Some(state) = observe(self.engine, &record)? else {
                continue;
            };
            if is_live(state.status) || keep(&record) {
                continue;
            }
            let folders = Folders::of(self.engine, &record.id);
            let size = gantry_sys::usage::disk_usage(&folders.folder).unwrap_or(0);
            // Not when it was started by somebody else in the meantime.
            if self.delete(&record, RemoveOptions::default())? {
                pruned.reclaimed += size;
                pruned.deleted.push(record.id);
            }
        }
        pruned.reclaimed += super::sweep::sweep(self.engine)?;
        self.engine
            .tell_prune(gantry_model::EventType::Container, pruned.reclaimed);
        Ok(pruned)
    }
}

/// That a container has to be stopped before it is removed.
fn runs(name: &str, status: Status) -> ContainerError {
    let (status, advice) = match status {
        Status::Paused => (
            "paused",
            "unpause and stop the container before removing or force remove",
        ),
        Status::Restarting => (
            "restarting",
            "stop the container before removing or force remove",
        ),
        _ => (
            "running",
            "stop the container before removing or force remove",
        ),
    };
    ContainerError::Running {
        action: "remove",
        name: name.to_owned(),
        status,
        advice,
    }
}

/// Whether the supervisor went, or its container, before it could answer.
fn ended(error: &ClientError) -> bool {
    match error {
        ClientError::Gone | ClientError::NotRunning => true,
        ClientError::Failed(failure) => failure.conflict,
        _ => false,
    }
}
