//! Requests: connections, certificates, proxies, retries, and errors in the registry's words.

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use gantry_http::Trust;
use gantry_http::address::{is_loopback, same_origin};
use serde::Deserialize;
use ureq::http::{HeaderMap, Method, Request, Response};
use ureq::tls::TlsConfig;
use ureq::{Agent, Body, SendBody};

use super::auth::Tokens;
use super::{ClientConfig, Endpoint};
use crate::error::RegistryError;

/// How often a request that failed for a passing reason is made.
const ATTEMPTS: u32 = 4;
/// Waited before the second attempt; doubled for each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Longest pause that a registry may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(20);
/// Most that is read of an answer that is an error.
const ERROR_LIMIT: u64 = 16 << 10;

/// What all requests of a client share.
#[derive(Debug)]
pub(crate) struct Transport {
    config: ClientConfig,
    agents: Mutex<HashMap<AgentKey, Agent>>,
    trust: OnceLock<Trust>,
    preferred: Mutex<HashMap<String, String>>,
    silent: Mutex<HashSet<String>>,
    pub(crate) tokens: Tokens,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct AgentKey {
    registry: String,
    plain: bool,
}

/// A request before it has credentials.
#[derive(Debug, Clone)]
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    pub(crate) address: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    /// How the thing asked for is named in messages.
    pub(crate) what: &'a str,
    /// Token scope, `repository:name:pull`.
    pub(crate) scope: &'a str,
}

impl Transport {
    pub(crate) fn new(config: &ClientConfig) -> Self {
        Self {
            config: config.clone(),
            agents: Mutex::default(),
            trust: OnceLock::new(),
            preferred: Mutex::default(),
            silent: Mutex::default(),
            tokens: Tokens::default(),
        }
    }

    /// The settings.
    pub(crate) const fn config(&self) -> &ClientConfig {
        &self.config
    }

    /// The endpoints with the one that last served their registry at the front.
    pub(crate) fn preferred_first(&self, mut endpoints: Vec<Endpoint>) -> Vec<Endpoint> {
        let Some(first) = endpoints.first() else {
            return endpoints;
        };
        let preferred = self
            .preferred
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // Between schemes of one registry only: a mirror that lacked one image may have the next.
        if let Some(base) = preferred.get(&first.registry)
            && let Some(at) = endpoints.iter().position(|e| &e.base == base)
            && !first.mirror
        {
            endpoints[..=at].rotate_right(1);
        }
        // Who could not be reached is not waited for again before all others were asked.
        let silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        endpoints.sort_by_key(|endpoint| silent.contains(&endpoint.base));
        endpoints
    }

    /// Whether it is not known yet if this endpoint exists at all.
    fn is_trial(&self, endpoint: &Endpoint) -> bool {
        let preferred = self
            .preferred
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        endpoint.trial && preferred.get(&endpoint.registry) != Some(&endpoint.base)
    }

    /// Remembers that this endpoint cannot be reached.
    pub(crate) fn avoid(&self, endpoint: &Endpoint) {
        let mut silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        silent.insert(endpoint.base.clone());
    }

    /// Remembers that this endpoint serves its registry.
    pub(crate) fn prefer(&self, endpoint: &Endpoint) {
        let mut preferred = self
            .preferred
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        preferred.insert(endpoint.registry.clone(), endpoint.base.clone());
    }

    /// Makes a request without a body, with credentials where they are asked for, again where
    /// it failed for a passing reason. Any answer below 400 is given back.
    pub(crate) fn call(
        &self,
        endpoint: &Endpoint,
        call: &Call<'_>,
    ) -> Result<Response<Body>, RegistryError> {
        let mut pause = FIRST_PAUSE;
        for _ in 1..ATTEMPTS {
            let wanted = match self.once(endpoint, call) {
                Err(RegistryError::Busy { retry_after, .. }) => retry_after,
                Err(failure) if !self.is_trial(endpoint) && worth_another_try(&failure) => None,
                other => return other,
            };
            std::thread::sleep(wanted.unwrap_or(pause).min(LONGEST_PAUSE));
            pause *= 2;
        }
        self.once(endpoint, call)
    }

    fn once(&self, endpoint: &Endpoint, call: &Call<'_>) -> Result<Response<Body>, RegistryError> {
        let response = self.authorized(endpoint, call, SendBody::none)?;
        checked(endpoint, call, response)
    }

