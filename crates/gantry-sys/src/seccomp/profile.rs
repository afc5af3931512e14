//! What a filter should decide: the OCI seccomp model, and Docker's conditional form of it.

use std::borrow::Cow;

/// `EPERM`, what a refusal answers when a profile names no number.
pub const DEFAULT_ERRNO: u16 = 1;

/// A system call architecture that a kernel Gantry runs on can execute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Arch {
    /// 64-bit x86.
    X86_64,
    /// 32-bit x86 (i386).
    X86,
    /// x86_64 with 32-bit pointers.
    X32,
    /// 64-bit ARM.
    Aarch64,
    /// 32-bit ARM, EABI.
    Arm,
}

impl Arch {
    /// The architecture this program was compiled for.
    #[cfg(target_arch = "x86_64")]
    pub const NATIVE: Arch = Arch::X86_64;
    /// The architecture this program was compiled for.
    #[cfg(target_arch = "aarch64")]
    pub const NATIVE: Arch = Arch::Aarch64;

    /// The architecture of an OCI name such as `SCMP_ARCH_X86_64`. `None` for one that never
    /// executes here: its rules can be left out without a change in behaviour.
    pub fn from_oci_name(name: &str) -> Option<Arch> {
        Some(match name {
            "SCMP_ARCH_X86_64" => Arch::X86_64,
            "SCMP_ARCH_X86" => Arch::X86,
            "SCMP_ARCH_X32" => Arch::X32,
            "SCMP_ARCH_AARCH64" => Arch::Aarch64,
            "SCMP_ARCH_ARM" => Arch::Arm,
            "SCMP_ARCH_NATIVE" => Arch::NATIVE,
            _ => return None,
        })
    }

    /// The name in the `arches` conditions of Docker's profile format.
    pub fn docker_name(self) -> &'static str {
        match self {
            Arch::X86_64 => "amd64",
            Arch::X86 => "x86",
            Arch::X32 => "x32",
            Arch::Aarch64 => "arm64",
            Arch::Arm => "arm",
        }
    }
}

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// The whole process is killed.
    KillProcess,
    /// The calling thread is killed.
    KillThread,
    /// `SIGSYS` is sent.
    Trap,
    /// The call fails with this number.
    Errno(u16),
    /// A tracer is told this number; without one the call fails with `ENOSYS`.
    Trace(u16),
    /// The call is made.
    Allow,
    /// The call is made and logged.
    Log,
    /// A listener decides. Known, but no listener is offered: refused when compiled.
    Notify,
}

impl Action {
    /// The action of an OCI name such as `SCMP_ACT_ERRNO` with its `errnoRet`.
    /// `None` for a name that is no action.
    pub fn from_oci_name(name: &str, errno: Option<u32>) -> Option<Action> {
        let number = match errno {
            Some(number) => u16::try_from(number).ok()?,
            None => DEFAULT_ERRNO,
        };
        Some(match name {
            "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => Action::KillThread,
            "SCMP_ACT_KILL_PROCESS" => Action::KillProcess,
            "SCMP_ACT_TRAP" => Action::Trap,
            "SCMP_ACT_ERRNO" => Action::Errno(number),
            "SCMP_ACT_TRACE" => Action::Trace(number),
            "SCMP_ACT_ALLOW" => Action::Allow,
            "SCMP_ACT_LOG" => Action::Log,
            "SCMP_ACT_NOTIFY" => Action::Notify,
            _ => return None,
        })
    }

    /// Whether the call is made (perhaps watched) rather than refused.
    pub(super) fn lets_through(self) -> bool {
        matches!(self, Action::Allow | Action::Log | Action::Trace(_))
    }
}

/// How an argument is compared, always unsigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    /// `arg != value`
    NotEqual,
    /// `arg < value`
    LessThan,
    /// `arg <= value`
    LessOrEqual,
    /// `arg == value`
    Equal,
    /// `arg >= value`
    GreaterOrEqual,
    /// `arg > value`
    GreaterThan,
    /// `arg & value == value_two`
    MaskedEqual,
}

