//! The databases of packages.

use std::fmt::Write as _;

/// Whose database it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Kind {
    /// dpkg's: `status`.
    Debian,
    /// apk's: `installed`.
    Alpine,
}

/// A package that is installed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Package {
    pub(super) kind: Kind,
    pub(super) name: String,
    pub(super) version: String,
    pub(super) architecture: String,
    /// `ID` of the system's `os-release`.
    pub(super) system: Option<String>,
}

impl Package {
    /// The package as a purl (purl-spec, types `deb` and `apk`).
    pub(super) fn purl(&self) -> String {
        let (kind, usual) = match self.kind {
            Kind::Debian => ("deb", "debian"),
            Kind::Alpine => ("apk", "alpine"),
        };
        let system = self.system.as_deref().unwrap_or(usual);
        format!(
            "pkg:{kind}/{}/{}@{}?arch={}",
            encoded(system),
            encoded(&self.name),
            encoded(&self.version),
            encoded(&self.architecture)
        )
    }
}

fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' | b':' => {
                out.push(char::from(byte));
            }
            other => drop(write!(out, "%{other:02X}")),
        }
    }
    out
}

/// The installed packages of a database. What is malformed is left out.
pub(super) fn parse(text: &str, kind: Kind) -> Vec<Package> {
    let (name, version, architecture, separator) = match kind {
        Kind::Debian => ("Package", "Version", "Architecture", ": "),
        Kind::Alpine => ("P", "V", "A", ":"),
    };
    let mut all = Vec::new();
    for block in text.split("\n\n") {
        let field = |wanted: &str| {
            block.lines().find_map(|line| {
                let (key, value) = line.split_once(separator)?;
                (key == wanted).then(|| value.trim().to_owned())
            })
        };
        // Removed packages whose configuration is left are listed as well.
        if kind == Kind::Debian
            && field("Status").is_some_and(|status| !status.ends_with(" installed"))
        {
            continue;
        }
        if let (Some(name), Some(version)) = (field(name), field(version)) {
            all.push(Package {
                kind,
                name,
                version,
                architecture: field(architecture).unwrap_or_default(),
                system: None,
            });
        }
    }
    all
}

/// `ID` of an `os-release`.
pub(super) fn system_id(text: &str) -> Option<String> {
    let line = text.lines().find_map(|line| line.strip_prefix("ID="))?;
    let id = line.trim().trim_matches(['"', '\'']);
    (!id.is_empty()).then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alpines_database_is_read() {
        let text =
            "C:Q1x=\nP:musl\nV:1.2.5-r0\nA:x86_64\nF:lib\nR:ld.so\n\nP:busybox\nV:1.36\nA:x86_64\n";
        let purls: Vec<String> = parse(text, Kind::Alpine)
            .iter()
            .map(Package::purl)
            .collect();
        assert_eq!(
            purls,
            [
                "pkg:apk/alpine/musl@1.2.5-r0?arch=x86_64",
                "pkg:apk/alpine/busybox@1.36?arch=x86_64"
            ]
        );
        assert_eq!(
            system_id("NAME=x\nID=\"wolfi\"\n").as_deref(),
            Some("wolfi")
        );
    }
}
