//! Manifests and indexes.

use std::collections::BTreeMap;
use std::io::Read;

use gantry_model::image::{Descriptor, Index};
use gantry_model::media_type::{
    DOCKER_INDEX, DOCKER_MANIFEST, DOCKER_SCHEMA1, OCI_INDEX, OCI_MANIFEST, is_index, is_manifest,
};
use gantry_model::{Digest, Reference};
use sha2::{Digest as _, Sha256};
use ureq::Body;
use ureq::http::{Method, Response};

use super::transport::{Call, malformed};
use super::{Client, Endpoint, display};
use crate::error::RegistryError;

/// Largest manifest or index that is read (distribution-spec asks registries for 4 MiB).
const LIMIT: u64 = 4 << 20;
/// Most pages of a list of tags that are read.
const PAGES: usize = 1000;

/// A manifest or index as a registry gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedManifest {
    /// Media type, digest and size.
    pub descriptor: Descriptor,
    /// The document, byte for byte.
    pub bytes: Vec<u8>,
}

/// `repository:name:actions`.
pub(crate) fn scope(reference: &Reference, actions: &str) -> String {
    format!("repository:{}:{actions}", reference.repository())
}

impl Client {
    /// The manifest or index that a reference names; verified when it is pinned to a digest.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn resolve(&self, reference: &Reference) -> Result<FetchedManifest, RegistryError> {
        let what = display(reference);
        self.on_any(&what, self.endpoints(reference.registry()), |endpoint| {
            self.manifest_at(endpoint, reference, &what)
        })
    }

    /// The manifest that an entry of an index points at, verified.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn manifest(
        &self,
        repository: &Reference,
        entry: &Descriptor,
    ) -> Result<FetchedManifest, RegistryError> {
        self.resolve(&repository.with_digest(entry.digest))
    }

    /// What a reference names without its content; `None` when the registry has no such thing.
    ///
    /// # Errors
    /// [`RegistryError`], but not for one that is missing.
    pub fn head(&self, reference: &Reference) -> Result<Option<Descriptor>, RegistryError> {
        // A HEAD may lack the digest, and mirrors answer it from memory: the document is small
        // and says for certain.
        match self.resolve(reference) {
            Ok(fetched) => Ok(Some(fetched.descriptor)),
            Err(RegistryError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn manifest_at(
        &self,
        endpoint: &Endpoint,
        reference: &Reference,
        what: &str,
    ) -> Result<FetchedManifest, RegistryError> {
        let accept = [OCI_INDEX, DOCKER_INDEX, OCI_MANIFEST, DOCKER_MANIFEST].join(", ");
        let scope = scope(reference, "pull");
        let call = Call {
            method: Method::GET,
            address: manifest_address(endpoint, reference),
            headers: vec![("Accept", accept)],
            what,
            scope: &scope,
        };
        let response = self.transport.call(endpoint, &call)?;
        let said_type = header(&response, "Content-Type");
        let promised = header(&response, "Docker-Content-Digest").and_then(|d| d.parse().ok());
        let bytes = document(endpoint, response, what)?;
        let size = bytes.len() as u64;
        let digest = Digest::from_bytes(Sha256::digest(&bytes).into());
        if let Some(expected) = reference.digest().copied().or(promised)
            && expected != digest
        {
            let (endpoint, what) = (endpoint.base.clone(), what.to_owned());
            return Err(RegistryError::DigestMismatch {
                endpoint,
                what,
                expected,
                actual: digest,
            });
        }
        let media_type = media_type(&bytes, said_type.as_deref())
            .ok_or_else(|| malformed(endpoint, what, "it is no manifest"))?;
        if media_type == DOCKER_SCHEMA1 {
            return Err(RegistryError::Schema1 {
                what: what.to_owned(),
            });
        }
        Ok(FetchedManifest {
            descriptor: Descriptor::new(&media_type, digest, size),
            bytes,
        })
    }

    /// Uploads a manifest or index under the tag of the reference, or under its own digest when
    /// the reference has none.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn push_manifest(
        &self,
        reference: &Reference,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<Digest, RegistryError> {
        let digest = Digest::from_bytes(Sha256::digest(bytes).into());
        let name = reference
            .tag()
            .map_or_else(|| digest.to_string(), str::to_owned);
        self.put_manifest(reference, &name, media_type, bytes)?;
        Ok(digest)
    }

    /// Uploads a manifest that has a subject, under its own digest. Where the registry does not
    /// list referrers itself, it is entered into the index that stands in for the list
    /// (distribution-spec, "Referrers Tag Schema").
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn push_referrer(
        &self,
        repository: &Reference,
        entry: &Descriptor,
        bytes: &[u8],
        subject: &Digest,
    ) -> Result<(), RegistryError> {
        let name = entry.digest.to_string();
        let response = self.put_manifest(repository, &name, &entry.media_type, bytes)?;
        if response.headers().contains_key("OCI-Subject") {
            return Ok(());
        }
        let tag = subject.to_string().replace(':', "-");
        let what = display(repository);
        let list = repository
            .with_tag(&tag)
            .map_err(|error| RegistryError::Settings {
                what,
                reason: error.to_string(),
            })?;
        let mut index = match self.resolve(&list) {
            Ok(found) => serde_json::from_slice(&found.bytes).unwrap_or_else(|_| no_referrers()),
            Err(RegistryError::NotFound { .. }) => no_referrers(),
            Err(error) => return Err(error),
        };
        if index
            .manifests
            .iter()
            .all(|known| known.digest != entry.digest)
        {
            index.manifests.push(entry.clone());
            let bytes = serde_json::to_vec(&index).expect("an index is JSON");
            self.put_manifest(&list, &tag, OCI_INDEX, &bytes)?;
        }
        Ok(())
    }

    fn put_manifest(
        &self,
        reference: &Reference,
        name: &str,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<Response<Body>, RegistryError> {
        let what = display(reference);
        self.on_any(&what, self.upstream(reference.registry()), |endpoint| {
            let scope = scope(reference, "pull,push");
            let call = Call {
                method: Method::PUT,
                address: endpoint.address(reference.repository(), &format!("manifests/{name}")),
                headers: vec![("Content-Type", media_type.to_owned())],
                what: &what,
                scope: &scope,
            };
            self.send_bytes(endpoint, &call, bytes)
        })
    }

    /// All tags of the reference's repository, in the registry's order.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn tags(&self, repository: &Reference) -> Result<Vec<String>, RegistryError> {
        let what = format!("the tags of {}", repository.familiar_name());
        self.on_any(&what, self.endpoints(repository.registry()), |endpoint| {
            self.tags_at(endpoint, repository, &what)
        })
    }

    fn tags_at(
        &self,
        endpoint: &Endpoint,
        repository: &Reference,
        what: &str,
    ) -> Result<Vec<String>, RegistryError> {
        #[derive(serde::Deserialize)]
        struct Page {
            tags: Option<Vec<String>>,
        }
        let scope = scope(repository, "pull");
        let mut tags: Vec<String> = Vec::new();
        let mut address = endpoint.address(repository.repository(), "tags/list?n=1000");
        for _ in 0..PAGES {
            let call = Call {
                method: Method::GET,
                address,
                headers: Vec::new(),
                what,
                scope: &scope,
            };
            let response = self.transport.call(endpoint, &call)?;
            let next = next_page(endpoint, &response);
            let body = response
                .into_body()
                .into_with_config()
                .limit(LIMIT)
                .reader();
            let page: Page = serde_json::from_reader(body)
                .map_err(|error| malformed(endpoint, what, &error.to_string()))?;
            tags.extend(page.tags.unwrap_or_default());
            match next {
                Some(next) => address = next,
                None => return Ok(tags),
            }
        }
        Err(malformed(endpoint, what, "there is no end of them"))
    }
}

/// An empty list of referrers.
fn no_referrers() -> Index {
    Index {
        schema_version: 2,
        media_type: OCI_INDEX.to_owned(),
        artifact_type: None,
        manifests: Vec::new(),
        subject: None,
        annotations: BTreeMap::new(),
    }
}

/// The value of a header without its parameters.
fn header(response: &Response<Body>, name: &str) -> Option<String> {
    let value = response.headers().get(name)?.to_str().ok()?;
    Some(
        value
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_owned(),
    )
}

/// The whole document, of bounded size.
fn document(
    endpoint: &Endpoint,
    response: Response<Body>,
    what: &str,
) -> Result<Vec<u8>, RegistryError> {
    let mut bytes = Vec::new();
    let body = response
        .into_body()
        .into_with_config()
        .limit(LIMIT + 2)
        .reader();
    body.take(LIMIT + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| malformed(endpoint, what, &error.to_string()))?;
    if bytes.len() as u64 > LIMIT {
        let (endpoint, what) = (endpoint.base.clone(), what.to_owned());
        return Err(RegistryError::TooLarge {
            endpoint,
            what,
            limit: LIMIT,
        });
    }
    Ok(bytes)
}

/// The `Link: <…>; rel="next"` of a list (distribution-spec, "Content Discovery").
fn next_page(endpoint: &Endpoint, response: &Response<Body>) -> Option<String> {
    let link = response.headers().get("Link")?.to_str().ok()?;
    let (path, rest) = link.trim().strip_prefix('<')?.split_once('>')?;
    let next = rest.contains("next");
    // Only further pages of the same registry: a link elsewhere is not followed.
    (next && path.starts_with('/')).then(|| format!("{}{path}", endpoint.base))
}

fn manifest_address(endpoint: &Endpoint, reference: &Reference) -> String {
    let name = match reference.digest() {
        Some(digest) => digest.to_string(),
        None => reference.tag().unwrap_or("latest").to_owned(),
    };
    endpoint.address(reference.repository(), &format!("manifests/{name}"))
}

/// The type that a document says it has, else the header's, else what its fields say.
fn media_type(bytes: &[u8], header: Option<&str>) -> Option<String> {
    let document: serde_json::Value = serde_json::from_slice(bytes).ok()?;
    let known = |name: &str| is_index(name) || is_manifest(name);
    if document["schemaVersion"] == 1 {
        return Some(DOCKER_SCHEMA1.to_owned());
    }
    let own = document["mediaType"].as_str().filter(|name| known(name));
    let by_shape = || match (
        document["manifests"].is_array(),
        document["layers"].is_array(),
    ) {
        (true, false) => Some(OCI_INDEX),
        (false, true) => Some(OCI_MANIFEST),
        _ => None,
    };
    // Both shapes at once is how one document is made to look like two (CVE-2021-41190).
    if document["manifests"].is_array() && document["layers"].is_array() {
        return None;
    }
    own.or(header.filter(|name| known(name)))
        .or_else(by_shape)
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_comes_from_the_document_first() {
        let of = |text: &str, header| media_type(text.as_bytes(), header);
        assert_eq!(
            of(
                r#"{"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#,
                Some(OCI_MANIFEST)
            )
            .as_deref(),
            Some(OCI_INDEX)
        );
        assert_eq!(
            of(r#"{"layers":[]}"#, Some("text/plain")).as_deref(),
            Some(OCI_MANIFEST)
        );
        assert_eq!(
            of(r#"{"layers":[]}"#, Some(DOCKER_MANIFEST)).as_deref(),
            Some(DOCKER_MANIFEST)
        );
        assert_eq!(
            of(r#"{"schemaVersion":1}"#, None).as_deref(),
            Some(DOCKER_SCHEMA1)
        );
        assert_eq!(of(r#"{"layers":[],"manifests":[]}"#, Some(OCI_INDEX)), None);
        assert_eq!(of("<html>", Some(OCI_INDEX)), None);
    }
}
