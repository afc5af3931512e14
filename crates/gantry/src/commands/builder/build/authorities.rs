//! `--ca-certificates`: which certificate authorities a build trusts and lends to its steps.

use std::path::{Path, PathBuf};

use gantry_http::Environment;
use gantry_http::trust::{bundle, certificates};

use crate::failure::{Failure, plain};
use crate::flags::value::{FlagError, unfit};

/// The file that `given` (the flag, else the configuration's word) names: that of this machine for
/// `host`, nothing for `none`.
pub(super) fn file(
    given: Option<&str>,
    environment: &Environment,
) -> Result<Option<PathBuf>, Failure> {
    let text = match given {
        None | Some("" | "none") => return Ok(None),
        Some(text) => text,
    };
    let bad = |reason: String| -> FlagError { unfit("--ca-certificates", text)(reason) };
    if text == "host" {
        let missing = "this machine has no file of trusted certificates: install ca-certificates, \
                       or set SSL_CERT_FILE";
        let file = bundle(environment).ok_or_else(|| bad(missing.to_owned()))?;
        return Ok(Some(file));
    }
    let pem = std::fs::read(text).map_err(|error| bad(plain(&error)))?;
    if certificates(&pem).is_empty() {
        return Err(bad("it holds no certificate in PEM".to_owned()).into());
    }
    let path = Path::new(text);
    Ok(Some(
        std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_must_hold_certificates() {
        let nothing = Environment::new();
        assert_eq!(file(None, &nothing).unwrap(), None);
        assert_eq!(file(Some("none"), &nothing).unwrap(), None);
        assert!(file(Some("/dev/null"), &nothing).is_err());
        assert!(file(Some("/nonesuch/file"), &nothing).is_err());
        let named = [("SSL_CERT_FILE".to_owned(), "/etc/hosts".to_owned())].into();
        assert_eq!(
            file(Some("host"), &named).unwrap(),
            Some("/etc/hosts".into())
        );
    }
}
