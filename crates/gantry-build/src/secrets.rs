//! What a client lends to steps and no step may keep: secrets and SSH agents.

pub(crate) mod leaks;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::error::StepError;

/// Most bytes of a secret, as in BuildKit.
const LARGEST: u64 = 500 << 10;

/// Where a secret comes from (`--secret`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// A file; its whole content.
    File(PathBuf),
    /// A variable of the client's environment.
    Env(String),
}

/// What a secret is. It cannot be printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SecretValue(Vec<u8>);

impl SecretValue {
    /// The bytes, for the one place that needs them.
    pub(crate) fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for SecretValue {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretValue(…)")
    }
}

/// The secrets of one build, each read when it is first needed.
#[derive(Debug, Default)]
pub(crate) struct Secrets {
    sources: BTreeMap<String, SecretSource>,
    read: Mutex<BTreeMap<String, Arc<SecretValue>>>,
}

impl Secrets {
    pub(crate) fn new(sources: BTreeMap<String, SecretSource>) -> Self {
        Self {
            sources,
            read: Mutex::default(),
        }
    }

    /// A secret; `None` where the client gave none of that name.
    pub(crate) fn value(&self, id: &str) -> Result<Option<Arc<SecretValue>>, StepError> {
        let Some(source) = self.sources.get(id) else {
            return Ok(None);
        };
        let mut known = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = known.get(id) {
            return Ok(Some(Arc::clone(value)));
        }
        let failed = |source| StepError::Secret {
            id: id.to_owned(),
            source,
        };
        let value = Arc::new(SecretValue(read(source).map_err(failed)?));
        known.insert(id.to_owned(), Arc::clone(&value));
        Ok(Some(value))
    }
}

fn read(source: &SecretSource) -> io::Result<Vec<u8>> {
    use std::os::unix::ffi::OsStringExt;
    let bytes = match source {
        SecretSource::Env(name) => std::env::var_os(name)
            .map(OsStringExt::into_vec)
            .ok_or_else(|| {
                let text = format!("there is no variable {name} in the environment");
                io::Error::new(io::ErrorKind::NotFound, text)
            })?,
        SecretSource::File(path) => {
            let mut bytes = Vec::new();
            File::open(path)
                .and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes))
                .map_err(|error| {
                    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
                })?;
            bytes
        }
    };
    if bytes.len() as u64 > LARGEST {
        let text = format!("it is larger than {LARGEST} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_cannot_be_printed() {
        let value = SecretValue(b"hunter2".to_vec());
        assert!(!format!("{value:?}").contains("hunter2"));
        assert!(!format!("{value:?}").contains("104"));
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let sources = BTreeMap::from([
            ("a".to_owned(), SecretSource::File("/nonesuch/file".into())),
            ("b".to_owned(), SecretSource::Env("GANTRY_NONESUCH".into())),
            ("c".to_owned(), SecretSource::File("/dev/zero".into())),
        ]);
        let secrets = Secrets::new(sources);
        for id in ["a", "b", "c"] {
            assert!(secrets.value(id).is_err(), "{id}");
        }
        assert!(matches!(secrets.value("d"), Ok(None)));
    }
}
