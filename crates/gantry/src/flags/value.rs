//! A flag whose value does not parse, in Docker's words.

use crate::exit;
use crate::failure::Failure;

/// The value of a flag is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid argument {value:?} for {flag:?} flag: {reason}")]
pub(crate) struct FlagError {
    /// The flag as help shows it: `-m, --memory`.
    pub(crate) flag: &'static str,
    /// What was given.
    pub(crate) value: String,
    /// Why it is wrong.
    pub(crate) reason: String,
    /// Whether that is found only once the value is used: with Docker's builder a flag takes most
    /// texts, and the command then fails as commands do.
    pub(crate) late: bool,
}

impl From<FlagError> for Failure {
    fn from(error: FlagError) -> Self {
        let failure = Self::invalid(error.to_string());
        match error.late {
            true => failure,
            false => failure.with_code(exit::BAD_FLAG),
        }
    }
}

/// For `map_err` on the parsing of a flag's value.
pub(crate) fn wrong<E: std::fmt::Display>(
    flag: &'static str,
    value: &str,
) -> impl FnOnce(E) -> FlagError {
    let value = value.chars().take(200).collect();
    move |error| FlagError {
        flag,
        value,
        reason: error.to_string(),
        late: false,
    }
}

/// The same for a value that the flag takes, but not who uses it.
pub(crate) fn unfit<E: std::fmt::Display>(
    flag: &'static str,
    value: &str,
) -> impl FnOnce(E) -> FlagError {
    let wrong = wrong(flag, value);
    move |error| FlagError {
        late: true,
        ..wrong(error)
    }
}
