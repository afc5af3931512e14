//! The options of log drivers, one by one.

use std::collections::BTreeMap;
use std::path::PathBuf;

use gantry_model::quantity::parse_bytes;
use gantry_supervisor::log::SyslogFormat;

use super::{Address, Files, LoggingError, To};

/// What every driver takes.
const ALL: [&str; 7] = [
    "env",
    "env-regex",
    "labels",
    "labels-regex",
    "max-buffer-size",
    "mode",
    "tag",
];
const FILES: [&str; 3] = ["compress", "max-file", "max-size"];
const CACHE: [&str; 4] = [
    "cache-compress",
    "cache-disabled",
    "cache-max-file",
    "cache-max-size",
];
const SYSLOG: [&str; 3] = ["syslog-address", "syslog-facility", "syslog-format"];
const TLS: &str = "syslog-tls-";

/// Bytes that wait by default where nothing may hold the container up.
const BUFFER: usize = 1_000_000;
const DAEMON: u8 = 3;
const FACILITIES: [(&str, u8); 20] = [
    ("kern", 0),
    ("user", 1),
    ("mail", 2),
    ("daemon", 3),
    ("auth", 4),
    ("syslog", 5),
    ("lpr", 6),
    ("news", 7),
    ("uucp", 8),
    ("cron", 9),
    ("authpriv", 10),
    ("ftp", 11),
    ("local0", 16),
    ("local1", 17),
    ("local2", 18),
    ("local3", 19),
    ("local4", 20),
    ("local5", 21),
    ("local6", 22),
    ("local7", 23),
];

/// The options of one driver, whose names are known to be its own.
pub(super) struct Options<'a> {
    values: &'a BTreeMap<String, String>,
}

fn value(reason: impl Into<String>) -> LoggingError {
    LoggingError::Value {
        reason: reason.into(),
    }
}

impl<'a> Options<'a> {
    pub(super) fn new(
        driver: &str,
        values: &'a BTreeMap<String, String>,
    ) -> Result<Self, LoggingError> {
        let own: &[&[&str]] = match driver {
            "json-file" | "local" => &[&ALL, &FILES],
            "syslog" => &[&ALL, &CACHE, &SYSLOG],
            "journald" => &[&ALL, &CACHE],
            _ => {
                return Err(LoggingError::Driver {
                    driver: driver.to_owned(),
                });
            }
        };
        for option in values.keys() {
            if own.iter().any(|list| list.contains(&option.as_str())) {
                continue;
            }
            let option = option.clone();
            if driver == "syslog" && option.starts_with(TLS) {
                let reason = "syslog is spoken without TLS, put a relay beside it";
                return Err(LoggingError::Unsupported { option, reason });
            }
            return Err(LoggingError::Option {
                option,
                driver: driver.to_owned(),
            });
        }
        Ok(Self { values })
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    fn text(&self, name: &str) -> Option<&'a str> {
        self.values.get(name).map(String::as_str)
    }

    /// A truth as Go reads it.
    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, LoggingError> {
        match self.text(name) {
            None => Ok(None),
            Some("1" | "t" | "T" | "TRUE" | "true" | "True") => Ok(Some(true)),
            Some("0" | "f" | "F" | "FALSE" | "false" | "False") => Ok(Some(false)),
            Some(text) => Err(value(format!(
                "strconv.ParseBool: parsing {text:?}: invalid syntax"
            ))),
        }
    }

    /// How many bytes may wait; `None` where the container waits instead.
    pub(super) fn buffer(&self) -> Result<Option<usize>, LoggingError> {
        let mode = |reason: String| LoggingError::Mode { reason };
        let size = self.text("max-buffer-size");
        match self.text("mode") {
            None | Some("" | "blocking") => match size {
                None => Ok(None),
                Some(_) => Err(mode(
                    "logger: max-buffer-size option is only supported with 'mode=non-blocking'"
                        .into(),
                )),
            },
            Some("non-blocking") => {
                let Some(size) = size else {
                    return Ok(Some(BUFFER));
                };
                parse_bytes(size)
                    .ok()
                    .and_then(|bytes| usize::try_from(bytes).ok())
                    .map(Some)
                    .ok_or_else(|| {
                        mode(format!(
                            "error parsing option max-buffer-size: invalid size: '{size}'"
                        ))
                    })
            }
            Some(other) => Err(mode(format!("logger: logging mode not supported: {other}"))),
        }
    }

