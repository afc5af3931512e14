//! The build cache: keys of steps and the records under them.
//!
//! A key is made of what a step does and of the *content* it works on. A step that ran under a key
//! leaves a record with the layer it made. Records belong to the store: what refers to a layer that
//! is gone is not found.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use gantry_model::Digest;
use gantry_model::digest::hex_encode;
use gantry_store::{Record, Store};
use gantry_sys::lock::{self, Kind};
use serde::{Deserialize, Serialize};

use crate::error::StepError;
use crate::graph::{Fields, FileOperation, FileSource, Operation, RunOperation};
use crate::ops::copy::Change;
use crate::run_folder::folder;
use crate::solve::Stop;
use crate::tree::Match;

/// Records of steps: key → layer.
const STEP: &str = "build-step";
/// What a step worked on, for explanations: key → text.
const INPUTS: &str = "build-inputs";

/// The key of a step.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key(pub(crate) [u8; 32]);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex_encode(&self.0[..8]))
    }
}

/// A layer of a root file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Layer {
    /// Its diff ID.
    pub(crate) diff_id: Digest,
    /// When it was made, RFC 3339; nothing for layers of a base image.
    pub(crate) created: Option<String>,
}

/// The key of a step that works on root file systems alone.
pub(crate) fn key_of_definition(kind: &str, operation: &Operation, inputs: &[&[Layer]]) -> Key {
    let mut fields = Fields::new(kind);
    operation.describe(&mut fields);
    fields.number(inputs.len() as u64);
    for layers in inputs {
        add_layers(&mut fields, layers);
    }
    Key(fields.finish())
}

/// The key of a `COPY` or `ADD` by the content of what is copied. `base` is left out where the
/// result does not depend on it.
pub(crate) fn key_of_files(
    operation: &FileOperation,
    change: &Change,
    base: Option<&[Layer]>,
    sources: &[Vec<Match>],
) -> Key {
    let mut fields = Fields::new("files");
    fields
        .text(&operation.destination)
        .flag(operation.unpack)
        .flag(operation.parents);
    fields
        .optional(operation.owner.as_deref())
        .optional(operation.mode.as_deref());
    match base {
        Some(layers) => add_layers(fields.number(1), layers),
        None => drop(fields.number(0)),
    }
    let mut selected = sources.iter();
    fields.number(operation.sources.len() as u64);
    for source in &operation.sources {
        match source {
            FileSource::Inline { name, content } => drop(fields.number(0).text(name).text(content)),
            FileSource::Path(_) | FileSource::Exact(_) => {
                let matches = selected.next().map_or(&[][..], Vec::as_slice);
                fields.number(1).number(matches.len() as u64);
                for found in matches {
                    add_match(&mut fields, found, change, operation.parents);
                }
            }
        }
    }
    Key(fields.finish())
}

fn add_layers(fields: &mut Fields, layers: &[Layer]) {
    fields.number(layers.len() as u64);
    for layer in layers {
        fields.bytes(layer.diff_id.as_bytes());
    }
}

/// Names, types, permissions after the flags, content, links: everything but times.
fn add_match(fields: &mut Fields, found: &Match, change: &Change, parents: bool) {
    use std::os::unix::ffi::OsStrExt;
    let mut first = std::collections::HashMap::new();
    let is_directory = found.top.kind == rustix::fs::FileType::Directory;
    fields.bytes(if parents {
        found.top.path.as_bytes()
    } else {
        found.name.as_bytes()
    });
    fields.flag(is_directory).number(found.below.len() as u64);
    for (number, entry) in found.entries().enumerate() {
        // The directory that was named gives nothing but its content, unless it is copied itself.
        if number == 0 && is_directory && !parents {
            continue;
        }
        let permissions = change.permissions(entry);
        fields.bytes(found.relative(entry).as_bytes());
        fields.number(u64::from(entry.kind.as_raw_mode()));
        fields
            .number(u64::from(permissions.mode))
            .number(u64::from(permissions.uid))
            .number(u64::from(permissions.gid));
        if let Some(digest) = &entry.digest {
            fields.bytes(digest);
        }
        if let Some(link) = &entry.link {
            fields.bytes(link.as_bytes());
        }
        if matches!(
            entry.kind,
            rustix::fs::FileType::CharacterDevice | rustix::fs::FileType::BlockDevice
        ) {
            fields.number(entry.stat.special);
        }
        if entry.stat.linked && entry.digest.is_some() {
            let original = *first
                .entry((entry.stat.device, entry.stat.inode))
                .or_insert(number);
            fields.number(original as u64);
        }
    }
}

/// What a copy worked on, one line each, for a later explanation of a miss.
pub(crate) fn describe_files(base: &[Layer], sources: &[Vec<Match>], change: &Change) -> String {
    use std::fmt::Write as _;
    let mut text = describe_layers(base);
    for entry in sources.iter().flatten().flat_map(Match::entries) {
        let permissions = change.permissions(entry);
        let content = match (&entry.digest, &entry.link) {
            (Some(digest), _) => hex_encode(&digest[..8]),
            (None, Some(link)) => format!("->{}", link.to_string_lossy()),
            (None, None) => "-".to_owned(),
        };
        let kind = entry.kind.as_raw_mode() >> 12;
        let path = entry.path.to_string_lossy();
        let _ = writeln!(
            text,
            "file {kind:x}{:o} {}:{} {content} {path:?}",
            permissions.mode, permissions.uid, permissions.gid
        );
    }
    text
}

