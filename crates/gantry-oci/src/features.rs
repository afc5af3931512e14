//! What this runtime can do (OCI runtime-spec, `features.md` and `features-linux.md`).

use gantry_runtime::hooks::Turn;
use gantry_runtime::supported;
use serde_json::{Value, json};

/// The newest version of the specification that is followed.
pub(crate) const NEWEST: &str = "1.3.0";

/// What this runtime can do on this system.
pub fn features() -> Value {
    let hooks: Vec<&str> = Turn::ALL.iter().map(|turn| turn.name()).collect();
    json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": NEWEST,
        "hooks": hooks,
        "mountOptions": supported::mount_options(),
        "linux": {
            "namespaces": supported::NAMESPACES,
            "capabilities": supported::capabilities(),
            "cgroup": {
                "v1": true,
                "v2": true,
                "systemd": true,
                "systemdUser": true,
                "rdma": true,
            },
            "seccomp": {
                "enabled": true,
                "actions": supported::SECCOMP_ACTIONS,
                "operators": supported::SECCOMP_OPERATORS,
                "archs": supported::SECCOMP_ARCHITECTURES,
                "knownFlags": supported::SECCOMP_FLAGS,
                "supportedFlags": supported::SECCOMP_FLAGS,
            },
            "apparmor": { "enabled": true },
            "selinux": { "enabled": true },
            "intelRdt": { "enabled": false },
            "memoryPolicy": {
                "modes": supported::MEMORY_MODES,
                "flags": supported::MEMORY_FLAGS,
            },
            "netDevices": { "enabled": true },
            "mountExtensions": { "idmap": { "enabled": true } },
        },
        "annotations": {
            "org.gantry.version": env!("CARGO_PKG_VERSION"),
            "org.gantry.checkpoint.enabled": "true",
        },
    })
}
