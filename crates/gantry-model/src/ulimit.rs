//! Resource limits of processes as `--ulimit` spells them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// `NAME=SOFT[:HARD]`; -1 means unlimited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    /// Lower-case name without `RLIMIT_` (`nofile`).
    pub name: String,
    /// Soft limit; `None` for unlimited.
    pub soft: Option<u64>,
    /// Hard limit; `None` for unlimited.
    pub hard: Option<u64>,
}

/// The limits that Linux knows.
pub const NAMES: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// A text that is no limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UlimitError {
    /// Not `NAME=SOFT[:HARD]`.
    #[error("invalid ulimit argument: {0:?}, expected NAME=SOFT[:HARD]")]
    Format(String),
    /// No such limit.
    #[error("invalid ulimit type: {0:?}")]
    Name(String),
    /// The soft limit is above the hard one.
    #[error("ulimit soft limit must be less than or equal to hard limit: {0:?}")]
    Order(String),
}

impl FromStr for Ulimit {
    type Err = UlimitError;

    fn from_str(text: &str) -> Result<Self, UlimitError> {
        let clip = || text.chars().take(60).collect::<String>();
        let (name, values) = text
            .split_once('=')
            .ok_or_else(|| UlimitError::Format(clip()))?;
        if !NAMES.contains(&name) {
            return Err(UlimitError::Name(name.chars().take(60).collect()));
        }
        let number = |value: &str| match value {
            "-1" | "unlimited" => Ok(None),
            _ => value
                .parse()
                .map(Some)
                .map_err(|_| UlimitError::Format(clip())),
        };
        let (soft, hard) = match values.split_once(':') {
            Some((soft, hard)) => (number(soft)?, number(hard)?),
            None => (number(values)?, number(values)?),
        };
        if let Some(hard) = hard
            && soft.is_none_or(|soft| soft > hard)
        {
            return Err(UlimitError::Order(clip()));
        }
        Ok(Self {
            name: name.to_owned(),
            soft,
            hard,
        })
    }
}

impl fmt::Display for Ulimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |value: Option<u64>| value.map_or("-1".to_owned(), |v| v.to_string());
        write!(
            f,
            "{}={}:{}",
            self.name,
            number(self.soft),
            number(self.hard)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_parse() {
        let parsed: Ulimit = "nofile=1024:2048".parse().unwrap();
        assert_eq!((parsed.soft, parsed.hard), (Some(1024), Some(2048)));
        assert_eq!("core=-1".parse::<Ulimit>().unwrap().hard, None);
        for bad in [
            "nofile",
            "nofiles=1",
            "nofile=2:1",
            "nofile=-1:5",
            "nofile=x",
            "nofile=",
        ] {
            assert!(bad.parse::<Ulimit>().is_err(), "{bad}");
        }
    }
}
