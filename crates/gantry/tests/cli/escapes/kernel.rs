//! Attacks on what the kernel keeps for the whole machine.

use std::process::Command;

use super::{Hostile, host};

/// CVE-2022-0492: a program of the container's becomes the release agent of a cgroup v1.
#[test]
fn root_cve_2022_0492_no_release_agent() {
    let env = Hostile::new();
    let attack = "mkdir -p /m
        for kind in memory cpu rdma pids freezer misc; do
            mount -t cgroup -o $kind cgroup /m 2>/dev/null && echo ESCAPED mount $kind
            unshare -UrmC sh -c \"mount -t cgroup -o $kind cgroup /m && echo /x > /m/release_agent && echo ESCAPED\" 2>/dev/null
        done
        find /sys/fs/cgroup -name release_agent -exec sh -c 'echo /x > {} && echo ESCAPED {}' \\; 2>/dev/null
        find /sys/fs/cgroup -name devices.allow -exec sh -c 'echo a > {} && echo ESCAPED {}' \\; 2>/dev/null
        mkdir $(find /sys/fs/cgroup -maxdepth 2 -type d)/x 2>/dev/null && echo ESCAPED mkdir
        true";
    for more in [
        [].as_slice(),
        &["--cap-add", "DAC_OVERRIDE"],
        &["--cgroupns", "host"],
    ] {
        let args = [
            ["run", "--rm"].as_slice(),
            more,
            &["hostile", "sh", "-c", attack],
        ]
        .concat();
        let answer = env.gantry(args);
        assert!(
            !answer.stdout.contains("ESCAPED"),
            "{more:?}: {}",
            answer.stdout
        );
    }
}

/// The files through which the kernel runs programs, reboots or tells its secrets.
#[test]
fn root_kernel_files_are_read_only_or_hidden() {
    let env = Hostile::new();
    let pattern = host("/proc/sys/kernel/core_pattern");
    let attack = "for f in /proc/sys/kernel/core_pattern /proc/sys/kernel/modprobe /proc/sys/vm/panic_on_oom \
            /proc/sys/fs/binfmt_misc/register /proc/sysrq-trigger /sys/kernel/uevent_helper \
            /sys/kernel/profiling /proc/irq/default_smp_affinity; do
            (printf x > $f) 2>/dev/null && echo ESCAPED write $f
        done
        for f in /proc/kcore /proc/keys /proc/timer_list /proc/latency_stats /proc/sched_debug; do
            [ -z \"$(head -c 10 $f 2>/dev/null)\" ] || echo ESCAPED read $f
        done
        for d in /proc/acpi /proc/scsi /sys/firmware /sys/devices/virtual/powercap; do
            [ -z \"$(ls -A $d 2>/dev/null)\" ] || echo ESCAPED list $d
        done
        mount -o remount,rw /proc/sys 2>/dev/null && echo ESCAPED remount
        umount /proc/kcore 2>/dev/null && echo ESCAPED umount
        mount -t proc proc /tmp 2>/dev/null && echo ESCAPED mount
        true";
    assert_eq!(
        env.gantry(["run", "--rm", "hostile", "sh", "-c", attack])
            .ok(),
        ""
    );
    env.gantry(["run", "-d", "--name", "c1", "hostile", "sleep", "1000"])
        .ok();
    assert_eq!(env.gantry(["exec", "c1", "sh", "-c", attack]).ok(), "");
    assert_eq!(host("/proc/sys/kernel/core_pattern"), pattern);
}

/// Keys of whoever starts a container stay theirs, even where no filter forbids the calls.
#[test]
fn root_keys_of_the_caller_are_out_of_reach() {
    let env = Hostile::new();
    let name = format!("gantry-test-{}", std::process::id());
    let with_key = |args: &[&str]| {
        let mut command = Command::new(env.work().join("attacker"));
        command
            .env_clear()
            .env("HOME", env.work())
            .env("GANTRY_ROOT", env.root())
            .env("GANTRY_RUN", env.run_root())
            .args(["with-key", &name])
            .arg(&env.binary)
            .args(args);
        gantry_testkit::environment::answer(&mut command).ok()
    };
    let open = ["--security-opt", "seccomp=unconfined"];
    for more in [
        [].as_slice(),
        &["--init"],
        &["--privileged"],
        &["-u", "65534"],
    ] {
        let args = [
            ["run", "--rm"].as_slice(),
            &open,
            more,
            &["hostile", "/attacker", "keyring", &name],
        ]
        .concat();
        assert_eq!(with_key(&args), "", "{more:?}");
    }
    let run = [
        ["run", "-d", "--name", "c1"].as_slice(),
        &open,
        &["hostile", "sleep", "1000"],
    ];
    with_key(&run.concat());
    assert_eq!(with_key(&["exec", "c1", "/attacker", "keyring", &name]), "");
}

/// The "shocker" of 2014: the root of the host's file system by its handle.
#[test]
fn root_no_file_is_opened_by_its_handle() {
    let env = Hostile::new();
    env.write("volume/x", "");
    let volume = format!("{}:/volume", env.work().join("volume").display());
    for more in [[].as_slice(), &["--security-opt", "seccomp=unconfined"]] {
        let args = [
            ["run", "--rm", "-v", &volume].as_slice(),
            more,
            &["hostile", "/attacker", "handle"],
        ]
        .concat();
        assert_eq!(env.gantry(args).ok(), "", "{more:?}");
    }
}

/// Nodes of the host's disks and memory can be made and not opened.
#[test]
fn root_devices_of_the_host_cannot_be_opened() {
    let env = Hostile::new();
    let attack = "for n in 'b 8 0' 'b 253 0' 'b 254 0' 'b 259 0' 'b 7 0' 'c 1 1' 'c 1 2' 'c 1 4' 'c 10 229' 'c 10 237'; do
            rm -f /n; mknod /n $n 2>/dev/null || continue
            err=$(head -c 1 /n 2>&1 >/dev/null) && echo ESCAPED $n
            case $err in *permitted*) ;; *) echo \"ESCAPED? $n: $err\";; esac
        done; true";
    for more in [[].as_slice(), &["--security-opt", "seccomp=unconfined"]] {
        let args = [
            ["run", "--rm"].as_slice(),
            more,
            &["hostile", "sh", "-c", attack],
        ]
        .concat();
        assert_eq!(env.gantry(args).ok(), "", "{more:?}");
    }
}