    /// Makes a request once, with credentials if the registry asks for them. `body` is asked
    /// again after a challenge.
    pub(crate) fn authorized<'b>(
        &self,
        endpoint: &Endpoint,
        call: &Call<'_>,
        mut body: impl FnMut() -> SendBody<'b>,
    ) -> Result<Response<Body>, RegistryError> {
        let known = self.tokens.known(endpoint, call.scope);
        let response = self.send(endpoint, call, known.as_deref(), body())?;
        if response.status() != 401 {
            return Ok(response);
        }
        let Some(fresh) = self.answer(endpoint, call, response.headers())? else {
            return Ok(response);
        };
        drop(response);
        self.send(endpoint, call, Some(&fresh), body())
    }

    /// Sends a request as it is; any status is an answer.
    pub(crate) fn send(
        &self,
        endpoint: &Endpoint,
        call: &Call<'_>,
        authorization: Option<&str>,
        body: SendBody<'_>,
    ) -> Result<Response<Body>, RegistryError> {
        let mut request = Request::builder()
            .method(call.method.clone())
            .uri(&call.address);
        for (name, value) in &call.headers {
            request = request.header(*name, value);
        }
        // Credentials are for the endpoint; an upload may have been sent elsewhere.
        if let Some(authorization) = authorization
            && same_origin(&endpoint.base, &call.address)
        {
            request = request.header("Authorization", authorization);
        }
        let request = request
            .body(body)
            .map_err(|error| malformed(endpoint, call.what, &error.to_string()))?;
        let agent = self.agent(endpoint)?;
        agent
            .run(request)
            .map_err(|error| unreachable_endpoint(endpoint, error))
    }

    fn agent(&self, endpoint: &Endpoint) -> Result<Agent, RegistryError> {
        let key = AgentKey {
            registry: endpoint.registry.clone(),
            plain: endpoint.base.starts_with("http://"),
        };
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(agent) = agents.get(&key) {
            return Ok(agent.clone());
        }
        let tls = if key.plain {
            None
        } else {
            Some(self.tls(&endpoint.registry)?)
        };
        let agent = gantry_http::agent(&self.config.environment, &endpoint.base, tls)?;
        agents.insert(key, agent.clone());
        Ok(agent)
    }

    fn tls(&self, registry: &str) -> Result<TlsConfig, RegistryError> {
        let settings = self.config.registries.get(registry);
        let mut trust = self
            .trust
            .get_or_init(|| Trust::system(&self.config.environment))
            .clone();
        if let Some(path) = settings.and_then(|settings| settings.ca_file.as_ref()) {
            trust = trust.and_file(path)?;
        }
        let insecure = settings.is_some_and(|settings| settings.insecure);
        Ok(trust.tls(insecure || is_loopback(registry))?)
    }
}

/// Whether a connection that failed may succeed a moment later: not where nobody listens, the
/// name has no address, or the other side speaks another protocol.
fn worth_another_try(failure: &RegistryError) -> bool {
    const LASTING: [&str; 10] = [
        "redirect",
        "refused",
        "certificate",
        "no address",
        "lookup address",
        "tls",
        "unknownissuer",
        "unreachable",
        "message",
        "corrupt",
    ];
    match failure {
        RegistryError::Unreachable { reason, .. } => {
            let reason = reason.to_lowercase();
            !LASTING.iter().any(|word| reason.contains(word))
        }
        _ => false,
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers
        .get("Retry-After")?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds))
}

fn unreachable_endpoint(endpoint: &Endpoint, error: ureq::Error) -> RegistryError {
    RegistryError::Unreachable {
        endpoint: endpoint.base.clone(),
        reason: gantry_http::reason(error),
    }
}

pub(crate) fn malformed(endpoint: &Endpoint, what: &str, reason: &str) -> RegistryError {
    RegistryError::Malformed {
        endpoint: endpoint.base.clone(),
        what: what.to_owned(),
        reason: reason.to_owned(),
    }
}

/// An answer below 400 as it is, any other as an error.
pub(crate) fn checked(
    endpoint: &Endpoint,
    call: &Call<'_>,
    response: Response<Body>,
) -> Result<Response<Body>, RegistryError> {
    let status = response.status().as_u16();
    if status < 400 {
        return Ok(response);
    }
    let retry_after = retry_after(response.headers());
    let message = message(response);
    let (endpoint, what) = (endpoint.base.clone(), call.what.to_owned());
    Err(match status {
        401 | 403 => RegistryError::Unauthorized {
            endpoint,
            what,
            message,
        },
        404 => RegistryError::NotFound {
            endpoint,
            what,
            message,
        },
        408 | 429 | 500 | 502 | 503 | 504 => RegistryError::Busy {
            endpoint,
            status,
            retry_after,
            message,
        },
        _ => RegistryError::Refused {
            endpoint,
            status,
            what,
            message,
        },
    })
}

/// What an error answer says: the `errors` of distribution-spec, "Error Codes", or nothing.
fn message(response: Response<Body>) -> String {
    #[derive(Deserialize)]
    struct Answer {
        errors: Vec<Entry>,
    }
    #[derive(Deserialize)]
    struct Entry {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }
    let mut text = Vec::new();
    let body = response
        .into_body()
        .into_with_config()
        .limit(ERROR_LIMIT)
        .reader();
    if body.take(ERROR_LIMIT).read_to_end(&mut text).is_err() {
        return String::new();
    }
    let Ok(answer) = serde_json::from_slice::<Answer>(&text) else {
        return String::new();
    };
    let printable = |text: &str| {
        text.chars()
            .filter(|c| !c.is_control())
            .take(200)
            .collect::<String>()
    };
    let entry = |entry: &Entry| match entry.message.is_empty() {
        true => printable(&entry.code),
        false => printable(&entry.message),
    };
    answer
        .errors
        .iter()
        .take(3)
        .map(entry)
        .collect::<Vec<_>>()
        .join("; ")
}
