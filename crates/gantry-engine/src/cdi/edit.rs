//! What a device changes in the runtime's document.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use oci_spec::runtime::{
    Hook, HookBuilder, Hooks, LinuxDevice, LinuxDeviceCgroup, LinuxDeviceType, Spec,
};

use super::{CdiError, DeviceNode, Edits, Mount};

fn invalid(field: &'static str, value: &str) -> CdiError {
    CdiError::Value {
        field,
        value: value.chars().take(200).collect(),
    }
}

/// Makes the changes, in order.
pub(crate) fn apply(document: &mut Spec, edits: &[&Edits]) -> Result<(), CdiError> {
    for edits in edits {
        environment(document, &edits.env);
        for node in &edits.device_nodes {
            device(document, node)?;
        }
        for wanted in &edits.mounts {
            let mut all = document.mounts().clone().unwrap_or_default();
            all.retain(|seen| seen.destination() != Path::new(&wanted.container_path));
            all.push(mount(wanted)?);
            document.set_mounts(Some(all));
        }
        for wanted in &edits.hooks {
            hook(document, wanted)?;
        }
        groups(document, &edits.additional_gids);
    }
    Ok(())
}

/// Where the host has the device nodes, and where the container gets them.
pub(crate) fn origins(edits: &[&Edits]) -> impl Iterator<Item = (PathBuf, PathBuf)> {
    let nodes = edits.iter().flat_map(|edits| &edits.device_nodes);
    nodes.map(|node| (on_host(node), PathBuf::from(&node.path)))
}

fn on_host(node: &DeviceNode) -> PathBuf {
    PathBuf::from(node.host_path.as_deref().unwrap_or(&node.path))
}

fn environment(document: &mut Spec, variables: &[String]) {
    let Some(process) = document.process_mut() else {
        return;
    };
    let name = |variable: &str| variable.split('=').next().unwrap_or_default().to_owned();
    let mut env = process.env().clone().unwrap_or_default();
    for variable in variables {
        env.retain(|seen| name(seen) != name(variable));
        env.push(variable.clone());
    }
    process.set_env(Some(env));
}

fn groups(document: &mut Spec, gids: &[u32]) {
    let Some(process) = document.process_mut() else {
        return;
    };
    let mut user = process.user().clone();
    let mut all = user.additional_gids().clone().unwrap_or_default();
    for gid in gids {
        if *gid != 0 && !all.contains(gid) {
            all.push(*gid);
        }
    }
    user.set_additional_gids(Some(all));
    process.set_user(user);
}

fn device(document: &mut Spec, node: &DeviceNode) -> Result<(), CdiError> {
    let path = Path::new(&node.path);
    if !path.is_absolute() {
        return Err(invalid("device node path", &node.path));
    }
    let on_host = on_host(node);
    // What the specification leaves out the host's device says.
    let known = node.kind.is_some() && node.major.is_some() && node.minor.is_some();
    let metadata = match fs::metadata(&on_host) {
        Ok(metadata) => Some(metadata),
        Err(_) if known => None,
        Err(source) => {
            return Err(CdiError::Device {
                path: on_host,
                source,
            });
        }
    };
    let seen = metadata.as_ref();
    let typ = match (node.kind.as_deref(), seen.map(fs::Metadata::file_type)) {
        (Some("b"), _) => LinuxDeviceType::B,
        (Some("c" | "u"), _) => LinuxDeviceType::C,
        (Some("p"), _) => LinuxDeviceType::P,
        (None | Some(""), Some(kind)) if kind.is_block_device() => LinuxDeviceType::B,
        (None | Some(""), Some(kind)) if kind.is_char_device() => LinuxDeviceType::C,
        _ => return Err(invalid("device node type", &node.path)),
    };
    let number = seen.map(MetadataExt::rdev);
    let major = node.major.filter(|major| *major > 0);
    let major = major.or_else(|| number.map(|number| i64::from(rustix::fs::major(number))));
    let minor = node.minor.filter(|_| node.major.is_some());
    let minor = minor.or_else(|| number.map(|number| i64::from(rustix::fs::minor(number))));
    let (major, minor) = (major.unwrap_or_default(), minor.unwrap_or_default());
    let mut device = LinuxDevice::default();
    device.set_path(path.to_owned());
    device.set_typ(typ);
    device.set_major(major);
    device.set_minor(minor);
    device.set_file_mode(
        node.file_mode
            .or_else(|| seen.map(|seen| seen.mode() & 0o7777)),
    );
    device.set_uid(Some(node.uid.unwrap_or(0)));
    device.set_gid(Some(node.gid.unwrap_or(0)));
    let access = node.permissions.clone().unwrap_or_else(|| "rwm".to_owned());
    if access.is_empty() || !access.bytes().all(|byte| b"rwm".contains(&byte)) {
        return Err(invalid("device node permissions", &access));
    }
    let mut rule = LinuxDeviceCgroup::default();
    rule.set_allow(true);
    rule.set_typ(Some(typ));
    rule.set_major(Some(major));
    rule.set_minor(Some(minor));
    rule.set_access(Some(access));
    let Some(linux) = document.linux_mut() else {
        return Ok(());
    };
    let mut devices = linux.devices().clone().unwrap_or_default();
    devices.retain(|seen| seen.path() != path);
    devices.push(device);
    linux.set_devices(Some(devices));
    let mut resources = linux.resources().clone().unwrap_or_default();
    let mut rules = resources.devices().clone().unwrap_or_default();
    // A privileged container may use everything already.
    let everything = matches!(rules.as_slice(), [only] if only.allow());
    if typ != LinuxDeviceType::P && !everything {
        rules.push(rule);
    }
    resources.set_devices(Some(rules));
    linux.set_resources(Some(resources));
    Ok(())
}

