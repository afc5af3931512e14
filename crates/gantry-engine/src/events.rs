//! Writing down what happens, and reading it again.

use std::collections::BTreeMap;
use std::path::PathBuf;

use gantry_model::record::ResolvedMountKind;
use gantry_model::{ContainerRecord, Event, EventType, Fault, FaultKind};
use gantry_supervisor::journal::Journal;
pub use gantry_supervisor::journal::Reader;
use gantry_supervisor::launch::{EventFacts, MountedVolume};

use crate::Engine;

/// The journal cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the journal of events in {}", path.display())]
pub struct EventsError {
    /// `$RUN`.
    pub path: PathBuf,
    /// Why not.
    #[source]
    pub source: std::io::Error,
}

impl Fault for EventsError {
    fn kind(&self) -> FaultKind {
        FaultKind::Internal
    }
}

impl Engine {
    /// Writes down what happened. What is done is done, whether or not that can be written.
    pub fn tell(&self, event: Event) {
        drop(Journal::of(self.run_root()).append(event));
    }

    /// Writes down what happened to a container, with what more is to be said.
    pub fn tell_of(
        &self,
        record: &ContainerRecord,
        action: impl Into<String>,
        more: &[(&str, &str)],
    ) {
        let event = Event::new(EventType::Container, action, record.id.as_str())
            .with_all(&attributes(record));
        let event = more
            .iter()
            .fold(event, |event, (name, value)| event.with(name, *value));
        self.tell(event);
    }

    /// Writes down that a prune was done.
    pub fn tell_prune(&self, kind: EventType, reclaimed: u64) {
        let event = Event::new(kind, "prune", "");
        self.tell(event.with("reclaimed", reclaimed.to_string()));
    }

    /// The events that are still known, and then those to come.
    ///
    /// # Errors
    /// [`EventsError`].
    pub fn events(&self) -> Result<Reader, EventsError> {
        let path = self.run_root().to_owned();
        Journal::of(self.run_root())
            .reader()
            .map_err(|source| EventsError { path, source })
    }
}

/// What events say of a container: its labels, image and name.
fn attributes(record: &ContainerRecord) -> BTreeMap<String, String> {
    let mut all = record.process.labels.clone();
    all.insert("image".into(), record.image_name.clone());
    all.insert("name".into(), record.name.clone());
    all
}

/// What the supervisor needs to tell of its container.
pub(crate) fn facts(engine: &Engine, record: &ContainerRecord) -> EventFacts {
    let volumes = record.mounts.iter().filter_map(|mount| match &mount.kind {
        ResolvedMountKind::Volume { name, .. } => Some(MountedVolume {
            name: name.clone(),
            destination: mount.target.clone(),
            read_write: !mount.read_only,
        }),
        _ => None,
    });
    EventFacts {
        attributes: attributes(record),
        volumes: volumes.collect(),
        network_id: crate::networks::id("bridge", engine.run_root()),
    }
}