    /// How files are kept, by the options whose names begin with `prefix`. `strict` is how
    /// `json-file` looks at compression.
    pub(super) fn files(
        &self,
        prefix: &str,
        default: Files,
        strict: bool,
    ) -> Result<Files, LoggingError> {
        let name = |option: &str| format!("{prefix}{option}");
        let max_size = match self.text(&name("max-size")) {
            None => default.max_size,
            Some("-1") => None,
            Some(text) => match parse_bytes(text) {
                Ok(bytes) if bytes > 0 => Some(bytes),
                _ => return Err(value(format!("invalid size: '{text}'"))),
            },
        };
        let max_files = match self.text(&name("max-file")) {
            None => default.max_files,
            Some(text) => match text.parse::<i64>() {
                Ok(count) if count < 1 => {
                    return Err(value("max-file cannot be less than 1"));
                }
                Ok(count) => u32::try_from(count).unwrap_or(u32::MAX).min(MOST_FILES),
                Err(_) => {
                    return Err(value(format!(
                        "strconv.Atoi: parsing {text:?}: invalid syntax"
                    )));
                }
            },
        };
        let asked = self.flag(&name("compress"))?;
        let possible = max_files > 1 && max_size.is_some();
        if asked == Some(true) && !possible {
            return Err(value(if strict {
                "compress cannot be true when max-file is less than 2 or max-size is not set"
            } else {
                "compression cannot be enabled when max file count is 1"
            }));
        }
        Ok(Files {
            max_size,
            max_files,
            compress: possible && asked.unwrap_or(true),
        })
    }

    pub(super) fn syslog(&self) -> Result<To, LoggingError> {
        let format = match self.text("syslog-format") {
            None | Some("") => SyslogFormat::Local,
            Some("rfc3164") => SyslogFormat::Rfc3164,
            Some("rfc5424") => SyslogFormat::Rfc5424,
            Some("rfc5424micro") => SyslogFormat::Rfc5424Micro,
            Some(_) => return Err(mode("Invalid syslog format")),
        };
        let facility = match self.text("syslog-facility") {
            None | Some("") => DAEMON,
            Some(text) => FACILITIES
                .iter()
                .find(|(name, _)| *name == text)
                .map(|(_, number)| *number)
                .or_else(|| text.parse().ok().filter(|number| *number < 24))
                .ok_or_else(|| mode("invalid syslog facility"))?,
        };
        Ok(To::Syslog {
            address: address(self.text("syslog-address").unwrap_or_default())?,
            format,
            facility,
        })
    }
}

/// More files than that are never kept: every rotation renames them all.
const MOST_FILES: u32 = 1000;

fn mode(reason: impl Into<String>) -> LoggingError {
    LoggingError::Mode {
        reason: reason.into(),
    }
}

fn address(text: &str) -> Result<Address, LoggingError> {
    if text.is_empty() {
        return Ok(Address::Local);
    }
    let Some((scheme, place)) = text.split_once("://") else {
        return Err(mode("syslog-address should be in form proto://address"));
    };
    let with_port = || {
        let has_port = place
            .rsplit_once(':')
            .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        if has_port {
            place.to_owned()
        } else {
            format!("{place}:514")
        }
    };
    match scheme {
        "unix" | "unixgram" => {
            let path = PathBuf::from(place);
            if let Err(error) = std::fs::metadata(&path)
                && error.kind() == std::io::ErrorKind::NotFound
            {
                return Err(mode(format!("stat {place}: no such file or directory")));
            }
            Ok(Address::Unix(path))
        }
        "udp" => Ok(Address::Udp(with_port())),
        "tcp" => Ok(Address::Tcp(with_port())),
        "tcp+tls" => Err(LoggingError::Unsupported {
            option: "syslog-address".into(),
            reason: "syslog is spoken without TLS, put a relay beside it",
        }),
        _ => Err(mode(format!("unsupported scheme: '{scheme}'"))),
    }
}
