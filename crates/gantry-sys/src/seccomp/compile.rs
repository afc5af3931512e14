//! From a profile to a BPF program: a binary search over call numbers for each architecture.
//!
//! The search uses only the architecture, the number and constant returns, which is what the
//! kernel's own emulation understands: it then remembers calls that are always allowed in a
//! bitmap and does not run the filter for them at all.

use super::CompileError;
use super::assemble::{AND, Assembler, Instruction, JUMP_EQ, JUMP_GE, JUMP_GT, LOAD, Label};
use super::profile::{Action, Arch, ArgCheck, Op, Profile, Rule};
use super::syscalls::{ARM_PRIVATE, Numbers, X32_BIT, multiplexed, number, numbers};

/// The kernel's limit for one program (`BPF_MAXINSNS`).
const MAX_INSTRUCTIONS: usize = 4096;

/// `ENOSYS`, for calls newer than the profile.
const ENOSYS: u16 = 38;

/// Offset of the call number in `struct seccomp_data`.
const NUMBER_OFFSET: u32 = 0;
/// Offset of the architecture.
const ARCH_OFFSET: u32 = 4;
/// Offset of the first argument.
const ARGS_OFFSET: u32 = 16;

/// The `AUDIT_ARCH_*` value of an architecture. x32 shares that of x86_64.
fn audit_arch(arch: Arch) -> u32 {
    match arch {
        Arch::X86_64 | Arch::X32 => 0xc000_003e,
        Arch::X86 => 0x4000_0003,
        Arch::Aarch64 => 0xc000_00b7,
        Arch::Arm => 0x4000_0028,
    }
}

/// The `SECCOMP_RET_*` value of an action.
fn return_value(action: Action) -> u32 {
    match action {
        Action::KillProcess => 0x8000_0000,
        Action::KillThread => 0,
        Action::Trap => 0x0003_0000,
        Action::Errno(errno) => 0x0005_0000 | u32::from(errno),
        Action::Trace(message) => 0x7ff0_0000 | u32::from(message),
        Action::Allow => 0x7fff_0000,
        Action::Log => 0x7ffc_0000,
        Action::Notify => 0x7fc0_0000,
    }
}

/// One rule's conditions, all of which must hold, and what then happens.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Clause {
    checks: Vec<ArgCheck>,
    action: Action,
}

/// What a call number leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Decision {
    Always(Action),
    /// The first clause that holds, else the default.
    Depends {
        clauses: Vec<Clause>,
        width: Width,
    },
}

/// How much of an argument register counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Width {
    Full,
    Low,
}

/// A run of call numbers, from `first` to just before the next run's, with one decision.
#[derive(Debug)]
struct Run {
    first: u32,
    decision: Decision,
}

/// Compiles `profile` for a machine of this native architecture.
pub(super) fn compile(profile: &Profile, native: Arch) -> Result<Vec<Instruction>, CompileError> {
    check_arguments(profile)?;
    let resolved = resolve(profile);
    let mut program = Assembler::default();
    let mut entry = program.ret(return_value(Action::KillThread));
    // The one built last is asked first: the native architecture.
    for &arch in machines(profile, native).iter().rev() {
        let start = machine(&mut program, profile, &resolved, arch)?;
        entry = program.branch(JUMP_EQ, audit_arch(arch), start, entry);
    }
    program.then(LOAD, ARCH_OFFSET, entry);
    let instructions = program.finish();
    if instructions.len() > MAX_INSTRUCTIONS {
        return Err(CompileError::TooLong {
            instructions: instructions.len(),
        });
    }
    Ok(instructions)
}

fn check_arguments(profile: &Profile) -> Result<(), CompileError> {
    for rule in &profile.rules {
        if let Some(check) = rule.args.iter().find(|check| check.index > 5) {
            let syscall = rule
                .names
                .first()
                .map(ToString::to_string)
                .unwrap_or_default();
            return Err(CompileError::NoSuchArgument {
                syscall,
                index: check.index,
            });
        }
    }
    Ok(())
}

/// The architectures the kernel can tell apart, native first.
fn machines(profile: &Profile, native: Arch) -> Vec<Arch> {
    let mut machines = vec![native];
    for &arch in &profile.architectures {
        let arch = if arch == Arch::X32 {
            Arch::X86_64
        } else {
            arch
        };
        if !machines.contains(&arch) {
            machines.push(arch);
        }
    }
    machines
}

fn covers_x32(profile: &Profile, arch: Arch) -> bool {
    arch == Arch::X86_64 && profile.architectures.contains(&Arch::X32)
}

