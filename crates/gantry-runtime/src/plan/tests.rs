use std::fs::File;
use std::os::fd::AsFd;
use std::path::PathBuf;

use gantry_sys::cgroup::{V1Hierarchy, V2Hierarchy};
use oci_spec::runtime::Spec;
use serde_json::{Value, json};

use super::*;
use crate::defaults;
use crate::error::PlanError;
use crate::launch::{Launch, OverlayRoot, SeccompChoice, Stdio};

fn hierarchy(controllers: &[&str]) -> V1Hierarchy {
    V1Hierarchy {
        controllers: controllers.iter().map(|&name| name.to_owned()).collect(),
        mount_point: PathBuf::from(format!("/sys/fs/cgroup/{}", controllers.join(","))),
    }
}

fn hybrid() -> Observed {
    Observed {
        kernel: (6, 18),
        labels: Modules::default(),
        last_capability: "CHECKPOINT_RESTORE".parse().expect("known"),
        cgroups: Some(Layout {
            v1: vec![hierarchy(&["cpu", "cpuacct"]), hierarchy(&["memory"])],
            v2: Some(V2Hierarchy {
                mount_point: PathBuf::from("/sys/fs/cgroup/unified"),
                controllers: Vec::new(),
            }),
        }),
        user_namespace: false,
        units: None,
    }
}

fn unified() -> Observed {
    Observed {
        cgroups: Some(Layout {
            v1: Vec::new(),
            v2: Some(V2Hierarchy {
                mount_point: PathBuf::from("/sys/fs/cgroup"),
                controllers: vec!["memory".to_owned()],
            }),
        }),
        ..hybrid()
    }
}

fn document() -> Value {
    json!({
        "ociVersion": "1.2.0",
        "hostname": "name",
        "root": { "path": "unused", "readonly": true },
        "process": {
            "user": { "uid": 0, "gid": 0 },
            "args": ["true"],
            "env": ["PATH=/bin"],
            "cwd": "/",
            "capabilities": { "bounding": ["CAP_CHOWN"] },
        },
        "mounts": defaults::mounts(),
        "linux": {
            "namespaces": defaults::namespaces(),
            "maskedPaths": defaults::MASKED_PATHS,
            "readonlyPaths": defaults::READONLY_PATHS,
            "resources": { "devices": defaults::device_rules(), "pids": { "limit": 5 } },
            "sysctl": { "net.ipv4.ip_forward": "1" },
            "cgroupsPath": "/gantry/one",
        },
    })
}

fn plan_of(document: Value, observed: &Observed) -> Result<Plan, PlanError> {
    let spec: Spec = serde_json::from_value(document).expect("a document");
    let null = File::open("/dev/null").expect("null");
    let launch = Launch {
        id: "one",
        spec: &spec,
        rootfs: RootFs::Overlay(OverlayRoot {
            lowers: vec![PathBuf::from("/layers/top"), PathBuf::from("/layers/base")],
            data: Vec::new(),
            upper: PathBuf::from("/containers/one/upper"),
            work: PathBuf::from("/containers/one/work"),
            volatile: false,
        }),
        stdio: Stdio::Files {
            stdin: null.as_fd(),
            stdout: null.as_fd(),
            stderr: null.as_fd(),
        },
        seccomp: SeccompChoice::Document,
        init: false,
        die_with_parent: true,
        strict_rlimits: false,
        oci: crate::launch::OciOptions::default(),
    };
    plan(&launch, observed)
}

#[test]
fn an_ordinary_container() {
    let plan = plan_of(document(), &hybrid()).expect("a plan");
    insta::assert_debug_snapshot!(plan);
}

#[test]
fn cgroup_mounts_follow_the_layout() {
    let source = |observed: &Observed| {
        plan_of(document(), observed)
            .expect("a plan")
            .mounts
            .into_iter()
            .find(|mount| mount.target.as_os_str() == "/sys/fs/cgroup")
            .expect("planned")
            .source
    };
    assert_eq!(
        source(&unified()),
        MountSource::CgroupUnified {
            directory: PathBuf::from("/sys/fs/cgroup/gantry/one"),
        }
    );
    let MountSource::CgroupHierarchies { directories, links } = source(&hybrid()) else {
        panic!("several hierarchies");
    };
    assert_eq!(
        directories,
        [
            (
                "cpu,cpuacct".to_owned(),
                PathBuf::from("/sys/fs/cgroup/cpu,cpuacct/gantry/one")
            ),
            (
                "memory".to_owned(),
                PathBuf::from("/sys/fs/cgroup/memory/gantry/one")
            ),
        ]
    );
    let link = |name: &str| (name.to_owned(), "cpu,cpuacct".to_owned());
    assert_eq!(links, [link("cpu"), link("cpuacct")]);
}

