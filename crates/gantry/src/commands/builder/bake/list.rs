//! `--list`: what the files define.

use gantry_bake::Definition;
use gantry_model::mount::split_csv;

use crate::context::Context;
use crate::failure::{Exit, Failure, Outcome};
use crate::output::columns::align_with;
use crate::output::go_json;

/// What is listed, and how.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    variables: bool,
    json: bool,
}

/// Lists targets or variables.
pub(super) fn show(context: &Context, wanted: &str, definition: &Definition) -> Outcome {
    let wanted = parse(wanted)?;
    let text = match (wanted.variables, wanted.json) {
        (true, true) => go_json::indented_by_two(&definition.variables),
        (false, true) => go_json::indented_by_two(&definition.targets),
        (true, false) => {
            let rows = definition.variables.iter().map(|row| {
                let value = row.value.as_deref().unwrap_or("<null>");
                [&row.name, &row.kind, value, &row.description].join("\t")
            });
            table("VARIABLE\tTYPE\tVALUE\tDESCRIPTION", rows)
        }
        (false, false) => {
            let rows = definition.targets.iter();
            let rows = rows.map(|row| [row.name.as_str(), &row.description].join("\t"));
            table("TARGET\tDESCRIPTION", rows)
        }
    };
    context.ui.line(&text)?;
    Ok(Exit::SUCCESS)
}

fn table(head: &str, rows: impl Iterator<Item = String>) -> String {
    let lines: Vec<String> = std::iter::once(head.to_owned()).chain(rows).collect();
    let aligned = align_with(&lines.join("\n"), 1, 3);
    let lines: Vec<&str> = aligned.lines().map(str::trim_end).collect();
    lines.join("\n")
}

/// `targets`, `variables`, or `type=…,format=table|json`.
fn parse(text: &str) -> Result<Wanted, Failure> {
    let (mut kind, mut format) = (None, None);
    for field in split_csv(text) {
        match field.split_once('=') {
            None if kind.is_none() => kind = Some(field.clone()),
            Some(("type", value)) => kind = Some(value.to_owned()),
            Some(("format", value)) => format = Some(value.to_owned()),
            _ => return Err(Failure::invalid(format!("invalid value {field} of --list"))),
        }
    }
    let json = match format.as_deref() {
        None | Some("table") => false,
        Some("json") => true,
        Some(other) => return Err(Failure::invalid(format!("invalid list format {other:?}"))),
    };
    match kind.as_deref() {
        Some("targets") => Ok(Wanted {
            variables: false,
            json,
        }),
        Some("variables") => Ok(Wanted {
            variables: true,
            json,
        }),
        other => {
            let other = other.unwrap_or_default();
            let message = format!("invalid list type {other:?}: targets and variables are there");
            Err(Failure::invalid(message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_listed() {
        let (variables, json) = (true, true);
        assert_eq!(
            parse("type=variables,format=json").unwrap(),
            Wanted { variables, json }
        );
        assert!(!parse("targets").unwrap().variables);
        assert!(parse("variables,format=table").unwrap().variables);
        for wrong in ["", "groups", "targets,x=y", "targets,format=xml"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
