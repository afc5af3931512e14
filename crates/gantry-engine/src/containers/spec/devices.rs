//! Devices: from `HOST[:CONTAINER[:PERMISSIONS]]` to the document.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use oci_spec::runtime::{LinuxDevice, LinuxDeviceCgroup, LinuxDeviceType, Mount, Spec};

use gantry_runtime::defaults;

use super::SpecError;

/// Folders of `/dev` that a privileged container gets of its own.
const OWN: [&str; 6] = ["pts", "shm", "fd", "mqueue", ".udev", "console"];
/// Devices a folder may hold; a limit against endless trees.
const MOST: usize = 10_000;

/// A device as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) host: PathBuf,
    pub(crate) container: PathBuf,
    pub(crate) permissions: String,
}

/// Reads a device as written.
pub(crate) fn parse(text: &str) -> Result<Wanted, SpecError> {
    let bad = || SpecError::Device(text.chars().take(200).collect());
    let valid = |mode: &str| {
        !mode.is_empty() && mode.len() <= 3 && mode.bytes().all(|byte| b"rwm".contains(&byte))
    };
    let parts: Vec<&str> = text.split(':').collect();
    let (host, container, permissions) = match parts.as_slice() {
        [host] => (*host, *host, "rwm"),
        [host, mode] if valid(mode) => (*host, *host, *mode),
        [host, container] => (*host, *container, "rwm"),
        [host, container, mode] if valid(mode) => (*host, *container, *mode),
        _ => return Err(bad()),
    };
    if !host.starts_with('/') || !container.starts_with('/') {
        return Err(bad());
    }
    Ok(Wanted {
        host: PathBuf::from(host),
        container: PathBuf::from(container),
        permissions: permissions.to_owned(),
    })
}

/// A device of the host with what a container may do with it.
#[derive(Debug, Clone)]
pub(crate) struct Device {
    /// Where the host has it.
    pub(crate) host: PathBuf,
    pub(crate) device: LinuxDevice,
    pub(crate) rule: LinuxDeviceCgroup,
}

/// Looks at the host's device, or at all of a folder.
pub(crate) fn resolve(wanted: &Wanted) -> Result<Vec<Device>, SpecError> {
    let fail = |source: io::Error| SpecError::HostDevice {
        path: wanted.host.clone(),
        source,
    };
    let metadata = fs::metadata(&wanted.host).map_err(fail)?;
    let mut found = Vec::new();
    if metadata.is_dir() {
        walk(
            &wanted.host,
            &wanted.container,
            &wanted.permissions,
            &mut found,
        )
        .map_err(fail)?;
    } else {
        found.extend(device(
            &wanted.host,
            &metadata,
            &wanted.container,
            &wanted.permissions,
        ));
    }
    if found.is_empty() {
        return Err(SpecError::NotADevice {
            path: wanted.host.clone(),
        });
    }
    Ok(found)
}

/// Every device of the host, for a privileged container.
pub(crate) fn all_of_host() -> io::Result<Vec<LinuxDevice>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/dev")? {
        let entry = entry?;
        if OWN.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        collect(&entry.path(), &entry.path(), "rwm", &mut found)?;
    }
    Ok(found.into_iter().map(|found| found.device).collect())
}

fn walk(folder: &Path, target: &Path, mode: &str, found: &mut Vec<Device>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        collect(&entry.path(), &target.join(entry.file_name()), mode, found)?;
    }
    Ok(())
}

fn collect(path: &Path, target: &Path, mode: &str, found: &mut Vec<Device>) -> io::Result<()> {
    if found.len() >= MOST {
        return Ok(());
    }
    // Devices come and go: one that is not there any more is none.
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    if metadata.is_dir() {
        return walk(path, target, mode, found);
    }
    found.extend(device(path, &metadata, target, mode));
    Ok(())
}

