//! Capabilities (capabilities(7)): names, sets, and what a thread does with them.

use std::fmt;
use std::io;
use std::str::FromStr;

use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set,
    configure_capability_in_ambient_set, remove_capability_from_bounding_set, set_capabilities,
};

/// The names in the kernel's order, without `CAP_`.
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// One capability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Capability(u8);

impl Capability {
    /// Needed for mounting and much else.
    pub const SYS_ADMIN: Capability = Capability(21);

    /// All capabilities that have a name, in the kernel's order.
    pub fn all() -> impl Iterator<Item = Capability> {
        (0u8..).take(NAMES.len()).map(Capability)
    }

    /// Its name, without `CAP_`.
    pub fn name(self) -> &'static str {
        NAMES[usize::from(self.0)]
    }

    /// Its number.
    pub fn number(self) -> u8 {
        self.0
    }
}

/// The name is not that of a capability.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown capability {name:?}")]
pub struct UnknownCapability {
    /// The name.
    pub name: String,
}

impl FromStr for Capability {
    type Err = UnknownCapability;

    /// From `CAP_X`, `X` or `x`.
    fn from_str(name: &str) -> Result<Capability, UnknownCapability> {
        let upper = name.to_ascii_uppercase();
        let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
        NAMES
            .iter()
            .position(|known| *known == bare)
            .and_then(|number| u8::try_from(number).ok())
            .map(Capability)
            .ok_or_else(|| UnknownCapability {
                name: name.to_owned(),
            })
    }
}

/// A set of capabilities.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Set(u64);

impl fmt::Debug for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.iter().map(Capability::name).collect();
        write!(f, "[{}]", names.join(","))
    }
}

impl Set {
    /// None.
    pub const EMPTY: Set = Set(0);

    /// Every capability that has a name.
    pub const ALL: Set = Set((1 << NAMES.len()) - 1);

    /// From the kernel's bit mask.
    pub fn from_bits(bits: u64) -> Set {
        Set(bits)
    }

    /// The kernel's bit mask.
    pub fn bits(self) -> u64 {
        self.0
    }

    /// Whether it holds a capability.
    pub fn contains(self, capability: Capability) -> bool {
        self.0 & (1 << capability.0) != 0
    }

    /// Adds a capability.
    pub fn insert(&mut self, capability: Capability) {
        self.0 |= 1 << capability.0;
    }

    /// Takes a capability away.
    pub fn remove(&mut self, capability: Capability) {
        self.0 &= !(1 << capability.0);
    }

    /// What is in both.
    #[must_use]
    pub fn intersection(self, other: Set) -> Set {
        Set(self.0 & other.0)
    }

    /// What is in either.
    #[must_use]
    pub fn union(self, other: Set) -> Set {
        Set(self.0 | other.0)
    }

    /// Whether it holds nothing.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Its members, in the kernel's order.
    pub fn iter(self) -> impl Iterator<Item = Capability> {
        Capability::all().filter(move |capability| self.contains(*capability))
    }

    /// From names; `ALL` stands for every capability.
    pub fn parse<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Set, UnknownCapability> {
        let mut set = Set::EMPTY;
        for name in names {
            if name.eq_ignore_ascii_case("all") || name.eq_ignore_ascii_case("cap_all") {
                set = Set::ALL;
            } else {
                set.insert(name.parse()?);
            }
        }
        Ok(set)
    }
}

impl FromIterator<Capability> for Set {
    fn from_iter<I: IntoIterator<Item = Capability>>(members: I) -> Set {
        let mut set = Set::EMPTY;
        members.into_iter().for_each(|member| set.insert(member));
        set
    }
}

/// The five sets of a thread.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sets {
    /// What can ever be gained.
    pub bounding: Set,
    /// What counts now.
    pub effective: Set,
    /// What can be made effective.
    pub permitted: Set,
    /// What a program with file capabilities may inherit.
    pub inheritable: Set,
    /// What a program without file capabilities inherits.
    pub ambient: Set,
}

