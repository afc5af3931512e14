//! Listing containers: facts, not text.

use gantry_model::{ContainerRecord, ContainerState};

use super::Containers;
use super::error::ContainerError;
use super::folders::Folders;
use super::status::{is_live, observe};

/// What to list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ListOptions {
    /// Those that do not run, too.
    pub all: bool,
    /// With the size of their writable layers.
    pub sizes: bool,
}

/// One container as lists show it.
#[derive(Debug, Clone, PartialEq)]
pub struct ContainerView {
    /// Its document.
    pub record: ContainerRecord,
    /// What it is doing.
    pub state: ContainerState,
    /// Bytes of its writable layer, when asked for.
    pub size: Option<u64>,
}

impl Containers<'_> {
    /// All containers, the newest first.
    ///
    /// # Errors
    /// [`ContainerError`].
    pub fn list(&self, options: ListOptions) -> Result<Vec<ContainerView>, ContainerError> {
        let mut views = Vec::new();
        for record in self.records()? {
            let Some(state) = observe(self.engine, &record)? else {
                continue;
            };
            if !options.all && !is_live(state.status) {
                continue;
            }
            let size = options.sizes.then(|| self.writable_size(&record));
            views.push(ContainerView {
                record,
                state,
                size,
            });
        }
        // RFC 3339 in UTC, but with as many digits of the second as are needed.
        views.sort_by_cached_key(|view| {
            let created = view.record.created.parse::<jiff::Timestamp>().ok();
            (std::cmp::Reverse(created), view.record.id.clone())
        });
        Ok(views)
    }

    /// Bytes of the files in a container's writable layer, as Docker counts them; 0 when it cannot be measured.
    #[must_use]
    pub fn writable_size(&self, record: &ContainerRecord) -> u64 {
        gantry_sys::usage::content_size(&Folders::of(self.engine, &record.id).upper()).unwrap_or(0)
    }

    /// Bytes of a container's log; 0 when it cannot be measured.
    #[must_use]
    pub fn log_size(&self, record: &ContainerRecord) -> u64 {
        gantry_sys::usage::disk_usage(&Folders::of(self.engine, &record.id).logs()).unwrap_or(0)
    }
}
