use std::collections::BTreeSet;
use std::time::Instant;

use proptest::prelude::*;

use super::assemble::{AND, JUMP, JUMP_EQ, JUMP_GE, JUMP_GT, LOAD, RETURN};
use super::syscalls::{X32_BIT, number, numbers};
use super::*;

const ALLOW: u32 = 0x7fff_0000;
const KILL: u32 = 0;
const EPERM: u32 = 0x0005_0001;
const ENOSYS: u32 = 0x0005_0026;

const X86_64: u32 = 0xc000_003e;
const I386: u32 = 0x4000_0003;
const AARCH64: u32 = 0xc000_00b7;
const ARM: u32 = 0x4000_0028;

/// What the kernel would return: a tiny interpreter of the instructions we emit.
fn run(filter: &Filter, audit_arch: u32, nr: u32, args: [u64; 6]) -> u32 {
    let mut data = Vec::new();
    data.extend(nr.to_le_bytes());
    data.extend(audit_arch.to_le_bytes());
    data.extend([0; 8]);
    data.extend(args.iter().flat_map(|arg| arg.to_le_bytes()));
    let program = filter.instructions();
    let (mut at, mut accumulator) = (0_usize, 0_u32);
    loop {
        let instruction = program[at];
        at += 1;
        let k = instruction.k;
        let mut branch = |holds: bool| {
            at += usize::from(if holds {
                instruction.jump_true
            } else {
                instruction.jump_false
            });
        };
        match instruction.code {
            LOAD => {
                let offset = k as usize;
                accumulator = u32::from_le_bytes(data[offset..offset + 4].try_into().unwrap());
            }
            AND => accumulator &= k,
            JUMP => at += k as usize,
            JUMP_EQ => branch(accumulator == k),
            JUMP_GT => branch(accumulator > k),
            JUMP_GE => branch(accumulator >= k),
            RETURN => return k,
            other => panic!("unknown instruction {other:#x}"),
        }
    }
}

fn nr(name: &str, arch: Arch) -> u32 {
    number(numbers(name).unwrap(), arch).unwrap()
}

fn default_filter(native: Arch, caps: &[&str]) -> Filter {
    let target = Target {
        arch: native,
        caps,
        kernel: (6, 18),
    };
    Filter::compile_for(&docker_default().resolve(&target), native).unwrap()
}

/// The capabilities Docker leaves a container.
const DOCKER_CAPS: &[&str] = &[
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];

