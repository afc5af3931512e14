//! Comma-separated values (RFC 4180).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Answer, Function, Parameter, Problem, list_or_tuple, text};
use crate::surroundings::Surroundings;
use crate::value::Value;

pub(super) const FUNCTIONS: &[Function] = &[Function {
    name: "csvdecode",
    parameters: &[Parameter::text("str")],
    rest: None,
    run: decode,
}];

/// The fields of one line.
///
/// # Errors
/// A sentence about the quotes.
pub(crate) fn fields(line: &str) -> Result<Vec<String>, String> {
    let mut records = records(line)?;
    match records.len() {
        0 => Ok(Vec::new()),
        1 => Ok(records.remove(0)),
        _ => Err("one line is expected".to_owned()),
    }
}

/// All records; lines without anything are left out.
fn records(text: &str) -> Result<Vec<Vec<String>>, String> {
    let mut all = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(behind) = rest
            .strip_prefix('\n')
            .or_else(|| rest.strip_prefix("\r\n"))
        {
            rest = behind;
            continue;
        }
        let mut record = Vec::new();
        loop {
            let (field, behind) = field(rest)?;
            record.push(field);
            rest = behind;
            match rest.strip_prefix(',') {
                Some(behind) => rest = behind,
                None => break,
            }
        }
        all.push(record);
    }
    Ok(all)
}

/// A field and what is behind it: a comma, a line end or nothing.
fn field(text: &str) -> Result<(String, &str), String> {
    let Some(mut rest) = text.strip_prefix('"') else {
        let end = text.find([',', '\n']).unwrap_or(text.len());
        let (field, behind) = text.split_at(end);
        if field.contains('"') {
            return Err("a quote stands inside a field without quotes".to_owned());
        }
        return Ok((field.trim_end_matches('\r').to_owned(), behind));
    };
    let mut field = String::new();
    loop {
        let Some(end) = rest.find('"') else {
            return Err("a quote is not closed".to_owned());
        };
        field.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(behind) => {
                field.push('"');
                rest = behind;
            }
            None => break,
        }
    }
    let behind = rest
        .strip_prefix('\r')
        .filter(|behind| behind.starts_with('\n'));
    let behind = behind.unwrap_or(rest);
    if !behind.is_empty() && !behind.starts_with([',', '\n']) {
        return Err("something follows a closing quote".to_owned());
    }
    Ok((field, behind))
}

/// One object for each line, the names in the first one.
fn decode(_: &Surroundings, arguments: &[Value]) -> Answer {
    let records = records(text(arguments, 0)).map_err(|error| Problem::at(0, error))?;
    let Some((names, rows)) = records.split_first() else {
        return Err(Problem::at(0, "the line with the names is missing"));
    };
    let mut objects = Vec::with_capacity(rows.len());
    for (number, row) in rows.iter().enumerate() {
        if row.len() != names.len() {
            let message = format!("line {} does not have {} fields", number + 2, names.len());
            return Err(Problem::at(0, message));
        }
        let fields: BTreeMap<Arc<str>, Value> = names
            .iter()
            .zip(row)
            .map(|(name, field)| (Arc::from(name.as_str()), Value::from(field.as_str())))
            .collect();
        objects.push(Value::object(fields));
    }
    Ok(list_or_tuple(objects))
}

#[cfg(test)]
mod tests {
    use super::fields;

    #[test]
    fn fields_of_a_line() {
        assert_eq!(
            fields("a,\"b,c\",\"d\"\"e\",").unwrap(),
            ["a", "b,c", "d\"e", ""]
        );
        assert_eq!(fields("").unwrap(), Vec::<String>::new());
        for wrong in ["a\"b", "\"a", "\"a\"b", "a\nb"] {
            assert!(fields(wrong).is_err(), "{wrong}");
        }
    }
}
