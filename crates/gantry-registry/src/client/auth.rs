//! Answers to challenges: basic credentials and bearer tokens.

use std::collections::HashMap;
use std::io::Read;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use ureq::SendBody;
use ureq::http::{HeaderMap, Method};

use super::Endpoint;
use super::challenge::Challenge;
use super::transport::{Call, Transport, checked, malformed, same_origin};
use crate::credentials::Credentials;
use crate::error::RegistryError;

/// Most that a token server may answer.
const TOKEN_LIMIT: u64 = 1 << 20;
/// How long a token counts when its server does not say (distribution's token specification).
const USUAL_LIFE: Duration = Duration::from_secs(60);
/// Taken off a token's life, so that it does not end on the way.
const MARGIN: Duration = Duration::from_secs(10);

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

    fn keep(&self, endpoint: &Endpoint, scope: &str, authorization: &str, until: Option<Instant>) {
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

    /// Fetches a token (distribution's token authentication; OAuth2 for identity tokens).
    fn token(
        &self,
        endpoint: &Endpoint,
        call: &Call<'_>,
        challenge: &Challenge,
        credentials: Option<&Credentials>,
    ) -> Result<String, RegistryError> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(default)]
            token: String,
            #[serde(default)]
            access_token: String,
            expires_in: Option<u64>,
        }
        let what = "the token";
        let realm = challenge.parameter("realm").unwrap_or_default();
        let secure = realm.starts_with("https://") || same_origin(realm, &endpoint.base);
        let both_plain = realm.starts_with("http://") && endpoint.base.starts_with("http://");
        if !secure && !both_plain {
            return Err(malformed(
                endpoint,
                what,
                "its token server is not reached by https",
            ));
        }
        let service = challenge.parameter("service").unwrap_or_default();
        let server = Endpoint {
            base: realm.to_owned(),
            ..endpoint.clone()
        };
        let scope = call.scope;
        // One `scope` for each thing (token specification, "Requesting a Token").
        let mut form = vec![("service", service)];
        form.extend(scope.split(' ').map(|one| ("scope", one)));
        let (method, address, body, authorization) = match credentials {
            Some(Credentials::IdentityToken(token)) => {
                let form = [
                    ("grant_type", "refresh_token"),
                    ("service", service),
                    ("scope", scope),
                    ("client_id", "gantry"),
                    ("refresh_token", token.expose()),
                ];
                (Method::POST, realm.to_owned(), query(&form), None)
            }
            other => {
                let mark = if realm.contains('?') { '&' } else { '?' };
                let address = format!("{realm}{mark}{}", query(&form));
                (Method::GET, address, String::new(), other.map(basic_value))
            }
        };
        let mut headers = vec![("Accept", "application/json".to_owned())];
        if method == Method::POST {
            headers.push((
                "Content-Type",
                "application/x-www-form-urlencoded".to_owned(),
            ));
        }
        let request = Call {
            method: method.clone(),
            address,
            headers,
            what: call.what,
            scope,
        };
        let body = match method == Method::POST {
            true => SendBody::from_owned_reader(std::io::Cursor::new(body.into_bytes())),
            false => SendBody::none(),
        };
        let response = self.send(&server, &request, authorization.as_deref(), body)?;
        let response = checked(endpoint, &request, response)?;
        let mut text = Vec::new();
        response
            .into_body()
            .into_reader()
            .take(TOKEN_LIMIT)
            .read_to_end(&mut text)
            .map_err(|error| malformed(endpoint, what, &error.to_string()))?;
        let answer: Answer = serde_json::from_slice(&text)
            .map_err(|error| malformed(endpoint, what, &error.to_string()))?;
        let token = if answer.token.is_empty() {
            answer.access_token
        } else {
            answer.token
        };
        if token.is_empty() || token.bytes().any(|b| b.is_ascii_control()) {
            return Err(malformed(endpoint, what, "there is none in it"));
        }
        let authorization = format!("Bearer {token}");
        let life = answer
            .expires_in
            .map_or(USUAL_LIFE, Duration::from_secs)
            .saturating_sub(MARGIN);
        let until = Instant::now().checked_add(life);
        self.tokens.keep(endpoint, scope, &authorization, until);
        Ok(authorization)
    }
}

fn basic_value(credentials: &Credentials) -> String {
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
