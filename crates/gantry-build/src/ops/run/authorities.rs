//! Certificate authorities that a step is lent (`--ca-certificates`): a file that lies beside the
//! root file system, and the variables by which programs find it. apt knows no such variable, but
//! one that names a configuration: where the image has apt, that lies beside the file.
//!
//! Nothing of it is in the layer, in the image's configuration or in the key of the step. The
//! system's own file is left alone: package managers write it anew, which a mount would forbid.

use std::path::{Path, PathBuf};

use gantry_http::trust::usual_bundles;
use gantry_sys::path::Directory;
use rustix::fs::OFlags;

use super::super::view;
use crate::error::StepError;

/// Where the file is in the container: below what is a mount of its own already.
pub(super) const TARGET: &str = "/dev/certificates/authorities.pem";

/// The configuration of apt, which says where the file is.
const APT_TARGET: &str = "/dev/certificates/apt.conf";

/// Read before all that the image configures, which has the last word.
const APT: &str = "Acquire::https::CaInfo \"/dev/certificates/authorities.pem\";\n";

/// Programs of which one is there where apt is.
const APT_PROGRAMS: [&str; 2] = ["usr/bin/apt-get", "usr/bin/apt"];

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

/// What a step is lent, in its folder.
#[derive(Debug)]
pub(super) struct Authorities {
    bundle: PathBuf,
    apt: Option<PathBuf>,
}

impl Authorities {
    /// The variables, but those that the step sets itself.
    pub(super) fn variables(&self, is_set: impl Fn(&str) -> bool) -> Vec<String> {
        let bundle = VARIABLES.iter().map(|name| (*name, TARGET));
        let apt = self.apt.iter().map(|_| ("APT_CONFIG", APT_TARGET));
        bundle
            .chain(apt)
            .filter(|(name, _)| !is_set(name))
            .map(|(name, target)| format!("{name}={target}"))
            .collect()
    }

    /// The files, and where they are mounted.
    pub(super) fn files(&self) -> impl Iterator<Item = (&Path, &'static str)> {
        let apt = self.apt.iter().map(|file| (file.as_path(), APT_TARGET));
        std::iter::once((self.bundle.as_path(), TARGET)).chain(apt)
    }
}

/// Writes the files into the folder of a step: what is lent, and what the image trusts itself.
pub(super) fn write(
    folder: &Path,
    lent: &Path,
    image: Option<&Directory>,
) -> Result<Authorities, StepError> {
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
    let write = |name: &str, text: &[u8]| {
        let path = folder.join(name);
        std::fs::write(&path, text).map_err(|source| StepError::io("write", &path, source))?;
        Ok::<_, StepError>(path)
    };
    let has_apt = image.is_some_and(|root| {
        let is_there = |path: &&str| root.open_beneath(path, OFlags::PATH, 0).is_ok();
        APT_PROGRAMS.iter().any(is_there)
    });
    Ok(Authorities {
        bundle: write("authorities", &text)?,
        apt: has_apt
            .then(|| write("apt.conf", APT.as_bytes()))
            .transpose()?,
    })
}