impl Op {
    /// The operator of an OCI name such as `SCMP_CMP_MASKED_EQ`.
    pub fn from_oci_name(name: &str) -> Option<Op> {
        Some(match name {
            "SCMP_CMP_NE" => Op::NotEqual,
            "SCMP_CMP_LT" => Op::LessThan,
            "SCMP_CMP_LE" => Op::LessOrEqual,
            "SCMP_CMP_EQ" => Op::Equal,
            "SCMP_CMP_GE" => Op::GreaterOrEqual,
            "SCMP_CMP_GT" => Op::GreaterThan,
            "SCMP_CMP_MASKED_EQ" => Op::MaskedEqual,
            _ => return None,
        })
    }
}

/// A condition on one argument of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ArgCheck {
    /// Which argument, 0 to 5.
    pub index: u32,
    /// What it is compared with (for [`Op::MaskedEqual`]: the mask).
    pub value: u64,
    /// For [`Op::MaskedEqual`]: what the masked argument must be.
    pub value_two: u64,
    /// How.
    pub op: Op,
}

/// One action for some calls, perhaps only with certain arguments.
///
/// All conditions must hold, except that several conditions on the *same* argument are
/// alternatives: what runc and crun make of them, and what profiles in the wild rely on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Names of calls; those this architecture (or this table) lacks are skipped.
    pub names: Vec<Cow<'static, str>>,
    /// What happens.
    pub action: Action,
    /// The conditions; none = always.
    pub args: Vec<ArgCheck>,
}

/// Flags of `seccomp(2)` for loading a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct LoadFlags(u32);

impl LoadFlags {
    /// No flag.
    pub const NONE: LoadFlags = LoadFlags(0);
    /// All threads of the process get the filter.
    pub const TSYNC: LoadFlags = LoadFlags(1);
    /// Every action but `Allow` is logged.
    pub const LOG: LoadFlags = LoadFlags(2);
    /// Speculative store bypass stays enabled for the process.
    pub const SPEC_ALLOW: LoadFlags = LoadFlags(4);

    /// Loading gives a descriptor through which somebody else decides about the calls whose
    /// action is [`Action::Notify`].
    pub const LISTENER: LoadFlags = LoadFlags(8);
    /// The wait for such a decision is only interrupted by what kills the process.
    pub const WAIT_KILLABLE: LoadFlags = LoadFlags(32);

    /// Whether every flag of `other` is among these.
    pub fn contains(self, other: LoadFlags) -> bool {
        self.0 & other.0 == other.0
    }

    /// The flag of an OCI name such as `SECCOMP_FILTER_FLAG_LOG`; `None` for an unknown
    /// one.
    pub fn from_oci_name(name: &str) -> Option<LoadFlags> {
        Some(match name {
            "SECCOMP_FILTER_FLAG_TSYNC" => LoadFlags::TSYNC,
            "SECCOMP_FILTER_FLAG_LOG" => LoadFlags::LOG,
            "SECCOMP_FILTER_FLAG_SPEC_ALLOW" => LoadFlags::SPEC_ALLOW,
            "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" => LoadFlags::WAIT_KILLABLE,
            _ => return None,
        })
    }

    /// Both sets of flags.
    #[must_use]
    pub fn with(self, other: LoadFlags) -> LoadFlags {
        LoadFlags(self.0 | other.0)
    }

    /// The flags of these bits; `None` when one is not among those above.
    pub fn from_bits(bits: u32) -> Option<LoadFlags> {
        (bits & !0b10_1111 == 0).then_some(LoadFlags(bits))
    }

    /// The bits as `seccomp(2)` takes them.
    pub fn bits(self) -> u32 {
        self.0
    }
}

