use super::*;
use gantry_model::image::ProcessConfig;
use serde_json::{Value, json};

fn record(spec: ContainerSpec) -> ContainerRecord {
    ContainerRecord {
        version: 1,
        id: "0123456789abcdef".repeat(4).parse().unwrap(),
        name: "web".into(),
        created: "2026-01-01T00:00:00Z".into(),
        spec,
        image_id: format!("sha256:{}", "a".repeat(64)).parse().unwrap(),
        image_name: "busybox".into(),
        layers: Vec::new(),
        process: ProcessConfig {
            env: vec!["A=1".into()],
            ..ProcessConfig::default()
        },
        args: vec!["sh".into(), "-c".into(), "true".into()],
        healthcheck: None,
        mounts: Vec::new(),
        id_ranges: None,
    }
}

fn document(spec: ContainerSpec) -> Value {
    let record = record(spec);
    let security = security::parse(&record.spec.security_opt).unwrap();
    let spec = &record.spec;
    let capabilities = capabilities::decide(
        &spec.cap_add,
        &spec.cap_drop,
        spec.privileged,
        &["CHOWN", "SYS_ADMIN"],
    )
    .unwrap();
    let user = ResolvedUser {
        uid: 0,
        gid: 0,
        groups: vec![10],
        home: "/root".into(),
    };
    let facts = Facts {
        record: &record,
        user: &user,
        capabilities: &capabilities,
        security: &security,
        labels: &labels::Names::default(),
        seccomp: None,
        devices: &[],
        host_devices: Vec::new(),
        files: vec![("/etc/hosts", PathBuf::from("/c/hosts"))],
        foreign: Foreign::default(),
        images: Default::default(),
        linked: Vec::new(),
        host_name: "host",
    };
    let mut value = serde_json::to_value(translate(&facts).unwrap()).unwrap();
    for set in ["bounding", "effective", "permitted"] {
        let list = value["process"]["capabilities"][set]
            .as_array_mut()
            .unwrap();
        list.sort_by_key(ToString::to_string);
    }
    value
}

#[test]
fn the_default_document_is_dockers() {
    let value = document(ContainerSpec::default());
    assert_eq!(value["ociVersion"], VERSION);
    assert_eq!(value["hostname"], "0123456789ab");
    assert_eq!(value["root"], json!({"path": "rootfs"}));
    let process = &value["process"];
    assert_eq!(process["cwd"], "/");
    assert_eq!(
        process["user"],
        json!({"uid": 0, "gid": 0, "additionalGids": [0, 10]})
    );
    assert_eq!(
        process["env"],
        json!([
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOSTNAME=0123456789ab",
            "A=1",
            "HOME=/root"
        ])
    );
    assert_eq!(
        process["capabilities"]["bounding"]
            .as_array()
            .unwrap()
            .len(),
        14
    );
    assert_eq!(process["capabilities"]["inheritable"], json!([]));
    let linux = &value["linux"];
    let kinds: Vec<&str> = linux["namespaces"]
        .as_array()
        .unwrap()
        .iter()
        .map(|n| n["type"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["mount", "network", "uts", "pid", "ipc", "cgroup"]);
    assert_eq!(
        linux["cgroupsPath"],
        format!("/gantry/{}", "0123456789abcdef".repeat(4))
    );
    assert_eq!(linux["maskedPaths"].as_array().unwrap().len(), 12);
    assert_eq!(linux["readonlyPaths"].as_array().unwrap().len(), 5);
    assert_eq!(linux["resources"]["devices"].as_array().unwrap().len(), 1);
    assert_eq!(linux["sysctl"]["net.ipv4.ip_unprivileged_port_start"], "0");
}

#[test]
fn privileged_opens_everything() {
    let value = document(ContainerSpec {
        privileged: true,
        ..ContainerSpec::default()
    });
    assert_eq!(
        value["process"]["capabilities"]["effective"],
        json!(["CAP_CHOWN", "CAP_SYS_ADMIN"])
    );
    let linux = &value["linux"];
    assert_eq!(linux.get("maskedPaths"), None);
    assert_eq!(
        linux["resources"]["devices"],
        json!([{"allow": true, "type": "a", "access": "rwm"}])
    );
    let sys = value["mounts"]
        .as_array()
        .unwrap()
        .iter()
        .find(|m| m["destination"] == "/sys")
        .unwrap();
    assert_eq!(sys["options"], json!(["nosuid", "noexec", "nodev"]));
}

#[test]
fn host_namespaces_are_left_out() {
    let value = document(ContainerSpec {
        network: NetworkMode::Host,
        pid_mode: "host".into(),
        ipc_mode: "host".into(),
        uts_mode: "host".into(),
        cgroupns_mode: "host".into(),
        cgroup_parent: Some("mine".into()),
        read_only: true,
        ..ContainerSpec::default()
    });
    assert_eq!(value["linux"]["namespaces"], json!([{"type": "mount"}]));
    assert!(
        value["linux"]["cgroupsPath"]
            .as_str()
            .unwrap()
            .starts_with("/mine/0123")
    );
    assert_eq!(value["root"]["readonly"], true);
    assert_eq!(value.get("hostname"), None);
    assert_eq!(value["process"]["env"][1], "HOSTNAME=host");
    assert_eq!(value["linux"].get("sysctl"), None);
}

#[test]
fn impossible_wishes_are_refused_at_creation() {
    let base = ContainerSpec::default;
    let sysctl = |name: &str| [(name.to_owned(), "1".to_owned())].into();
    for (spec, want) in [
        (
            ContainerSpec {
                sysctls: sysctl("kernel.panic"),
                ..base()
            },
            "sysctl \"kernel.panic\" is not allowed: it does not belong to a namespace",
        ),
        (
            ContainerSpec {
                sysctls: sysctl("net.x"),
                network: NetworkMode::Host,
                ..base()
            },
            "sysctl \"net.x\" is not allowed: the container has the host's network namespace",
        ),
        (
            ContainerSpec {
                pid_mode: "container:".into(),
                ..base()
            },
            "invalid PID mode: container:",
        ),
        (
            ContainerSpec {
                cap_drop: vec!["X".into()],
                ..base()
            },
            "invalid CapDrop: unknown capability: \"X\"",
        ),
        (
            ContainerSpec {
                auto_remove: true,
                restart: gantry_model::restart::RestartPolicy::Always,
                ..base()
            },
            "conflicting options: --restart and --rm",
        ),
        (
            ContainerSpec {
                cgroup_parent: Some("/a/../..".into()),
                ..base()
            },
            "invalid cgroup parent: \"/a/../..\"",
        ),
        (
            ContainerSpec {
                working_dir: Some("x".into()),
                ..base()
            },
            "invalid working directory (it must be absolute): \"x\"",
        ),
        (
            ContainerSpec {
                security_opt: vec!["x".into()],
                ..base()
            },
            "invalid --security-opt: \"x\"",
        ),
    ] {
        assert_eq!(check(&spec, || 2).unwrap_err().to_string(), want);
    }
    check(&base(), || 2).unwrap();
}
