//! What people see: the only place that writes to stdout and stderr.

mod absent;
pub(crate) mod columns;
pub(crate) mod documents;
pub(crate) mod go_json;
pub(crate) mod listing;
pub(crate) mod progress;
pub(crate) mod sink;
pub(crate) mod size;
pub(crate) mod template;
pub(crate) mod time;
pub(crate) mod ui;