/// What a filter decides: the model of the OCI runtime specification's `linux.seccomp`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// For calls that no rule names.
    pub default_action: Action,
    /// Architectures beside the native one, which is always covered. A call made through any
    /// other kills the thread.
    pub architectures: Vec<Arch>,
    /// Flags to load the filter with.
    pub flags: LoadFlags,
    /// The rules. For one call: the first rule without conditions wins over all others;
    /// else the first whose conditions hold; else the default.
    pub rules: Vec<Rule>,
}

/// On what a conditional rule of Docker's format depends. An empty list asks nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Condition {
    /// Capability names (`CAP_SYS_ADMIN`) of the container's bounding set.
    pub caps: Vec<Cow<'static, str>>,
    /// Architecture names as [`Arch::docker_name`] gives them.
    pub arches: Vec<Cow<'static, str>>,
    /// The oldest kernel (version, patch level) it speaks of.
    pub min_kernel: Option<(u32, u32)>,
}

/// A rule with the conditions under which it is part of the profile at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConditionalRule {
    /// The rule.
    pub rule: Rule,
    /// All of this must hold: every capability, one of the architectures, the kernel.
    pub includes: Condition,
    /// None of this may hold: no capability, none of the architectures, not the kernel.
    pub excludes: Condition,
}

/// Docker's profile format: rules that depend on the container and the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConditionalProfile {
    /// For calls that no rule names.
    pub default_action: Action,
    /// For each native architecture, those allowed beside it.
    pub arch_map: Vec<(Arch, Vec<Arch>)>,
    /// Architectures allowed on any machine (the format's other, older field).
    pub architectures: Vec<Arch>,
    /// Flags to load the filter with.
    pub flags: LoadFlags,
    /// The rules, in order.
    pub rules: Vec<ConditionalRule>,
}

/// The container and the machine a conditional profile is resolved for.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The machine's native architecture.
    pub arch: Arch,
    /// Names of the capabilities in the container's bounding set.
    pub caps: &'a [&'a str],
    /// The running kernel's version and patch level.
    pub kernel: (u32, u32),
}

impl Target<'_> {
    fn has(&self, cap: &str) -> bool {
        self.caps.contains(&cap)
    }

    fn includes(&self, condition: &Condition) -> bool {
        let arch = self.arch.docker_name();
        (condition.arches.is_empty() || condition.arches.iter().any(|name| name == arch))
            && condition.caps.iter().all(|cap| self.has(cap))
            && condition
                .min_kernel
                .is_none_or(|kernel| self.kernel >= kernel)
    }

    fn excludes(&self, condition: &Condition) -> bool {
        let arch = self.arch.docker_name();
        condition.arches.iter().any(|name| name == arch)
            || condition.caps.iter().any(|cap| self.has(cap))
            || condition
                .min_kernel
                .is_some_and(|kernel| self.kernel >= kernel)
    }
}

impl ConditionalProfile {
    /// The profile for this container on this machine.
    pub fn resolve(self, target: &Target<'_>) -> Profile {
        let mut architectures = self.architectures;
        if let Some((native, others)) = self
            .arch_map
            .into_iter()
            .find(|(native, _)| *native == target.arch)
        {
            architectures.push(native);
            architectures.extend(others);
        }
        let rules = self
            .rules
            .into_iter()
            .filter(|conditional| {
                target.includes(&conditional.includes) && !target.excludes(&conditional.excludes)
            })
            .map(|conditional| conditional.rule)
            .collect();
        Profile {
            default_action: self.default_action,
            architectures,
            flags: self.flags,
            rules,
        }
    }
}

impl Profile {
    /// Whether somebody else is to decide about some call.
    pub fn notifies(&self) -> bool {
        self.default_action == Action::Notify
            || self.rules.iter().any(|rule| rule.action == Action::Notify)
    }

    /// Whether somebody else may be asked about this call.
    pub fn may_notify(&self, syscall: &str) -> bool {
        let mut named = self
            .rules
            .iter()
            .filter(|rule| rule.names.iter().any(|name| name == syscall))
            .peekable();
        match named.peek() {
            None => self.default_action == Action::Notify,
            Some(_) => named.any(|rule| rule.action == Action::Notify),
        }
    }

