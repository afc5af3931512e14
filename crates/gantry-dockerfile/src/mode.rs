//! Permissions as `--chmod` spells them: octal, `0755`, or symbolic, `u=rwX,go=rX`.

use gantry_model::{Fault, FaultKind};

/// A text that is no mode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid chmod parameter: '{text}'")]
pub struct ModeError {
    /// The text.
    pub text: String,
}

impl Fault for ModeError {
    fn kind(&self) -> FaultKind {
        FaultKind::Invalid
    }

    fn hints(&self) -> Vec<String> {
        vec!["write an octal number between 0 and 07777, or symbols as u=rwX,go=rX".to_owned()]
    }
}

/// A mode to set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// These permissions, whatever they were.
    Absolute(u32),
    /// A change of what they were.
    Symbolic(Vec<Change>),
}

/// One step of a symbolic mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// Whose bits: a mask of 0o4700 (user), 0o2070 (group), 0o1007 (others).
    who: u32,
    action: Action,
    bits: Bits,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Add,
    Remove,
    Set,
}

/// Which permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bits {
    /// Letters: bits for everybody, of which `who` takes its part, and whether `X` is among them.
    Letters {
        bits: u32,
        conditional_execute: bool,
    },
    /// Those that the user, the group or the others have: how far they stand from the right.
    CopyOf(u32),
}

const USER: u32 = 0o4700;
const GROUP: u32 = 0o2070;
const OTHERS: u32 = 0o1007;
const ALL: u32 = 0o7777;
const EXECUTE: u32 = 0o111;

/// Reads a mode.
///
/// # Errors
/// Text that is neither an octal number up to 7777 nor a symbolic mode.
pub fn parse(text: &str) -> Result<Mode, ModeError> {
    let invalid = || ModeError {
        text: text.to_owned(),
    };
    if text.starts_with(|letter: char| letter.is_ascii_digit()) {
        let octal = text.bytes().all(|byte| byte.is_ascii_digit());
        let mode = u32::from_str_radix(text, 8)
            .ok()
            .filter(|mode| octal && *mode <= ALL);
        return mode.map(Mode::Absolute).ok_or_else(invalid);
    }
    let mut changes = Vec::new();
    for clause in text.split(',') {
        parse_clause(clause, &mut changes).ok_or_else(invalid)?;
    }
    Ok(Mode::Symbolic(changes))
}

/// `[ugoa]*` and then one or more of `[+-=]` with letters or one of `u`, `g`, `o`.
fn parse_clause(clause: &str, changes: &mut Vec<Change>) -> Option<()> {
    let actions_at = clause.find(['+', '-', '='])?;
    let (who, mut rest) = clause.split_at(actions_at);
    let mut mask = 0;
    for letter in who.chars() {
        mask |= match letter {
            'u' => USER,
            'g' => GROUP,
            'o' => OTHERS,
            'a' => ALL,
            _ => return None,
        };
    }
    let who = if mask == 0 { ALL } else { mask };
    while let Some(first) = rest.chars().next() {
        let action = match first {
            '+' => Action::Add,
            '-' => Action::Remove,
            _ => Action::Set,
        };
        rest = &rest[1..];
        let end = rest.find(['+', '-', '=']).unwrap_or(rest.len());
        changes.push(Change {
            who,
            action,
            bits: parse_bits(&rest[..end])?,
        });
        rest = &rest[end..];
    }
    Some(())
}

fn parse_bits(letters: &str) -> Option<Bits> {
    match letters {
        "u" => return Some(Bits::CopyOf(6)),
        "g" => return Some(Bits::CopyOf(3)),
        "o" => return Some(Bits::CopyOf(0)),
        _ => {}
    }
    let (mut bits, mut conditional_execute) = (0, false);
    for letter in letters.chars() {
        match letter {
            'r' => bits |= 0o444,
            'w' => bits |= 0o222,
            'x' => bits |= EXECUTE,
            's' => bits |= 0o6000,
            't' => bits |= 0o1000,
            'X' => conditional_execute = true,
            _ => return None,
        }
    }
    Some(Bits::Letters {
        bits,
        conditional_execute,
    })
}

impl Mode {
    /// The permissions that a file with `current` ones gets (the lower 12 bits of both).
    pub fn apply(&self, current: u32, is_directory: bool) -> u32 {
        let current = current & ALL;
        match self {
            Self::Absolute(mode) => *mode,
            Self::Symbolic(changes) => changes
                .iter()
                .fold(current, |mode, change| change.apply(mode, is_directory)),
        }
    }
}

impl Change {
    fn apply(self, mode: u32, is_directory: bool) -> u32 {
        let bits = match self.bits {
            Bits::Letters {
                bits,
                conditional_execute,
            } => {
                // X means x where somebody may execute already, and for directories.
                let execute = conditional_execute && (is_directory || mode & EXECUTE != 0);
                bits | if execute { EXECUTE } else { 0 }
            }
            Bits::CopyOf(shift) => ((mode >> shift) & 7) * EXECUTE,
        };
        // The sticky bit belongs to nobody in particular: naming somebody does not protect it.
        let sticky = if self.who == ALL { 0 } else { 0o1000 };
        let taken = bits & self.who;
        match self.action {
            Action::Add => mode | taken,
            Action::Remove => mode & !taken,
            Action::Set => (mode & !(self.who & !sticky)) | taken,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Mode, parse};

    #[test]
    fn octal() {
        for (text, mode) in [
            ("755", 0o755),
            ("0644", 0o644),
            ("07777", 0o7777),
            ("0", 0),
            ("00000755", 0o755),
        ] {
            assert_eq!(parse(text), Ok(Mode::Absolute(mode)), "{text}");
        }
    }

    #[test]
    fn symbolic() {
        let cases = [
            ("u+x", 0o644, false, 0o744),
            ("+x", 0o644, false, 0o755),
            ("a+x", 0o644, false, 0o755),
            ("a-w", 0o666, false, 0o444),
            ("u=rwx,go=rx", 0o000, false, 0o755),
            ("u+rwx,go=rX", 0o600, false, 0o755),
            ("go=rX", 0o600, false, 0o644),
            ("go=rX", 0o600, true, 0o655),
            ("a=rX", 0o644, false, 0o444),
            ("a=rX", 0o744, false, 0o555),
            ("u=rwX,go=rX", 0o600, true, 0o755),
            ("=", 0o755, false, 0o000),
            ("o=", 0o755, false, 0o750),
            ("g=u", 0o740, false, 0o770),
            ("o=g-w", 0o760, false, 0o764),
            ("u+s", 0o755, false, 0o4755),
            ("g+s", 0o755, false, 0o2755),
            ("ug+s", 0o755, false, 0o6755),
            ("+t", 0o777, true, 0o1777),
            ("u-s,g-s", 0o6755, false, 0o755),
            ("u=rw", 0o4755, false, 0o655),
            ("u+x-w", 0o644, false, 0o544),
        ];
        for (text, before, is_directory, after) in cases {
            let mode = parse(text).unwrap().apply(before, is_directory);
            assert_eq!(mode, after, "{text} on {before:o}: {mode:o} not {after:o}");
        }
    }

    #[test]
    fn refusals() {
        for text in [
            "",
            "8",
            "10000",
            "07778",
            "77777777777",
            "x",
            "u",
            "u+z",
            "z+x",
            "u+x,",
            ",u+x",
            "+ug",
            "u=rwx go=r",
            "0x1ff",
            "1e3",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
