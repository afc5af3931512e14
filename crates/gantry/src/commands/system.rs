//! The installation as a whole.

pub(crate) mod binfmt;
pub(crate) mod boot;
pub(crate) mod check;
pub(crate) mod completion;
pub(crate) mod df;
pub(crate) mod events;
pub(crate) mod info;
pub(crate) mod inspect;
pub(crate) mod man;
pub(crate) mod prune;
pub(crate) mod unit;
pub(crate) mod version;
