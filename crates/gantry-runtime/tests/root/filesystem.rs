//! What the container sees as its file system.

use std::fs;
use std::os::unix::fs::MetadataExt;

use gantry_runtime::{StartError, Step};
use serde_json::json;

use crate::Test;
use crate::world::World;

pub(crate) const TESTS: &[Test] = &[
    ("root_writes_land_in_upper", root_writes_land_in_upper),
    (
        "root_a_plain_directory_as_root",
        root_a_plain_directory_as_root,
    ),
    ("root_read_only_root", root_read_only_root),
    (
        "root_masked_and_read_only_paths",
        root_masked_and_read_only_paths,
    ),
    ("root_devices", root_devices),
    ("root_tmpfs", root_tmpfs),
    ("root_bind_mounts", root_bind_mounts),
    (
        "root_bind_mounts_with_mapped_owners",
        root_bind_mounts_with_mapped_owners,
    ),
    ("root_bind_targets_are_made", root_bind_targets_are_made),
    (
        "root_errors_name_step_and_path",
        root_errors_name_step_and_path,
    ),
    (
        "root_no_mount_of_the_host_remains",
        root_no_mount_of_the_host_remains,
    ),
    (
        "root_nothing_is_mounted_on_the_host",
        root_nothing_is_mounted_on_the_host,
    ),
    ("root_hundreds_of_layers", root_hundreds_of_layers),
];

fn root_writes_land_in_upper() {
    let world = World::new();
    world.sh("echo changed > /etc/new; rm /bin/nc");
    assert_eq!(
        fs::read_to_string(world.upper().join("etc/new")).expect("written"),
        "changed\n"
    );
    let whiteout = fs::symlink_metadata(world.upper().join("bin/nc")).expect("a whiteout");
    assert_eq!(whiteout.rdev(), 0);
    assert!(!world.lower().join("etc/new").exists());
    assert!(world.lower().join("bin/nc").exists());
}

fn root_a_plain_directory_as_root() {
    let mut world = World::new();
    world.plain = true;
    world.sh("echo x > /etc/new");
    assert!(world.lower().join("etc/new").exists());
}

fn root_read_only_root() {
    let mut world = World::new();
    world.document["root"]["readonly"] = json!(true);
    world.sh("! touch /x; ! touch /etc/x; touch /dev/shm/x; touch /dev/x; ! mkdir /sys/x");
    world.plain = true;
    world.sh("! touch /x");
}

fn root_masked_and_read_only_paths() {
    let world = World::new();
    let output = world.sh(
        "for path in /proc/acpi /proc/scsi /sys/firmware /proc/asound; do \
           [ -d $path ] && ls -A $path; ! touch $path/x; done; \
         for path in /proc/kcore /proc/keys /proc/timer_list /proc/interrupts; do \
           [ -e $path ] && wc -c < $path; done; true",
    );
    assert!(
        output
            .lines()
            .all(|line| line == "0" || line.contains("touch")),
        "{output}"
    );
    let output = world.sh(
        "for file in /proc/sys/vm/swappiness /proc/sys/kernel/core_pattern \
         /proc/sysrq-trigger /proc/irq/default_smp_affinity; do \
           [ ! -e $file ] || ! echo 1 > $file; done 2>&1",
    );
    assert!(output.contains("Read-only file system"), "{output}");
}

fn root_devices() {
    let mut world = World::new();
    world.document["linux"]["devices"] = json!([
        { "path": "/dev/fuse2", "type": "c", "major": 10, "minor": 229, "fileMode": 0o640, "uid": 3, "gid": 4 },
        { "path": "/dev/sub/fifo", "type": "p", "major": 0, "minor": 0 },
    ]);
    let output = world.sh(
        "cd /dev; stat -c '%n %a %t:%T %u:%g %F' null zero full random urandom tty fuse2 sub/fifo; \
         for link in fd stdin stdout stderr ptmx; do readlink $link; done; \
         echo > null; head -c 3 zero | wc -c; ! echo > full",
    );
    for line in [
        "null 666 1:3 0:0 character special file",
        "tty 666 5:0 0:0 character special file",
        "fuse2 640 a:e5 3:4 character special file",
        "sub/fifo 666 0:0 0:0 fifo",
        "/proc/self/fd/2",
        "pts/ptmx",
    ] {
        assert!(
            output.lines().any(|own| own == line),
            "{line}\nin\n{output}"
        );
    }
    // A node for it can be made, but the device is not the container's.
    world.sh("mknod /tmp/kmsg c 1 11; ! cat /tmp/kmsg; mknod /tmp/null c 1 3; cat /tmp/null");
}

