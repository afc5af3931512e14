//! Removing images that nobody needs.

use std::collections::BTreeSet;

use gantry_model::Digest;
use gantry_store::CollectPolicy;
use gantry_store::collect::ImagePolicy;

use super::list::created;
use super::{ImageError, ImageFilters, Images};

/// Which images go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PruneOptions {
    /// All that no container uses, not only those without a tag.
    pub all: bool,
    /// Only those that fit: `label`, `label!` and `until` count here.
    pub filters: ImageFilters,
}

/// What went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Names, as people write them.
    pub untagged: Vec<String>,
    /// Images and then layers.
    pub deleted: Vec<Digest>,
    /// Bytes of disk set free.
    pub bytes: u64,
}

impl Images<'_> {
    /// Removes the images that fit and that no container uses.
    ///
    /// # Errors
    /// When the store cannot be changed, or a filter is none of this verb's.
    pub fn prune(&self, options: &PruneOptions) -> Result<Pruned, ImageError> {
        let filters = &options.filters;
        for (given, name) in [
            (!filters.reference.is_empty(), "reference"),
            (filters.before.is_some(), "before"),
            (filters.since.is_some(), "since"),
        ] {
            if given {
                return Err(ImageError::Filter {
                    filter: name.to_owned(),
                });
            }
        }
        // `dangling=false` is the old way to say `--all`.
        let all = options.all || filters.dangling == Some(false);
        let store = self.store()?;
        let mut spared = BTreeSet::new();
        let list = store.images().list()?;
        for image in list.whole {
            let made = created(&image).unwrap_or_default();
            let fits = filters.labels_fit(&image.config.config.labels)
                && filters.until.is_none_or(|limit| made < limit);
            if !fits {
                spared.insert(image.id);
            }
        }
        // Whether a damaged one fits cannot be told.
        if filters.asks_the_image() {
            spared.extend(list.damaged.iter().map(|damaged| damaged.names.id));
        }
        let policy = CollectPolicy {
            images: if all {
                ImagePolicy::Unused
            } else {
                ImagePolicy::Dangling
            },
            spared,
            ..CollectPolicy::default()
        };
        let collected = store.collect(&self.engine.roots()?, &policy)?;
        let mut pruned = Pruned {
            bytes: collected.bytes,
            ..Pruned::default()
        };
        for (id, names) in collected.images {
            self.tell("delete", &id.to_string(), &id.to_string());
            pruned
                .untagged
                .extend(names.iter().map(|name| familiar(name)));
            pruned.deleted.push(id);
        }
        for damaged in &list.damaged {
            if !pruned.deleted.contains(&damaged.names.id) {
                self.engine.note_damage(damaged);
            }
        }
        pruned.deleted.extend(collected.layers);
        self.engine
            .tell_prune(gantry_model::EventType::Image, pruned.bytes);
        Ok(pruned)
    }
}

fn familiar(name: &str) -> String {
    name.parse::<gantry_model::Reference>()
        .map_or_else(|_| name.to_owned(), |r| r.familiar())
}