#[test]
fn default_profile_decides_as_docker_does() {
    let plain = default_filter(Arch::X86_64, DOCKER_CAPS);
    let admin = default_filter(Arch::X86_64, &["CAP_SYS_ADMIN"]);
    let new_user = 0x1000_0000;
    let new_time = 0x80;
    // name, first argument, plain, with CAP_SYS_ADMIN
    let table = [
        ("read", 0, ALLOW, ALLOW),
        ("mseal", 0, ALLOW, ALLOW),
        ("removexattrat", 0, ALLOW, ALLOW),
        ("open_tree_attr", 0, ENOSYS, ENOSYS),
        ("chroot", 0, ALLOW, EPERM),
        ("clone", 0x11, ALLOW, ALLOW),
        ("clone", new_user | 0x11, EPERM, ALLOW),
        ("clone", 0x0200_0000, EPERM, ALLOW),
        ("clone", 0x0002_0000, EPERM, ALLOW),
        ("clone", new_time, ALLOW, ALLOW),
        ("clone3", 0, ENOSYS, ALLOW),
        ("unshare", 0, EPERM, ALLOW),
        ("mount", 0, EPERM, ALLOW),
        ("setns", 0, EPERM, ALLOW),
        ("keyctl", 0, EPERM, EPERM),
        ("add_key", 0, EPERM, EPERM),
        ("io_uring_setup", 0, EPERM, EPERM),
        ("userfaultfd", 0, EPERM, EPERM),
        ("kexec_load", 0, EPERM, EPERM),
        ("bpf", 0, EPERM, ALLOW),
        ("ptrace", 0, ALLOW, ALLOW),
        ("arch_prctl", 0, ALLOW, ALLOW),
        ("socket", 1, ALLOW, ALLOW),
        ("socket", 2, ALLOW, ALLOW),
        ("socket", 10, ALLOW, ALLOW),
        ("socket", 16, ALLOW, ALLOW),
        ("socket", 17, ALLOW, ALLOW),
        ("socket", 12, EPERM, EPERM),
        ("socket", 38, EPERM, EPERM),
        ("socket", 40, EPERM, EPERM),
        // The kernel looks at the low half only: the rest must not hide a family.
        ("socket", 0x1_0000_0028, EPERM, EPERM),
        ("socket", 0x1_0000_0002, EPERM, EPERM),
        ("socket", 44, ALLOW, ALLOW),
        ("socket", 46, EPERM, EPERM),
        ("personality", 0, ALLOW, ALLOW),
        ("personality", 8, ALLOW, ALLOW),
        ("personality", 0x2_0000, ALLOW, ALLOW),
        ("personality", 0x2_0008, ALLOW, ALLOW),
        ("personality", 0xffff_ffff, ALLOW, ALLOW),
        ("personality", 0x40000, EPERM, EPERM),
        ("personality", u64::MAX, EPERM, EPERM),
    ];
    for (name, argument, unprivileged, privileged) in table {
        let call = nr(name, Arch::X86_64);
        let args = [argument, 0, 0, 0, 0, 0];
        assert_eq!(
            run(&plain, X86_64, call, args),
            unprivileged,
            "{name}({argument:#x})"
        );
        assert_eq!(
            run(&admin, X86_64, call, args),
            privileged,
            "admin {name}({argument:#x})"
        );
    }
}

#[test]
fn other_architectures_are_told_apart() {
    let filter = default_filter(Arch::X86_64, DOCKER_CAPS);
    let none = [0; 6];
    assert_eq!(run(&filter, I386, nr("read", Arch::X86), none), ALLOW);
    assert_eq!(run(&filter, I386, nr("socketcall", Arch::X86), none), ALLOW);
    assert_eq!(
        run(&filter, I386, nr("clock_gettime64", Arch::X86), none),
        ALLOW
    );
    assert_eq!(run(&filter, I386, nr("mount", Arch::X86), none), EPERM);
    assert_eq!(
        run(
            &filter,
            I386,
            nr("clone", Arch::X86),
            [0x1000_0011, 0, 0, 0, 0, 0]
        ),
        EPERM
    );
    assert_eq!(run(&filter, I386, 468, none), ENOSYS);
    assert_eq!(run(&filter, X86_64, nr("read", Arch::X32), none), ALLOW);
    assert_eq!(run(&filter, X86_64, nr("mount", Arch::X32), none), EPERM);
    assert_eq!(run(&filter, X86_64, X32_BIT | 600, none), ENOSYS);
    assert_eq!(run(&filter, X86_64, u32::MAX, none), ENOSYS);
    assert_eq!(run(&filter, AARCH64, nr("read", Arch::Aarch64), none), KILL);
    assert_eq!(run(&filter, ARM, 3, none), KILL);
}

#[test]
fn arm_machines_have_their_own_calls() {
    let filter = default_filter(Arch::Aarch64, DOCKER_CAPS);
    let none = [0; 6];
    assert_eq!(
        run(&filter, AARCH64, nr("newfstatat", Arch::Aarch64), none),
        ALLOW
    );
    assert_eq!(
        run(&filter, AARCH64, nr("mount", Arch::Aarch64), none),
        EPERM
    );
    assert_eq!(run(&filter, AARCH64, 467, none), ENOSYS);
    assert_eq!(run(&filter, ARM, nr("cacheflush", Arch::Arm), none), ALLOW);
    assert_eq!(run(&filter, ARM, nr("set_tls", Arch::Arm), none), ALLOW);
    assert_eq!(run(&filter, ARM, nr("usr26", Arch::Arm), none), ENOSYS);
    assert_eq!(
        run(&filter, ARM, nr("sync_file_range2", Arch::Arm), none),
        ALLOW
    );
    assert_eq!(run(&filter, ARM, 467, none), ENOSYS);
    assert_eq!(run(&filter, X86_64, 0, none), KILL);
}