fn device(host: &Path, metadata: &fs::Metadata, target: &Path, mode: &str) -> Option<Device> {
    let typ = match metadata.file_type() {
        kind if kind.is_char_device() => LinuxDeviceType::C,
        kind if kind.is_block_device() => LinuxDeviceType::B,
        _ => return None,
    };
    let number = metadata.rdev();
    let major = i64::from(rustix::fs::major(number));
    let minor = i64::from(rustix::fs::minor(number));
    let mut device = LinuxDevice::default();
    device.set_path(target.to_owned());
    device.set_typ(typ);
    device.set_major(major);
    device.set_minor(minor);
    device.set_file_mode(Some(metadata.mode() & 0o7777));
    device.set_uid(Some(metadata.uid()));
    device.set_gid(Some(metadata.gid()));
    let mut rule = LinuxDeviceCgroup::default();
    rule.set_allow(true);
    rule.set_typ(Some(typ));
    rule.set_major(Some(major));
    rule.set_minor(Some(minor));
    rule.set_access(Some(mode.to_owned()));
    Some(Device {
        host: host.to_owned(),
        device,
        rule,
    })
}

/// A device of the container and where the host has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) host: PathBuf,
    pub(crate) container: PathBuf,
}

impl From<&Device> for Origin {
    fn from(device: &Device) -> Self {
        Self {
            host: device.host.clone(),
            container: device.device.path().clone(),
        }
    }
}

/// For a container in a user namespace, where no node can be made: devices that the host has at
/// another path are mounted from there. Those of the same path the runtime shows by itself. What
/// is mounted at that place on purpose stays, and of two devices the last.
pub(crate) fn show(document: &mut Spec, origins: &[Origin]) {
    let renamed = origins.iter().filter(|own| own.host != own.container);
    for origin in renamed.rev() {
        if let Some(devices) = document
            .linux_mut()
            .as_mut()
            .and_then(|l| l.devices_mut().as_mut())
        {
            devices.retain(|device| *device.path() != origin.container);
        }
        let options = ["bind", "nosuid", "noexec"].map(str::to_owned).to_vec();
        let mut mount = Mount::default();
        mount.set_destination(origin.container.clone());
        mount.set_source(Some(origin.host.clone()));
        mount.set_typ(Some("bind".to_owned()));
        mount.set_options(Some(options));
        let mut mounts = document.mounts().clone().unwrap_or_default();
        if !mounts
            .iter()
            .any(|seen| seen.destination() == mount.destination())
        {
            mounts.push(mount);
        }
        document.set_mounts(Some(mounts));
    }
}

/// The rules of a container's cgroup: Docker's, then those of its own devices, then those it
/// was given.
pub(crate) fn rules(
    own: &[Device],
    given: &[String],
    privileged: bool,
) -> Result<Vec<LinuxDeviceCgroup>, SpecError> {
    if privileged {
        return Ok(vec![defaults::every_device()]);
    }
    let mut rules = defaults::device_rules();
    rules.extend(own.iter().map(|device| device.rule.clone()));
    for rule in given {
        rules.push(parse_rule(rule)?);
    }
    Ok(rules)
}

/// Reads a rule as `--device-cgroup-rule` spells it: `TYPE MAJOR:MINOR PERMISSIONS`, `*` for
/// every number.
pub(crate) fn parse_rule(text: &str) -> Result<LinuxDeviceCgroup, SpecError> {
    let bad = || SpecError::DeviceRule {
        rule: text.chars().take(100).collect(),
    };
    let parts: Vec<&str> = text.split(' ').collect();
    let [kind, number, access] = parts.as_slice() else {
        return Err(bad());
    };
    let typ = match *kind {
        "a" => LinuxDeviceType::A,
        "b" => LinuxDeviceType::B,
        "c" => LinuxDeviceType::C,
        _ => return Err(bad()),
    };
    let part = |part: &str| match part {
        "*" => Ok(-1),
        digits => digits.parse::<u32>().map(i64::from).map_err(|_| bad()),
    };
    let (major, minor) = number.split_once(':').ok_or_else(bad)?;
    let valid =
        (1..=3).contains(&access.len()) && access.bytes().all(|byte| b"rwm".contains(&byte));
    if !valid {
        return Err(bad());
    }
    let mut rule = LinuxDeviceCgroup::default();
    rule.set_allow(true);
    rule.set_typ(Some(typ));
    rule.set_major(Some(part(major)?));
    rule.set_minor(Some(part(minor)?));
    rule.set_access(Some((*access).to_owned()));
    Ok(rule)
}

