//! The network against the real kernel. Every test runs in a network namespace of its own,
//! made by running this binary again under `unshare --net`: the host is never touched.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod conflict;
mod dns;
mod firewall;
mod lifecycle;
mod reach;
mod support;