fn root_tmpfs() {
    let mut world = World::new();
    let folder = world.lower().join("scratch");
    fs::create_dir(&folder).expect("a directory");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o1750);
    fs::set_permissions(&folder, mode).expect("a mode");
    world.mount(
        json!({ "destination": "/scratch", "type": "tmpfs", "source": "tmpfs",
        "options": ["nosuid", "nodev", "noexec", "size=1m"] }),
    );
    world.mount(
        json!({ "destination": "/made/here", "type": "tmpfs", "source": "tmpfs",
        "options": ["mode=700", "uid=5"] }),
    );
    let output = world.sh(
        "stat -c '%a %u' /scratch /made/here; grep ' /scratch ' /proc/self/mounts; \
         ! dd if=/dev/zero of=/scratch/x bs=1k count=2000 2>/dev/null",
    );
    assert!(output.starts_with("1750 0\n700 5\n"), "{output}");
    assert!(output.contains("rw,nosuid,nodev,noexec"), "{output}");
    assert!(!world.upper().join("scratch").exists());
}

fn root_bind_mounts() {
    let mut world = World::new();
    let outside = world.folder().join("outside");
    fs::create_dir_all(outside.join("sub")).expect("a directory");
    fs::write(outside.join("file"), "from outside").expect("written");
    world.mount(
        json!({ "destination": "/data", "type": "bind", "source": outside,
        "options": ["rbind", "rprivate"] }),
    );
    world.mount(
        json!({ "destination": "/frozen", "type": "none", "source": outside,
        "options": ["rbind", "ro", "noexec", "rnosuid"] }),
    );
    world.mount(
        json!({ "destination": "/etc/one", "type": "bind", "source": outside.join("file"),
        "options": ["bind", "ro"] }),
    );
    let output = world.sh(
        "cat /data/file; cat /etc/one; echo new > /data/sub/new; ! touch /frozen/x; ! touch /etc/one; \
         grep ' /frozen ' /proc/self/mounts",
    );
    assert!(output.starts_with("from outsidefrom outside"), "{output}");
    assert!(output.contains("ro,nosuid,noexec"), "{output}");
    assert!(outside.join("sub/new").exists());
}

fn root_bind_mounts_with_mapped_owners() {
    let mut world = World::new();
    let outside = world.folder().join("outside");
    fs::create_dir(&outside).expect("a directory");
    std::os::unix::fs::chown(&outside, Some(1000), Some(1000)).expect("an owner");
    world.mount(
        json!({ "destination": "/data", "type": "bind", "source": outside,
        "options": ["bind", "idmap"],
        "uidMappings": [{ "containerID": 1000, "hostID": 7, "size": 1 }],
        "gidMappings": [{ "containerID": 1000, "hostID": 8, "size": 1 }] }),
    );
    assert_eq!(world.sh("stat -c %u:%g /data"), "7:8\n");
}

fn root_bind_targets_are_made() {
    let mut world = World::new();
    let file = world.folder().join("hosts");
    fs::write(&file, "made").expect("written");
    // As in many images: a link to a place that only exists when the machine runs.
    let etc = world.lower().join("etc");
    std::os::unix::fs::symlink("../run/resolve/stub.conf", etc.join("resolv.conf")).expect("link");
    std::os::unix::fs::symlink("/run/other", etc.join("folder")).expect("link");
    for target in ["/etc/resolv.conf", "/new/place/file"] {
        world.mount(
            json!({ "destination": target, "type": "bind", "source": file,
            "options": ["bind"] }),
        );
    }
    world.mount(json!({ "destination": "/etc/folder/inner", "type": "tmpfs", "source": "x" }));
    assert_eq!(world.sh("cat /etc/resolv.conf /new/place/file"), "mademade");
    assert!(world.upper().join("run/resolve/stub.conf").exists());
    assert!(world.upper().join("run/other/inner").is_dir());
}