#[test]
fn the_reference_list_is_met_exactly() {
    let text = include_str!("../../testdata/seccomp/docker-default.txt");
    let mut sections: Vec<(&str, BTreeSet<&str>)> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        match line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            Some(name) => sections.push((name, BTreeSet::new())),
            None => sections
                .last_mut()
                .unwrap()
                .1
                .extend(line.split_whitespace()),
        }
    }
    let reference = |wanted: &[&str]| -> BTreeSet<&str> {
        let chosen = sections.iter().filter(|(name, _)| wanted.contains(name));
        chosen
            .flat_map(|(_, calls)| calls.iter().copied())
            .collect()
    };
    let allowed = |arch: Arch, caps: &[&str]| -> BTreeSet<String> {
        let profile = docker_default().resolve(&Target {
            arch,
            caps,
            kernel: (6, 18),
        });
        let rules = profile.rules.into_iter();
        rules
            .filter(|rule| rule.action == Action::Allow && rule.args.is_empty())
            .flat_map(|rule| rule.names)
            .map(String::from)
            .collect()
    };
    let same = |ours: BTreeSet<String>, theirs: BTreeSet<&str>| {
        let ours: BTreeSet<&str> = ours.iter().map(String::as_str).collect();
        assert_eq!(ours, theirs);
    };
    same(allowed(Arch::X86_64, &[]), reference(&["always", "amd64"]));
    same(allowed(Arch::Aarch64, &[]), reference(&["always", "arm64"]));
    let caps: Vec<&str> = sections
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| name.starts_with("CAP_"))
        .collect();
    for cap in &caps {
        same(
            allowed(Arch::X86_64, &[cap]),
            reference(&["always", "amd64", cap]),
        );
    }
    let mut all = caps.clone();
    all.extend(["always", "amd64"]);
    same(allowed(Arch::X86_64, &caps), reference(&all));
}

#[test]
fn every_unconditional_name_is_decided_the_same_on_every_architecture() {
    let filter = default_filter(Arch::X86_64, &["CAP_SYS_ADMIN"]);
    let target = Target {
        arch: Arch::X86_64,
        caps: &["CAP_SYS_ADMIN"],
        kernel: (6, 18),
    };
    let profile = docker_default().resolve(&target);
    let mut allowed = BTreeSet::new();
    for name in profile
        .rules
        .iter()
        .filter(|rule| rule.args.is_empty())
        .flat_map(|r| &r.names)
    {
        for (arch, audit) in [
            (Arch::X86_64, X86_64),
            (Arch::X86, I386),
            (Arch::X32, X86_64),
        ] {
            let Some(call) = numbers(name).and_then(|row| number(row, arch)) else {
                continue;
            };
            assert_eq!(
                run(&filter, audit, call, [0; 6]),
                ALLOW,
                "{name} on {arch:?}"
            );
            allowed.insert((audit, call));
        }
    }
    let conditional = ["socket", "personality"];
    for (audit, base, arch) in [
        (X86_64, 0, Arch::X86_64),
        (I386, 0, Arch::X86),
        (X86_64, X32_BIT, Arch::X32),
    ] {
        for call in base..base + 600 {
            let special = conditional.iter().any(|name| nr(name, arch) == call);
            if !special && !allowed.contains(&(audit, call)) {
                assert_ne!(
                    run(&filter, audit, call, [0; 6]),
                    ALLOW,
                    "call {call} on {arch:?}"
                );
            }
        }
    }
}

