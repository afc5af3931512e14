//! Namespaces: which there are, joining them, and the user mappings of new ones.

use std::fmt::{self, Write as _};
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use super::fork::Fork;

/// A kind of namespace (namespaces(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Namespace {
    /// User and group IDs, capabilities.
    User,
    /// Mounts.
    Mount,
    /// Process IDs.
    Pid,
    /// Network.
    Network,
    /// System V and POSIX message queues, shared memory.
    Ipc,
    /// Host and domain name.
    Uts,
    /// The view of cgroups.
    Cgroup,
    /// Clocks.
    Time,
}

impl Namespace {
    /// All kinds.
    pub const ALL: [Namespace; 8] = [
        Namespace::User,
        Namespace::Mount,
        Namespace::Pid,
        Namespace::Network,
        Namespace::Ipc,
        Namespace::Uts,
        Namespace::Cgroup,
        Namespace::Time,
    ];

    /// The name in `/proc/<pid>/ns`.
    pub fn file_name(self) -> &'static str {
        match self {
            Namespace::User => "user",
            Namespace::Mount => "mnt",
            Namespace::Pid => "pid",
            Namespace::Network => "net",
            Namespace::Ipc => "ipc",
            Namespace::Uts => "uts",
            Namespace::Cgroup => "cgroup",
            Namespace::Time => "time",
        }
    }

    fn flag(self) -> libc::c_int {
        match self {
            Namespace::User => libc::CLONE_NEWUSER,
            Namespace::Mount => libc::CLONE_NEWNS,
            Namespace::Pid => libc::CLONE_NEWPID,
            Namespace::Network => libc::CLONE_NEWNET,
            Namespace::Ipc => libc::CLONE_NEWIPC,
            Namespace::Uts => libc::CLONE_NEWUTS,
            Namespace::Cgroup => libc::CLONE_NEWCGROUP,
            Namespace::Time => libc::CLONE_NEWTIME,
        }
    }
}

/// A set of namespaces.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct NamespaceSet(libc::c_int);

impl fmt::Debug for NamespaceSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let members = Namespace::ALL
            .into_iter()
            .filter(|kind| self.contains(*kind));
        f.debug_set().entries(members).finish()
    }
}

impl NamespaceSet {
    /// None.
    pub const EMPTY: NamespaceSet = NamespaceSet(0);

    /// Adds one.
    pub fn insert(&mut self, namespace: Namespace) {
        self.0 |= namespace.flag();
    }

    /// Takes one away.
    pub fn remove(&mut self, namespace: Namespace) {
        self.0 &= !namespace.flag();
    }

    /// Whether it holds one.
    pub fn contains(self, namespace: Namespace) -> bool {
        self.0 & namespace.flag() != 0
    }

    /// Whether it is empty.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) fn bits(self) -> u64 {
        self.0.cast_unsigned().into()
    }

    /// Leaves these namespaces for new ones.
    pub fn unshare(self) -> io::Result<()> {
        // SAFETY: none of the namespace flags affects memory or descriptors of this process.
        checked(unsafe { libc::unshare(self.0) })
    }
}

impl FromIterator<Namespace> for NamespaceSet {
    fn from_iter<I: IntoIterator<Item = Namespace>>(members: I) -> NamespaceSet {
        let mut set = NamespaceSet::EMPTY;
        members.into_iter().for_each(|member| set.insert(member));
        set
    }
}

fn checked(result: libc::c_int) -> io::Result<()> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Joins a namespace by a descriptor of its file. Joining a PID namespace counts for later children.
pub fn join(namespace: impl AsFd, kind: Namespace) -> io::Result<()> {
    // SAFETY: setns affects no memory of this process.
    checked(unsafe { libc::setns(namespace.as_fd().as_raw_fd(), kind.flag()) })
}

/// Joins several namespaces of a process at once, all or none.
pub fn join_process(pidfd: impl AsFd, namespaces: NamespaceSet) -> io::Result<()> {
    // SAFETY: setns affects no memory of this process.
    checked(unsafe { libc::setns(pidfd.as_fd().as_raw_fd(), namespaces.0) })
}

/// A range of IDs and what it is outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdMapping {
    /// The first ID inside.
    pub inside: u32,
    /// The first ID outside.
    pub outside: u32,
    /// How many there are.
    pub size: u32,
}

/// Sets the mappings of a process's new user namespace.
pub fn write_id_maps(pid: i32, uids: &[IdMapping], gids: &[IdMapping]) -> io::Result<()> {
    let text = |mappings: &[IdMapping]| {
        mappings.iter().fold(String::new(), |mut text, mapping| {
            let IdMapping {
                inside,
                outside,
                size,
            } = mapping;
            // Writing to a string cannot fail.
            writeln!(text, "{inside} {outside} {size}").ok();
            text
        })
    };
    // Without the privilege to map others, groups must be given up before they can be mapped.
    if fs::write(format!("/proc/{pid}/gid_map"), text(gids)).is_err() {
        fs::write(format!("/proc/{pid}/setgroups"), "deny")?;
        fs::write(format!("/proc/{pid}/gid_map"), text(gids))?;
    }
    fs::write(format!("/proc/{pid}/uid_map"), text(uids))
}

/// A user namespace of its own with these mappings and no process in it: what an ID-mapped mount
/// is seen through.
pub fn user_namespace(uids: &[IdMapping], gids: &[IdMapping]) -> io::Result<OwnedFd> {
    let (reader, writer) = crate::fd::pipe()?;
    let fork = Fork {
        namespaces: [Namespace::User].into_iter().collect(),
        cgroup: None,
    };
    // The child lives as long as nobody writes to or closes the pipe.
    let raw = writer.as_raw_fd();
    let child = fork.run(move || {
        // SAFETY: this is the child's copy of the descriptor table, in which nothing else will
        // ever use this number.
        unsafe { libc::close(raw) };
        rustix::io::read(&reader, &mut [0; 1]).ok();
        0
    })?;
    let made = write_id_maps(child.pid(), uids, gids)
        .and_then(|()| fs::File::open(format!("/proc/{}/ns/user", child.pid())));
    drop(writer);
    child.wait()?;
    Ok(made?.into())
}
