//! Images against real peers: Debian's docker-registry on loopback, and skopeo.

mod archives;
mod hostile;
mod installation;
mod registry;
