//! Platforms of images (OCI image-spec, `image-index.md`; normalisation as containerd's).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Operating system, architecture and variant an image is made for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Platform {
    /// CPU architecture by its Go name (`amd64`, `arm64`, …).
    pub architecture: String,
    /// Operating system by its Go name (`linux`).
    pub os: String,
    /// Version of the operating system (Windows images only).
    #[serde(
        rename = "os.version",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub os_version: Option<String>,
    /// Features of the operating system that are needed.
    #[serde(rename = "os.features", default, skip_serializing_if = "Vec::is_empty")]
    pub os_features: Vec<String>,
    /// CPU variant (`v8`, `v7`, …).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// Go's names of architectures: what a word alone may be.
const ARCHITECTURES: [&str; 16] = [
    "386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle", "ppc64",
    "ppc64le", "riscv64", "s390x", "sparc64", "sw_64", "wasm",
];

/// A text that is no platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a platform, expected os/architecture[/variant]")]
pub struct PlatformError(String);

impl Platform {
    /// The platform this binary was compiled for.
    #[must_use]
    pub fn host() -> Self {
        Self::normalized("linux", std::env::consts::ARCH, None)
    }

    /// The platform with its parts brought to their standard names.
    #[must_use]
    pub fn normalized(os: &str, architecture: &str, variant: Option<&str>) -> Self {
        let os = os.to_ascii_lowercase();
        let architecture = architecture.to_ascii_lowercase();
        let variant = variant
            .map(str::to_ascii_lowercase)
            .filter(|v| !v.is_empty());
        let (architecture, variant) = match (architecture.as_str(), variant.as_deref()) {
            ("x86_64" | "x86-64" | "amd64", Some("v1") | None) => ("amd64".into(), None),
            ("x86_64" | "x86-64" | "amd64", Some(v)) => ("amd64".into(), Some(v.to_owned())),
            ("i386" | "i486" | "i586" | "i686" | "x86" | "386", _) => ("386".into(), None),
            ("aarch64" | "arm64", Some("8" | "v8") | None) => ("arm64".into(), None),
            ("aarch64" | "arm64", Some(v)) => ("arm64".into(), Some(v.to_owned())),
            ("armhf", _) => ("arm".into(), Some("v7".into())),
            ("armel", _) => ("arm".into(), Some("v6".into())),
            ("arm", None | Some("7")) => ("arm".into(), Some("v7".into())),
            ("arm", Some(v @ ("5" | "6" | "8"))) => ("arm".into(), Some(format!("v{v}"))),
            ("powerpc64le" | "ppc64el" | "ppc64le", _) => ("ppc64le".into(), None),
            ("riscv64" | "riscv64gc", _) => ("riscv64".into(), None),
            _ => (architecture, variant),
        };
        Self {
            architecture,
            os: if os == "macos" { "darwin".into() } else { os },
            variant,
            ..Self::default()
        }
    }

    /// This platform with its parts brought to their standard names.
    #[must_use]
    pub fn normalize(&self) -> Self {
        let mut out = Self::normalized(&self.os, &self.architecture, self.variant.as_deref());
        out.os_version.clone_from(&self.os_version);
        out.os_features.clone_from(&self.os_features);
        out
    }

    /// How well an image for `offered` serves somebody who wants `self`: `None` when it cannot
    /// run, otherwise smaller is better (0 is exact).
    #[must_use]
    pub fn rank(&self, offered: &Self) -> Option<u8> {
        let (want, have) = (self.normalize(), offered.normalize());
        if want.os != have.os {
            return None;
        }
        if want.architecture != have.architecture {
            return None;
        }
        if want.variant == have.variant {
            return Some(0);
        }
        let level = |p: &Self| -> Option<u8> {
            match p.variant.as_deref() {
                None if p.architecture == "amd64" => Some(1),
                None if p.architecture == "arm64" => Some(8),
                None => None,
                Some(v) => v.strip_prefix('v')?.parse().ok(),
            }
        };
        let (want, have) = (level(&want)?, level(&have)?);
        want.checked_sub(have)
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let parts: Vec<&str> = text.split('/').collect();
        let word = |w: &str| {
            !w.is_empty()
                && w.len() <= 64
                && w.bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
        };
        if !parts.iter().all(|p| word(p)) {
            return Err(PlatformError(text.chars().take(100).collect()));
        }
        match parts.as_slice() {
            [one] if matches!(*one, "linux" | "windows" | "darwin" | "freebsd") => {
                Ok(Self::normalized(one, std::env::consts::ARCH, None))
            }
            [one] => {
                let platform = Self::normalized("linux", one, None);
                match ARCHITECTURES.contains(&platform.architecture.as_str()) {
                    true => Ok(platform),
                    false => Err(PlatformError(text.to_owned())),
                }
            }
            [os, architecture] => Ok(Self::normalized(os, architecture, None)),
            [os, architecture, variant] => Ok(Self::normalized(os, architecture, Some(variant))),
            _ => Err(PlatformError(text.chars().take(100).collect())),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_normalised() {
        for (text, want) in [
            ("linux/amd64", "linux/amd64"),
            ("linux/x86_64", "linux/amd64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("aarch64", "linux/arm64"),
            ("linux/arm", "linux/arm/v7"),
            ("linux/armel", "linux/arm/v6"),
            ("Linux/ARM/v6", "linux/arm/v6"),
        ] {
            assert_eq!(text.parse::<Platform>().unwrap().to_string(), want);
        }
        assert!("linux/".parse::<Platform>().is_err());
        assert!("foo".parse::<Platform>().is_err());
        assert!("a/b/c/d".parse::<Platform>().is_err());
    }

    #[test]
    fn a_newer_variant_runs_what_was_made_for_an_older_one() {
        let platform = |t: &str| t.parse::<Platform>().unwrap();
        assert_eq!(
            platform("linux/arm/v7").rank(&platform("linux/arm/v6")),
            Some(1)
        );
        assert_eq!(
            platform("linux/arm/v6").rank(&platform("linux/arm/v7")),
            None
        );
        assert_eq!(
            platform("linux/amd64").rank(&platform("linux/amd64/v3")),
            None
        );
        assert_eq!(
            platform("linux/amd64/v3").rank(&platform("linux/amd64")),
            Some(2)
        );
        assert_eq!(
            platform("linux/amd64").rank(&platform("windows/amd64")),
            None
        );
    }
}