    /// The profile that Docker and containerd give a container that asks for none, for a
    /// container whose bounding set holds `caps` (names such as `CAP_SYS_ADMIN`) on this
    /// machine's architecture and a kernel of this version and patch level.
    pub fn docker_default(caps: &[&str], kernel: (u32, u32)) -> Profile {
        super::docker::profile().resolve(&Target {
            arch: Arch::NATIVE,
            caps,
            kernel,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(name: &'static str, includes: Condition, excludes: Condition) -> ConditionalRule {
        let rule = Rule {
            names: vec![name.into()],
            action: Action::Allow,
            args: Vec::new(),
        };
        ConditionalRule {
            rule,
            includes,
            excludes,
        }
    }

    fn caps(names: &[&'static str]) -> Condition {
        Condition {
            caps: names.iter().map(|&name| name.into()).collect(),
            ..Condition::default()
        }
    }

    fn arches(names: &[&'static str]) -> Condition {
        let arches = names.iter().map(|&name| name.into()).collect();
        Condition {
            arches,
            ..Condition::default()
        }
    }

    #[test]
    fn conditions_choose_the_rules() {
        let nothing = Condition::default;
        let kernel = |version| Condition {
            min_kernel: Some(version),
            ..Condition::default()
        };
        let profile = ConditionalProfile {
            default_action: Action::Errno(1),
            arch_map: vec![
                (Arch::Aarch64, vec![Arch::Arm]),
                (Arch::X86_64, vec![Arch::X86]),
            ],
            architectures: Vec::new(),
            flags: LoadFlags::NONE,
            rules: vec![
                rule("always", nothing(), nothing()),
                rule("both caps", caps(&["A", "B"]), nothing()),
                rule("one cap", caps(&["A"]), nothing()),
                rule("without A or C", nothing(), caps(&["A", "C"])),
                rule("without C", nothing(), caps(&["C"])),
                rule("amd64", arches(&["arm64", "amd64"]), nothing()),
                rule("not amd64", nothing(), arches(&["amd64"])),
                rule("old enough", kernel((4, 8)), nothing()),
                rule("too new", kernel((6, 10)), nothing()),
                rule("before 6.9", nothing(), kernel((6, 9))),
            ],
        };
        let resolved = profile.resolve(&Target {
            arch: Arch::X86_64,
            caps: &["A"],
            kernel: (6, 9),
        });
        let names: Vec<_> = resolved
            .rules
            .iter()
            .map(|rule| rule.names[0].as_ref())
            .collect();
        assert_eq!(
            names,
            ["always", "one cap", "without C", "amd64", "old enough"]
        );
        assert_eq!(resolved.architectures, [Arch::X86_64, Arch::X86]);
    }

    #[test]
    fn oci_names_are_read() {
        assert_eq!(
            Action::from_oci_name("SCMP_ACT_ERRNO", None),
            Some(Action::Errno(1))
        );
        assert_eq!(
            Action::from_oci_name("SCMP_ACT_ERRNO", Some(38)),
            Some(Action::Errno(38))
        );
        assert_eq!(
            Action::from_oci_name("SCMP_ACT_KILL", None),
            Some(Action::KillThread)
        );
        assert_eq!(Action::from_oci_name("SCMP_ACT_NOSUCH", None), None);
        assert_eq!(Action::from_oci_name("SCMP_ACT_ERRNO", Some(70_000)), None);
        assert_eq!(
            Op::from_oci_name("SCMP_CMP_MASKED_EQ"),
            Some(Op::MaskedEqual)
        );
        assert_eq!(Arch::from_oci_name("SCMP_ARCH_S390X"), None);
        assert_eq!(LoadFlags::LOG.with(LoadFlags::SPEC_ALLOW).bits(), 6);
    }
}