fn root_errors_name_step_and_path() {
    let mut world = World::new();
    world.mount(
        json!({ "destination": "/data", "type": "bind", "source": "/no/such/source",
        "options": ["bind"] }),
    );
    let error = world.fails(&["true"]);
    assert_eq!(
        error.to_string(),
        "cannot open the source of the mount /no/such/source in the container: \
         no such file or directory"
    );
    assert!(matches!(
        error,
        StartError::Child {
            step: Step::MountSource,
            errno: 2,
            ..
        }
    ));
    assert_eq!(error.exit_code(), 125);
    let mut world = World::new();
    world.mount(
        json!({ "destination": "/data", "type": "tmpfs", "source": "x",
        "options": ["size=nonsense"] }),
    );
    let error = world.fails(&["true"]).to_string();
    assert!(
        error.starts_with("cannot mount /data in the container: invalid argument (tmpfs: "),
        "{error}"
    );
    let mut world = World::new();
    world.mount(json!({ "destination": "/bin/busybox", "type": "tmpfs", "source": "x" }));
    let error = world.fails(&["true"]).to_string();
    assert_eq!(
        error,
        "cannot make the mount point /bin/busybox in the container: not a directory"
    );
}

fn root_no_mount_of_the_host_remains() {
    let world = World::new();
    let output = world.sh("cat /proc/self/mountinfo");
    let folder = world.folder().display().to_string();
    for line in output.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let place = fields[4];
        let known = place == "/"
            || ["/proc", "/dev", "/sys"]
                .iter()
                .any(|own| place.starts_with(own));
        assert!(known && !place.contains(&folder), "{line}");
        assert!(!line.contains("shared:"), "{line}");
    }
}

fn root_nothing_is_mounted_on_the_host() {
    let world = World::new();
    // Others may mount what they like meanwhile.
    let own = || {
        let table = fs::read_to_string("/proc/self/mountinfo").expect("read");
        table.contains(world.folder().to_str().expect("a plain path"))
    };
    let live = world.start(&["sleep", "1000"]).expect("started");
    assert!(!own());
    live.running.kill_all().expect("killed");
    assert_eq!(live.finish().code(), 137);
    assert!(!own());
}

fn root_hundreds_of_layers() {
    use gantry_runtime::{Launch, OverlayRoot, RootFs, SeccompChoice, Stdio};
    let world = World::new();
    let mut lowers: Vec<_> = (0..498)
        .map(|number| {
            world
                .folder()
                .join(format!("{}{number}", "layer".repeat(20)))
        })
        .collect();
    for (number, lower) in lowers.iter().enumerate() {
        fs::create_dir(lower).expect("a layer");
        fs::write(lower.join(format!("file{number}")), "").expect("a file");
    }
    lowers.push(world.lower().to_owned());
    let mut document = world.document.clone();
    document["process"]["args"] = json!(["test", "-e", "/file497"]);
    let spec = serde_json::from_value(document).expect("a document");
    let null = fs::File::open("/dev/null").expect("null");
    let null = std::os::fd::AsFd::as_fd(&null);
    let launch = Launch {
        id: "test",
        spec: &spec,
        rootfs: RootFs::Overlay(OverlayRoot {
            lowers,
            data: Vec::new(),
            upper: world.upper(),
            work: world.folder().join("work"),
            volatile: true,
        }),
        stdio: Stdio::Files {
            stdin: null,
            stdout: null,
            stderr: null,
        },
        seccomp: SeccompChoice::DockerDefault,
        init: false,
        die_with_parent: true,
        strict_rlimits: false,
        oci: gantry_runtime::OciOptions::default(),
    };
    let running = gantry_runtime::create(&launch, |_| Ok::<(), std::io::Error>(()))
        .and_then(gantry_runtime::Created::start)
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(running.wait().expect("reaped").code(), 0);
    assert!(running.cleanup().is_empty());
}
