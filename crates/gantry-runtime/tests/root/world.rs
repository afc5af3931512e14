//! A root file system of busybox, and containers in it.

use std::fs;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use gantry_runtime::{
    Created, ExitStatus, Launch, OverlayRoot, RootFs, Running, SeccompChoice, StartError, Stdio,
    create, defaults,
};
use gantry_sys::fd;
use oci_spec::runtime::{Process, Spec};
use serde_json::{Value, json};

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A place for containers.
pub(crate) struct World {
    folder: tempfile::TempDir,
    lower: PathBuf,
    /// What the containers' document says; change it before a container is made.
    pub(crate) document: Value,
    pub(crate) init: bool,
    pub(crate) seccomp: bool,
    pub(crate) strict_rlimits: bool,
    /// Use the lower directory itself instead of an overlay.
    pub(crate) plain: bool,
}

/// What a container's command gave.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) status: ExitStatus,
    pub(crate) output: String,
}

impl Outcome {
    pub(crate) fn code(&self) -> i32 {
        self.status.code()
    }
}

/// A container whose command runs.
pub(crate) struct Live {
    pub(crate) running: Running,
    pub(crate) seccomp: Option<gantry_sys::seccomp::Filter>,
    output: OwnedFd,
}

fn cgroup_parent() -> String {
    format!("/gantry-runtime-test-{}", std::process::id())
}

/// Removes what all tests share.
pub(crate) fn clean() {
    let Ok(layout) = gantry_sys::cgroup::Layout::detect() else {
        return;
    };
    if let Ok(parent) = gantry_sys::cgroup::Cgroup::at(&layout, cgroup_parent().as_ref()) {
        let errors = parent.remove();
        assert!(errors.is_empty(), "{errors:?}");
    }
}

impl World {
    pub(crate) fn new() -> World {
        let folder = tempfile::tempdir().expect("a folder");
        let lower = folder.path().join("lower");
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        for name in ["bin", "etc", "tmp", "upper", "work"] {
            let parent = if name == "upper" || name == "work" {
                folder.path()
            } else {
                &lower
            };
            fs::create_dir_all(parent.join(name)).expect("a directory");
        }
        gantry_testkit::fixture::install_busybox(&lower.join("bin"));
        World {
            document: document(number),
            folder,
            lower,
            init: false,
            seccomp: true,
            strict_rlimits: false,
            plain: false,
        }
    }

    /// The folder that everything of this world is in.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The image.
    pub(crate) fn lower(&self) -> &Path {
        &self.lower
    }

    pub(crate) fn upper(&self) -> PathBuf {
        self.folder.path().join("upper")
    }

    /// Adds a mount.
    pub(crate) fn mount(&mut self, mount: Value) {
        let mounts = self.document["mounts"].as_array_mut().expect("a list");
        mounts.push(mount);
    }

    pub(crate) fn create(&self, command: &[&str], stdio: Stdio<'_>) -> Result<Created, StartError> {
        let mut document = self.document.clone();
        document["process"]["args"] = json!(command);
        let spec: Spec = serde_json::from_value(document).expect("a document");
        // The layers of an overlay must not be in use twice.
        let upper = self.upper();
        let rootfs = if self.plain {
            RootFs::Directory(self.lower.clone())
        } else {
            RootFs::Overlay(OverlayRoot {
                lowers: vec![self.lower.clone()],
                data: Vec::new(),
                upper,
                work: self.folder.path().join("work"),
                volatile: false,
            })
        };
        let mut prepared = false;
        let created = create(
            &Launch {
                id: "test",
                spec: &spec,
                rootfs,
                stdio,
                seccomp: if self.seccomp {
                    SeccompChoice::DockerDefault
                } else {
                    SeccompChoice::Document
                },
                init: self.init,
                die_with_parent: true,
                strict_rlimits: self.strict_rlimits,
                oci: gantry_runtime::OciOptions::default(),
            },
            |namespaces| {
                assert!(namespaces.pid > 0);
                prepared = true;
                Ok::<(), std::io::Error>(())
            },
        );
        assert!(prepared || created.is_err(), "nobody prepared the network");
        created
    }

