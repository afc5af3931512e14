//! Images against real peers: Debian's docker-registry on loopback, and skopeo.

#![expect(
    clippy::unwrap_used,
    reason = "a failed step of a test is a failed test"
)]

mod archives;
mod hostile;
mod installation;
mod liar;
mod platforms;
mod registry;
