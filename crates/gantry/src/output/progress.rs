//! What is under way: builds and transfers, live on a terminal and as plain lines elsewhere.

pub(crate) mod build;
pub(crate) mod live;
mod raw;
pub(crate) mod screen;
pub(crate) mod transfer;
