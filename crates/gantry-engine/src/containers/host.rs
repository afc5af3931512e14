//! What the host is like.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use gantry_sys::capability;

/// Number of CPUs this process may run on. A quota of its own does not count: it is no fact
/// about the host.
pub(crate) fn cpus() -> u64 {
    let set = rustix::thread::sched_getaffinity(None);
    set.map_or(1, |set| u64::from(set.count().max(1)))
}

/// The host's name.
pub(crate) fn name() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

/// The capabilities there are to give: those this process has and its kernel knows.
pub(crate) fn capabilities() -> Vec<&'static str> {
    capability::permitted()
        .map(|held| held.iter().map(capability::Capability::name).collect())
        .unwrap_or_default()
}

/// A file of at most so many bytes.
pub(crate) fn read_limited(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let read = File::open(path)?.take(most + 1).read_to_end(&mut text)?;
    if u64::try_from(read).is_ok_and(|read| read > most) {
        return Err(io::Error::from(rustix::io::Errno::FBIG));
    }
    Ok(text)
}
