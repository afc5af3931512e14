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
    user_namespace_mapped_by(|pid| write_id_maps(pid, uids, gids))
}

/// A new user namespace with no process in it. `map` sets the mappings, by the ID of a process
/// that waits in the namespace meanwhile.
pub fn user_namespace_mapped_by<E: From<io::Error>>(
    map: impl FnOnce(i32) -> Result<(), E>,
) -> Result<OwnedFd, E> {
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
    let made = map(child.pid())
        .and_then(|()| Ok(fs::File::open(format!("/proc/{}/ns/user", child.pid()))?));
    drop(writer);
    child.wait()?;
    Ok(made?.into())
}

/// The mappings of a process's user namespace, users first, as this process sees them. `None`
/// stands for this process itself.
pub fn id_maps(pid: Option<i32>) -> io::Result<(Vec<IdMapping>, Vec<IdMapping>)> {
    let read = |name: &str| -> io::Result<Vec<IdMapping>> {
        let path = match pid {
            Some(pid) => format!("/proc/{pid}/{name}"),
            None => format!("/proc/self/{name}"),
        };
        parse_id_map(&fs::read_to_string(path)?).ok_or(io::ErrorKind::InvalidData.into())
    };
    Ok((read("uid_map")?, read("gid_map")?))
}

fn parse_id_map(text: &str) -> Option<Vec<IdMapping>> {
    let line = |line: &str| {
        let mut numbers = line.split_whitespace().map(str::parse::<u32>);
        Some(IdMapping {
            inside: numbers.next()?.ok()?,
            outside: numbers.next()?.ok()?,
            size: numbers.next()?.ok()?,
        })
    };
    text.lines().map(line).collect()
}

/// The file of the namespace that the kernel has made for itself (`PROC_USER_INIT_INO`).
const INITIAL_USER_NAMESPACE: &str = "user:[4026531837]";

/// Whether this process is in the user namespace that the machine has started with. In any other
/// one even user 0 has no power over what is the whole machine's: devices, `trusted.` attributes,
/// cgroups that are not delegated.
pub fn is_in_initial_user_namespace() -> bool {
    // Without `/proc` nothing would work, so that a failure means nothing here.
    fs::read_link("/proc/self/ns/user")
        .map_or(true, |name| name.as_os_str() == INITIAL_USER_NAMESPACE)
}

/// Whether processes of this user namespace may change their supplementary groups.
pub fn may_set_groups() -> bool {
    fs::read_to_string("/proc/self/setgroups").map_or(true, |text| text.trim_end() != "deny")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_are_read() {
        let mapping = |inside, outside, size| IdMapping {
            inside,
            outside,
            size,
        };
        let text = "         0       1000          1\n         1     100000      65536\n";
        let expected = vec![mapping(0, 1000, 1), mapping(1, 100_000, 65536)];
        assert_eq!(parse_id_map(text), Some(expected));
        assert_eq!(parse_id_map(""), Some(Vec::new()));
        for bad in ["0 1", "a 0 1", "0 0 4294967296"] {
            assert_eq!(parse_id_map(bad), None, "{bad}");
        }
        let (uids, gids) = id_maps(None).expect("mappings");
        assert!(!uids.is_empty() && !gids.is_empty());
    }
}
