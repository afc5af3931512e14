//! Under the programs that call a runtime: podman and dockerd.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use gantry_testkit::environment::{Answer, answer, wait_for};
use gantry_testkit::peers::MODEST_LIMITS;
use gantry_testkit::{TestEnv, fixture};

use crate::GANTRY;

/// The binary by the name that makes it the runtime.
fn linked(env: &TestEnv) -> PathBuf {
    let link = env.work().join("gantry-runtime");
    std::os::unix::fs::symlink(GANTRY, &link).unwrap();
    link
}

/// What every caller's container has to be able to do.
fn exercise(call: &dyn Fn(&[&str]) -> Answer) {
    let run = |words: &[&str]| {
        let limits = ["--network", "none"].iter().chain(&MODEST_LIMITS);
        let first: Vec<&str> = ["run"].iter().chain(limits).copied().collect();
        call(&[&first, words].concat())
    };
    assert_eq!(run(&["--rm", "box", "echo", "hello"]).ok(), "hello");
    assert_eq!(run(&["--rm", "box", "sh", "-c", "exit 7"]).code, 7);
    assert_eq!(run(&["--rm", "box", "nothing-of-that-name"]).code, 127);
    assert_eq!(run(&["--rm", "box", "/etc"]).code, 126);
    let terminal = run(&["--rm", "-t", "box", "tty"]).ok();
    assert_eq!(terminal.trim(), "/dev/pts/0");
    let told = run(&[
        "--rm",
        "--read-only",
        "--user",
        "5:6",
        "--memory",
        "64m",
        "--pids-limit",
        "30",
        "--tmpfs",
        "/scratch",
        "--cap-drop",
        "ALL",
        "--security-opt",
        "no-new-privileges",
        "--hostname",
        "named",
        "box",
        "sh",
        "-c",
        "id -u; hostname; touch /scratch/x && echo yes; touch /x 2>/dev/null || echo no; grep CapBnd /proc/self/status | cut -f2; grep NoNewPrivs /proc/self/status | cut -f2",
    ]);
    assert_eq!(told.ok(), "5\nnamed\nyes\nno\n0000000000000000\n1");
    assert_eq!(
        run(&[
            "--rm",
            "--privileged",
            "--pid",
            "host",
            "--ipc",
            "host",
            "--uts",
            "host",
            "box",
            "true"
        ])
        .code,
        0
    );

    drop(run(&["-d", "--name", "stays", "box", "sleep", "1000"]).ok());
    assert_eq!(
        call(&[
            "exec",
            "-e",
            "A=b",
            "-w",
            "/tmp",
            "stays",
            "sh",
            "-c",
            "echo $A; pwd"
        ])
        .ok(),
        "b\n/tmp"
    );
    assert_eq!(call(&["exec", "stays", "sh", "-c", "exit 3"]).code, 3);
    assert!(matches!(
        call(&["exec", "stays", "nothing-of-that-name"]).code,
        126 | 127
    ));
    drop(call(&["exec", "-d", "stays", "sleep", "1001"]).ok());
    wait_for("the detached process", || {
        call(&["top", "stays"]).ok().contains("sleep 1001")
    });
    drop(call(&["pause", "stays"]).ok());
    assert_eq!(
        call(&["inspect", "-f", "{{.State.Status}}", "stays"]).ok(),
        "paused"
    );
    drop(call(&["unpause", "stays"]).ok());
    drop(call(&["stop", "-t", "0", "stays"]).ok());
    assert_eq!(
        call(&["inspect", "-f", "{{.State.ExitCode}}", "stays"]).ok(),
        "137"
    );
    drop(call(&["start", "stays"]).ok());
    drop(call(&["kill", "stays"]).ok());
    drop(call(&["rm", "-f", "stays"]).ok());
}

#[test]
fn root_podman_uses_gantry_as_its_runtime() {
    let env = TestEnv::new(GANTRY);
    let runtime = linked(&env);
    let folder = env.work().join("podman");
    let call = |words: &[&str]| {
        let mut command = Command::new("podman");
        command
            .args([
                "--storage-driver",
                "vfs",
                "--cgroup-manager",
                "cgroupfs",
                "--events-backend",
                "file",
            ])
            .arg("--root")
            .arg(folder.join("root"))
            .arg("--runroot")
            .arg(folder.join("run"))
            .arg("--tmpdir")
            .arg(folder.join("tmp"))
            .arg("--runtime")
            .arg(&runtime)
            .args(words)
            .current_dir(env.work())
            .stdin(Stdio::null());
        answer(&mut command)
    };
    drop(call(&["import", "-q", fixture::busybox().to_str().unwrap(), "box"]).ok());
    exercise(&call);
    // An update goes through the runtime's own command.
    let limits: Vec<&str> = ["run", "-d", "--name", "more", "--network", "none"]
        .into_iter()
        .chain(MODEST_LIMITS)
        .collect();
    drop(call(&[&limits[..], &["box", "sleep", "1000"]].concat()).ok());
    drop(call(&["update", "--memory", "64m", "more"]).ok());
    let limit = call(&[
        "exec",
        "more",
        "sh",
        "-c",
        "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null",
    ]);
    assert_eq!(limit.stdout.trim(), "67108864");
    drop(call(&["rm", "-f", "-t", "0", "more"]).ok());
    drop(call(&["rmi", "-a", "-f"]).ok());
}

