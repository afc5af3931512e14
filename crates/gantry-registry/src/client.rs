//! The client: which endpoints serve a reference, and the settings they are reached with.

mod auth;
mod blob;
mod challenge;
mod login;
mod manifest;
mod push;
mod token;
mod transport;

use std::collections::BTreeMap;
use std::path::PathBuf;

use gantry_http::address::is_loopback;
use gantry_model::Reference;
use gantry_model::reference::DEFAULT_REGISTRY;

pub use blob::BlobReader;
pub use manifest::FetchedManifest;

use crate::credentials::DockerConfig;
use crate::error::RegistryError;
use transport::Transport;

/// How registries are reached.
#[derive(Debug, Clone, Default)]
pub struct ClientConfig {
    /// Settings by the registry names that references have.
    pub registries: BTreeMap<String, RegistrySettings>,
    /// Credentials.
    pub credentials: DockerConfig,
    /// Proxies and certificates: `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY` (either
    /// case), `SSL_CERT_FILE`, as in the caller's environment.
    pub environment: BTreeMap<String, String>,
}

/// How one registry is reached.
#[derive(Debug, Clone, Default)]
pub struct RegistrySettings {
    /// Asked first, in this order.
    pub mirrors: Vec<String>,
    /// Whether the registry itself is never asked.
    pub only_mirrors: bool,
    /// Whether plain HTTP and unknown certificates are accepted.
    pub insecure: bool,
    /// A further file of trusted certificates (PEM).
    pub ca_file: Option<PathBuf>,
}

/// A client; cheap until the first request. May be used from several threads.
#[derive(Debug)]
pub struct Client {
    config: ClientConfig,
    transport: Transport,
}

/// One place that may serve a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// `scheme://host[:port]`.
    pub(crate) base: String,
    /// What comes before a repository's name: empty, or `prefix/`.
    pub(crate) prefix: String,
    /// The registry whose name and credentials it goes by.
    pub(crate) registry: String,
    /// Whether it stands in for the registry.
    pub(crate) mirror: bool,
    /// Whether plain HTTP is tried when this one does not answer.
    pub(crate) trial: bool,
}

impl Client {
    /// A client with these settings.
    #[must_use]
    pub fn new(config: ClientConfig) -> Self {
        let transport = Transport::new(&config);
        Self { config, transport }
    }

    /// Where to ask for the content of a reference, in order.
    fn endpoints(&self, registry: &str) -> Vec<Endpoint> {
        let settings = self.config.registries.get(registry);
        let mirrors = settings.map_or(&[][..], |s| &s.mirrors).iter();
        let mut all: Vec<Endpoint> = mirrors.map(|mirror| mirror_endpoint(mirror)).collect();
        if !settings.is_some_and(|s| s.only_mirrors) {
            all.extend(self.upstream(registry));
        }
        all
    }

    /// The registry itself: by HTTPS, and by plain HTTP where that is allowed.
    fn upstream(&self, registry: &str) -> Vec<Endpoint> {
        let host = if registry == DEFAULT_REGISTRY {
            "registry-1.docker.io"
        } else {
            registry
        };
        let insecure = self
            .config
            .registries
            .get(registry)
            .is_some_and(|s| s.insecure);
        let schemes: &[&str] = if insecure || is_loopback(registry) {
            &["https", "http"]
        } else {
            &["https"]
        };
        let endpoint = |scheme: &&str| Endpoint {
            base: format!("{scheme}://{host}"),
            prefix: String::new(),
            registry: registry.to_owned(),
            mirror: false,
            trial: schemes.len() > 1 && *scheme == "https",
        };
        schemes.iter().map(endpoint).collect()
    }

