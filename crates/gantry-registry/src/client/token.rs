//! Tokens: distribution's token authentication, and OAuth2 for identity tokens.

use std::io::{Cursor, Read};
use std::time::{Duration, Instant};

use gantry_http::address::same_origin;
use serde::Deserialize;
use ureq::http::{Method, Response};
use ureq::{Body, SendBody};

use super::Endpoint;
use super::auth::{basic_value, query};
use super::challenge::Challenge;
use super::transport::{Call, Transport, checked, malformed};
use crate::credentials::Credentials;
use crate::error::RegistryError;

/// Most that a token server may answer.
const LIMIT: u64 = 1 << 20;
/// How long a token counts when its server does not say (token specification, "Token Response").
const USUAL_LIFE: Duration = Duration::from_secs(60);
/// Taken off a token's life, so that it does not end on the way.
const MARGIN: Duration = Duration::from_secs(10);
/// How the token is called in messages.
const WHAT: &str = "the token";

/// A request to a token server.
struct TokenRequest {
    method: Method,
    address: String,
    authorization: Option<String>,
    /// Has the identity token in it, and is shown nowhere.
    body: Vec<u8>,
}

impl Transport {
    /// Fetches the token that a challenge asks for; the `Authorization` value with it.
    pub(crate) fn token(
        &self,
        endpoint: &Endpoint,
        call: &Call<'_>,
        challenge: &Challenge,
        credentials: Option<&Credentials>,
    ) -> Result<String, RegistryError> {
        let realm = challenge.parameter("realm").unwrap_or_default();
        let secure = realm.starts_with("https://") || same_origin(realm, &endpoint.base);
        let both_plain = realm.starts_with("http://") && endpoint.base.starts_with("http://");
        if !secure && !both_plain {
            let reason = "its token server is not reached by https";
            return Err(malformed(endpoint, WHAT, reason));
        }
        let service = challenge.parameter("service").unwrap_or_default();
        let wanted = request(realm, service, call.scope, credentials);
        let mut headers = vec![("Accept", "application/json".to_owned())];
        let body = if wanted.method == Method::POST {
            let form = "application/x-www-form-urlencoded".to_owned();
            headers.push(("Content-Type", form));
            SendBody::from_owned_reader(Cursor::new(wanted.body))
        } else {
            SendBody::none()
        };
        let asked = Call {
            method: wanted.method,
            address: wanted.address,
            headers,
            what: call.what,
            scope: call.scope,
        };
        let server = Endpoint {
            base: realm.to_owned(),
            ..endpoint.clone()
        };
        let response = self.send(&server, &asked, wanted.authorization.as_deref(), body)?;
        let response = checked(endpoint, &asked, response)?;
        let (token, life) = answer(response).map_err(|r| malformed(endpoint, WHAT, &r))?;
        let authorization = format!("Bearer {token}");
        let until = Instant::now().checked_add(life.saturating_sub(MARGIN));
        self.tokens
            .keep(endpoint, call.scope, &authorization, until);
        Ok(authorization)
    }
}

fn request(
    realm: &str,
    service: &str,
    scope: &str,
    credentials: Option<&Credentials>,
) -> TokenRequest {
    if let Some(Credentials::IdentityToken(token)) = credentials {
        let form = [
            ("grant_type", "refresh_token"),
            ("service", service),
            ("scope", scope),
            ("client_id", "gantry"),
            ("refresh_token", token.expose()),
        ];
        return TokenRequest {
            method: Method::POST,
            address: realm.to_owned(),
            authorization: None,
            body: query(&form).into_bytes(),
        };
    }
    // One `scope` for each thing (token specification, "Requesting a Token").
    let mut form = vec![("service", service)];
    form.extend(scope.split(' ').map(|one| ("scope", one)));
    let mark = if realm.contains('?') { '&' } else { '?' };
    TokenRequest {
        method: Method::GET,
        address: format!("{realm}{mark}{}", query(&form)),
        authorization: credentials.map(basic_value),
        body: Vec::new(),
    }
}

/// The token in an answer and how long it lasts, or what is wrong with the answer.
fn answer(response: Response<Body>) -> Result<(String, Duration), String> {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(default)]
        token: String,
        #[serde(default)]
        access_token: String,
        expires_in: Option<u64>,
    }
    let mut text = Vec::new();
    response
        .into_body()
        .into_reader()
        .take(LIMIT)
        .read_to_end(&mut text)
        .map_err(|error| error.to_string())?;
    // The text may have the token: an error must not show it.
    let answer: Answer = serde_json::from_slice(&text).map_err(|error| {
        format!(
            "it is not the JSON it should be (column {})",
            error.column()
        )
    })?;
    let token = if answer.token.is_empty() {
        answer.access_token
    } else {
        answer.token
    };
    if token.is_empty() || token.bytes().any(|b| b.is_ascii_control()) {
        return Err("there is none in it".to_owned());
    }
    Ok((
        token,
        answer.expires_in.map_or(USUAL_LIFE, Duration::from_secs),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    #[test]
    fn an_identity_token_goes_in_the_body_and_never_in_the_address() {
        let token = Credentials::IdentityToken(Secret::new("hidden".to_owned()));
        let asked = request("https://a/t", "s", "repository:x:pull", Some(&token));
        assert_eq!(
            (asked.method, asked.address.as_str()),
            (Method::POST, "https://a/t")
        );
        assert!(
            String::from_utf8(asked.body)
                .unwrap()
                .contains("refresh_token=hidden")
        );
        let asked = request("https://a/t?x=1", "s", "r:x:pull r:y:pull", None);
        assert_eq!(
            asked.address,
            "https://a/t?x=1&service=s&scope=r%3Ax%3Apull&scope=r%3Ay%3Apull"
        );
    }
}