#[test]
fn root_buildah_uses_gantry_as_its_runtime() {
    let env = TestEnv::new(GANTRY);
    let runtime = linked(&env);
    let folder = env.work().join("buildah");
    let call = |words: &[&str]| {
        let mut command = Command::new("buildah");
        command
            .args(["--storage-driver", "vfs"])
            .arg("--root")
            .arg(folder.join("root"))
            .arg("--runroot")
            .arg(folder.join("run"))
            .args(words)
            .current_dir(env.work())
            .stdin(Stdio::null());
        answer(&mut command)
    };
    let name = call(&["from", "--name", "work", "scratch"]).ok();
    drop(call(&["add", &name, fixture::busybox().to_str().unwrap(), "/"]).ok());
    let runtime = runtime.to_str().unwrap();
    let told = call(&[
        "run",
        "--runtime",
        runtime,
        "--isolation",
        "oci",
        "--network",
        "none",
        &name,
        "--",
        "sh",
        "-c",
        "echo built; id -u",
    ]);
    // buildah asks for more open files than a machine without CAP_SYS_RESOURCE gives.
    assert_eq!(told.ok(), "built\n0");
    drop(call(&["rm", "-a"]).ok());
}

/// A dockerd with its own mounts and network, which ends with this value.
pub(crate) struct Dockerd {
    folder: PathBuf,
    process: Child,
}

impl Dockerd {
    pub(crate) fn with_runtime(folder: &Path, runtime: &Path) -> Dockerd {
        fs::create_dir_all(folder).unwrap();
        let script = "ip link set lo up; mount -t tmpfs tmpfs /run; mkdir /run/docker; exec dockerd \
            --add-runtime gantry=\"$2\" --data-root \"$1/data\" --exec-root \"$1/exec\" \
            -H \"unix://$1/socket\" --pidfile \"$1/pid\" --bridge none --iptables=false \
            --storage-driver vfs";
        let log = fs::File::create(folder.join("log")).unwrap();
        let process = Command::new("unshare")
            .args([
                "--mount",
                "--net",
                "--propagation",
                "private",
                "sh",
                "-c",
                script,
                "sh",
            ])
            .arg(folder)
            .arg(runtime)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("unshare and dockerd are installed (cargo xtask test installs them)");
        let dockerd = Dockerd {
            folder: folder.to_owned(),
            process,
        };
        wait_for("dockerd", || dockerd.call(&["version"]).code == 0);
        dockerd
    }

    pub(crate) fn call(&self, words: &[&str]) -> Answer {
        // The runtime of a container is an option of its creation.
        let mut all: Vec<&str> = words.to_vec();
        if words[0] == "run" {
            all.splice(1..1, ["--runtime", "gantry"]);
        }
        let mut command = Command::new("docker");
        command
            .arg("--host")
            .arg(format!("unix://{}", self.folder.join("socket").display()))
            .args(all)
            .env("DOCKER_CONFIG", &self.folder)
            .stdin(Stdio::null());
        answer(&mut command)
    }
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.process);
        // One that has ended already is waited for as well.
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).ok();
        drop(self.process.wait());
    }
}

/// What dockerd does about a container that runs: its health, its figures, other limits, another
/// start.
fn watched(call: &dyn Fn(&[&str]) -> Answer) {
    let inspect = |field: &str, name: &str| call(&["inspect", "-f", field, name]).ok();
    let stays = [
        "run",
        "-d",
        "--name",
        "watched",
        "--network",
        "none",
        "-m",
        "64m",
        "--health-cmd",
        "test -f /well",
        "--health-interval",
        "100ms",
    ];
    let script = "trap 'exit 5' TERM; touch /well; while :; do sleep 0.1; done";
    let words = [&stays[..], &MODEST_LIMITS, &["box", "sh", "-c", script]].concat();
    drop(call(&words).ok());
    wait_for("a healthy container", || {
        inspect("{{.State.Health.Status}}", "watched") == "healthy"
    });
    let figures = call(&[
        "stats",
        "--no-stream",
        "--format",
        "{{.MemUsage}}",
        "watched",
    ])
    .ok();
    assert!(figures.ends_with("/ 64MiB"), "{figures}");
    let update = ["update", "-m", "128m", "--memory-swap", "256m", "watched"];
    drop(call(&update).ok());
    let limit = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max \
        2>/dev/null";
    let limit = call(&["exec", "watched", "sh", "-c", limit]);
    assert_eq!(limit.stdout.trim(), "134217728");
    drop(call(&["restart", "watched"]).ok());
    assert_eq!(inspect("{{.State.Status}}", "watched"), "running");
    drop(call(&["stop", "watched"]).ok());
    assert_eq!(inspect("{{.State.ExitCode}}", "watched"), "5");

    let again = ["run", "-d", "--name", "again", "--restart", "on-failure:2"];
    let words = [&again[..], &MODEST_LIMITS, &["box", "false"]].concat();
    drop(call(&words).ok());
    wait_for("two restarts", || {
        inspect("{{.RestartCount}} {{.State.Status}}", "again") == "2 exited"
    });
    drop(call(&["rm", "-f", "watched", "again"]).ok());
}

#[test]
fn root_dockerd_uses_gantry_as_its_runtime() {
    let env = TestEnv::new(GANTRY);
    let runtime = linked(&env);
    let dockerd = Dockerd::with_runtime(&env.work().join("docker"), &runtime);
    let call = |words: &[&str]| dockerd.call(words);
    drop(call(&["import", fixture::busybox().to_str().unwrap(), "box"]).ok());
    exercise(&call);
    watched(&call);
    let out_of_memory = [
        "run",
        "--rm",
        "--network",
        "none",
        "-m",
        "20m",
        "--memory-swap",
        "20m",
    ];
    let words = [
        &out_of_memory[..],
        &MODEST_LIMITS,
        &["box", "tail", "/dev/zero"],
    ]
    .concat();
    assert_eq!(call(&words).code, 137);
}