#[test]
fn dev_of_the_host_is_left_alone() {
    let mut document = document();
    document["mounts"] = json!([
        { "destination": "/dev", "type": "bind", "source": "/dev", "options": ["rbind"] },
    ]);
    assert!(!plan_of(document, &hybrid()).expect("a plan").fill_dev);
}

#[test]
fn what_cannot_be_is_refused_with_its_name() {
    type Edit = fn(&mut Value);
    let cases: [(Edit, &str); 18] = [
        (
            |d| d["linux"] = Value::Null,
            "the runtime document has no linux",
        ),
        (
            |d| d["process"] = Value::Null,
            "the runtime document has no process",
        ),
        (|d| d["process"]["args"] = json!([]), "has no process.args"),
        (
            |d| d["process"]["cwd"] = json!("relative"),
            "is not an absolute path",
        ),
        (
            |d| d["process"]["env"] = json!(["A=\0"]),
            "holds a zero byte",
        ),
        (
            |d| d["hostname"] = json!("n".repeat(65)),
            "is longer than 64 bytes",
        ),
        (
            |d| d["linux"]["namespaces"] = json!([{ "type": "pid" }]),
            "a container without a new mount namespace is not supported",
        ),
        (
            |d| d["linux"]["namespaces"] = json!([{ "type": "mount" }, { "type": "mount" }]),
            "is given twice",
        ),
        (
            |d| d["linux"]["namespaces"] = json!([{ "type": "mount" }]),
            "needs a UTS namespace",
        ),
        (
            |d| d["linux"]["uidMappings"] = json!([{ "containerID": 0, "hostID": 0, "size": 1 }]),
            "has no user namespace for its ID mappings",
        ),
        (
            |d| d["linux"]["sysctl"] = json!({ "vm.swappiness": "1" }),
            "belongs to no namespace",
        ),
        (
            |d| d["linux"]["maskedPaths"] = json!(["/a/../b"]),
            "is not an absolute path without ..",
        ),
        (
            |d| d["linux"]["cgroupsPath"] = Value::Null,
            "has no linux.cgroupsPath, which linux.resources needs",
        ),
        (
            |d| d["linux"]["rootfsPropagation"] = json!("sideways"),
            "is no kind of propagation",
        ),
        (
            |d| d["mounts"] = json!([{ "destination": "/a", "type": "bind" }]),
            "has no source for a bind mount",
        ),
        (
            |d| {
                d["mounts"] = json!([{ "destination": "/a", "source": "/b",
                    "options": ["bind", "size=1"] }]);
            },
            "the option size on a bind mount is not supported",
        ),
        (
            |d| {
                d["mounts"] = json!([{ "destination": "/a", "type": "tmpfs",
                    "options": ["iversion"] }]);
            },
            "the mount option iversion is not supported",
        ),
        (
            |d| {
                d["linux"]["devices"] =
                    json!([{ "path": "/dev/x", "type": "c", "major": -1, "minor": 0 }]);
            },
            "is no device number",
        ),
    ];
    for (edit, text) in cases {
        let mut document = document();
        edit(&mut document);
        let error = plan_of(document, &hybrid()).expect_err(text).to_string();
        assert!(error.contains(text), "{error}\ninstead of\n{text}");
    }
}

#[test]
fn the_default_seccomp_profile_depends_on_the_bounding_set() {
    let spec: Spec = serde_json::from_value(document()).expect("a document");
    let null = File::open("/dev/null").expect("null");
    let launch = Launch {
        id: "one",
        spec: &spec,
        rootfs: RootFs::Directory(PathBuf::from("/root")),
        stdio: Stdio::Files {
            stdin: null.as_fd(),
            stdout: null.as_fd(),
            stderr: null.as_fd(),
        },
        seccomp: SeccompChoice::DockerDefault,
        init: false,
        die_with_parent: true,
        strict_rlimits: false,
        oci: crate::launch::OciOptions::default(),
    };
    let few = plan(&launch, &hybrid()).expect("a plan").process.seccomp;
    let mut document = document();
    document["process"]["capabilities"]["bounding"] = json!(["CAP_SYS_ADMIN"]);
    let spec: Spec = serde_json::from_value(document).expect("a document");
    let more = plan(
        &Launch {
            spec: &spec,
            ..launch
        },
        &hybrid(),
    );
    let more = more.expect("a plan").process.seccomp;
    assert!(few.is_some() && few != more);
}
