//! What is under way: builds and transfers, live on a terminal and as plain lines elsewhere.

pub(crate) mod build;
pub(crate) mod live;
pub(crate) mod palette;
mod raw;
pub(crate) mod screen;
pub(crate) mod transfer;
