//! Emulators for programs of other machines.

pub(crate) mod install;
pub(crate) mod ls;
pub(crate) mod uninstall;
