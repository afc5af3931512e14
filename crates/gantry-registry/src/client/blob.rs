//! Blobs on their way down: a reader that goes on where a connection broke off.

use std::io::{self, Read};

use gantry_model::Reference;
use gantry_model::image::Descriptor;
use ureq::Body;
use ureq::http::{Method, Response};

use super::manifest::scope;
use super::transport::{Call, malformed};
use super::{Client, Endpoint, display};
use crate::error::RegistryError;

/// How often a broken connection is taken up again without any progress in between.
const ATTEMPTS: u32 = 5;

/// The bytes of a blob; exactly as many as its descriptor says. The digest is for the reader's
/// consumer to verify.
pub struct BlobReader<'a> {
    client: &'a Client,
    reference: Reference,
    descriptor: Descriptor,
    endpoint: Endpoint,
    body: Box<dyn Read + Send>,
    offset: u64,
    failures: u32,
}

impl std::fmt::Debug for BlobReader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlobReader")
            .field("digest", &self.descriptor.digest)
            .field("offset", &self.offset)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Opens a blob of the reference's repository.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn blob(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
    ) -> Result<BlobReader<'_>, RegistryError> {
        let what = format!("{} of {}", descriptor.digest, display(reference));
        let open = |endpoint: &Endpoint| {
            let body = self.blob_from(endpoint, reference, descriptor, 0, &what)?;
            Ok((endpoint.clone(), body))
        };
        let (endpoint, body) = self.on_any(&what, self.endpoints(reference.registry()), open)?;
        Ok(BlobReader {
            client: self,
            reference: reference.clone(),
            descriptor: descriptor.clone(),
            endpoint,
            body,
            offset: 0,
            failures: 0,
        })
    }

    fn blob_from(
        &self,
        endpoint: &Endpoint,
        reference: &Reference,
        descriptor: &Descriptor,
        offset: u64,
        what: &str,
    ) -> Result<Box<dyn Read + Send>, RegistryError> {
        let scope = scope(reference, "pull");
        let mut headers = Vec::new();
        if offset > 0 {
            headers.push(("Range", format!("bytes={offset}-")));
        }
        let call = Call {
            method: Method::GET,
            address: endpoint.address(
                reference.repository(),
                &format!("blobs/{}", descriptor.digest),
            ),
            headers,
            what,
            scope: &scope,
        };
        let response = self.transport.call(endpoint, &call)?;
        let partial = response.status() == 206;
        if partial && !starts_at(&response, offset) {
            return Err(malformed(
                endpoint,
                what,
                "another part of it was sent than was asked for",
            ));
        }
        let announced = response.body().content_length();
        let left = descriptor
            .size
            .saturating_sub(if partial { offset } else { 0 });
        if announced.is_some_and(|length| length != left) {
            let reason = format!(
                "{} bytes are announced, {left} expected",
                announced.unwrap_or_default()
            );
            return Err(malformed(endpoint, what, &reason));
        }
        let mut body = response
            .into_body()
            .into_with_config()
            .limit(u64::MAX)
            .reader();
        if offset > 0 && !partial {
            // The server does not know ranges and began anew.
            let skipped = io::copy(&mut (&mut body).take(offset), &mut io::sink())
                .map_err(|error| malformed(endpoint, what, &error.to_string()))?;
            if skipped < offset {
                return Err(malformed(endpoint, what, "it became shorter"));
            }
        }
        Ok(Box::new(body))
    }
}

/// Whether the `Content-Range` of a partial answer begins at this byte.
fn starts_at(response: &Response<Body>, offset: u64) -> bool {
    let range = response.headers().get("Content-Range");
    let start = range
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.trim().strip_prefix("bytes "))
        .and_then(|text| text.split('-').next())
        .and_then(|text| text.trim().parse().ok());
    start == Some(offset)
}

impl BlobReader<'_> {
    fn reopen(&mut self) -> io::Result<()> {
        let what = format!("{} of {}", self.descriptor.digest, display(&self.reference));
        self.body = self
            .client
            .blob_from(
                &self.endpoint,
                &self.reference,
                &self.descriptor,
                self.offset,
                &what,
            )
            .map_err(io::Error::other)?;
        Ok(())
    }
}

impl Read for BlobReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.descriptor.size - self.offset;
        if left == 0 || buffer.is_empty() {
            return Ok(0);
        }
        let most = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        loop {
            let problem = match self.body.read(&mut buffer[..most]) {
                Ok(0) => io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    format!("the connection ended {left} bytes too early"),
                ),
                Ok(count) => {
                    self.failures = 0;
                    self.offset += u64::try_from(count).expect("a buffer is smaller than 2^64");
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => error,
            };
            self.failures += 1;
            if self.failures > ATTEMPTS {
                return Err(problem);
            }
            self.reopen()?;
        }
    }
}