    /// Tries `ask` on each endpoint until one answers. Whoever serves a repository once is
    /// asked first from then on.
    fn on_any<T>(
        &self,
        what: &str,
        endpoints: Vec<Endpoint>,
        mut ask: impl FnMut(&Endpoint) -> Result<T, RegistryError>,
    ) -> Result<T, RegistryError> {
        let mut failures = Vec::new();
        let mut answered = false;
        for endpoint in self.transport.preferred_first(endpoints) {
            // Who gave an answer over one scheme is not asked again over the other: what it
            // refused by HTTPS, credentials and all, must not go out in plain.
            if answered && !endpoint.mirror {
                continue;
            }
            match ask(&endpoint) {
                Ok(answer) => {
                    self.transport.prefer(&endpoint);
                    return Ok(answer);
                }
                // The caller's own side failed: nobody else can help.
                Err(error @ (RegistryError::Source { .. } | RegistryError::Settings { .. })) => {
                    return Err(error);
                }
                Err(error) => {
                    if matches!(error, RegistryError::Unreachable { .. }) {
                        self.transport.avoid(&endpoint);
                    } else if !endpoint.mirror {
                        answered = true;
                        self.transport.prefer(&endpoint);
                    }
                    failures.push(error);
                }
            }
        }
        // Plain HTTP was tried because HTTPS did not answer: the more telling failure counts.
        if failures.len() > 1
            && failures
                .iter()
                .any(|f| !matches!(f, RegistryError::Unreachable { .. }))
        {
            failures.retain(|f| !matches!(f, RegistryError::Unreachable { .. }));
        }
        if failures.len() == 1 {
            return Err(failures.remove(0));
        }
        Err(RegistryError::AllFailed {
            what: what.to_owned(),
            failures,
        })
    }
}

/// The endpoint of `scheme://host[:port][/prefix]`: the prefix goes before repositories' names.
fn mirror_endpoint(mirror: &str) -> Endpoint {
    let (scheme, rest) = mirror.split_once("://").unwrap_or(("https", mirror));
    let (host, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let prefix = prefix.trim_matches('/');
    Endpoint {
        base: format!("{scheme}://{host}"),
        prefix: if prefix.is_empty() {
            String::new()
        } else {
            format!("{prefix}/")
        },
        registry: host.to_owned(),
        mirror: true,
        trial: false,
    }
}

impl Endpoint {
    /// The address of something in a repository: `manifests/latest`, `blobs/sha256:…`.
    pub(crate) fn address(&self, repository: &str, rest: &str) -> String {
        format!("{}/v2/{}{repository}/{rest}", self.base, self.prefix)
    }
}

/// How a reference is named in messages.
fn display(reference: &Reference) -> String {
    reference.familiar()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bases(config: ClientConfig, registry: &str) -> Vec<String> {
        Client::new(config)
            .endpoints(registry)
            .into_iter()
            .map(|e| e.base)
            .collect()
    }

    #[test]
    fn mirrors_come_first_and_plain_http_is_for_loopback() {
        assert_eq!(
            bases(ClientConfig::default(), "docker.io"),
            ["https://registry-1.docker.io"]
        );
        assert_eq!(
            bases(ClientConfig::default(), "127.0.0.1:5000"),
            ["https://127.0.0.1:5000", "http://127.0.0.1:5000"]
        );
        assert_eq!(
            bases(ClientConfig::default(), "r.example"),
            ["https://r.example"]
        );
        let mut config = ClientConfig::default();
        let settings = RegistrySettings {
            mirrors: vec!["http://127.0.0.1:1/".into(), "https://m.example/hub".into()],
            ..RegistrySettings::default()
        };
        config
            .registries
            .insert("docker.io".into(), settings.clone());
        let both = [
            "http://127.0.0.1:1",
            "https://m.example",
            "https://registry-1.docker.io",
        ];
        let mirror = mirror_endpoint("https://m.example/hub/");
        assert_eq!(
            mirror.address("library/x", "tags/list"),
            "https://m.example/v2/hub/library/x/tags/list"
        );
        assert_eq!(bases(config.clone(), "docker.io"), both);
        let only = RegistrySettings {
            only_mirrors: true,
            ..settings
        };
        config.registries.insert("docker.io".into(), only);
        assert_eq!(bases(config, "docker.io"), both[..2]);
    }
}