fn profile(default_action: Action, rules: Vec<Rule>) -> Profile {
    let architectures = vec![Arch::X86];
    Profile {
        default_action,
        architectures,
        flags: LoadFlags::NONE,
        rules,
    }
}

fn rule(name: &'static str, action: Action, args: &[(u32, Op, u64, u64)]) -> Rule {
    let args = args.iter();
    let args = args.map(|&(index, op, value, value_two)| ArgCheck {
        index,
        value,
        value_two,
        op,
    });
    Rule {
        names: vec![name.into()],
        action,
        args: args.collect(),
    }
}

fn compiled(default_action: Action, rules: Vec<Rule>) -> Filter {
    Filter::compile_for(&profile(default_action, rules), Arch::X86_64).unwrap()
}

#[test]
fn precedence_is_that_of_libseccomp() {
    let ioctl = nr("ioctl", Arch::X86_64);
    let filter = compiled(
        Action::Allow,
        vec![
            rule("ioctl", Action::Errno(5), &[(0, Op::Equal, 1, 0)]),
            rule("ioctl", Action::Errno(6), &[(0, Op::LessThan, 3, 0)]),
            // Only repeats the default: does not undo the two above.
            rule("ioctl", Action::Allow, &[]),
            rule("read", Action::Errno(7), &[(0, Op::Equal, 1, 0)]),
            rule("read", Action::Errno(8), &[]),
            rule("read", Action::Errno(9), &[]),
            rule("no_such_call_at_all", Action::Errno(10), &[]),
        ],
    );
    let errno = |number: u32| 0x0005_0000 | number;
    assert_eq!(run(&filter, X86_64, ioctl, [1, 0, 0, 0, 0, 0]), errno(5));
    assert_eq!(run(&filter, X86_64, ioctl, [2, 0, 0, 0, 0, 0]), errno(6));
    assert_eq!(run(&filter, X86_64, ioctl, [3, 0, 0, 0, 0, 0]), ALLOW);
    assert_eq!(run(&filter, X86_64, 0, [1, 0, 0, 0, 0, 0]), errno(8));
    // No ENOSYS for the new where the default lets through.
    assert_eq!(run(&filter, X86_64, 9999, [0; 6]), ALLOW);
    // x32 was not asked for; -1 is not x32.
    assert_eq!(run(&filter, X86_64, X32_BIT, [0; 6]), KILL);
    assert_eq!(run(&filter, X86_64, u32::MAX, [0; 6]), ALLOW);
}

#[test]
fn several_arguments_must_all_hold_but_one_argument_twice_is_a_choice() {
    let filter = compiled(
        Action::Errno(1),
        vec![
            rule(
                "mmap",
                Action::Allow,
                &[(0, Op::Equal, 1, 0), (5, Op::NotEqual, 2, 0)],
            ),
            rule(
                "read",
                Action::Allow,
                &[(0, Op::Equal, 1, 0), (0, Op::Equal, 2, 0)],
            ),
        ],
    );
    let mmap = nr("mmap", Arch::X86_64);
    assert_eq!(run(&filter, X86_64, mmap, [1, 0, 0, 0, 0, 0]), ALLOW);
    assert_eq!(run(&filter, X86_64, mmap, [1, 0, 0, 0, 0, 2]), EPERM);
    assert_eq!(run(&filter, X86_64, mmap, [2, 0, 0, 0, 0, 0]), EPERM);
    assert_eq!(run(&filter, X86_64, 0, [1, 0, 0, 0, 0, 0]), ALLOW);
    assert_eq!(run(&filter, X86_64, 0, [2, 0, 0, 0, 0, 0]), ALLOW);
    assert_eq!(run(&filter, X86_64, 0, [3, 0, 0, 0, 0, 0]), EPERM);
}

