//! Keys of steps: what a step does, and the content that it works on.

use crate::explain::trace::Project;
use crate::graph::{Fields, FileOperation, FileSource, Operation};
use crate::permissions::Change;
use crate::tree::Match;

use super::{Key, Layer};

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

/// What names a step in its project, whatever it works on.
pub(crate) fn key_of_place(project: Project, operation: &Operation) -> Key {
    let mut fields = Fields::new("place");
    operation.describe(fields.bytes(&project.0));
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
            FileSource::Path(_) | FileSource::Exact(_) | FileSource::Fetched { .. } => {
                if let FileSource::Fetched { unpack, .. } = source {
                    fields.number(2).flag(*unpack);
                }
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

/// What a step sees of one of its inputs.
pub(crate) enum Seen<'s> {
    /// Root file systems, or what is not looked into.
    Layers(&'s [Layer]),
    /// What is at one path.
    Files(&'s Match, &'s Change),
}

/// The key of a `RUN` by what it sees of its inputs.
pub(crate) fn key_of_seen(operation: &Operation, inputs: &[Seen<'_>]) -> Key {
    let mut fields = Fields::new("run-seen");
    operation.describe(&mut fields);
    fields.number(inputs.len() as u64);
    for input in inputs {
        match input {
            Seen::Layers(layers) => add_layers(fields.number(0), layers),
            Seen::Files(found, change) => add_match(fields.number(1), found, change, true),
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
        found.kept().as_bytes()
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
        if let Some(digest) = entry.digest() {
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
        if entry.stat.linked && entry.digest().is_some() {
            let original = *first
                .entry((entry.stat.device, entry.stat.inode))
                .or_insert(number);
            fields.number(original as u64);
        }
    }
}
