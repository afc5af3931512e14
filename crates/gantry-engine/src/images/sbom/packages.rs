//! The databases of packages.

use std::fmt::Write as _;

/// Whose database it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Kind {
    /// dpkg's: `status`.
    Debian,
    /// apk's: `installed`.
    Alpine,
    /// rpm's, in one of its forms.
    Rpm,
}

/// What `os-release` says of a system.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct System {
    /// `ID`.
    id: String,
    /// `VERSION_ID`.
    version: Option<String>,
}

/// What only packages of rpm say.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Rpm {
    pub(super) epoch: Option<usize>,
    pub(super) vendor: Option<String>,
    /// Not always an expression of SPDX.
    pub(super) license: Option<String>,
    /// The file of the source package.
    pub(super) source: Option<String>,
}

/// A package that is installed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Package {
    pub(super) kind: Kind,
    pub(super) name: String,
    pub(super) version: String,
    pub(super) architecture: String,
    pub(super) rpm: Option<Rpm>,
    pub(super) system: Option<System>,
}

impl Package {
    /// A package of rpm, `version` with its release.
    pub(super) fn of_rpm(name: String, version: String, architecture: String, rpm: Rpm) -> Self {
        Self {
            kind: Kind::Rpm,
            name,
            version,
            architecture,
            rpm: Some(rpm),
            system: None,
        }
    }

    /// The version as the system's own tools write it, with the epoch before it.
    pub(super) fn full_version(&self) -> String {
        match self.rpm.as_ref().and_then(|rpm| rpm.epoch) {
            Some(epoch) => format!("{epoch}:{}", self.version),
            None => self.version.clone(),
        }
    }

    /// The package as a purl (purl-spec, types `deb`, `apk` and `rpm`).
    pub(super) fn purl(&self) -> String {
        let id = self.system.as_ref().map(|system| &*system.id);
        let (kind, namespace) = match self.kind {
            Kind::Debian => ("deb", Some(id.unwrap_or("debian"))),
            Kind::Alpine => ("apk", Some(id.unwrap_or("alpine"))),
            Kind::Rpm => ("rpm", id.map(vendor)),
        };
        let mut purl = format!("pkg:{kind}/");
        if let Some(namespace) = namespace {
            purl += &encoded(namespace);
            purl.push('/');
        }
        let (name, version) = (encoded(&self.name), encoded(&self.version));
        let _infallible = write!(
            purl,
            "{name}@{version}?arch={}",
            encoded(&self.architecture)
        );
        if let Some(rpm) = &self.rpm {
            for (key, value) in [
                ("distro", self.system.as_ref().map(System::release)),
                ("epoch", rpm.epoch.map(|epoch| epoch.to_string())),
                ("upstream", rpm.source.clone()),
            ] {
                if let Some(value) = value {
                    let _infallible = write!(purl, "&{key}={}", encoded(&value));
                }
            }
        }
        purl
    }
}

/// The namespace of a system's packages of rpm: that of who makes them, where it has several.
fn vendor(id: &str) -> &str {
    match id {
        "rhel" => "redhat",
        id if id.starts_with("opensuse") => "opensuse",
        id => id,
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
        // A database of another form.
        Kind::Rpm => return Vec::new(),
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
                rpm: None,
                system: None,
            });
        }
    }
    all
}

impl System {
    /// The system of an `os-release`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let field = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key))?;
            let value = line.trim().trim_matches(['"', '\'']);
            (!value.is_empty()).then(|| value.to_owned())
        };
        Some(Self {
            id: field("ID=")?,
            version: field("VERSION_ID="),
        })
    }

    /// The system in one word, as scanners write it.
    fn release(&self) -> String {
        match &self.version {
            Some(version) => format!("{}-{version}", self.id),
            None => self.id.clone(),
        }
    }
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
        let wolfi = System::parse("NAME=x\nID=\"wolfi\"\n").unwrap();
        assert_eq!(wolfi.release(), "wolfi");
    }

    #[test]
    fn packages_of_rpm_name_their_system() {
        for (system, want) in [
            ("", "a@1-2?arch=noarch&epoch=0"),
            (
                "ID=fedora\nVERSION_ID=40\n",
                "fedora/a@1-2?arch=noarch&distro=fedora-40&epoch=0",
            ),
            (
                "ID=\"rhel\"\nVERSION_ID=\"9.4\"\n",
                "redhat/a@1-2?arch=noarch&distro=rhel-9.4&epoch=0",
            ),
            (
                "ID=opensuse-leap\n",
                "opensuse/a@1-2?arch=noarch&distro=opensuse-leap&epoch=0",
            ),
        ] {
            let rpm = Rpm {
                epoch: Some(0),
                vendor: None,
                license: None,
                source: None,
            };
            let mut package = Package::of_rpm("a".into(), "1-2".into(), "noarch".into(), rpm);
            package.system = System::parse(system);
            assert_eq!(package.purl(), format!("pkg:rpm/{want}"));
            assert_eq!(package.full_version(), "0:1-2");
        }
    }
}