/// What a `RUN` worked on, for a later explanation of a miss.
pub(crate) fn describe_run(base: &[Layer], run: &RunOperation) -> String {
    use std::fmt::Write as _;
    let mut text = describe_layers(base);
    for argument in &run.arguments {
        let _ = writeln!(text, "argument {argument:?}");
    }
    for (name, value) in &run.environment {
        // A value may be a secret that does not belong into a database: its digest tells whether
        // it changed.
        let digest = blake3::hash(value.as_bytes());
        let _ = writeln!(
            text,
            "environment {name:?} {}",
            hex_encode(&digest.as_bytes()[..8])
        );
    }
    let _ = writeln!(text, "directory {:?}\nuser {:?}", run.directory, run.user);
    text
}

fn describe_layers(layers: &[Layer]) -> String {
    layers
        .iter()
        .map(|layer| format!("layer {}\n", layer.diff_id))
        .collect()
}

/// The records of one store, and the locks of steps that run.
#[derive(Debug)]
pub(crate) struct Cache {
    store: Store,
    locks: PathBuf,
}

impl Cache {
    pub(crate) fn new(store: Store, run_root: &Path) -> Self {
        Self {
            store,
            locks: folder(run_root),
        }
    }

    /// Whether no step was ever run that is remembered.
    pub(crate) fn is_empty(store: &Store) -> bool {
        // If it cannot be known now, it will be when something is looked up.
        store.records().is_empty(STEP).unwrap_or(false)
    }

    /// The layer that a step made under this key, if the store still has it.
    pub(crate) fn find(&self, key: &Key) -> Result<Option<Layer>, StepError> {
        let record = self.store.records().find(STEP, &key.0)?;
        // A record that does not parse is no record, and one whose layer is lost is of no use.
        let layer: Option<Layer> =
            record.and_then(|record| serde_json::from_slice(&record.value).ok());
        Ok(layer.filter(|layer| self.store.layers().tree(&layer.diff_id).exists()))
    }

    /// Records the layer that a step made, under one or several keys.
    pub(crate) fn record(
        &self,
        keys: &[Key],
        layer: &Layer,
        inputs: &str,
    ) -> Result<(), StepError> {
        let value = serde_json::to_vec(layer).expect("a digest and a text are JSON");
        let mut records = Vec::new();
        for key in keys {
            let mut record = Record::new(STEP, &key.0, &value);
            record.layers = vec![layer.diff_id];
            records.push(record);
        }
        if let Some(key) = keys.first() {
            records.push(Record::new(INPUTS, &key.0, inputs.as_bytes()));
        }
        Ok(self.store.records().put(&records)?)
    }

    /// Marks records as used.
    pub(crate) fn touch(&self, keys: &[Key]) -> Result<(), StepError> {
        let keys: Vec<(&str, &[u8])> = keys.iter().map(|key| (STEP, &key.0[..])).collect();
        Ok(self.store.records().touch(&keys)?)
    }

    /// Waits until no other build runs the step of this key. `None` if the build is stopped while
    /// waiting.
    pub(crate) fn lock(&self, key: &Key, stop: &Stop) -> Result<Option<KeyLock>, StepError> {
        let path = self.locks.join(hex_encode(&key.0));
        let failed = |source: io::Error| StepError::io("lock", &path, source);
        loop {
            let file = match open_lock(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    fs::create_dir_all(&self.locks).map_err(failed)?;
                    continue;
                }
                other => other.map_err(failed)?,
            };
            let file = if lock::try_lock(&file, Kind::Exclusive).map_err(failed)? {
                file
            } else {
                match wait_for_lock(file, Kind::Exclusive, stop).map_err(failed)? {
                    Some(file) => file,
                    None => return Ok(None),
                }
            };
            // Whoever had it before may have removed the file.
            match fs::metadata(&path) {
                Ok(there) if there.ino() == file.metadata().map_err(failed)?.ino() => {
                    return Ok(Some(KeyLock { path, _file: file }));
                }
                _ => {}
            }
        }
    }
}

fn open_lock(path: &Path) -> io::Result<File> {
    File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
}

/// Waits for a lock that somebody else has; `None` if the build is stopped before.
pub(crate) fn wait_for_lock(file: File, kind: Kind, stop: &Stop) -> io::Result<Option<File>> {
    // `flock` cannot be waited for together with anything else, so a thread waits for it. If the
    // build is stopped meanwhile, the thread is left behind: it ends with the lock or the process.
    let (send, receive) = mpsc::channel();
    let done = crate::cancel::Cancellation::new()?;
    let waker = done.clone();
    std::thread::Builder::new()
        .name("step-lock".into())
        .spawn(move || {
            let locked = lock::lock(&file, kind).map(|()| file);
            // Nobody listens any more if the build was stopped.
            let _sent = send.send(locked);
            waker.cancel();
        })?;
    stop.wait_for(&done)?;
    receive
        .try_recv()
        .map_or(Ok(None), |locked| locked.map(Some))
}

/// The right to run the step of a key.
#[derive(Debug)]
pub(crate) struct KeyLock {
    path: PathBuf,
    _file: File,
}

impl Drop for KeyLock {
    fn drop(&mut self) {
        // Removed while it is held: who waits for it sees that and begins anew.
        let _removed = fs::remove_file(&self.path);
    }
}
