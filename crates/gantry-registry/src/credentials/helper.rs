//! Programs that keep credentials (the docker-credential-helpers protocol).

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use super::Credentials;
use crate::error::RegistryError;
use crate::secret::Secret;

/// Most that a helper may answer.
const LIMIT: u64 = 1 << 20;
/// The user name that marks an identity token.
const TOKEN_USER: &str = "<token>";
/// What helpers answer when they know of nothing.
const NOT_FOUND: &str = "credentials not found";

/// What a helper answered: whether it succeeded, and its words.
struct Answer {
    success: bool,
    text: String,
}

/// Asks for the credentials of a server.
pub(super) fn get(name: &str, server: &str) -> Result<Option<Credentials>, RegistryError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Found {
        username: String,
        secret: String,
    }
    let answer = run(name, "get", server.as_bytes())?;
    if !answer.success {
        return if answer.text.contains(NOT_FOUND) {
            Ok(None)
        } else {
            Err(refusal(name, &answer))
        };
    }
    // The text has the secret: an error must not show it.
    let found: Found = serde_json::from_str(&answer.text)
        .map_err(|_| failed(name, "its answer is not what the protocol says".to_owned()))?;
    Ok(Some(if found.username == TOKEN_USER {
        Credentials::IdentityToken(Secret::new(found.secret))
    } else {
        Credentials::Basic {
            user: found.username,
            password: Secret::new(found.secret),
        }
    }))
}

/// Gives credentials to keep.
pub(super) fn store(
    name: &str,
    server: &str,
    credentials: &Credentials,
) -> Result<(), RegistryError> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Kept<'a> {
        #[serde(rename = "ServerURL")]
        server: &'a str,
        username: &'a str,
        secret: &'a str,
    }
    let (username, secret) = match credentials {
        Credentials::Basic { user, password } => (user.as_str(), password),
        Credentials::IdentityToken(token) => (TOKEN_USER, token),
    };
    let kept = Kept {
        server,
        username,
        secret: secret.expose(),
    };
    let text = serde_json::to_vec(&kept).map_err(|error| failed(name, error.to_string()))?;
    let answer = run(name, "store", &text)?;
    if answer.success {
        Ok(())
    } else {
        Err(refusal(name, &answer))
    }
}

/// Lets credentials be forgotten; says whether there were any.
pub(super) fn erase(name: &str, server: &str) -> Result<bool, RegistryError> {
    let answer = run(name, "erase", server.as_bytes())?;
    match answer.success {
        true => Ok(true),
        false if answer.text.contains(NOT_FOUND) => Ok(false),
        false => Err(refusal(name, &answer)),
    }
}

fn failed(name: &str, reason: String) -> RegistryError {
    RegistryError::CredentialHelper {
        helper: format!("docker-credential-{name}"),
        reason,
    }
}

fn refusal(name: &str, answer: &Answer) -> RegistryError {
    let first = answer.text.lines().next().unwrap_or("it gave no reason");
    failed(
        name,
        first
            .chars()
            .filter(|c| !c.is_control())
            .take(200)
            .collect(),
    )
}

fn run(name: &str, verb: &str, input: &[u8]) -> Result<Answer, RegistryError> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if name.is_empty() || !name.bytes().all(plain) {
        return Err(failed(name, "its name is not one of a program".to_owned()));
    }
    let broken = |error: std::io::Error| failed(name, error.to_string());
    let mut child = Command::new(format!("docker-credential-{name}"))
        .arg(verb)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(broken)?;
    let mut stdin = child.stdin.take().expect("stdin is a pipe");
    let asked = stdin.write_all(input);
    drop(stdin);
    let mut text = String::new();
    let stdout = child.stdout.take().expect("stdout is a pipe");
    let read = stdout.take(LIMIT).read_to_string(&mut text);
    let status = child.wait().map_err(broken)?;
    if status.success() {
        asked.and(read.map(drop)).map_err(broken)?;
    }
    Ok(Answer {
        success: status.success(),
        text,
    })
}