#[test]
fn i386_multiplexers_follow_the_calls_they_hide() {
    let filter = compiled(Action::Allow, vec![rule("listen", Action::Errno(1), &[])]);
    let socketcall = nr("socketcall", Arch::X86);
    assert_eq!(run(&filter, I386, socketcall, [4, 0, 0, 0, 0, 0]), EPERM);
    assert_eq!(run(&filter, I386, socketcall, [3, 0, 0, 0, 0, 0]), ALLOW);
    assert_eq!(run(&filter, I386, nr("listen", Arch::X86), [0; 6]), EPERM);
}

#[test]
fn what_cannot_be_compiled_says_why() {
    let compile = |rules| Filter::compile_for(&profile(Action::Allow, rules), Arch::X86_64);
    assert_eq!(
        compile(vec![rule(
            "read",
            Action::Errno(1),
            &[(6, Op::Equal, 0, 0)]
        )]),
        Err(CompileError::NoSuchArgument {
            syscall: "read".into(),
            index: 6
        })
    );
    let notify = compile(vec![rule("read", Action::Notify, &[])]);
    assert_eq!(notify, Err(CompileError::ListenerUnsupported));
    let many = (0..3000).map(|value| rule("read", Action::Errno(1), &[(0, Op::Equal, value, 0)]));
    assert!(matches!(
        compile(many.collect()),
        Err(CompileError::TooLong { .. })
    ));
}

#[test]
fn bytes_give_the_filter_back() {
    let filter = default_filter(Arch::X86_64, DOCKER_CAPS);
    assert_eq!(Filter::from_bytes(&filter.to_bytes()), Some(filter));
    assert_eq!(Filter::from_bytes(&[1, 2, 3]), None);
    assert_eq!(Filter::from_bytes(&[0; 13]), None);
}

#[test]
fn compiling_is_quick() {
    let start = Instant::now();
    let filter = default_filter(Arch::X86_64, DOCKER_CAPS);
    let cold = start.elapsed();
    let start = Instant::now();
    for _ in 0..100 {
        assert_eq!(default_filter(Arch::X86_64, DOCKER_CAPS), filter);
    }
    let warm = start.elapsed() / 100;
    println!(
        "{} instructions, cold {cold:?}, warm {warm:?}",
        filter.instructions().len()
    );
    assert!(filter.instructions().len() < 1200);
}

fn op() -> impl Strategy<Value = Op> {
    prop::sample::select(vec![
        Op::NotEqual,
        Op::LessThan,
        Op::LessOrEqual,
        Op::Equal,
        Op::GreaterOrEqual,
        Op::GreaterThan,
        Op::MaskedEqual,
    ])
}

/// Values whose halves often coincide, so that every branch is met.
fn value() -> impl Strategy<Value = u64> {
    let half = || prop::sample::select(vec![0_u64, 1, 2, 0x28, 0xffff_fffe, 0xffff_ffff]);
    (half(), half()).prop_map(|(high, low)| high << 32 | low)
}

fn holds(op: Op, argument: u64, value: u64, value_two: u64) -> bool {
    match op {
        Op::NotEqual => argument != value,
        Op::LessThan => argument < value,
        Op::LessOrEqual => argument <= value,
        Op::Equal => argument == value,
        Op::GreaterOrEqual => argument >= value,
        Op::GreaterThan => argument > value,
        Op::MaskedEqual => argument & value == value_two & value,
    }
}

