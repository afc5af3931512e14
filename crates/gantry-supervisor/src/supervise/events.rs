//! Writing down what happens to the container.

use gantry_model::{Event, EventType};

use super::{Supervisor, note};
use crate::journal::Journal;
use crate::protocol::WindowSize;

impl Supervisor {
    /// Something happened to the container.
    pub(super) fn tell(&self, action: impl Into<String>) {
        self.tell_with(action, &[]);
    }

    /// Something happened to it of which more is to be said.
    pub(super) fn tell_with(&self, action: impl Into<String>, more: &[(&str, &str)]) {
        let facts = &self.settings.events;
        let event = Event::new(EventType::Container, action, self.settings.id.as_str())
            .with_all(&facts.attributes);
        self.write_down(with(event, more));
    }

    /// Its terminal has this size now.
    pub(super) fn tell_size(&self, size: WindowSize) {
        let (height, width) = (size.rows.to_string(), size.columns.to_string());
        self.tell_with("resize", &[("height", &height), ("width", &width)]);
    }

    /// Its volumes are mounted.
    pub(super) fn tell_mounts(&self) {
        for volume in &self.settings.events.volumes {
            let event = Event::new(EventType::Volume, "mount", volume.name.as_str())
                .with("container", self.settings.id.as_str())
                .with("destination", volume.destination.as_str())
                .with("driver", "local")
                .with("propagation", "")
                .with("read/write", volume.read_write.to_string());
            self.write_down(event);
        }
    }

    /// They are not any more.
    pub(super) fn tell_unmounts(&self) {
        for volume in &self.settings.events.volumes {
            let event = Event::new(EventType::Volume, "unmount", volume.name.as_str())
                .with("container", self.settings.id.as_str())
                .with("driver", "local");
            self.write_down(event);
        }
    }

    /// It is connected to its network, or disconnected.
    pub(super) fn tell_network(&self, action: &str) {
        let network = self.settings.events.network_id.as_str();
        if network.is_empty() {
            return;
        }
        let event = Event::new(EventType::Network, action, network)
            .with("container", self.settings.id.as_str())
            .with("name", "bridge")
            .with("type", "bridge");
        self.write_down(event);
    }

    fn write_down(&self, event: Event) {
        // An installation that was removed meanwhile is not to be made anew.
        if !self.settings.run_root.is_dir() {
            return;
        }
        if let Err(error) = Journal::of(&self.settings.run_root).append(event) {
            note(&format!("cannot write an event: {error}"));
        }
    }
}

fn with(event: Event, more: &[(&str, &str)]) -> Event {
    more.iter()
        .fold(event, |event, (name, value)| event.with(name, *value))
}