/// Emits everything for one architecture; the label is where its call number is loaded.
fn machine(
    program: &mut Assembler,
    profile: &Profile,
    resolved: &[Resolved<'_>],
    arch: Arch,
) -> Result<Label, CompileError> {
    let mut runs = runs(profile, resolved, arch);
    if covers_x32(profile, arch) {
        runs.extend(self::runs(profile, resolved, Arch::X32));
    } else if arch == Arch::X86_64 {
        // Another ABI than those allowed is killed, as another architecture is; but -1 is no
        // x32 call, it is what a program that probes makes.
        let last = runs
            .last()
            .map_or(Decision::Always(profile.default_action), |run| {
                run.decision.clone()
            });
        runs.push(Run {
            first: X32_BIT,
            decision: Decision::Always(Action::KillThread),
        });
        runs.push(Run {
            first: u32::MAX,
            decision: last,
        });
    }
    runs.dedup_by(|later, earlier| later.decision == earlier.decision);
    let search = search(program, &runs, profile.default_action)?;
    Ok(program.then(LOAD, NUMBER_OFFSET, search))
}

/// The decisions for all numbers of one architecture, in order.
fn runs(profile: &Profile, resolved: &[Resolved<'_>], arch: Arch) -> Vec<Run> {
    let base = if arch == Arch::X32 { X32_BIT } else { 0 };
    let (rules, newest) = rules_by_number(profile, resolved, arch);
    let beyond = match newest {
        Some(_) if !profile.default_action.lets_through() => Action::Errno(ENOSYS),
        _ => profile.default_action,
    };
    let newest = newest.unwrap_or(base);
    let between = |number: u32| {
        Decision::Always(if number > newest {
            beyond
        } else {
            profile.default_action
        })
    };
    let mut runs: Vec<Run> = Vec::with_capacity(2 * rules.len() + 2);
    let mut push = |first: u32, decision: Decision| runs.push(Run { first, decision });
    push(base, between(base));
    for group in rules.chunk_by(|left, right| left.0 == right.0) {
        let number = group[0].0;
        push(number, decide(profile, group, arch));
        push(number + 1, between(number + 1));
    }
    // Arm's private numbers lie beyond the newest, hence the sorting.
    push(newest + 1, between(newest + 1));
    runs.sort_by_key(|run| run.first);
    // A run that starts where the next one does is empty: the later decision counts.
    runs.dedup_by(|later, earlier| {
        let empty = later.first == earlier.first;
        if empty {
            std::mem::swap(later, earlier);
        }
        empty
    });
    runs
}

/// A number, the rule that names it and, for a multiplexed call, the condition that the
/// multiplexer's first argument names it.
type Named<'a> = (u32, &'a Rule, Option<u64>);

/// A rule with one of its names and that name's numbers on every architecture.
type Resolved<'a> = (&'a Rule, &'a str, Option<&'static Numbers>);

/// Looks up every name of the profile, once for all architectures.
fn resolve(profile: &Profile) -> Vec<Resolved<'_>> {
    let mut resolved = Vec::with_capacity(512);
    for rule in &profile.rules {
        let names = rule.names.iter().map(AsRef::as_ref);
        resolved.extend(names.map(|name| (rule, name, numbers(name))));
    }
    resolved
}

/// Every (number, rule) pair in order of number and, within one, of the profile; and the
/// highest number the profile knows, with which it shows how new it is.
fn rules_by_number<'a>(
    profile: &Profile,
    resolved: &[Resolved<'a>],
    arch: Arch,
) -> (Vec<Named<'a>>, Option<u32>) {
    let mut named: Vec<Named<'_>> = Vec::with_capacity(resolved.len());
    let mut newest = None;
    for &(rule, name, row) in resolved {
        // A rule that only repeats the default takes no part, as in runc: it would undo the
        // conditional rules for the same call.
        let counts = rule.action != profile.default_action;
        if arch == Arch::X86
            && counts
            && rule.args.is_empty()
            && let Some((multiplexer, call)) = multiplexed(name)
        {
            named.push((multiplexer, rule, Some(call)));
        }
        let Some(number) = row.and_then(|row| number(row, arch)) else {
            continue;
        };
        if arch != Arch::Arm || number < ARM_PRIVATE {
            newest = newest.max(Some(number));
        }
        if counts {
            named.push((number, rule, None));
        }
    }
    named.sort_by_key(|(number, ..)| *number);
    (named, newest)
}

