//! Answers to challenges: basic credentials and bearer tokens.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ureq::http::HeaderMap;

use super::Endpoint;
use super::challenge::Challenge;
use super::transport::{Call, Transport};
use crate::credentials::Credentials;
use crate::error::RegistryError;

/// `Authorization` values that worked, by endpoint and scope.
#[derive(Default)]
pub(crate) struct Tokens(Mutex<HashMap<(String, String), Known>>);

struct Known {
    authorization: String,
    until: Option<Instant>,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens(…)")
    }
}

impl Tokens {
    /// The value that serves for this endpoint and scope, while it lasts.
    pub(crate) fn known(&self, endpoint: &Endpoint, scope: &str) -> Option<String> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = known.get(&(endpoint.base.clone(), scope.to_owned()))?;
        let lasts = entry.until.is_none_or(|until| Instant::now() < until);
        lasts.then(|| entry.authorization.clone())
    }

    pub(crate) fn keep(
        &self,
        endpoint: &Endpoint,
        scope: &str,
        authorization: &str,
        until: Option<Instant>,
    ) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = Known {
            authorization: authorization.to_owned(),
            until,
        };
        known.insert((endpoint.base.clone(), scope.to_owned()), entry);
    }
}

impl Transport {
    /// The `Authorization` value that answers the challenges of a 401; `None` when there is
    /// nothing to answer with.
    pub(crate) fn answer(
        &self,
        endpoint: &Endpoint,
        call: &Call<'_>,
        headers: &HeaderMap,
    ) -> Result<Option<String>, RegistryError> {
        let credentials = self.credentials(endpoint)?;
        self.answer_as(endpoint, call, headers, credentials.as_ref())
    }

    /// The same as somebody else than the configured user.
    pub(crate) fn answer_as(
        &self,
        endpoint: &Endpoint,
        call: &Call<'_>,
        headers: &HeaderMap,
        credentials: Option<&Credentials>,
    ) -> Result<Option<String>, RegistryError> {
        let headers = headers.get_all("WWW-Authenticate").iter();
        let challenges: Vec<Challenge> = headers
            .filter_map(|value| value.to_str().ok())
            .flat_map(Challenge::parse_all)
            .collect();
        if let Some(bearer) = challenges.iter().find(|c| c.scheme == "bearer") {
            return self.token(endpoint, call, bearer, credentials).map(Some);
        }
        let basic = challenges.iter().any(|c| c.scheme == "basic");
        match credentials {
            Some(credentials @ Credentials::Basic { .. }) if basic => {
                let authorization = basic_value(credentials);
                self.tokens.keep(endpoint, call.scope, &authorization, None);
                Ok(Some(authorization))
            }
            _ => Ok(None),
        }
    }

    fn credentials(&self, endpoint: &Endpoint) -> Result<Option<Credentials>, RegistryError> {
        self.config().credentials.lookup(&endpoint.registry)
    }
}

pub(crate) fn basic_value(credentials: &Credentials) -> String {
    match credentials {
        Credentials::Basic { user, password } => {
            format!(
                "Basic {}",
                STANDARD.encode(format!("{user}:{}", password.expose()))
            )
        }
        Credentials::IdentityToken(token) => format!("Bearer {}", token.expose()),
    }
}

/// `a=b&c=d`, percent-encoded; pairs without a value are left out.
pub(crate) fn query(pairs: &[(&str, &str)]) -> String {
    let pair = |(name, value): &(&str, &str)| format!("{name}={}", encode(value));
    let given = pairs.iter().filter(|(_, value)| !value.is_empty());
    given.map(pair).collect::<Vec<_>>().join("&")
}

fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte))
            }
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::query;

    #[test]
    fn queries_are_encoded() {
        assert_eq!(
            query(&[("a", "x y/z"), ("b", ""), ("c", "é")]),
            "a=x%20y%2Fz&c=%C3%A9"
        );
    }
}
