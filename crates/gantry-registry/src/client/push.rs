//! Blobs on their way up.

use std::io::{self, Read};

use gantry_model::image::Descriptor;
use gantry_model::{Digest, Reference};
use ureq::http::{Method, Response};
use ureq::{Body, SendBody};

use super::auth::query;
use super::manifest::scope;
use super::transport::{Call, checked, malformed};
use super::{Client, Endpoint, display};
use crate::error::RegistryError;

impl Client {
    /// The size of a blob of the reference's repository; `None` when it has none of that digest.
    ///
    /// # Errors
    /// [`RegistryError`], but not for one that is missing.
    pub fn has_blob(
        &self,
        reference: &Reference,
        digest: &Digest,
    ) -> Result<Option<u64>, RegistryError> {
        let what = format!("{digest} of {}", display(reference));
        self.on_any(&what, self.upstream(reference.registry()), |endpoint| {
            let scope = scope(reference, "pull,push");
            let call = Call {
                method: Method::HEAD,
                address: endpoint.address(reference.repository(), &format!("blobs/{digest}")),
                headers: Vec::new(),
                what: &what,
                scope: &scope,
            };
            match self.transport.call(endpoint, &call) {
                Ok(response) => Ok(Some(content_length(&response))),
                Err(RegistryError::NotFound { .. }) => Ok(None),
                Err(error) => Err(error),
            }
        })
    }

    /// Asks the registry to make a blob of another of its repositories appear in that of the
    /// reference (distribution-spec, end-11). `false` when it did not.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn mount_blob(
        &self,
        reference: &Reference,
        digest: &Digest,
        from_repository: &str,
    ) -> Result<bool, RegistryError> {
        let what = format!("{digest} of {}", display(reference));
        self.on_any(&what, self.upstream(reference.registry()), |endpoint| {
            let digest = digest.to_string();
            let wanted = query(&[("mount", &digest), ("from", from_repository)]);
            let scope = format!(
                "{} repository:{from_repository}:pull",
                scope(reference, "pull,push")
            );
            let call = self.upload_call(endpoint, reference, &wanted, &what, &scope);
            let response = match self.send_bytes(endpoint, &call, &[]) {
                // Nothing there, or not for us: it is uploaded then.
                Err(
                    RegistryError::NotFound { .. }
                    | RegistryError::Unauthorized { .. }
                    | RegistryError::Refused { .. },
                ) => return Ok(false),
                response => response?,
            };
            let mounted = response.status() == 201;
            if !mounted {
                self.cancel(endpoint, &response, &what, &scope);
            }
            Ok(mounted)
        })
    }

    /// Uploads a blob in one pass; its digest is asked for when `body` has been read to its
    /// end, so that it can be made while it is sent.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn push_blob(
        &self,
        reference: &Reference,
        media_type: &str,
        body: &mut dyn Read,
        digest: &mut dyn FnMut() -> Digest,
    ) -> Result<Descriptor, RegistryError> {
        let what = format!("a blob of {}", display(reference));
        let scope = scope(reference, "pull,push");
        let (endpoint, started) =
            self.on_any(&what, self.upstream(reference.registry()), |endpoint| {
                let call = self.upload_call(endpoint, reference, "", &what, &scope);
                Ok((endpoint.clone(), self.send_bytes(endpoint, &call, &[])?))
            })?;
        let address = location(&endpoint, &started, &what)?;
        let mut counted = Counted {
            inner: body,
            count: 0,
            failure: None,
        };
        let sent = self.patch(&endpoint, &address, &mut counted, &what, &scope);
        if let Some(source) = counted.failure {
            self.cancel(&endpoint, &started, &what, &scope);
            return Err(RegistryError::Source { source });
        }
        let size = counted.count;
        let response = sent?;
        let address = location(&endpoint, &response, &what)?;
        let digest = digest();
        let mark = if address.contains('?') { '&' } else { '?' };
        let call = Call {
            method: Method::PUT,
            address: format!(
                "{address}{mark}{}",
                query(&[("digest", &digest.to_string())])
            ),
            headers: vec![("Content-Type", "application/octet-stream".to_owned())],
            what: &what,
            scope: &scope,
        };
        self.send_bytes(&endpoint, &call, &[])?;
        Ok(Descriptor::new(media_type, digest, size))
    }

    /// Uploads a small blob that is in memory.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn push_bytes(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        bytes: &[u8],
    ) -> Result<(), RegistryError> {
        let mut body = bytes;
        let digest = descriptor.digest;
        self.push_blob(reference, &descriptor.media_type, &mut body, &mut || digest)
            .map(drop)
    }

    fn upload_call<'a>(
        &self,
        endpoint: &Endpoint,
        reference: &Reference,
        wanted: &str,
        what: &'a str,
        scope: &'a str,
    ) -> Call<'a> {
        let mut address = endpoint.address(reference.repository(), "blobs/uploads/");
        if !wanted.is_empty() {
            address.push('?');
            address.push_str(wanted);
        }
        Call {
            method: Method::POST,
            address,
            headers: Vec::new(),
            what,
            scope,
        }
    }

    fn patch(
        &self,
        endpoint: &Endpoint,
        address: &str,
        body: &mut Counted<'_>,
        what: &str,
        scope: &str,
    ) -> Result<Response<Body>, RegistryError> {
        let call = Call {
            method: Method::PATCH,
            address: address.to_owned(),
            headers: vec![("Content-Type", "application/octet-stream".to_owned())],
            what,
            scope,
        };
        let known = self.transport.tokens.known(endpoint, scope);
        let response = self.transport.send(
            endpoint,
            &call,
            known.as_deref(),
            SendBody::from_reader(body),
        )?;
        checked(endpoint, &call, response)
    }

    /// Sends a request with a small body, with credentials where they are asked for.
    pub(crate) fn send_bytes(
        &self,
        endpoint: &Endpoint,
        call: &Call<'_>,
        bytes: &[u8],
    ) -> Result<Response<Body>, RegistryError> {
        let mut call = call.clone();
        call.headers
            .push(("Content-Length", bytes.len().to_string()));
        let body = || SendBody::from_owned_reader(io::Cursor::new(bytes.to_vec()));
        let response = self.transport.authorized(endpoint, &call, body)?;
        checked(endpoint, &call, response)
    }

    /// Tells the registry that an upload is given up; it forgets it sooner or later anyway.
    fn cancel(&self, endpoint: &Endpoint, started: &Response<Body>, what: &str, scope: &str) {
        let Ok(address) = location(endpoint, started, what) else {
            return;
        };
        let call = Call {
            method: Method::DELETE,
            address,
            headers: Vec::new(),
            what,
            scope,
        };
        drop(self.send_bytes(endpoint, &call, &[]));
    }
}

