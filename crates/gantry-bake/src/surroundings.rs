//! What an evaluation is told of the world, since it may ask nobody.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};

/// The world of an evaluation.
#[derive(Debug, Default)]
pub struct Surroundings {
    /// Environment variables; they set the variables of Bake files.
    pub environment: BTreeMap<String, String>,
    /// Variables of `.env`, which Compose files see where the environment has none of that name.
    pub dotenv: BTreeMap<String, String>,
    /// Variables that were set on the command line (`--var`), before those of the environment.
    pub variables: BTreeMap<String, String>,
    /// The folder or URL of the command (`BAKE_CMD_CONTEXT`).
    pub command_context: String,
    /// The platform of this machine (`BAKE_LOCAL_PLATFORM`).
    pub local_platform: String,
    /// The home folder of the caller (`homedir()`).
    pub home: Option<String>,
    /// Now, in seconds since 1970 (`timestamp()`).
    pub now: i64,
    /// Where `uuidv4()` and `bcrypt()` take their random bytes from.
    pub seed: [u8; 32],
    /// How many times random bytes were asked for.
    pub drawn: AtomicU64,
}

impl Surroundings {
    /// The value that was set for a variable, on the command line or in the environment.
    pub(crate) fn lookup(&self, name: &str) -> Option<&str> {
        let set = self
            .variables
            .get(name)
            .or_else(|| self.environment.get(name));
        set.map(String::as_str)
    }

    /// The same for a Compose file.
    pub(crate) fn lookup_for_compose(&self, name: &str) -> Option<&str> {
        let written = || self.dotenv.get(name).map(String::as_str);
        self.lookup(name).or_else(written)
    }

    /// Bytes that nobody can tell beforehand who does not know the seed.
    pub(crate) fn random(&self) -> [u8; 16] {
        let count = self.drawn.fetch_add(1, Ordering::Relaxed);
        let digest = Sha256::new()
            .chain_update(self.seed)
            .chain_update(count.to_le_bytes())
            .finalize();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        bytes
    }
}
