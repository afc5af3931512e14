//! Where the output of a container goes: log drivers and their options. Deciding is pure.

mod attributes;
mod options;
mod tag;

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

use gantry_model::ContainerRecord;
use gantry_model::container::LogConfig;
use gantry_model::{Fault, FaultKind};
use gantry_supervisor::log::{
    Journald, LogFiles, LogSettings, Remote, Syslog, SyslogFormat, SyslogTarget,
};

use crate::config;
use options::Options;

/// The journal's socket.
const JOURNAL: &str = "/run/systemd/journal/socket";

/// Why a container's output cannot be logged so; texts are Docker's.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// No driver of that name.
    #[error("error looking up logging plugin {driver}: plugin \"{driver}\" not found")]
    Driver {
        /// As asked for.
        driver: String,
    },
    /// An option that the driver does not have.
    #[error("unknown log opt '{option}' for {driver} log driver")]
    Option {
        /// The option.
        option: String,
        /// The driver.
        driver: String,
    },
    /// An option of the driver that is not there.
    #[error("log opt '{option}' is not supported: {reason}")]
    Unsupported {
        /// The option.
        option: String,
        /// Why.
        reason: &'static str,
    },
    /// A value that is none.
    #[error("failed to initialize logging driver: {reason}")]
    Value {
        /// What is wrong with it.
        reason: String,
    },
    /// Options that do not go together.
    #[error("{reason}")]
    Mode {
        /// What is wrong with them.
        reason: String,
    },
    /// A place that cannot be found.
    #[error("failed to initialize logging driver: dial {address}")]
    Address {
        /// As asked for.
        address: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl Fault for LoggingError {
    fn kind(&self) -> FaultKind {
        match self {
            Self::Unsupported { .. } => FaultKind::Unsupported,
            Self::Address { .. } => FaultKind::Internal,
            _ => FaultKind::Invalid,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Driver { .. } => {
                vec!["the log drivers are json-file, local, none, syslog and journald".into()]
            }
            _ => Vec::new(),
        }
    }
}

/// What a driver and its options mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Decided {
    /// How files are kept; `None` keeps none.
    files: Option<Files>,
    to: To,
    buffer: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Files {
    max_size: Option<u64>,
    max_files: u32,
    compress: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum To {
    Files,
    Syslog {
        address: Address,
        format: SyslogFormat,
        facility: u8,
    },
    Journald,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Address {
    Local,
    Unix(PathBuf),
    Udp(String),
    Tcp(String),
}

/// The configuration that is kept for a container: the installation's where none was asked for.
pub(super) fn complete(asked: &LogConfig, own: &config::Log) -> LogConfig {
    let driver = if asked.driver.is_empty() {
        own.driver.clone()
    } else {
        asked.driver.clone()
    };
    let mut options = asked.options.clone();
    if driver == own.driver {
        for (name, value) in &own.options {
            options.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }
    LogConfig { driver, options }
}

/// What the configuration of a container means.
///
/// # Errors
/// [`LoggingError`], as Docker says it.
pub(super) fn decide(log: &LogConfig, own: &config::Log) -> Result<Decided, LoggingError> {
    let driver = if log.driver.is_empty() {
        "json-file"
    } else {
        &log.driver
    };
    if driver == "none" {
        return Ok(Decided {
            files: None,
            to: To::Files,
            buffer: None,
        });
    }
    let options = Options::new(driver, &log.options)?;
    let buffer = options.buffer()?;
    let cached = Files {
        max_size: Some(20 << 20),
        max_files: 5,
        compress: true,
    };
    let (files, to) = match driver {
        "json-file" => (
            Some(options.files("", own_files(&options, own), true)?),
            To::Files,
        ),
        "local" => (Some(options.files("", cached, false)?), To::Files),
        _ => {
            let files = if options.flag("cache-disabled")?.unwrap_or(false) {
                None
            } else {
                Some(options.files("cache-", cached, false)?)
            };
            let to = if driver == "syslog" {
                options.syslog()?
            } else {
                To::Journald
            };
            (files, to)
        }
    };
    attributes::patterns(&log.options)?;
    Ok(Decided { files, to, buffer })
}

/// How files are kept that nobody says anything about: rotated and compressed. Who gives a size
/// gives all of it, as with Docker: one file, unless more are asked for.
fn own_files(options: &Options<'_>, own: &config::Log) -> Files {
    let sized = options.has("max-size");
    let max_files = match (sized, options.has("max-file")) {
        (true, false) => 1,
        _ => own.max_files.max(1),
    };
    Files {
        max_size: (own.max_size > 0).then_some(own.max_size),
        max_files,
        compress: max_files > 1,
    }
}

/// Whether the driver of a container can be read.
pub(super) fn files_of(
    record: &ContainerRecord,
    own: &config::Log,
    folder: &Path,
) -> Result<Option<LogFiles>, LoggingError> {
    let decided = decide(&record.spec.log, own)?;
    Ok(decided.files.map(|files| files.at(path(record, folder))))
}

/// The file of a container's log, for drivers that keep one.
pub(super) fn path(record: &ContainerRecord, folder: &Path) -> PathBuf {
    folder.join(match record.spec.log.driver.as_str() {
        "" | "json-file" => "log/json.log",
        _ => "log/local.log",
    })
}

/// Everything a supervisor has to know of a container's log.
///
/// # Errors
/// [`LoggingError`]; a name of a host that nobody knows, too.
pub(super) fn settings(
    record: &ContainerRecord,
    own: &config::Log,
    folder: &Path,
    host: &str,
) -> Result<LogSettings, LoggingError> {
    let decided = decide(&record.spec.log, own)?;
    let options = &record.spec.log.options;
    let mut attributes = attributes::of(record)?;
    let remote = match decided.to {
        To::Files => {
            if options.get("tag").is_some_and(|tag| !tag.is_empty()) {
                attributes.insert("tag".into(), tag::of(record)?);
            }
            None
        }
        To::Journald => Some(Remote::Journald(journald(record, &attributes)?)),
        To::Syslog {
            address,
            format,
            facility,
        } => Some(Remote::Syslog(Syslog {
            target: address.resolve()?,
            format,
            facility,
            tag: tag::of(record)?,
            host: host.to_owned(),
        })),
    };
    Ok(LogSettings {
        files: decided.files.map(|files| files.at(path(record, folder))),
        remote,
        attributes,
        buffer: decided.buffer,
    })
}

/// Docker's fields of a journal entry.
fn journald(
    record: &ContainerRecord,
    attributes: &std::collections::BTreeMap<String, String>,
) -> Result<Journald, LoggingError> {
    let tag = tag::of(record)?;
    let mut fields: Vec<(String, String)> = [
        ("CONTAINER_ID", record.id.short()),
        ("CONTAINER_ID_FULL", record.id.as_str()),
        ("CONTAINER_NAME", &record.name),
        ("CONTAINER_TAG", &tag),
        ("IMAGE_NAME", &record.image_name),
        ("SYSLOG_IDENTIFIER", &tag),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect();
    for (name, value) in attributes {
        let name: String = name
            .chars()
            .map(|c| match c.to_ascii_uppercase() {
                c @ ('A'..='Z' | '0'..='9' | '_') => c,
                _ => '_',
            })
            .collect();
        let name = name.trim_start_matches('_');
        if !name.is_empty() {
            fields.push((name.to_owned(), value.clone()));
        }
    }
    Ok(Journald {
        socket: PathBuf::from(JOURNAL),
        fields,
    })
}

impl Files {
    fn at(self, path: PathBuf) -> LogFiles {
        LogFiles {
            path,
            max_size: self.max_size,
            max_files: self.max_files,
            compress: self.compress,
        }
    }
}

impl Address {
    fn resolve(self) -> Result<SyslogTarget, LoggingError> {
        let first = |address: String| -> Result<SocketAddr, LoggingError> {
            let failed = |source| LoggingError::Address {
                address: address.clone(),
                source,
            };
            let mut found = address.to_socket_addrs().map_err(failed)?;
            found
                .next()
                .ok_or_else(|| failed(std::io::ErrorKind::NotFound.into()))
        };
        Ok(match self {
            Self::Local => SyslogTarget::Local,
            Self::Unix(path) => SyslogTarget::Unix(path),
            Self::Udp(address) => SyslogTarget::Udp(first(address)?),
            Self::Tcp(address) => SyslogTarget::Tcp(first(address)?),
        })
    }
}

#[cfg(test)]
mod tests;