proptest! {
    #[test]
    fn comparisons_mean_what_they_say(
        op in op(), index in 0_u32..6, argument in value(), value in value(), two in value()
    ) {
        let filter =
            compiled(Action::Errno(1), vec![rule("read", Action::Allow, &[(index, op, value, two)])]);
        let mut args = [0; 6];
        args[index as usize] = argument;
        let expected = if holds(op, argument, value, two) { ALLOW } else { EPERM };
        prop_assert_eq!(run(&filter, X86_64, 0, args), expected);
        let low = 0xffff_ffff;
        let narrow = holds(op, argument & low, value & low, two & low);
        let expected = if narrow { ALLOW } else { EPERM };
        prop_assert_eq!(run(&filter, I386, 3, args), expected);
    }

    #[test]
    fn any_set_of_numbers_is_found(chosen in prop::collection::btree_set(0_usize..400, 0..200)) {
        let all: Vec<&'static str> = syscalls::names().collect();
        let names: Vec<_> = chosen.iter().map(|&index| all[index].into()).collect();
        let allowed = Rule { names, action: Action::Allow, args: vec![] };
        // Many conditional rules in between make jumps long.
        let mut rules = vec![allowed.clone()];
        rules.extend((0..120).map(|n| rule("ioctl", Action::Errno(3), &[(1, Op::Equal, n << 31, 0)])));
        let filter = compiled(Action::Errno(1), rules);
        for name in all {
            let Some(call) = numbers(name).and_then(|row| number(row, Arch::X86_64)) else { continue };
            let decision = run(&filter, X86_64, call, [1, 7, 0, 0, 0, 0]);
            let expected = allowed.names.iter().any(|allowed| allowed == name);
            prop_assert_eq!(decision == ALLOW, expected, "{}", name);
        }
    }
}

/// Runs `body` in a child of its own and gives its exit code; the child must not allocate.
#[cfg(target_arch = "x86_64")]
fn in_child(body: impl FnOnce() -> i32) -> i32 {
    // SAFETY: the child only makes raw system calls on data prepared before, then leaves
    // without running destructors or exit handlers.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork: {}", io::Error::last_os_error());
    if pid == 0 {
        let code = body();
        // SAFETY: ends this child at once.
        unsafe { libc::_exit(code) };
    }
    let mut status = 0;
    // SAFETY: `status` is valid for writing; the child is ours.
    let waited = unsafe { libc::waitpid(pid, &raw mut status, 0) };
    assert_eq!(waited, pid);
    assert!(libc::WIFEXITED(status), "child status {status:#x}");
    libc::WEXITSTATUS(status)
}

#[cfg(target_arch = "x86_64")]
#[test]
fn the_kernel_decides_the_same() {
    let filter = Filter::compile(&Profile::docker_default(DOCKER_CAPS, (6, 1))).unwrap();
    // number, arguments, expected errno (0 = let through)
    let calls: &[(libc::c_long, [u64; 3], i32)] = &[
        (libc::SYS_getpid, [0; 3], 0),
        (libc::SYS_socket, [2, 1, 0], 0),
        (libc::SYS_socket, [40, 1, 0], libc::EPERM),
        (libc::SYS_socket, [38, 5, 0], libc::EPERM),
        (libc::SYS_personality, [0xffff_ffff, 0, 0], 0),
        (libc::SYS_personality, [0x40000, 0, 0], libc::EPERM),
        (libc::SYS_clone, [0x1000_0011, 0, 0], libc::EPERM),
        (libc::SYS_clone3, [0; 3], libc::ENOSYS),
        (libc::SYS_unshare, [0; 3], libc::EPERM),
        (libc::SYS_keyctl, [0; 3], libc::EPERM),
        (libc::SYS_io_uring_setup, [0; 3], libc::EPERM),
        (467, [0; 3], libc::ENOSYS),
        (9999, [0; 3], libc::ENOSYS),
    ];
    let code = in_child(|| {
        // SAFETY: no_new_privs changes only this child.
        if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
            return 100;
        }
        if filter.load().is_err() {
            return 101;
        }
        for (at, (call, args, expected)) in calls.iter().enumerate() {
            // SAFETY: none of these calls gets a pointer but null, and those that would
            // change anything are refused by the filter; the child ends right after.
            let result = unsafe { libc::syscall(*call, args[0], args[1], args[2]) };
            let errno = if result < 0 {
                // SAFETY: errno of this thread.
                unsafe { *libc::__errno_location() }
            } else {
                0
            };
            if errno != *expected {
                return i32::try_from(at).unwrap_or(99) + 1;
            }
        }
        0
    });
    assert_eq!(
        code, 0,
        "the call before this place (counted from 1) was decided otherwise"
    );
}
