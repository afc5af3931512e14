//! What happens to containers, images, volumes and networks, as `docker events` tells it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventType {
    /// The build cache.
    Builder,
    /// A container.
    Container,
    /// The engine itself; Gantry has none that could start or reload, the word is Docker's.
    Daemon,
    /// An image.
    Image,
    /// A network.
    Network,
    /// A volume.
    Volume,
}

impl std::fmt::Display for EventType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Builder => "builder",
            Self::Container => "container",
            Self::Daemon => "daemon",
            Self::Image => "image",
            Self::Network => "network",
            Self::Volume => "volume",
        })
    }
}

/// The thing it happened to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// Its id, or its name where it has none.
    #[serde(rename = "ID")]
    pub id: String,
    /// What is known of it: labels, name, image, and what the action adds.
    #[serde(rename = "Attributes", default)]
    pub attributes: BTreeMap<String, String>,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// To what kind of thing.
    #[serde(rename = "Type")]
    pub kind: EventType,
    /// What, in Docker's words: `create`, `die`, `health_status: healthy`.
    #[serde(rename = "Action")]
    pub action: String,
    /// To which thing.
    #[serde(rename = "Actor")]
    pub actor: Actor,
    /// When, in nanoseconds since 1970 (UTC).
    #[serde(rename = "timeNano")]
    pub time_nano: i64,
}

impl Event {
    /// An event without a time; whoever writes it down says when.
    #[must_use]
    pub fn new(kind: EventType, action: impl Into<String>, id: impl Into<String>) -> Self {
        Self {
            kind,
            action: action.into(),
            actor: Actor {
                id: id.into(),
                attributes: BTreeMap::new(),
            },
            time_nano: 0,
        }
    }

    /// The event with a further attribute.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.actor.attributes.insert(name.to_owned(), value.into());
        self
    }

    /// The event with these attributes besides.
    #[must_use]
    pub fn with_all(mut self, attributes: &BTreeMap<String, String>) -> Self {
        let more = attributes.iter().map(|(k, v)| (k.clone(), v.clone()));
        self.actor.attributes.extend(more);
        self
    }
}
