//! Streams between the caller's terminal and a process in a container.

pub(crate) mod pump;
pub(crate) mod terminal;