/// The number of a device of the host.
pub(crate) fn number(path: &str) -> Result<(i64, i64), SpecError> {
    let metadata = fs::metadata(path).map_err(|source| SpecError::DeviceNumber {
        path: path.to_owned(),
        source,
    })?;
    let number = metadata.rdev();
    Ok((
        i64::from(rustix::fs::major(number)),
        i64::from(rustix::fs::minor(number)),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_parse() {
        for (text, want) in [
            ("/dev/x", ("/dev/x", "/dev/x", "rwm")),
            ("/dev/x:/dev/y", ("/dev/x", "/dev/y", "rwm")),
            ("/dev/x:r", ("/dev/x", "/dev/x", "r")),
            ("/dev/x:/dev/y:mr", ("/dev/x", "/dev/y", "mr")),
        ] {
            let got = parse(text).unwrap();
            let got = (
                got.host.to_str().unwrap(),
                got.container.to_str().unwrap(),
                &*got.permissions,
            );
            assert_eq!(got, want);
        }
        for bad in [
            "",
            "x",
            "/dev/x:y",
            "/dev/x:/dev/y:q",
            "/a:/b:r:w",
            "/a:/b:",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn renamed_devices_are_mounted() {
        let device = |host: &str, container: &str| {
            let mut device = LinuxDevice::default();
            device.set_path(PathBuf::from(container));
            let (host, container) = (PathBuf::from(host), PathBuf::from(container));
            (device, Origin { host, container })
        };
        let (devices, origins): (Vec<_>, Vec<_>) = [
            device("/dev/same", "/dev/same"),
            device("/dev/first", "/dev/x"),
            device("/dev/last", "/dev/x"),
        ]
        .into_iter()
        .unzip();
        let mut document = Spec::default();
        let mut linux = oci_spec::runtime::Linux::default();
        linux.set_devices(Some(devices));
        document.set_linux(Some(linux));
        document.set_mounts(None);
        show(&mut document, &origins);
        let value = serde_json::to_value(&document).unwrap();
        assert_eq!(value["linux"]["devices"].as_array().unwrap().len(), 1);
        assert_eq!(
            value["mounts"],
            serde_json::json!([{"destination": "/dev/x", "type": "bind", "source": "/dev/last",
                "options": ["bind", "nosuid", "noexec"]}])
        );
    }

    #[test]
    fn rules_parse() {
        let json = |text: &str| serde_json::to_string(&parse_rule(text).unwrap()).unwrap();
        assert_eq!(
            json("c 1:3 mr"),
            r#"{"allow":true,"type":"c","major":1,"minor":3,"access":"mr"}"#
        );
        assert_eq!(
            json("a *:* rwm"),
            r#"{"allow":true,"type":"a","major":-1,"minor":-1,"access":"rwm"}"#
        );
        for bad in [
            "",
            "c",
            "c 1:3",
            "x 1:3 r",
            "c 1 r",
            "c 1:3 q",
            "c 1:3 rwmr",
            "c -1:3 r",
            "c 1:3 ",
        ] {
            assert!(parse_rule(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_device_of_the_host_is_found() {
        let found = resolve(&parse("/dev/null:/dev/hole:r").unwrap()).unwrap();
        assert_eq!(found[0].device.path(), Path::new("/dev/hole"));
        assert_eq!((found[0].device.major(), found[0].device.minor()), (1, 3));
        assert_eq!(found[0].rule.access().as_deref(), Some("r"));
        assert!(matches!(
            resolve(&parse("/etc/hostname").unwrap()),
            Err(SpecError::NotADevice { .. } | SpecError::HostDevice { .. })
        ));
    }
}
