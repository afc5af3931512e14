//! The manager of the system or of a user, and the units it is asked for.

use std::path::Path;

use crate::connection::Connection;
use crate::error::SystemdError;
use crate::property::{self, Property};
use crate::wire::{Call, Message, Writer};

const SYSTEMD: &str = "org.freedesktop.systemd1";
const OBJECT: &str = "/org/freedesktop/systemd1";
const INTERFACE: &str = "org.freedesktop.systemd1.Manager";
const BUS: &str = "org.freedesktop.DBus";

/// Where the system's manager itself listens, for root only.
const PRIVATE: &str = "/run/systemd/private";
/// Where the system's bus is.
const SYSTEM_BUS: &str = "/run/dbus/system_bus_socket";

/// A conversation with a manager.
#[derive(Debug)]
pub struct Manager {
    connection: Connection,
}

impl Manager {
    /// The manager of the system.
    ///
    /// # Errors
    /// [`SystemdError::Unreachable`] where systemd does not run; others when it does not answer.
    pub fn of_system() -> Result<Manager, SystemdError> {
        Manager::at(Path::new(PRIVATE), Path::new(SYSTEM_BUS))
    }

    /// The manager of the user whose `XDG_RUNTIME_DIR` this is.
    ///
    /// # Errors
    /// As [`Manager::of_system`].
    pub fn of_user(runtime_folder: &Path) -> Result<Manager, SystemdError> {
        Manager::at(
            &runtime_folder.join("systemd/private"),
            &runtime_folder.join("bus"),
        )
    }

    /// Asks the manager itself, or where its own socket is not to be had (from within a container
    /// that was given the bus alone) over the bus.
    fn at(private: &Path, bus: &Path) -> Result<Manager, SystemdError> {
        let (connection, over_bus) = match Connection::open(private) {
            Ok(connection) => (connection, false),
            Err(first) => match Connection::open(bus) {
                Ok(connection) => (connection, true),
                Err(_) => return Err(first),
            },
        };
        let mut manager = Manager { connection };
        if over_bus {
            manager.register()?;
        }
        manager.call(call("Subscribe", "", Writer::default()))?;
        Ok(manager)
    }

    /// Says hello to the bus and asks it for the ends of jobs.
    fn register(&mut self) -> Result<(), SystemdError> {
        let mut rule = Writer::default();
        rule.text(&format!(
            "type='signal',interface='{INTERFACE}',path='{OBJECT}',member='JobRemoved'"
        ));
        for (method, signature, arguments) in
            [("Hello", "", Writer::default()), ("AddMatch", "s", rule)]
        {
            self.call(Call {
                destination: BUS,
                path: "/org/freedesktop/DBus",
                interface: BUS,
                method,
                signature,
                arguments,
            })?;
        }
        Ok(())
    }

    /// The cgroup (version 2) that the manager's units lie below; empty for the whole tree.
    ///
    /// # Errors
    /// When the manager does not tell.
    pub fn control_group(&mut self) -> Result<String, SystemdError> {
        let mut arguments = Writer::default();
        arguments.text(INTERFACE);
        arguments.text("ControlGroup");
        let answer = self.call(Call {
            interface: "org.freedesktop.DBus.Properties",
            ..call("Get", "ss", arguments)
        })?;
        let mut body = answer.body("v")?;
        body.signature()?;
        Ok(body.text()?.trim_end_matches('/').to_owned())
    }

    /// Starts a transient unit and waits until it is there. One of that name that has failed gives
    /// way.
    ///
    /// # Errors
    /// [`SystemdError::Refused`] for properties that the manager does not take and for a name that
    /// is taken, [`SystemdError::Job`] when the unit does not start.
    pub fn start(&mut self, unit: &str, properties: &[Property]) -> Result<(), SystemdError> {
        let started = match self.start_transient(unit, properties) {
            Err(error) if error.is("org.freedesktop.systemd1.UnitExists") => {
                self.reset(unit);
                self.start_transient(unit, properties)
            }
            other => other,
        };
        let answer = started?;
        self.finish(unit, &answer)
    }

    fn start_transient(
        &mut self,
        unit: &str,
        properties: &[Property],
    ) -> Result<Message, SystemdError> {
        let mut arguments = Writer::default();
        arguments.text(unit);
        arguments.text("replace");
        property::write(&mut arguments, properties);
        // No further units.
        arguments.array(8, |_| {});
        self.call(call("StartTransientUnit", "ssa(sv)a(sa(sv))", arguments))
    }

    /// Changes properties of a unit until its end.
    ///
    /// # Errors
    /// [`SystemdError::Refused`].
    pub fn set(&mut self, unit: &str, properties: &[Property]) -> Result<(), SystemdError> {
        let mut arguments = Writer::default();
        arguments.text(unit);
        arguments.u32(true.into());
        property::write(&mut arguments, properties);
        self.call(call("SetUnitProperties", "sba(sv)", arguments))
            .map(drop)
    }

    /// Stops a unit and waits for its end; that there is none is no error.
    ///
    /// # Errors
    /// [`SystemdError::Job`] when it does not stop.
    pub fn stop(&mut self, unit: &str) -> Result<(), SystemdError> {
        let mut arguments = Writer::default();
        arguments.text(unit);
        arguments.text("replace");
        let stopped = match self.call(call("StopUnit", "ss", arguments)) {
            Err(error) if error.is("org.freedesktop.systemd1.NoSuchUnit") => return Ok(()),
            other => other.and_then(|answer| self.finish(unit, &answer)),
        };
        self.reset(unit);
        stopped
    }

    /// Lets a unit that has failed be forgotten; most have not, or are forgotten already.
    fn reset(&mut self, unit: &str) {
        let mut arguments = Writer::default();
        arguments.text(unit);
        self.call(call("ResetFailedUnit", "s", arguments)).ok();
    }

    /// Waits for the end of the job that an answer names.
    fn finish(&mut self, unit: &str, answer: &Message) -> Result<(), SystemdError> {
        let job = answer.body("o")?.text()?.to_owned();
        loop {
            let signal = self.connection.signal()?;
            if signal.member != "JobRemoved" {
                continue;
            }
            let mut body = signal.body("uoss")?;
            body.u32()?;
            if body.text()? != job {
                continue;
            }
            body.text()?;
            return match body.text()? {
                "done" => Ok(()),
                result => Err(SystemdError::Job {
                    unit: unit.to_owned(),
                    result: result.to_owned(),
                }),
            };
        }
    }

    fn call(&mut self, call: Call<'_>) -> Result<Message, SystemdError> {
        self.connection.call(&call)
    }
}

/// A call of the manager.
fn call(method: &'static str, signature: &'static str, arguments: Writer) -> Call<'static> {
    Call {
        destination: SYSTEMD,
        path: OBJECT,
        interface: INTERFACE,
        method,
        signature,
        arguments,
    }
}

#[cfg(test)]
mod tests;
