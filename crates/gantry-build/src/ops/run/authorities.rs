//! Certificate authorities that a step is lent (`--ca-certificates`): a file that lies beside the
//! root file system, and the variables by which programs find it.
//!
//! Nothing of it is in the layer, in the image's configuration or in the key of the step. The
//! system's own file is left alone: package managers write it anew, which a mount would forbid.

use std::path::{Path, PathBuf};

use gantry_http::trust::usual_bundles;
use gantry_sys::path::Directory;

use super::super::view;
use crate::error::StepError;

/// Where the file is in the container: below what is a mount of its own already.
pub(super) const TARGET: &str = "/dev/certificates/authorities.pem";

/// Most bytes of a file of certificates.
const LARGEST: u64 = 16 << 20;

/// Variables that name a file which takes the place of the trusted ones, so that it must hold
/// those of the image, too.
const VARIABLES: [&str; 10] = [
    // OpenSSL and all that asks it; Go; rustls.
    "SSL_CERT_FILE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "AWS_CA_BUNDLE",
    "CARGO_HTTP_CAINFO",
    "NIX_SSL_CERT_FILE",
    "DENO_CERT",
    // Added to those that it comes with.
    "NODE_EXTRA_CA_CERTS",
];

/// The variables, but those that the step sets itself.
pub(super) fn variables<'s>(
    is_set: impl Fn(&str) -> bool + 's,
) -> impl Iterator<Item = String> + 's {
    let unset = VARIABLES.iter().filter(move |name| !is_set(name));
    unset.map(|name| format!("{name}={TARGET}"))
}

/// Writes the file into the folder of a step: what is lent, and what the image trusts itself.
pub(super) fn write(
    folder: &Path,
    lent: &Path,
    image: Option<&Directory>,
) -> Result<PathBuf, StepError> {
    let mut text = std::fs::read(lent).map_err(|source| StepError::io("read", lent, source))?;
    if let Some(root) = image {
        // An image whose file cannot be read has none to offer.
        let own = usual_bundles()
            .iter()
            .find_map(|path| view::read(root, path, LARGEST).ok().flatten());
        if let Some(own) = own {
            text.push(b'\n');
            text.extend(own);
        }
    }
    let path = folder.join("authorities");
    std::fs::write(&path, text).map_err(|source| StepError::io("write", &path, source))?;
    Ok(path)
}
