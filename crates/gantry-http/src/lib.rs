//! HTTP as every part of Gantry that speaks it shares it: which proxy, which certificates, how
//! long to wait.
//!
//! Synchronous, as all of Gantry: an answer's body is a plain [`std::io::Read`]. What is asked for
//! and what an answer means is the caller's: the registry client's, the builder's.
//!
//! This crate never knows registries, images or Dockerfiles, and reads no environment of its own.

pub mod address;
pub mod proxy;
pub mod trust;

use std::collections::BTreeMap;
use std::time::Duration;

use ureq::Agent;

pub use trust::Trust;

/// Variables of the caller: `HTTP_PROXY` and its like (either case), `SSL_CERT_FILE`.
pub type Environment = BTreeMap<String, String>;

const CONNECT: Duration = Duration::from_secs(15);
const SILENCE: Duration = Duration::from_secs(60);
const REDIRECTS: u32 = 10;

/// A setting that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{what} cannot be used: {reason}")]
pub struct Unusable {
    /// Which setting.
    pub what: String,
    /// Why not.
    pub reason: String,
}

/// An agent for addresses that begin with `base` (`scheme://host[:port]`). Any status is an answer;
/// redirects are followed, to HTTP and HTTPS only, and credentials stay with their host.
///
/// # Errors
/// The proxy or the certificates that the settings name cannot be used.
pub fn agent(
    environment: &Environment,
    base: &str,
    tls: Option<ureq::tls::TlsConfig>,
) -> Result<Agent, Unusable> {
    let mut builder = Agent::config_builder()
        .http_status_as_error(false)
        .user_agent(concat!("gantry/", env!("CARGO_PKG_VERSION")))
        .max_redirects(REDIRECTS)
        .redirect_auth_headers(ureq::config::RedirectAuthHeaders::SameHost)
        .timeout_connect(Some(CONNECT))
        .timeout_recv_response(Some(SILENCE))
        .timeout_per_read(Some(SILENCE))
        .max_idle_connections_per_host(8)
        .proxy(proxy::proxy(environment, base)?);
    if let Some(tls) = tls {
        builder = builder.tls_config(tls);
    }
    Ok(Agent::new_with_config(builder.build()))
}

/// The reason where what answered is no TLS: usually plain HTTP on a port of HTTPS.
pub const NO_TLS: &str = "what answers there is not TLS but, it seems, plain HTTP";

/// Why no answer came, in words for people.
#[must_use]
pub fn reason(error: ureq::Error) -> String {
    match error {
        // So the library calls a first byte that no record of TLS begins with.
        error if error.to_string().contains("InvalidContentType") => NO_TLS.to_owned(),
        ureq::Error::HostNotFound => "the host has no address".to_owned(),
        ureq::Error::Timeout(_) => "it did not answer in time".to_owned(),
        ureq::Error::Io(error) => {
            let text = error.to_string();
            text.split(" (os error")
                .next()
                .unwrap_or_default()
                .to_lowercase()
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn plain_http_is_no_tls() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("https://{}", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _read = stream.read(&mut [0; 4096]).unwrap();
            stream
                .write_all(b"HTTP/1.0 400 Bad Request\r\n\r\n")
                .unwrap();
        });
        let nothing = Environment::new();
        let tls = Trust::system(&nothing).tls(true).unwrap();
        let agent = agent(&nothing, &base, Some(tls)).unwrap();
        let error = agent.get(&base).call().unwrap_err();
        assert_eq!(reason(error), NO_TLS);
        server.join().unwrap();
    }
}