/// The size that the headers say; 0 when they do not.
fn content_length(response: &Response<Body>) -> u64 {
    let header = response
        .headers()
        .get("Content-Length")
        .and_then(|value| value.to_str().ok());
    header
        .and_then(|text| text.parse().ok())
        .unwrap_or_default()
}

/// Where an upload goes on: the `Location` header, relative ones below the endpoint.
fn location(
    endpoint: &Endpoint,
    response: &Response<Body>,
    what: &str,
) -> Result<String, RegistryError> {
    let header = response
        .headers()
        .get("Location")
        .and_then(|value| value.to_str().ok());
    match header {
        Some(address) if address.starts_with("https://") => Ok(address.to_owned()),
        // Never from an encrypted connection to a plain one.
        Some(address) if address.starts_with("http://") && endpoint.base.starts_with("http://") => {
            Ok(address.to_owned())
        }
        Some(path) if path.starts_with('/') => {
            let (scheme, rest) = endpoint
                .base
                .split_once("://")
                .unwrap_or(("https", &endpoint.base));
            let host = rest.split('/').next().unwrap_or_default();
            Ok(format!("{scheme}://{host}{path}"))
        }
        _ => Err(malformed(endpoint, what, "it does not say where to upload")),
    }
}

/// Counts what is read, and remembers why reading failed.
struct Counted<'a> {
    inner: &'a mut dyn Read,
    count: u64,
    failure: Option<io::Error>,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.inner.read(buffer) {
            Ok(count) => {
                self.count += u64::try_from(count).expect("a buffer is smaller than 2^64");
                Ok(count)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                let kind = error.kind();
                self.failure = Some(error);
                Err(kind.into())
            }
        }
    }
}
