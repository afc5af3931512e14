//! Texts.

use unicode_segmentation::UnicodeSegmentation as _;

use super::{Answer, Function, Parameter, Problem, text, whole};
use crate::surroundings::Surroundings;
use crate::value::{LARGEST_VALUE, Value};

const STR: Parameter = Parameter::text("str");

pub(super) const FUNCTIONS: &[Function] = &[
    Function::of_text("basename", |_, a| Ok(Value::from(base_name(text(a, 0))))),
    Function::of_text("byteslen", |_, a| Ok(Value::from(text(a, 0).len()))),
    Function {
        name: "bytesslice",
        parameters: &[
            STR,
            Parameter::number("offset"),
            Parameter::number("length"),
        ],
        rest: None,
        run: bytes_slice,
    },
    Function::of_text("chomp", |_, a| {
        Ok(Value::from(text(a, 0).trim_end_matches(['\n', '\r'])))
    }),
    Function::of_text("dirname", |_, a| {
        Ok(Value::from(directory_name(text(a, 0))))
    }),
    Function {
        name: "homedir",
        parameters: &[],
        rest: None,
        run: |surroundings, _| match &surroundings.home {
            Some(home) => Ok(Value::from(home.as_str())),
            None => Err(Problem::new(
                "the home folder is not known: HOME is not set",
            )),
        },
    },
    Function {
        name: "indent",
        parameters: &[Parameter::number("spaces"), STR],
        rest: None,
        run: indent,
    },
    Function::of_text("lower", |_, a| Ok(Value::from(text(a, 0).to_lowercase()))),
    Function {
        name: "replace",
        parameters: &[STR, Parameter::text("substr"), Parameter::text("replace")],
        rest: None,
        run: replace,
    },
    Function::of_text("reverse", |_, a| {
        Ok(Value::from(
            text(a, 0).graphemes(true).rev().collect::<String>(),
        ))
    }),
    Function::of_text("sanitize", |_, a| {
        let allowed = |letter: char| letter.is_ascii_alphanumeric() || "_-".contains(letter);
        let clean = text(a, 0)
            .chars()
            .map(|letter| if allowed(letter) { letter } else { '_' });
        Ok(Value::from(clean.collect::<String>()))
    }),
    Function {
        name: "split",
        parameters: &[Parameter::text("separator"), STR],
        rest: None,
        run: split,
    },
    Function::of_text("strlen", |_, a| {
        Ok(Value::from(text(a, 0).graphemes(true).count()))
    }),
    Function {
        name: "substr",
        parameters: &[
            STR,
            Parameter::number("offset"),
            Parameter::number("length"),
        ],
        rest: None,
        run: substring,
    },
    Function::of_text("title", |_, a| Ok(Value::from(title(text(a, 0))))),
    Function {
        name: "trim",
        parameters: &[STR, Parameter::text("cutset")],
        rest: None,
        run: |_, a| {
            Ok(Value::from(
                text(a, 0).trim_matches(|letter| text(a, 1).contains(letter)),
            ))
        },
    },
    Function {
        name: "trimprefix",
        parameters: &[STR, Parameter::text("prefix")],
        rest: None,
        run: |_, a| {
            let text_of = text(a, 0);
            Ok(Value::from(
                text_of.strip_prefix(text(a, 1)).unwrap_or(text_of),
            ))
        },
    },
    Function::of_text("trimspace", |_, a| Ok(Value::from(text(a, 0).trim()))),
    Function {
        name: "trimsuffix",
        parameters: &[STR, Parameter::text("suffix")],
        rest: None,
        run: |_, a| {
            let text_of = text(a, 0);
            Ok(Value::from(
                text_of.strip_suffix(text(a, 1)).unwrap_or(text_of),
            ))
        },
    },
    Function::of_text("upper", |_, a| Ok(Value::from(text(a, 0).to_uppercase()))),
];

/// Refuses a text of so many bytes before it is made.
pub(super) fn sized(bytes: usize) -> Result<(), Problem> {
    let most = LARGEST_VALUE * 16;
    if bytes > most {
        return Err(Problem::new(format!(
            "the text would have more than {most} bytes"
        )));
    }
    Ok(())
}

