//! A file over HTTP: asked for anew only where it changed, verified while it comes.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Duration;

use gantry_http::address::{authority, same_origin};
use gantry_http::{Trust, agent};
use gantry_model::{Digest, FaultKind};
use gantry_sys::path::Directory;
use rustix::fs::{Timestamps, futimens};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use ureq::http::{HeaderMap, Request, Response};
use ureq::{Agent, Body};

use super::address::{fingerprint, redirected, shown, split_user};
use super::{Behalf, Remote, failed};
use crate::cache::Key;
use crate::error::StepError;
use crate::graph::{Fields, HttpSource};
use crate::permissions::timespec;

const REDIRECTS: usize = 10;
const CHUNK: usize = 256 << 10;
/// How often a request that failed for a passing reason is made, and what is waited between.
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(200);

/// What is remembered of a file.
#[derive(Debug, Serialize, Deserialize)]
struct Known {
    /// The layer it is in.
    layer: Digest,
    /// Its digest.
    content: Digest,
    etag: Option<String>,
    modified: Option<String>,
}

/// One file that is fetched.
struct Download<'d> {
    remote: &'d Remote,
    source: &'d HttpSource,
    on: &'d Behalf<'d>,
}

impl Remote {
    /// The layer with the file that `source` names.
    pub(crate) fn file(&self, source: &HttpSource, on: &Behalf<'_>) -> Result<Digest, StepError> {
        let mut fields = Fields::new("http");
        fields.text(&fingerprint(&source.url)).text(&source.name);
        let key = Key(fields.finish());
        let _lock = self.lock(&key)?;
        let known: Option<Known> = self.known(&key, on)?;
        if let (Some(known), Some(wanted)) = (&known, source.checksum)
            && known.content == wanted
        {
            self.touch(&key)?;
            return Ok(known.layer);
        }
        let download = Download {
            remote: self,
            source,
            on,
        };
        match download.fetch(known.as_ref())? {
            Some(fetched) => {
                self.remember(&key, fetched.layer, &fetched)?;
                Ok(fetched.layer)
            }
            None => {
                self.touch(&key)?;
                known.map(|known| known.layer).ok_or_else(|| {
                    download.failed("status 304 was not asked for", FaultKind::Unavailable)
                })
            }
        }
    }
}

