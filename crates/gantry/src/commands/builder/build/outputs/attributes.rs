//! The attributes of one `--output`: each is used or refused.

use std::collections::BTreeMap;

use gantry_engine::images::{ArchiveKind, ExportForm, FolderMode, LayerCompression};
use gantry_model::Reference;

use super::{FilesOutput, ImageOutput, LayoutOutput, Output, Place, annotations};
use crate::failure::Failure;

/// Attributes that BuildKit has and nothing here can mean.
const UNSUPPORTED: [(&str, &str); 5] = [
    (
        "registry.insecure",
        "set insecure for the registry in config.toml",
    ),
    ("dangling-name-prefix", "give the image a name"),
    ("danging-name-empty-only", "give the image a name"),
    ("context", "images are put into the one store"),
    (
        "prefer-nondist-layers",
        "layers that must not be distributed have no place here",
    ),
];

/// Attributes that were given and not used yet.
#[derive(Debug, Default)]
pub(super) struct Attributes(BTreeMap<String, String>);

impl Attributes {
    pub(super) fn set(&mut self, key: &str, value: &str) {
        self.0.insert(key.to_owned(), value.to_owned());
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// `type=image`
    pub(super) fn image(mut self, tags: &[Reference]) -> Result<Output, Failure> {
        let push = self.truth("push")?.unwrap_or(false);
        let by_digest = self.truth("push-by-digest")?.unwrap_or(false);
        let store = self.truth("store")?.unwrap_or(true);
        // Layers in the store are always unpacked.
        let _unpacked = self.truth("unpack")?;
        if self.truth("name-canonical")? == Some(true) && !push {
            return Err(Failure::unsupported(
                "name-canonical is not supported without push: an image has a digest in a \
                 repository once it is there",
            ));
        }
        let image = ImageOutput {
            names: self.names(tags)?,
            store,
            push,
            by_digest,
            rewrite_timestamp: self.truth("rewrite-timestamp")?.unwrap_or(false),
            form: self.form(true)?,
        };
        self.end("image")?;
        Ok(Output::Image(image))
    }

    /// `type=docker` without a destination: the store is where it is loaded.
    pub(super) fn loaded(mut self, tags: &[Reference]) -> Result<Output, Failure> {
        // An archive that nobody sees has no form.
        if self.truth("tar")? == Some(false) {
            return Err(Failure::invalid("tar=false needs a dest=FOLDER"));
        }
        self.image(tags)
    }

    /// `type=oci`, and `type=docker` with a destination.
    pub(super) fn layout(
        mut self,
        kind: ArchiveKind,
        tags: &[Reference],
    ) -> Result<Output, Failure> {
        let word = match kind {
            ArchiveKind::Docker => "docker",
            ArchiveKind::Oci => "oci",
        };
        let tar = self.truth("tar")?.unwrap_or(true);
        let layout = LayoutOutput {
            names: self.names(tags)?,
            kind,
            tar,
            place: self.place(word, tar)?,
            rewrite_timestamp: self.truth("rewrite-timestamp")?.unwrap_or(false),
            form: self.form(kind == ArchiveKind::Oci)?,
        };
        if kind == ArchiveKind::Docker && !tar {
            return Err(Failure::unsupported(
                "tar=false is not supported for type=docker: a folder is an OCI layout, choose type=oci",
            ));
        }
        self.end(word)?;
        Ok(Output::Layout(layout))
    }

    /// `type=local` and `type=tar`
    pub(super) fn files(mut self, tar: bool) -> Result<Output, Failure> {
        let word = if tar { "tar" } else { "local" };
        let mode = match (self.take("mode").as_deref(), tar) {
            (None | Some("copy"), _) => FolderMode::Copy,
            (Some("delete"), false) => FolderMode::Delete,
            (Some(other), _) => return Err(invalid("mode", other, "copy or delete")),
        };
        let attestation_prefix = self.take("attestation-prefix").unwrap_or_default();
        if attestation_prefix.contains('/') {
            let wanted = "the beginning of a file name, without a slash";
            return Err(invalid("attestation-prefix", &attestation_prefix, wanted));
        }
        let files = FilesOutput {
            tar,
            place: self.place(word, tar)?,
            mode,
            split: self.truth("platform-split")?,
            attestation_prefix,
        };
        self.end(word)?;
        Ok(Output::Files(files))
    }

    /// `type=cacheonly`
    pub(super) fn nothing(self) -> Result<Output, Failure> {
        self.end("cacheonly")?;
        Ok(Output::Nothing)
    }

    fn take(&mut self, key: &str) -> Option<String> {
        self.0.remove(key)
    }

    fn truth(&mut self, key: &str) -> Result<Option<bool>, Failure> {
        let Some(value) = self.take(key) else {
            return Ok(None);
        };
        match value.as_str() {
            "true" | "1" | "t" | "T" | "TRUE" | "True" => Ok(Some(true)),
            "false" | "0" | "f" | "F" | "FALSE" | "False" => Ok(Some(false)),
            other => Err(invalid(key, other, "true or false")),
        }
    }

    /// Tags name every image; an output has names of its own only without.
    fn names(&mut self, tags: &[Reference]) -> Result<Vec<Reference>, Failure> {
        let own = self.take("name").unwrap_or_default();
        if !tags.is_empty() {
            return Ok(tags.to_vec());
        }
        let mut names = Vec::new();
        for text in own.split(',').filter(|text| !text.is_empty()) {
            let name: Reference =
                text.parse()
                    .map_err(|error: gantry_model::reference::ReferenceError| {
                        Failure::invalid(format!("name {text:?} of the output: {error}"))
                    })?;
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn place(&mut self, word: &str, tar: bool) -> Result<Place, Failure> {
        match self.take("dest").filter(|dest| !dest.is_empty()) {
            Some(dest) if dest == "-" && tar => Ok(Place::Stdout),
            Some(dest) if dest == "-" => Err(Failure::invalid(format!(
                "dest is a folder for type={word} and cannot be standard output"
            ))),
            Some(dest) => Ok(Place::Path(dest.into())),
            None => Err(Failure::invalid(format!(
                "dest is required for type={word}"
            ))),
        }
    }

    fn form(&mut self, oci: bool) -> Result<ExportForm, Failure> {
        use LayerCompression::{Estargz, Gzip, Uncompressed, Zstd};
        let compression = match self.take("compression").as_deref() {
            None | Some("gzip") => Gzip,
            Some("zstd") => Zstd,
            Some("estargz") => Estargz,
            Some("uncompressed") => Uncompressed,
            Some(other) => {
                let wanted = "gzip, zstd, estargz or uncompressed";
                return Err(invalid("compression", other, wanted));
            }
        };
        let needs_oci = matches!(compression, Zstd | Estargz);
        let asked = self.truth("oci-mediatypes")?;
        if needs_oci && asked == Some(false) {
            return Err(Failure::invalid(
                "compression zstd and estargz need oci-mediatypes=true: Docker's types do not know them",
            ));
        }
        let level = self.take("compression-level").map(|text| {
            let bad = |wanted: String| invalid("compression-level", &text, &wanted);
            compression.level(&text).map_err(bad)
        });
        let level = level.transpose()?;
        let artifacts = self.truth("oci-artifact")?.unwrap_or(false);
        let force = self.truth("force-compression")?.unwrap_or(false);
        let mut annotated = Vec::new();
        for (key, value) in std::mem::take(&mut self.0) {
            match annotations::of_attribute(&key, &value) {
                Some(found) => annotated.push(found.map_err(Failure::invalid)?),
                None => self.set(&key, &value),
            }
        }
        Ok(ExportForm {
            compression,
            level,
            force,
            oci: asked.unwrap_or(oci) || needs_oci,
            annotations: annotated,
            artifacts,
        })
    }

    /// Refuses what nobody used.
    fn end(&self, word: &str) -> Result<(), Failure> {
        let Some((key, value)) = self.0.first_key_value() else {
            return Ok(());
        };
        let known = UNSUPPORTED.iter().find(|(name, _)| name == key);
        Err(match known {
            Some(_) if value == "false" => return Ok(()),
            Some((_, advice)) => {
                Failure::unsupported(format!("{key} is not supported for type={word}: {advice}"))
            }
            None => Failure::invalid(format!("type={word} has no attribute {key:?}")),
        })
    }
}

fn invalid(key: &str, value: &str, wanted: &str) -> Failure {
    Failure::invalid(format!("{key}={value} of the output: expected {wanted}"))
}