/// The last part of a path (Go's `path.Base`).
fn base_name(path: &str) -> &str {
    if path.is_empty() {
        return ".";
    }
    let trimmed = path.trim_end_matches('/');
    if trimmed.is_empty() {
        return "/";
    }
    trimmed.rsplit('/').next().unwrap_or(trimmed)
}

/// All but the last part of a path, brought to its shortest form (Go's `path.Dir`).
fn directory_name(path: &str) -> String {
    let folder = path.rfind('/').map_or("", |at| &path[..=at]);
    crate::path::clean(folder)
}

fn bytes_slice(_: &Surroundings, arguments: &[Value]) -> Answer {
    let range = usize::try_from(whole(arguments, 1)?)
        .ok()
        .zip(usize::try_from(whole(arguments, 2)?).ok())
        .and_then(|(start, length)| Some(start..start.checked_add(length)?));
    let slice = range.and_then(|range| text(arguments, 0).as_bytes().get(range));
    let slice = slice.ok_or_else(|| Problem::new("there are not so many bytes"))?;
    match std::str::from_utf8(slice) {
        Ok(slice) => Ok(Value::from(slice)),
        Err(_) => Err(Problem::new("the bytes are no text")),
    }
}

fn indent(_: &Surroundings, arguments: &[Value]) -> Answer {
    let Ok(spaces) = usize::try_from(whole(arguments, 0)?) else {
        return Err(Problem::at(0, "the number of spaces cannot be negative"));
    };
    let lines = text(arguments, 1).matches('\n').count();
    sized(lines.saturating_mul(spaces))?;
    if lines == 0 {
        return Ok(Value::from(text(arguments, 1)));
    }
    let line_end = format!("\n{}", " ".repeat(spaces));
    Ok(Value::from(text(arguments, 1).replace('\n', &line_end)))
}

fn replace(_: &Surroundings, arguments: &[Value]) -> Answer {
    let (whole, wanted, instead) = (text(arguments, 0), text(arguments, 1), text(arguments, 2));
    let times = whole.matches(wanted).count();
    sized(times.saturating_mul(instead.len()))?;
    Ok(Value::from(whole.replace(wanted, instead)))
}

fn split(_: &Surroundings, arguments: &[Value]) -> Answer {
    let (separator, whole) = (text(arguments, 0), text(arguments, 1));
    if separator.is_empty() {
        return Ok(Value::strings(whole.chars().map(String::from)));
    }
    Ok(Value::strings(whole.split(separator)))
}

/// A negative offset counts from the end; a length of -1 goes up to the end.
fn substring(_: &Surroundings, arguments: &[Value]) -> Answer {
    let letters: Vec<&str> = text(arguments, 0).graphemes(true).collect();
    let count = i64::try_from(letters.len()).unwrap_or(i64::MAX);
    let (offset, length) = (whole(arguments, 1)?, whole(arguments, 2)?);
    let start = if offset < 0 { offset + count } else { offset }.clamp(0, count);
    if offset + count < 0 {
        return Ok(Value::from(""));
    }
    let length = if length < 0 { count } else { length };
    let end = start.saturating_add(length).min(count);
    let place = |at: i64| usize::try_from(at).unwrap_or(0);
    Ok(Value::from(letters[place(start)..place(end)].concat()))
}

/// A capital letter behind everything that is neither letter nor digit.
fn title(text: &str) -> String {
    let mut titled = String::with_capacity(text.len());
    let mut before = ' ';
    for letter in text.chars() {
        let inside = before.is_alphanumeric() || before == '_';
        if inside {
            titled.push(letter);
        } else {
            titled.extend(letter.to_uppercase());
        }
        before = letter;
    }
    titled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cut_as_go_cuts_them() {
        for (path, base, folder) in [
            ("", ".", "."),
            ("/", "/", "/"),
            ("a", "a", "."),
            ("a/b", "b", "a"),
            ("/a/b/", "b", "/a/b"),
            ("a/../b/c", "c", "b"),
            ("../x/y", "y", "../x"),
            ("/../x/y", "y", "/x"),
        ] {
            assert_eq!(base_name(path), base, "{path}");
            assert_eq!(directory_name(path), folder, "{path}");
        }
    }
}
