//! What the command line itself takes from Docker's `config.json`: proxies for containers.
//! Credentials are the engine's business.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use gantry_model::{Fault, FaultKind};
use serde::Deserialize;

/// `config.json` is there but says nothing that can be understood.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DockerConfigError {
    /// It cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// It is no such document.
    #[error("{} is not valid", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
}

impl Fault for DockerConfigError {
    fn kind(&self) -> FaultKind {
        FaultKind::Invalid
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Written {
    proxies: BTreeMap<String, Proxies>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Proxies {
    http_proxy: String,
    https_proxy: String,
    no_proxy: String,
    ftp_proxy: String,
    all_proxy: String,
}

/// The proxy variables that containers and builds get, both in capitals and not.
pub(crate) fn proxies(path: Option<&Path>) -> Result<BTreeMap<String, String>, DockerConfigError> {
    let Some(path) = path else {
        return Ok(BTreeMap::new());
    };
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error)
            if matches!(
                error.kind(),
                std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(BTreeMap::new());
        }
        Err(source) => {
            return Err(DockerConfigError::Read {
                path: path.to_owned(),
                source,
            });
        }
    };
    parse(&text).map_err(|source| DockerConfigError::Parse {
        path: path.to_owned(),
        source,
    })
}

fn parse(text: &[u8]) -> Result<BTreeMap<String, String>, serde_json::Error> {
    if text.iter().all(u8::is_ascii_whitespace) {
        return Ok(BTreeMap::new());
    }
    let mut written: Written = serde_json::from_slice(text)?;
    let Some(proxies) = written.proxies.remove("default") else {
        return Ok(BTreeMap::new());
    };
    let named = [
        ("HTTP_PROXY", proxies.http_proxy),
        ("HTTPS_PROXY", proxies.https_proxy),
        ("NO_PROXY", proxies.no_proxy),
        ("FTP_PROXY", proxies.ftp_proxy),
        ("ALL_PROXY", proxies.all_proxy),
    ];
    Ok(named
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .flat_map(|(name, value)| {
            [
                (name.to_lowercase(), value.clone()),
                (name.to_owned(), value),
            ]
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_read() {
        let text = br#"{"auths": {}, "proxies": {"default": {"httpProxy": "http://p:1", "noProxy": "localhost"}}}"#;
        let got = parse(text).unwrap();
        assert_eq!(got["HTTP_PROXY"], "http://p:1");
        assert_eq!(got["http_proxy"], "http://p:1");
        assert_eq!(got["NO_PROXY"], "localhost");
        assert_eq!(got.len(), 4);
        assert!(parse(b"{}").unwrap().is_empty());
        assert!(parse(b" ").unwrap().is_empty());
        assert!(parse(b"{").is_err());
    }
}