/// What the rules for one call come to.
fn decide(profile: &Profile, group: &[Named<'_>], arch: Arch) -> Decision {
    let unconditional = group
        .iter()
        .find(|(_, rule, call)| rule.args.is_empty() && call.is_none());
    if let Some((_, rule, _)) = unconditional {
        return Decision::Always(rule.action);
    }
    let mut clauses: Vec<Clause> = Vec::new();
    for (_, rule, call) in group {
        let action = rule.action;
        if let Some(value) = *call {
            let check = ArgCheck {
                index: 0,
                value,
                value_two: 0,
                op: Op::Equal,
            };
            clauses.push(Clause {
                checks: vec![check],
                action,
            });
        } else if repeats_an_argument(&rule.args) {
            let alternatives = rule.args.iter();
            clauses.extend(alternatives.map(|&check| Clause {
                checks: vec![check],
                action,
            }));
        } else {
            clauses.push(Clause {
                checks: rule.args.clone(),
                action,
            });
        }
    }
    debug_assert!(
        clauses
            .iter()
            .all(|clause| clause.action != profile.default_action)
    );
    let width = match arch {
        Arch::X86_64 | Arch::Aarch64 => Width::Full,
        Arch::X86 | Arch::X32 | Arch::Arm => Width::Low,
    };
    Decision::Depends { clauses, width }
}

fn repeats_an_argument(args: &[ArgCheck]) -> bool {
    args.iter().enumerate().any(|(at, check)| {
        args[..at]
            .iter()
            .any(|earlier| earlier.index == check.index)
    })
}

/// Emits the binary search over `runs`; the accumulator holds the call number.
fn search(program: &mut Assembler, runs: &[Run], default: Action) -> Result<Label, CompileError> {
    if let [run] = runs {
        return leaf(program, &run.decision, default);
    }
    let (left, right) = runs.split_at(runs.len() / 2);
    let boundary = right[0].first;
    let right = search(program, right, default)?;
    let left = search(program, left, default)?;
    Ok(program.branch(JUMP_GE, boundary, right, left))
}

fn leaf(
    program: &mut Assembler,
    decision: &Decision,
    default: Action,
) -> Result<Label, CompileError> {
    match decision {
        Decision::Always(action) => Ok(program.ret(return_value(*action))),
        Decision::Depends { clauses, width } => {
            let mut otherwise = program.ret(return_value(default));
            for clause in clauses.iter().rev() {
                let mut hit = program.ret(return_value(clause.action));
                for check in clause.checks.iter().rev() {
                    hit = condition(program, check, *width, hit, otherwise);
                }
                otherwise = hit;
            }
            Ok(otherwise)
        }
    }
}

/// Emits one comparison of an argument.
fn condition(
    program: &mut Assembler,
    check: &ArgCheck,
    width: Width,
    hit: Label,
    miss: Label,
) -> Label {
    match check.op {
        Op::Equal => equal(program, check, check.value, u64::MAX, width, hit, miss),
        Op::NotEqual => equal(program, check, check.value, u64::MAX, width, miss, hit),
        Op::MaskedEqual => {
            let value = check.value_two & check.value;
            equal(program, check, value, check.value, width, hit, miss)
        }
        Op::GreaterThan => above(program, check, JUMP_GT, width, hit, miss),
        Op::GreaterOrEqual => above(program, check, JUMP_GE, width, hit, miss),
        Op::LessOrEqual => above(program, check, JUMP_GT, width, miss, hit),
        Op::LessThan => above(program, check, JUMP_GE, width, miss, hit),
    }
}

/// The offsets of an argument's low and high half; both supported machines are little-endian.
fn halves(check: &ArgCheck) -> (u32, u32) {
    let low = ARGS_OFFSET + 8 * check.index;
    (low, low + 4)
}

fn low(value: u64) -> u32 {
    u32::try_from(value & 0xffff_ffff).expect("masked to 32 bits")
}

fn high(value: u64) -> u32 {
    u32::try_from(value >> 32).expect("32 bits remain")
}

/// `arg & mask == value`
fn equal(
    program: &mut Assembler,
    check: &ArgCheck,
    value: u64,
    mask: u64,
    width: Width,
    hit: Label,
    miss: Label,
) -> Label {
    let (low_half, high_half) = halves(check);
    let mut half = |offset: u32, value: u32, mask: u32, hit: Label| {
        let test = program.branch(JUMP_EQ, value, hit, miss);
        let test = if mask == u32::MAX {
            test
        } else {
            program.then(AND, mask, test)
        };
        program.then(LOAD, offset, test)
    };
    let hit = half(low_half, low(value), low(mask), hit);
    if width == Width::Low || high(mask) == 0 {
        return hit;
    }
    half(high_half, high(value), high(mask), hit)
}

/// `arg > value` or `arg >= value`, as `code` compares the low half.
fn above(
    program: &mut Assembler,
    check: &ArgCheck,
    code: u16,
    width: Width,
    hit: Label,
    miss: Label,
) -> Label {
    let (low_half, high_half) = halves(check);
    let test = program.branch(code, low(check.value), hit, miss);
    let test = program.then(LOAD, low_half, test);
    if width == Width::Low {
        return test;
    }
    let same = program.branch(JUMP_EQ, high(check.value), test, miss);
    let test = program.branch(JUMP_GT, high(check.value), hit, same);
    program.then(LOAD, high_half, test)
}
