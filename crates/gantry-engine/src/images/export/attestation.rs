//! Attestations: what is said of an image, beside it.
//!
//! Each is an in-toto statement; those of one image are the layers of a manifest. As BuildKit does
//! it, the index has that manifest as an entry without a platform, with annotations that say which
//! image it is about. It names the image as its subject as well, so that registries list it among
//! the image's referrers (OCI 1.1).

use std::collections::BTreeMap;

use gantry_model::image::{Descriptor, ImageConfig, Manifest, RootFs};
use gantry_model::{Digest, Platform, Reference, media_type};
use serde::Serialize;
use serde_json::Value;

use crate::images::ImageError;
use crate::images::destination::Destination;
use crate::images::document::{self, Document, Family};

/// The media type of an in-toto statement that nobody signed.
pub(crate) const STATEMENT: &str = "application/vnd.in-toto+json";
/// The predicate type of a bill of materials.
pub(crate) const SPDX: &str = "https://spdx.dev/Document";
const ARTIFACT: &str = "application/vnd.docker.attestation.manifest.v1+json";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// Something that is said of an image.
#[derive(Debug, Clone, PartialEq)]
pub struct Attestation {
    /// What kind of thing: `https://slsa.dev/provenance/v1`, `https://spdx.dev/Document`.
    pub predicate_type: String,
    /// What is said.
    pub predicate: Value,
}

/// An in-toto statement (in-toto attestation framework v0.1, `statement.md`).
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Statement<'a> {
    #[serde(rename = "_type")]
    kind: &'static str,
    predicate_type: &'a str,
    subject: Vec<Subject>,
    predicate: &'a Value,
}

/// What a statement is about.
#[derive(Clone, Serialize)]
pub(super) struct Subject {
    pub(super) name: String,
    pub(super) digest: BTreeMap<&'static str, String>,
}

impl Attestation {
    /// What a file with it is called, as by BuildKit and its scanner.
    pub(super) fn file_name(&self) -> &'static str {
        if self.predicate_type == SPDX {
            "sbom.spdx.json"
        } else {
            "provenance.json"
        }
    }

    /// The statement that says it of these.
    pub(super) fn of(&self, subject: Vec<Subject>) -> Statement<'_> {
        Statement {
            kind: "https://in-toto.io/Statement/v0.1",
            predicate_type: &self.predicate_type,
            subject,
            predicate: &self.predicate,
        }
    }
}

/// Attestations in the form in which they lie beside their image.
pub(crate) struct Attached {
    /// Statements and configuration.
    pub(crate) blobs: Vec<(Descriptor, Vec<u8>)>,
    /// Their manifest.
    pub(crate) manifest: Document,
    /// The image.
    subject: Digest,
    /// What an index has to say of them.
    pub(crate) entry: Descriptor,
}

impl Attached {
    /// Hands all of it over.
    pub(crate) fn give(&self, destination: &dyn Destination) -> Result<(), ImageError> {
        for (descriptor, bytes) in &self.blobs {
            destination.small(descriptor, bytes)?;
        }
        destination.referrer(&self.manifest, &self.subject)
    }
}

/// What is said of the image of a manifest, for this platform and under these names.
pub(crate) fn attach(
    image: &Document,
    platform: &Platform,
    attestations: &[Attestation],
    names: &[Reference],
    artifacts: bool,
) -> Attached {
    let mut layers = Vec::new();
    let mut blobs = Vec::new();
    for attestation in attestations {
        let statement = document::json(&attestation.of(subjects(image, names, platform)));
        let mut layer = Descriptor::new(
            STATEMENT,
            document::digest(&statement),
            statement.len() as u64,
        );
        blobs.push((layer.clone(), statement));
        let kind = attestation.predicate_type.clone();
        let name = "in-toto.io/predicate-type".to_owned();
        layer.annotations.insert(name, kind);
        layers.push(layer);
    }
    let (config, bytes) = configuration(&layers, artifacts);
    blobs.push((config.clone(), bytes));
    let subject = Descriptor {
        annotations: BTreeMap::new(),
        platform: None,
        ..image.descriptor.clone()
    };
    let manifest = Manifest {
        artifact_type: Some(ARTIFACT.to_owned()),
        subject: Some(subject),
        ..document::bare_manifest(Family::Oci, config, layers)
    };
    let mut document = Document::new(media_type::OCI_MANIFEST, &manifest);
    document.descriptor.artifact_type = Some(ARTIFACT.to_owned());
    let mut entry = document.descriptor.clone();
    entry.artifact_type = None;
    entry.platform = Some(Platform::normalized("unknown", "unknown", None));
    entry.annotations.extend([
        (
            "vnd.docker.reference.digest".to_owned(),
            image.descriptor.digest.to_string(),
        ),
        (
            "vnd.docker.reference.type".to_owned(),
            "attestation-manifest".to_owned(),
        ),
    ]);
    Attached {
        blobs,
        manifest: document,
        subject: image.descriptor.digest,
        entry,
    }
}

/// The image by each of its names (purl-spec, type `docker`).
fn subjects(image: &Document, names: &[Reference], platform: &Platform) -> Vec<Subject> {
    let digest = || BTreeMap::from([("sha256", image.descriptor.digest.hex())]);
    let platform = platform.to_string().replace('/', "%2F");
    let mut subjects: Vec<Subject> = names
        .iter()
        .map(|name| Subject {
            name: format!(
                "pkg:docker/{}@{}?platform={platform}",
                name.familiar_name(),
                name.tag().unwrap_or("latest")
            ),
            digest: digest(),
        })
        .collect();
    if subjects.is_empty() {
        subjects.push(Subject {
            name: "_".to_owned(),
            digest: digest(),
        });
    }
    subjects
}

/// The configuration of an attestation manifest: that of an image of nothing, or of no image.
fn configuration(layers: &[Descriptor], artifacts: bool) -> (Descriptor, Vec<u8>) {
    if artifacts {
        let bytes = b"{}".to_vec();
        return (Descriptor::new(EMPTY, document::digest(&bytes), 2), bytes);
    }
    let bytes = document::json(&ImageConfig {
        architecture: "unknown".to_owned(),
        os: "unknown".to_owned(),
        rootfs: RootFs {
            diff_ids: layers.iter().map(|layer| layer.digest).collect(),
            ..RootFs::default()
        },
        ..ImageConfig::default()
    });
    (Family::Oci.configuration(&bytes), bytes)
}
