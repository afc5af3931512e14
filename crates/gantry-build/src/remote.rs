//! Sources outside of this machine: files over HTTP and git repositories.
//!
//! What is fetched becomes a layer of the store with root's files in it, under a record that names
//! what it was made of: the next build asks the other side whether that still holds, and takes the
//! layer. So whatever copies from it works on content, as from a stage, and a prune takes it as it
//! takes any record.

pub(crate) mod address;
pub(crate) mod archive;
mod git;
mod git_credentials;
mod git_program;
mod http;

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use gantry_http::Environment;
use gantry_model::{Digest, FaultKind};
use gantry_store::{Record, Store, StoreError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::cache::{Cache, Key, KeyLock};
use crate::error::StepError;
use crate::graph::Fields;
use crate::progress::{LogStream, VertexId};
use crate::report::Reporter;
use crate::secrets::Secrets;
use crate::stop::Stop;

/// Records of what was fetched: what and from where → layer.
const SOURCE: &str = "build-source";

/// How a build reaches outside.
#[derive(Debug, Clone, Default)]
pub struct Outside {
    /// The caller's variables: proxies, `SSL_CERT_FILE`, and what git and ssh need (`PATH`, `HOME`).
    pub environment: Environment,
    /// A further file of trusted certificates (PEM), which `RUN` steps are lent as well.
    pub authorities: Option<PathBuf>,
}

/// On whose behalf something is fetched, and who is told of it.
pub(crate) struct Behalf<'b> {
    pub(crate) secrets: &'b Secrets,
    /// The socket of an SSH agent.
    pub(crate) agent: Option<&'b Path>,
    /// Whether nothing is taken from records.
    pub(crate) anew: bool,
    pub(crate) reporter: &'b Reporter<'b>,
    pub(crate) vertex: Option<VertexId>,
}

impl Behalf<'_> {
    /// So many bytes came, of so many where that is known.
    fn bytes(&self, name: &str, current: u64, total: Option<u64>, done: bool) {
        if let Some(vertex) = self.vertex {
            self.reporter.bytes(vertex, name, current, total, done);
        }
    }

    /// A program wrote this.
    fn text(&self, text: &[u8]) {
        if let Some(vertex) = self.vertex.filter(|_| !text.is_empty()) {
            self.reporter.log(vertex, LogStream::Stderr, text);
        }
    }

    /// The text of a secret that belongs to a host, `NAME.host` before `NAME`.
    fn secret_for(&self, name: &str, host: &str) -> Result<Option<String>, StepError> {
        for id in [format!("{name}.{host}"), name.to_owned()] {
            if let Some(value) = self.secrets.value(&id)? {
                let text = std::str::from_utf8(value.expose()).unwrap_or_default();
                let text = text.trim();
                if text.is_empty() || text.contains(['\n', '\r', '\0']) {
                    let reason = format!("the secret {id} is not one line of text");
                    return Err(failed(host, reason, FaultKind::Invalid));
                }
                return Ok(Some(text.to_owned()));
            }
        }
        Ok(None)
    }
}

/// The value of a record.
#[derive(Debug, Serialize, Deserialize)]
struct Remembered<T> {
    seal: Option<String>,
    known: T,
}

/// Fetches what a build needs from outside.
pub(crate) struct Remote {
    store: Store,
    outside: Outside,
    cache: Cache,
    stop: Stop,
    /// What references of repositories mean, asked once for a build.
    commits: Mutex<HashMap<(String, Option<String>), git::Resolved>>,
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").finish_non_exhaustive()
    }
}

impl Remote {
    pub(crate) fn new(store: &Store, run_root: &Path, outside: &Outside, stop: &Stop) -> Self {
        Self {
            store: store.clone(),
            outside: outside.clone(),
            cache: Cache::new(store.clone(), run_root),
            stop: stop.clone(),
            commits: Mutex::default(),
        }
    }

    /// The file of certificate authorities that is lent to steps, too.
    pub(crate) fn authorities(&self) -> Option<&Path> {
        self.outside.authorities.as_deref()
    }

    /// What stops the build.
    pub(crate) fn stop(&self) -> &Stop {
        &self.stop
    }

    /// Waits until no other build fetches the same.
    fn lock(&self, key: &Key) -> Result<KeyLock, StepError> {
        self.cache.lock(key, &self.stop)?.ok_or(StepError::Canceled)
    }

    /// What is known of a source whose layer is there as it was made.
    fn known<T: Serialize + DeserializeOwned>(
        &self,
        key: &Key,
        on: &Behalf<'_>,
    ) -> Result<Option<T>, StepError> {
        let found = self.store.records().find(SOURCE, &key.0)?;
        let Some(record) = found.filter(|_| !on.anew) else {
            return Ok(None);
        };
        let remembered: Option<Remembered<T>> = serde_json::from_slice(&record.value).ok();
        let (Some(remembered), [layer]) = (remembered, &record.layers[..]) else {
            return Ok(None);
        };
        let seal = self.seal(layer);
        if seal.is_some() && seal == remembered.seal {
            return Ok(Some(remembered.known));
        }
        let reason = match self.store.layers().verify(layer) {
            Ok(Ok(_)) => {
                self.remember(key, *layer, &remembered.known)?;
                return Ok(Some(remembered.known));
            }
            Ok(Err(reason)) => reason,
            Err(error) => error.to_string(),
        };
        self.store.layers().distrust(layer)?;
        self.store.records().remove(SOURCE, &key.0)?;
        let message = format!("what was fetched before is damaged and fetched again: {reason}");
        on.reporter.warning(&message, None);
        Ok(None)
    }

    fn remember(&self, key: &Key, layer: Digest, known: &impl Serialize) -> Result<(), StepError> {
        let remembered = Remembered {
            seal: self.seal(&layer),
            known,
        };
        let value = serde_json::to_vec(&remembered).expect("digests and texts are JSON");
        let mut record = Record::new(SOURCE, &key.0, &value);
        record.layers = vec![layer];
        Ok(self.store.records().put(&[record])?)
    }

    /// What tells whether a layer was touched; a layer without is read as a whole when it is used.
    fn seal(&self, layer: &Digest) -> Option<String> {
        let seal = self.store.layers().seal(layer).ok();
        seal.map(|seal| seal.to_string())
    }

    /// Notes a layer that no other record speaks of, so that it counts to the cache and goes with it.
    pub(crate) fn note(&self, layer: Digest) -> Result<(), StoreError> {
        let mut fields = Fields::new("noted");
        fields.bytes(layer.as_bytes());
        let mut record = Record::new(SOURCE, &fields.finish(), b"noted");
        record.layers = vec![layer];
        self.store.records().put(&[record])
    }

    fn touch(&self, key: &Key) -> Result<(), StepError> {
        self.store.records().touch(&[(SOURCE, &key.0[..])])?;
        Ok(())
    }
}

/// Why something could not be fetched.
fn failed(address: &str, reason: impl Into<String>, kind: FaultKind) -> StepError {
    StepError::Fetch {
        address: address.to_owned(),
        reason: reason.into(),
        kind,
        hints: Vec::new(),
    }
}