/// The effective set of this thread.
pub fn effective() -> io::Result<Set> {
    let sets = rustix::thread::capabilities(None)?;
    Ok(Set(sets.effective.bits()))
}

/// The permitted set of this thread.
pub fn permitted() -> io::Result<Set> {
    let sets = rustix::thread::capabilities(None)?;
    Ok(Set(sets.permitted.bits()))
}

/// The highest capability this kernel knows, or the highest with a name here.
pub fn last_supported() -> Capability {
    let known = |number: u8| {
        let bit = CapabilitySet::from_bits_retain(1 << number);
        rustix::thread::capability_is_in_bounding_set(bit).is_ok()
    };
    // There are no gaps, so that a few questions are enough.
    let (mut known_one, mut unknown_one) = (0, Capability::all().last().map_or(1, |c| c.0 + 1));
    while unknown_one - known_one > 1 {
        let middle = known_one.midpoint(unknown_one);
        if known(middle) {
            known_one = middle;
        } else {
            unknown_one = middle;
        }
    }
    Capability(known_one)
}

/// The bounding set of this thread.
pub fn bounding() -> Set {
    Capability::all()
        .filter(|capability| {
            let bit = CapabilitySet::from_bits_retain(1 << capability.0);
            rustix::thread::capability_is_in_bounding_set(bit).unwrap_or(false)
        })
        .collect()
}

/// Takes from the bounding set what `keep` does not hold, including capabilities that are newer
/// than the names here.
pub fn limit_bounding(keep: Set) -> io::Result<()> {
    for number in 0..64 {
        let bit = 1u64 << number;
        if keep.0 & bit != 0 {
            continue;
        }
        match remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(bit)) {
            Ok(()) => {}
            // The kernel knows no capability of this number, nor any higher one.
            Err(rustix::io::Errno::INVAL) => break,
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

/// Sets the effective, permitted and inheritable sets of this thread.
pub fn set(effective: Set, permitted: Set, inheritable: Set) -> io::Result<()> {
    let sets = |set: Set| CapabilitySet::from_bits_retain(set.0);
    Ok(set_capabilities(
        None,
        CapabilitySets {
            effective: sets(effective),
            permitted: sets(permitted),
            inheritable: sets(inheritable),
        },
    )?)
}

/// Sets the ambient set of this thread, which must be in its permitted and inheritable sets.
pub fn set_ambient(ambient: Set) -> io::Result<()> {
    clear_ambient_capability_set()?;
    for capability in ambient.iter() {
        let bit = CapabilitySet::from_bits_retain(1 << capability.0);
        configure_capability_in_ambient_set(bit, true)?;
    }
    Ok(())
}

/// Whether a change of the user ID keeps the permitted set.
pub fn keep_across_user_change(keep: bool) -> io::Result<()> {
    Ok(rustix::thread::set_keep_capabilities(keep)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parse() {
        for name in ["CAP_SYS_ADMIN", "sys_admin", "SYS_ADMIN", "cap_sys_admin"] {
            assert_eq!(name.parse(), Ok(Capability::SYS_ADMIN), "{name}");
        }
        assert!("SYS_NOTHING".parse::<Capability>().is_err());
        assert_eq!(Set::parse(["all"]), Ok(Set::ALL));
        let some = Set::parse(["chown", "CAP_BPF"]).expect("known");
        assert_eq!(some.bits(), 1 | 1 << 39);
        assert_eq!(some.iter().count(), 2);
        assert_eq!(Set::ALL.iter().count(), 41);
    }

    #[test]
    fn kernel_sets_are_read() {
        let status = std::fs::read_to_string("/proc/self/status").expect("status");
        let field = |name| {
            let value = crate::system::status_field(&status, name).expect("a field");
            u64::from_str_radix(value, 16).expect("hexadecimal")
        };
        assert_eq!(effective().expect("read").bits(), field("CapEff"));
        assert_eq!(bounding().bits(), field("CapBnd"));
        assert_eq!(last_supported().name(), "CHECKPOINT_RESTORE");
    }
}