    /// Starts a command.
    pub(crate) fn start(&self, command: &[&str]) -> Result<Live, StartError> {
        let null = fs::File::open("/dev/null").expect("null");
        let (reader, writer) = fd::pipe().expect("a pipe");
        let stdio = Stdio::Files {
            stdin: null.as_fd(),
            stdout: writer.as_fd(),
            stderr: writer.as_fd(),
        };
        let created = self.create(command, stdio)?;
        let seccomp = created.seccomp().cloned();
        Ok(Live {
            running: created.start()?,
            seccomp,
            output: reader,
        })
    }

    /// Runs a command to its end.
    pub(crate) fn try_run(&self, command: &[&str]) -> Result<Outcome, StartError> {
        Ok(self.start(command)?.finish())
    }

    /// Runs a command that starts.
    pub(crate) fn run(&self, command: &[&str]) -> Outcome {
        self.try_run(command)
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// Runs a script, which must succeed; returns what it printed.
    pub(crate) fn sh(&self, script: &str) -> String {
        let outcome = self.run(&["sh", "-ec", script]);
        assert_eq!(outcome.code(), 0, "{}", outcome.output);
        outcome.output
    }

    /// The error of a command that does not start.
    pub(crate) fn fails(&self, command: &[&str]) -> StartError {
        match self.try_run(command) {
            Ok(outcome) => panic!("it ran: {outcome:?}"),
            Err(error) => error,
        }
    }

    /// The `process` of the document with another command.
    pub(crate) fn process(&self, command: &[&str]) -> Process {
        let mut process = self.document["process"].clone();
        process["args"] = json!(command);
        serde_json::from_value(process).expect("a process")
    }
}

impl Live {
    /// Waits for the end, and cleans up.
    pub(crate) fn finish(self) -> Outcome {
        let mut output = String::new();
        fs::File::from(self.output)
            .read_to_string(&mut output)
            .expect("text");
        let status = self.running.wait().expect("reaped");
        let errors = self.running.cleanup();
        assert!(errors.is_empty(), "{errors:?}");
        Outcome { status, output }
    }

    /// Waits until the command has printed this.
    pub(crate) fn expect(&self, text: &str) {
        let mut seen = Vec::new();
        let mut buffer = [0; 256];
        while !String::from_utf8_lossy(&seen).contains(text) {
            let length = rustix::io::read(&self.output, &mut buffer).expect("read");
            assert_ne!(
                length,
                0,
                "it ended with {:?}",
                String::from_utf8_lossy(&seen)
            );
            seen.extend_from_slice(&buffer[..length]);
        }
    }
}

fn document(number: u32) -> Value {
    let mounts = serde_json::to_value(defaults::mounts()).expect("mounts");
    let namespaces = serde_json::to_value(defaults::namespaces()).expect("namespaces");
    let devices = serde_json::to_value(defaults::device_rules()).expect("rules");
    json!({
        "ociVersion": "1.2.0",
        "hostname": "testhost",
        "root": { "path": "unused", "readonly": false },
        "process": {
            "user": { "uid": 0, "gid": 0 },
            "args": [],
            "env": ["PATH=/usr/local/bin:/bin"],
            "cwd": "/",
            "capabilities": {
                "bounding": defaults::CAPABILITIES,
                "effective": defaults::CAPABILITIES,
                "permitted": defaults::CAPABILITIES,
            },
        },
        "mounts": mounts,
        "linux": {
            "namespaces": namespaces,
            "maskedPaths": defaults::MASKED_PATHS,
            "readonlyPaths": defaults::READONLY_PATHS,
            "resources": { "devices": devices },
            "cgroupsPath": format!("{}/{number}", cgroup_parent()),
        },
    })
}