impl Download<'_> {
    fn failed(&self, reason: impl Into<String>, kind: FaultKind) -> StepError {
        failed(&shown(&self.source.url), reason, kind)
    }

    /// Fetches the file; `None` where it is what is known.
    fn fetch(&self, known: Option<&Known>) -> Result<Option<Known>, StepError> {
        let mut pause = PAUSE;
        for _ in 1..ATTEMPTS {
            match self.attempt(known) {
                Err(StepError::Fetch {
                    kind: FaultKind::Unavailable,
                    ..
                }) if !self.remote.stop.is_stopped() => {}
                other => return other,
            }
            std::thread::sleep(pause);
            pause *= 2;
        }
        self.attempt(known)
    }

    fn attempt(&self, known: Option<&Known>) -> Result<Option<Known>, StepError> {
        let response = self.ask(known)?;
        match response.status().as_u16() {
            200 => self.take(response).map(Some),
            304 if known.is_some() => Ok(None),
            status => {
                let kind = match status {
                    401 | 403 => FaultKind::Unauthorized,
                    404 | 410 => FaultKind::NotFound,
                    408 | 429 | 500..=599 => FaultKind::Unavailable,
                    _ => FaultKind::Invalid,
                };
                Err(self.failed(format!("invalid response status {status}"), kind))
            }
        }
    }

    /// Asks for the file, wherever the answers lead.
    fn ask(&self, known: Option<&Known>) -> Result<Response<Body>, StepError> {
        let (user, bare) = split_user(&self.source.url);
        let first = without_fragment(&bare);
        let authorization = self.authorization(user, &first)?;
        let mut address = first.clone();
        for _ in 0..REDIRECTS {
            // Credentials are for who was asked.
            let authorization = authorization
                .as_deref()
                .filter(|_| same_origin(&first, &address));
            let response = self.ask_at(&address, authorization, known)?;
            if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok(response);
            }
            let location = text(response.headers(), "Location").unwrap_or_default();
            let next = redirected(&address, &location)
                .map_err(|reason| self.failed(reason, FaultKind::Forbidden))?;
            address = without_fragment(&split_user(&next).1);
        }
        Err(self.failed("too many redirects", FaultKind::Invalid))
    }

    fn ask_at(
        &self,
        address: &str,
        authorization: Option<&str>,
        known: Option<&Known>,
    ) -> Result<Response<Body>, StepError> {
        let mut request = Request::builder().uri(address);
        let headers = [
            ("Authorization", authorization),
            (
                "If-None-Match",
                known.and_then(|known| known.etag.as_deref()),
            ),
            (
                "If-Modified-Since",
                known.and_then(|known| known.modified.as_deref()),
            ),
        ];
        for (name, value) in headers {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        let invalid = |error: ureq::http::Error| self.failed(error.to_string(), FaultKind::Invalid);
        let request = request.body(()).map_err(invalid)?;
        let agent = self.agent(address)?;
        let request = agent.configure_request(request).max_redirects(0).build();
        agent.run(request).map_err(|error| {
            let kind = match &error {
                // Nobody listens, and will not in a moment.
                ureq::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    FaultKind::NotFound
                }
                ureq::Error::Io(_) | ureq::Error::Timeout(_) => FaultKind::Unavailable,
                ureq::Error::HostNotFound => FaultKind::NotFound,
                _ => FaultKind::Invalid,
            };
            self.failed(gantry_http::reason(error), kind)
        })
    }

    fn agent(&self, address: &str) -> Result<Agent, StepError> {
        let outside = &self.remote.outside;
        let unusable =
            |error: gantry_http::Unusable| self.failed(error.to_string(), FaultKind::Invalid);
        let mut trust = Trust::system(&outside.environment);
        if let Some(file) = &outside.authorities {
            trust = trust.and_file(file).map_err(unusable)?;
        }
        // A plain address may lead to one of HTTPS, so that both need to know whom to trust.
        let tls = match trust.tls(false) {
            Err(_) if address.starts_with("http:") => None,
            other => Some(other.map_err(unusable)?),
        };
        let scheme = if address.starts_with("http:") {
            "http"
        } else {
            "https"
        };
        let base = format!("{scheme}://{}", authority(address));
        agent(&outside.environment, &base, tls).map_err(unusable)
    }

    /// The credentials of the address, else those of the secrets that BuildKit asks for.
    fn authorization(
        &self,
        user: Option<(String, String)>,
        address: &str,
    ) -> Result<Option<String>, StepError> {
        use base64::Engine as _;
        use base64::engine::general_purpose::STANDARD;
        if let Some((user, password)) = user {
            let pair = STANDARD.encode(format!("{user}:{password}"));
            return Ok(Some(format!("Basic {pair}")));
        }
        let host = authority(address);
        if let Some(header) = self.on.secret_for("HTTP_AUTH_HEADER", host)? {
            return Ok(Some(header));
        }
        let token = self.on.secret_for("HTTP_AUTH_TOKEN", host)?;
        Ok(token.map(|token| format!("Bearer {token}")))
    }

    /// Takes the body in as a layer.
    fn take(&self, response: Response<Body>) -> Result<Known, StepError> {
        let store = &self.remote.store;
        let header = |name| text(response.headers(), name);
        let (etag, modified) = (header("ETag"), header("Last-Modified"));
        let length = header("Content-Length").and_then(|length| length.parse().ok());
        let draft = store.layers().draft()?;
        let in_draft = |source| StepError::io("write", draft.upper(), source);
        let directory = Directory::open(draft.upper()).map_err(in_draft)?;
        let mut file = File::from(
            directory
                .create_file(self.source.name.as_ref(), 0o600)
                .map_err(in_draft)?,
        );
        let content = self.copy(response, length, &mut file, draft.upper())?;
        if let Some(wanted) = self.source.checksum.filter(|wanted| *wanted != content) {
            let reason = format!("digest mismatch {content}: {wanted}");
            return Err(self.failed(reason, FaultKind::Corrupt));
        }
        let time = modified.as_deref().and_then(seconds).unwrap_or(0);
        let times = Timestamps {
            last_access: timespec((time, 0)),
            last_modification: timespec((time, 0)),
        };
        futimens(&file, &times).map_err(|errno| in_draft(errno.into()))?;
        drop(file);
        let layer = draft.commit_while(&|| self.remote.stop.goes_on())?.diff_id;
        Ok(Known {
            layer,
            content,
            etag,
            modified,
        })
    }

    fn copy(
        &self,
        response: Response<Body>,
        length: Option<u64>,
        file: &mut File,
        shown: &Path,
    ) -> Result<Digest, StepError> {
        let most = self.remote.store.limits().tar_bytes;
        let too_much = || {
            let reason = format!("it has more than the {most} bytes that are accepted");
            StepError::Fetch {
                address: super::address::shown(&self.source.url),
                reason,
                kind: FaultKind::Forbidden,
                hints: vec![gantry_store::limits::Limit::TarBytes.hint()],
            }
        };
        if length.is_some_and(|length| length > most) {
            return Err(too_much());
        }
        let body = response.into_body().into_with_config();
        let mut body = body.limit(u64::MAX).reader();
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; CHUNK];
        let mut total = 0;
        loop {
            if self.remote.stop.is_stopped() {
                return Err(StepError::Canceled);
            }
            let count = match body.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    let reason = format!("it broke off after {total} bytes: {error}");
                    return Err(self.failed(reason, FaultKind::Unavailable));
                }
            };
            total += count as u64;
            if total > most {
                return Err(too_much());
            }
            hasher.update(&buffer[..count]);
            file.write_all(&buffer[..count])
                .map_err(|source| StepError::io("write", shown, source))?;
            self.on.bytes(&self.source.name, total, length, false);
        }
        if length.is_some_and(|length| length != total) {
            let reason = format!("it broke off after {total} bytes");
            return Err(self.failed(reason, FaultKind::Unavailable));
        }
        self.on.bytes(&self.source.name, total, length, true);
        Ok(Digest::from_bytes(hasher.finalize().into()))
    }
}

/// What follows `#` is the client's own affair.
fn without_fragment(address: &str) -> String {
    address.split('#').next().unwrap_or_default().to_owned()
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// Seconds since 1970 of an HTTP date (RFC 9110, 5.6.7).
fn seconds(date: &str) -> Option<i64> {
    let zoned = jiff::fmt::rfc2822::DateTimeParser::new()
        .relaxed_weekday(true)
        .parse_zoned(date)
        .ok()?;
    Some(zoned.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn dates() {
        assert_eq!(seconds("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(seconds("yesterday"), None);
    }
}
