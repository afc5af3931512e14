//! Bundles and other documents that callers hand over.

use std::fs;
use std::path::{Path, PathBuf};

use oci_spec::runtime::Spec;
use serde::de::DeserializeOwned;

use crate::error::OciError;

/// The name of the document in a bundle (OCI runtime-spec, `bundle.md`).
pub(crate) const CONFIG: &str = "config.json";

/// A bundle that was read.
#[derive(Debug)]
pub(crate) struct Bundle {
    /// Its absolute path.
    pub(crate) path: PathBuf,
    /// The document, byte for byte.
    pub(crate) bytes: Vec<u8>,
    /// The document.
    pub(crate) spec: Spec,
}

impl Bundle {
    /// Reads a bundle.
    pub(crate) fn read(path: &Path) -> Result<Bundle, OciError> {
        let path = path
            .canonicalize()
            .map_err(OciError::file("find the bundle", path))?;
        let config = path.join(CONFIG);
        let bytes = fs::read(&config).map_err(OciError::file("read", &config))?;
        let mut spec = parse(&config, &bytes)?;
        check_version(&config, &spec)?;
        resolve_sources(&path, &mut spec);
        Ok(Bundle { path, bytes, spec })
    }

    /// The root file system, absolute.
    pub(crate) fn rootfs(&self) -> Result<PathBuf, OciError> {
        let root = self.spec.root().as_ref();
        let root = root.filter(|root| !root.path().as_os_str().is_empty());
        let missing = || OciError::Document {
            path: self.path.join(CONFIG),
            field: "root.path".to_owned(),
            reason: "is missing".to_owned(),
        };
        let path = self.path.join(root.ok_or_else(missing)?.path());
        path.canonicalize()
            .map_err(OciError::file("find the root file system", &path))
    }
}

/// Parses a document; the error names the field.
pub(crate) fn parse<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, OciError> {
    // The way to the field is only kept track of when there is something to be said about it.
    if let Ok(parsed) = serde_json::from_slice(bytes) {
        return Ok(parsed);
    }
    let respelt = respell(bytes);
    if respelt.as_slice() != bytes
        && let Ok(parsed) = serde_json::from_slice(&respelt)
    {
        return Ok(parsed);
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    serde_path_to_error::deserialize(&mut reader).map_err(|error| OciError::Document {
        path: path.to_owned(),
        field: match error.path().to_string().as_str() {
            "." => "the document".to_owned(),
            field => field.to_owned(),
        },
        reason: error.inner().to_string(),
    })
}

/// The parser spells two flags of `process.scheduler` otherwise than the specification.
fn respell(bytes: &[u8]) -> Vec<u8> {
    String::from_utf8_lossy(bytes)
        .replace("\"SCHED_FLAG_RESET_ON_FORK\"", "\"SCHED_RESET_ON_FORK\"")
        .replace("\"SCHED_FLAG_DL_OVERRUN\"", "\"SCHED_FLAG_D_L_OVERRUN\"")
        .into_bytes()
}

/// Reads and parses a document from a file, or from the standard input when it is `-`.
pub(crate) fn read_document<T: DeserializeOwned>(path: &Path) -> Result<T, OciError> {
    let bytes = if path.as_os_str() == "-" {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut std::io::stdin(), &mut bytes).map(|_| bytes)
    } else {
        fs::read(path)
    };
    parse(path, &bytes.map_err(OciError::file("read", path))?)
}

/// Sources of bind mounts are relative to the bundle.
fn resolve_sources(bundle: &Path, spec: &mut Spec) {
    for mount in spec.mounts_mut().iter_mut().flatten() {
        let options = mount.options().iter().flatten();
        let bind = mount.typ().as_deref() == Some("bind")
            || options
                .clone()
                .any(|option| option == "bind" || option == "rbind");
        if let (true, Some(source)) = (bind, mount.source()) {
            let resolved = bundle.join(source);
            mount.set_source(Some(resolved));
        }
    }
}

/// Documents of another major version mean other things.
fn check_version(path: &Path, spec: &Spec) -> Result<(), OciError> {
    match spec.version().split('.').next() {
        Some("1") => Ok(()),
        _ => Err(OciError::Document {
            path: path.to_owned(),
            field: "ociVersion".to_owned(),
            reason: format!(
                "{:?} is not supported, this runtime follows version 1",
                spec.version()
            ),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_read_as_the_specification_spells_them() {
        let text = br#"{"policy":"SCHED_OTHER","flags":["SCHED_FLAG_RESET_ON_FORK",
            "SCHED_FLAG_DL_OVERRUN"]}"#;
        let read: oci_spec::runtime::Scheduler = parse(Path::new("x"), text).unwrap();
        assert_eq!(read.flags().as_ref().unwrap().len(), 2);
    }

    #[test]
    fn errors_name_the_field() {
        let text = br#"{"ociVersion":"1.0.0","process":{"user":{"uid":-1,"gid":0},"cwd":"/"}}"#;
        let error = parse::<Spec>(Path::new("/b/config.json"), text).unwrap_err();
        let said = error.to_string();
        assert!(
            said.starts_with("/b/config.json: process.user.uid: "),
            "{said}"
        );
    }
}
