use super::*;
use crate::cgroup::{DeviceAccess, DeviceKind, DeviceRule, V1Hierarchy, V2Hierarchy};
use std::os::unix::process::CommandExt;

fn unique(name: &str) -> PathBuf {
    PathBuf::from(format!("/gantry-test-{}/{name}", std::process::id()))
}

fn clean(layout: &Layout, path: &Path) {
    let parent = Cgroup::at(layout, path.parent().expect("two components")).expect("valid");
    for directory in parent.directories() {
        rustix::fs::rmdir(&directory.path).ok();
    }
}

#[test]
fn paths_are_checked() {
    let layout = Layout::default();
    for path in ["relative", "/", "/a/../b", "/..", ""] {
        assert!(
            matches!(
                Cgroup::at(&layout, Path::new(path)),
                Err(CgroupError::InvalidPath { .. })
            ),
            "{path}"
        );
    }
}

#[test]
fn a_missing_controller_is_an_error_only_when_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let layout = Layout {
        v1: vec![V1Hierarchy {
            controllers: vec!["freezer".to_owned()],
            mount_point: folder.path().to_owned(),
        }],
        v2: None,
    };
    let path = Path::new("/group");
    Cgroup::create(&layout, path, &Settings::default()).expect("nothing asked");
    let asked = Settings {
        pids: Some(5),
        ..Settings::default()
    };
    assert!(matches!(
        Cgroup::create(&layout, path, &asked),
        Err(CgroupError::MissingController { controller, .. }) if controller == "pids"
    ));
    assert!(!folder.path().join("group").exists());
}

#[test]
fn version_2_values_reach_their_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let group = folder.path().join("group");
    fs::create_dir(&group).expect("a group");
    for file in ["memory.max", "cpu.max", "pids.max"] {
        fs::write(group.join(file), "").expect("a file");
    }
    let layout = Layout {
        v1: Vec::new(),
        v2: Some(V2Hierarchy {
            mount_point: folder.path().to_owned(),
            controllers: Vec::new(),
        }),
    };
    let settings = Settings {
        memory: Some(1 << 20),
        cpu_quota: Some(5000),
        pids: Some(7),
        ..Settings::default()
    };
    Cgroup::create(&layout, Path::new("/group"), &settings).expect("applied");
    let read = |file| fs::read_to_string(group.join(file)).expect("written");
    assert_eq!(read("memory.max"), "1048576");
    assert_eq!(read("cpu.max"), "5000 100000");
    assert_eq!(read("pids.max"), "7");
    let asked = Settings {
        io_weight: Some(100),
        ..Settings::default()
    };
    let cgroup = Cgroup::at(&layout, Path::new("/group")).expect("valid");
    assert!(matches!(
        cgroup.apply(&asked),
        Err(CgroupError::MissingController { controller, .. }) if controller == "io"
    ));
}

#[test]
fn root_limits_freeze_kill_and_removal() {
    let layout = Layout::detect().expect("cgroups");
    let path = unique("life");
    let settings = Settings {
        memory: Some(64 << 20),
        memory_swap: layout.limits_swap().then_some(64 << 20),
        pids: Some(20),
        cpu_shares: Some(512),
        devices: Some(vec![DeviceRule::all(false)]),
        ..Settings::default()
    };
    let cgroup = Cgroup::create(&layout, &path, &settings).expect("made");
    let larger = Settings {
        memory: Some(128 << 20),
        memory_swap: layout.limits_swap().then_some(128 << 20),
        ..Settings::default()
    };
    cgroup.apply(&larger).expect("raised");
    cgroup.apply(&settings).expect("lowered");
    let entrance = cgroup.entrance(false).expect("opened");
    let mut command = std::process::Command::new("/bin/busybox");
    command.args(["sleep", "1000"]);
    let enter = move || entrance.enter().map_err(io::Error::other);
    // SAFETY: entering writes to open files, which the child of a fork may.
    unsafe { command.pre_exec(enter) };
    let mut child = command.spawn().expect("a child");
    let pid = child.id().cast_signed();
    assert_eq!(cgroup.pids().expect("listed"), [pid]);
    let stats = cgroup.stats();
    assert_eq!(stats.memory_limit, Some(64 << 20));
    assert_eq!((stats.pids, stats.pids_limit), (Some(1), Some(20)));
    cgroup.freeze().expect("frozen");
    assert!(cgroup.is_frozen());
    cgroup.thaw().expect("thawed");
    assert!(!cgroup.is_frozen());
    cgroup.kill_all().expect("killed");
    let errors = cgroup.remove();
    assert!(errors.is_empty(), "{errors:?}");
    child.wait().expect("reaped");
    for directory in cgroup.directories() {
        assert!(!directory.path.exists(), "{}", directory.path.display());
    }
    clean(&layout, &path);
}

/// The hierarchy of version 2 takes device programs whether or not it has controllers.
#[test]
fn root_device_program_on_version_2() {
    let detected = Layout::detect().expect("cgroups");
    let layout = Layout {
        v1: Vec::new(),
        v2: detected.v2,
    };
    let path = unique("devices");
    let settings = Settings {
        devices: Some(vec![
            DeviceRule::all(false),
            DeviceRule {
                allow: true,
                kind: DeviceKind::Character,
                major: Some(1),
                minor: Some(3),
                access: DeviceAccess::ALL,
            },
        ]),
        ..Settings::default()
    };
    let cgroup = Cgroup::create(&layout, &path, &settings).expect("made");
    let try_device = |device: &str| {
        let procs = cgroup.v2().expect("version 2").join("cgroup.procs");
        let script = format!("echo $$ > {}; : < {device} && echo opened", procs.display());
        let output = std::process::Command::new("/bin/busybox")
            .args(["sh", "-c", &script])
            .output()
            .expect("a shell");
        String::from_utf8_lossy(&output.stdout).trim() == "opened"
    };
    assert!(try_device("/dev/null"));
    assert!(!try_device("/dev/zero"));
    let errors = cgroup.remove();
    assert!(errors.is_empty(), "{errors:?}");
    clean(&layout, &path);
}
