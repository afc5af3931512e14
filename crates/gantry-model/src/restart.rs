//! Restart policies.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// When a container that ended is started again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// Never.
    #[default]
    No,
    /// Always, whatever the exit code, also after a reboot.
    Always,
    /// Always, unless a person stopped it.
    UnlessStopped,
    /// On a non-zero exit code.
    OnFailure {
        /// At most so often; `None` for no limit.
        maximum_retries: Option<u32>,
    },
}

/// A text that is no restart policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RestartPolicyError {
    /// The name is unknown.
    #[error("invalid restart policy {0:?}: use one of no, always, unless-stopped, on-failure[:N]")]
    Name(String),
    /// A count where none is allowed.
    #[error("invalid restart policy {0:?}: maximum retry count can only be used with 'on-failure'")]
    Count(String),
    /// A count below zero.
    #[error("invalid restart policy {0:?}: maximum retry count cannot be negative")]
    Negative(String),
    /// A count that is no number.
    #[error("invalid restart policy {0:?}: maximum retry count must be an integer")]
    Number(String),
}

impl FromStr for RestartPolicy {
    type Err = RestartPolicyError;

    fn from_str(text: &str) -> Result<Self, RestartPolicyError> {
        let clip = || text.chars().take(60).collect::<String>();
        let (name, count) = match text.split_once(':') {
            Some((name, count)) => (name, Some(count)),
            None => (text, None),
        };
        match (name, count) {
            ("" | "no", None) => Ok(Self::No),
            ("always", None) => Ok(Self::Always),
            ("unless-stopped", None) => Ok(Self::UnlessStopped),
            ("on-failure", None) => Ok(Self::OnFailure {
                maximum_retries: None,
            }),
            ("on-failure", Some(count)) => {
                let number: i64 = count
                    .parse()
                    .map_err(|_| RestartPolicyError::Number(clip()))?;
                let count = match u32::try_from(number) {
                    Ok(count) => count,
                    Err(_) if number < 0 => return Err(RestartPolicyError::Negative(clip())),
                    Err(_) => return Err(RestartPolicyError::Number(clip())),
                };
                Ok(Self::OnFailure {
                    maximum_retries: (count > 0).then_some(count),
                })
            }
            ("no" | "always" | "unless-stopped", Some(_)) => Err(RestartPolicyError::Count(clip())),
            _ => Err(RestartPolicyError::Name(clip())),
        }
    }
}

impl fmt::Display for RestartPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::No => f.write_str("no"),
            Self::Always => f.write_str("always"),
            Self::UnlessStopped => f.write_str("unless-stopped"),
            Self::OnFailure {
                maximum_retries: None,
            } => f.write_str("on-failure"),
            Self::OnFailure {
                maximum_retries: Some(n),
            } => write!(f, "on-failure:{n}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_round_trip() {
        for text in [
            "no",
            "always",
            "unless-stopped",
            "on-failure",
            "on-failure:3",
        ] {
            assert_eq!(text.parse::<RestartPolicy>().unwrap().to_string(), text);
        }
        for bad in ["never", "always:2", "on-failure:x", "on-failure:-1"] {
            assert!(bad.parse::<RestartPolicy>().is_err(), "{bad}");
        }
    }
}
