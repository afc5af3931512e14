//! What is asked of criu.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use gantry_runtime::ExternalMount;

use super::CriuRequest;
use super::message::Message;
use super::session::FolderNumbers;

/// What criu is to do; the numbers are those of `criu_req_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Write processes to disk.
    Dump = 1,
    /// Bring them back.
    Restore = 2,
    /// Write their memory to disk and let them go on.
    PreDump = 4,
}

/// What may be asked for with a checkpoint or a restore; the numbers are those of `criu_opts`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CriuFlag {
    /// Allow sockets that are connected to processes outside.
    ExternalSockets = 4,
    /// Keep open TCP connections.
    Connections = 5,
    /// Allow a terminal that is somebody else's.
    ShellJob = 7,
    /// Keep file locks.
    FileLocks = 8,
    /// Free the pages of earlier images that a later one has.
    Deduplicate = 16,
    /// Keep files that are open and deleted by links.
    Links = 18,
    /// Leave connections out that are not established yet.
    SkipConnecting = 46,
}

/// What is kept of cgroups and their limits; the numbers are those of `criu_cg_mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CgroupMode {
    /// Nothing: the processes come back into the container's own.
    Ignore = 0,
    /// The limits of those that are not there any more.
    Soft = 3,
    /// Every limit.
    Full = 4,
    /// Every limit, and none of them may be there already.
    Strict = 5,
}

/// The options of one call.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options(Message);

const IMAGES: u32 = 1;
const PID: u32 = 2;
const LEAVE_RUNNING: u32 = 3;
const EVASIVE_DEVICES: u32 = 6;
const LOG_LEVEL: u32 = 9;
const LOG_FILE: u32 = 10;
const NOTIFY: u32 = 12;
const ROOT: u32 = 13;
const PARENT_IMAGES: u32 = 14;
const TRACK_MEMORY: u32 = 15;
const WORK: u32 = 17;
const EXTERNAL_MOUNT: u32 = 23;
const MANAGE_CGROUPS: u32 = 24;
const CGROUP_ROOT: u32 = 25;
const SIBLING: u32 = 26;
const INHERIT: u32 = 27;
const EXTERNAL_MASTERS: u32 = 30;
const CGROUP_MODE: u32 = 34;
const EXTERNAL: u32 = 37;
const EMPTY_NAMESPACES: u32 = 38;
const JOIN_NAMESPACE: u32 = 39;
const FREEZER: u32 = 44;
const ORPHAN_TERMINAL: u32 = 50;
const CONFIGURATION: u32 = 51;

/// Errors, warnings and what led to them.
const DEBUG: u64 = 4;
const NEW_NETWORK: u64 = 0x4000_0000;

impl Options {
    /// The options that every call has.
    pub(super) fn new(request: &CriuRequest, folders: FolderNumbers, log: &OsStr) -> Options {
        let mut options = Options::default();
        let message = &mut options.0;
        message.number(IMAGES, folders.images.cast_unsigned().into());
        message.number(WORK, folders.work.cast_unsigned().into());
        message.number(LOG_LEVEL, DEBUG);
        message.bytes(LOG_FILE, log.as_bytes());
        for field in [NOTIFY, MANAGE_CGROUPS, ORPHAN_TERMINAL, EXTERNAL_MASTERS] {
            message.number(field, 1);
        }
        for flag in &request.flags {
            message.number(*flag as u32, 1);
        }
        if let Some(mode) = request.cgroups {
            message.number(CGROUP_MODE, mode as u64);
        }
        if request.empty_network {
            message.number(EMPTY_NAMESPACES, NEW_NETWORK);
        }
        options
    }

    fn path(&mut self, field: u32, path: &Path) {
        self.0.bytes(field, path.as_os_str().as_bytes());
    }

    /// The first of the processes to write.
    pub(crate) fn process(&mut self, pid: i32, leave_running: bool) {
        self.0.number(PID, u64::from(pid.cast_unsigned()));
        self.0.number(LEAVE_RUNNING, leave_running.into());
    }

    /// The root of the processes, outside them.
    pub(crate) fn root(&mut self, path: &Path) {
        self.path(ROOT, path);
    }

    /// The cgroup directory to freeze the processes by.
    pub(crate) fn freezer(&mut self, path: &Path) {
        self.path(FREEZER, path);
    }

    /// An earlier checkpoint, relative to the folder of this one, that need not be repeated.
    pub(crate) fn parent(&mut self, path: &Path) {
        self.path(PARENT_IMAGES, path);
        self.0.number(TRACK_MEMORY, 1);
    }

    /// A file with more of criu's options.
    pub(crate) fn configuration(&mut self, path: &str) {
        self.0.bytes(CONFIGURATION, path.as_bytes());
    }

    /// The processes that come back are children of the caller, and devices may differ.
    pub(crate) fn bring_back(&mut self) {
        self.0.number(SIBLING, 1);
        self.0.number(EVASIVE_DEVICES, 1);
    }

    /// A mount whose contents are not of the container: what it is called on disk, or where it
    /// is found again.
    pub(crate) fn external_mount(&mut self, mount: &ExternalMount, found: &Path) {
        let (target, found) = (mount.target.as_os_str(), found.as_os_str());
        self.pair(EXTERNAL_MOUNT, target.as_bytes(), found.as_bytes());
    }

    /// Something else that is not of the container, in criu's own words.
    pub(crate) fn external(&mut self, words: &str) {
        self.0.bytes(EXTERNAL, words.as_bytes());
    }

    /// A file that is open in criu, for what is called `key` on disk.
    pub(crate) fn inherit(&mut self, key: &str, number: i32) {
        let mut pair = Message::default();
        pair.bytes(1, key.as_bytes());
        pair.number(2, u64::from(number.cast_unsigned()));
        self.0.bytes(INHERIT, pair.as_bytes());
    }

    /// A namespace to join in place of one on disk.
    pub(crate) fn join(&mut self, kind: &str, path: &Path) {
        self.pair(JOIN_NAMESPACE, kind.as_bytes(), path.as_os_str().as_bytes());
    }

    /// The cgroup that takes the place of the container's former one in a hierarchy.
    pub(crate) fn cgroup_root(&mut self, controller: &str, path: &str) {
        self.pair(CGROUP_ROOT, controller.as_bytes(), path.as_bytes());
    }

    fn pair(&mut self, field: u32, first: &[u8], second: &[u8]) {
        let mut pair = Message::default();
        pair.bytes(1, first);
        pair.bytes(2, second);
        self.0.bytes(field, pair.as_bytes());
    }

    pub(super) fn message(&self) -> &Message {
        &self.0
    }
}