fn mount(wanted: &Mount) -> Result<oci_spec::runtime::Mount, CdiError> {
    for path in [&wanted.host_path, &wanted.container_path] {
        if !Path::new(path).is_absolute() {
            return Err(invalid("mount path", path));
        }
    }
    let mut options = wanted.options.clone();
    if !options
        .iter()
        .any(|option| option == "bind" || option == "rbind")
    {
        options.push("rbind".to_owned());
    }
    let mut mount = oci_spec::runtime::Mount::default();
    mount.set_destination(PathBuf::from(&wanted.container_path));
    mount.set_source(Some(PathBuf::from(&wanted.host_path)));
    mount.set_typ(Some(
        wanted.kind.clone().unwrap_or_else(|| "bind".to_owned()),
    ));
    mount.set_options(Some(options));
    Ok(mount)
}

fn hook(document: &mut Spec, wanted: &super::Hook) -> Result<(), CdiError> {
    let mut builder = HookBuilder::default()
        .path(&wanted.path)
        .args(wanted.args.clone())
        .env(wanted.env.clone());
    if let Some(timeout) = wanted.timeout {
        builder = builder.timeout(timeout);
    }
    let hook = builder
        .build()
        .map_err(|error| invalid("hook", &error.to_string()))?;
    let mut hooks = document.hooks().clone().unwrap_or_default();
    type Set = fn(&mut Hooks, Option<Vec<Hook>>) -> &mut Hooks;
    let (list, set): (_, Set) = match wanted.hook_name.as_str() {
        "prestart" => (hooks.prestart().clone(), Hooks::set_prestart),
        "createRuntime" => (hooks.create_runtime().clone(), Hooks::set_create_runtime),
        "createContainer" => (
            hooks.create_container().clone(),
            Hooks::set_create_container,
        ),
        "startContainer" => (hooks.start_container().clone(), Hooks::set_start_container),
        "poststart" => (hooks.poststart().clone(), Hooks::set_poststart),
        "poststop" => (hooks.poststop().clone(), Hooks::set_poststop),
        other => return Err(invalid("hook name", other)),
    };
    let mut list = list.unwrap_or_default();
    list.push(hook);
    set(&mut hooks, Some(list));
    document.set_hooks(Some(hooks));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_reach_the_document() {
        let edits: Edits = serde_json::from_str(
            r#"{"env":["A=2"],"deviceNodes":[{"path":"/dev/mine","hostPath":"/dev/null","permissions":"r"}],
            "mounts":[{"hostPath":"/lib","containerPath":"/vendor","options":["ro"]}],
            "hooks":[{"hookName":"createContainer","path":"/bin/true","args":["true"]}],
            "additionalGids":[44]}"#,
        )
        .unwrap();
        let mut document = Spec::default();
        apply(&mut document, &[&edits]).unwrap();
        let origin = (PathBuf::from("/dev/null"), PathBuf::from("/dev/mine"));
        assert!(origins(&[&edits]).eq([origin]));
        let value = serde_json::to_value(&document).unwrap();
        let env = value["process"]["env"].as_array().unwrap();
        assert!(env.iter().any(|variable| variable == "A=2"));
        let devices = value["linux"]["devices"].as_array().unwrap();
        let mine = devices
            .iter()
            .find(|device| device["path"] == "/dev/mine")
            .unwrap();
        assert_eq!(
            (mine["major"].as_i64(), mine["minor"].as_i64()),
            (Some(1), Some(3))
        );
        let rules = value["linux"]["resources"]["devices"].as_array().unwrap();
        assert!(
            rules
                .iter()
                .any(|rule| rule["access"] == "r" && rule["minor"] == 3)
        );
        let mounts = value["mounts"].as_array().unwrap();
        let vendor = mounts
            .iter()
            .find(|mount| mount["destination"] == "/vendor")
            .unwrap();
        assert_eq!(vendor["options"], serde_json::json!(["ro", "rbind"]));
        assert_eq!(value["hooks"]["createContainer"][0]["path"], "/bin/true");
        assert_eq!(
            value["process"]["user"]["additionalGids"],
            serde_json::json!([44])
        );
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            r#"{"deviceNodes":[{"path":"dev/x"}]}"#,
            r#"{"deviceNodes":[{"path":"/dev/nonesuch-device"}]}"#,
            r#"{"deviceNodes":[{"path":"/dev/null","permissions":"x"}]}"#,
            r#"{"mounts":[{"hostPath":"a","containerPath":"/b"}]}"#,
            r#"{"hooks":[{"hookName":"sometime","path":"/x"}]}"#,
        ] {
            let edits: Edits = serde_json::from_str(text).unwrap();
            assert!(apply(&mut Spec::default(), &[&edits]).is_err(), "{text}");
        }
    }
}
