//! Go templates as Docker's `--format` has them: the engine of `text/template`, Docker's own
//! functions, and Docker's error texts.

use std::collections::BTreeMap;
use std::sync::Arc;

use gantry_model::{Fault, FaultKind};
use gotmpl::{MissingKey, TemplateError, Value};

use super::go_json;

/// A template that does not parse or cannot be applied.
#[derive(Debug, thiserror::Error)]
#[error("template parsing error: {message}")]
pub(crate) struct TemplateFailure {
    message: String,
    fields: Vec<String>,
}

impl TemplateFailure {
    fn new(error: &TemplateError) -> Self {
        let message = match error {
            TemplateError::Parse { line, message, .. }
            | TemplateError::Lex { line, message, .. } => {
                format!("template: :{line}: {message}")
            }
            TemplateError::UndefinedFunction(name) => {
                format!("template: :1: function {name:?} not defined")
            }
            TemplateError::MissingKey { key } => {
                format!(
                    "template: :1: executing \"\" at <.{key}>: map has no entry for key {key:?}"
                )
            }
            other => format!("template: :1: executing \"\": {other}"),
        };
        Self {
            message,
            fields: Vec::new(),
        }
    }

    /// Says which fields there are, when the failure is that of a missing one.
    pub(crate) fn with_fields<'a>(mut self, fields: impl Iterator<Item = &'a str>) -> Self {
        if self.message.contains("has no entry") {
            self.fields = fields.map(|f| format!(".{f}")).collect();
        }
        self
    }
}

impl Fault for TemplateFailure {
    fn kind(&self) -> FaultKind {
        FaultKind::Invalid
    }

    fn hints(&self) -> Vec<String> {
        if self.fields.is_empty() {
            return Vec::new();
        }
        vec![format!("the fields are {}", self.fields.join(" "))]
    }
}

/// What a template is applied to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    /// One row of a listing; `{{json .}}` escapes as Go's `json.Marshal` does.
    Row,
    /// The names of the columns: functions give their argument back unchanged.
    Header,
    /// A document of `inspect`; a missing field is an error.
    Document,
}

/// A parsed template.
pub(crate) struct Template(gotmpl::Template);

impl Template {
    /// Parses `text` for `subject`.
    pub(crate) fn parse(text: &str, subject: Subject) -> Result<Self, TemplateFailure> {
        let mut template = gotmpl::Template::new("").missing_key(match subject {
            Subject::Header => MissingKey::Invalid,
            Subject::Row | Subject::Document => MissingKey::Error,
        });
        template = match subject {
            Subject::Header => header_functions(template),
            Subject::Row => functions(template, true),
            Subject::Document => functions(template, false),
        };
        template
            .parse(&call_methods(text))
            .map(Self)
            .map_err(|e| TemplateFailure::new(&e))
    }

    /// Applies it.
    pub(crate) fn execute(&self, value: &Value) -> Result<String, TemplateFailure> {
        self.0
            .execute_to_string(value)
            .map_err(|e| TemplateFailure::new(&e))
    }
}

/// Turns the `\t` and `\n` that people write in a shell into what they mean, outside of actions.
pub(crate) fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let (plain, action) = match rest.find("{{") {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        out.push_str(&plain.replace("\\t", "\t").replace("\\n", "\n"));
        let end = action.find("}}").map_or(action.len(), |at| at + 2);
        out.push_str(&action[..end]);
        rest = &action[end..];
    }
    out
}

/// A JSON document as template data.
pub(crate) fn from_json(value: &serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => Value::Nil,
        serde_json::Value::Bool(truth) => Value::Bool(*truth),
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(n), _) => Value::Int(n),
            (None, Some(n)) => Value::Uint(n),
            (None, None) => Value::Float(number.as_f64().unwrap_or_default()),
        },
        serde_json::Value::String(text) => Value::String(text.as_str().into()),
        serde_json::Value::Array(items) => Value::List(items.iter().map(from_json).collect()),
        serde_json::Value::Object(map) => Value::Map(Arc::new(
            map.iter()
                .map(|(key, value)| (key.as_str().into(), from_json(value)))
                .collect(),
        )),
    }
}

/// Template data as JSON; functions are left out.
fn to_json(value: &Value) -> serde_json::Value {
    match value {
        Value::Nil | Value::Function(_) => serde_json::Value::Null,
        Value::Bool(truth) => (*truth).into(),
        Value::Int(n) => (*n).into(),
        Value::Uint(n) => (*n).into(),
        Value::Float(n) => (*n).into(),
        Value::String(text) => text.to_string().into(),
        Value::List(items) => items.iter().map(to_json).collect(),
        Value::Map(map) => map
            .iter()
            .filter(|(_, value)| !matches!(value, Value::Function(_)))
            .map(|(key, value)| (key.to_string(), to_json(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
    }
}

/// Go calls a method where a field stands with arguments behind it (`{{.Label "x"}}`); here
/// the field holds a function and is called by name.
fn call_methods(text: &str) -> String {
    const METHOD: &str = ".Label ";
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(METHOD) {
        let before = rest[..at].chars().next_back();
        let argument = rest[at + METHOD.len()..].trim_start().chars().next();
        out.push_str(&rest[..at]);
        if matches!(before, Some('{' | '(' | ' ' | '-'))
            && matches!(argument, Some('"' | '`' | '$' | '('))
        {
            out.push_str("call ");
        }
        out.push_str(METHOD);
        rest = &rest[at + METHOD.len()..];
    }
    out.push_str(rest);
    out
}

type Result2 = gotmpl::Result<Value>;

fn text(args: &[Value], at: usize) -> gotmpl::Result<String> {
    match args.get(at) {
        Some(Value::String(text)) => Ok(text.to_string()),
        Some(other) => Err(TemplateError::TypeMismatch {
            expected: "string",
            got: other.type_name(),
        }),
        None => Err(TemplateError::Exec(format!(
            "wrong number of args: want {}",
            at + 1
        ))),
    }
}

fn number(args: &[Value], at: usize) -> gotmpl::Result<usize> {
    args.get(at)
        .and_then(Value::as_int)
        .and_then(|n| usize::try_from(n).ok())
        .filter(|n| *n <= 4096)
        .ok_or_else(|| TemplateError::Exec(format!("argument {} is no small number", at + 1)))
}

fn string(text: impl AsRef<str>) -> Value {
    Value::String(text.as_ref().into())
}

/// Docker's functions.
fn functions(template: gotmpl::Template, rows: bool) -> gotmpl::Template {
    template
        .func("json", move |args| {
            let value = args.first().unwrap_or(&Value::Nil);
            let json = to_json(value);
            Ok(string(if rows && json.is_object() {
                go_json::compact(&json)
            } else {
                json.to_string()
            }))
        })
        .func("split", |args| {
            let (whole, separator) = (text(args, 0)?, text(args, 1)?);
            let parts: Vec<Value> = if separator.is_empty() {
                whole.chars().map(|c| string(c.to_string())).collect()
            } else {
                whole.split(&separator).map(string).collect()
            };
            Ok(Value::List(parts.into()))
        })
        .func("join", |args| {
            let Some(Value::List(items)) = args.first() else {
                return Err(TemplateError::Exec(
                    "join wants a list and a separator".to_owned(),
                ));
            };
            let parts: Vec<String> = items.iter().map(ToString::to_string).collect();
            Ok(string(parts.join(&text(args, 1)?)))
        })
        .func("title", |args| Ok(string(title(&text(args, 0)?))))
        .func("lower", |args| Ok(string(text(args, 0)?.to_lowercase())))
        .func("upper", |args| Ok(string(text(args, 0)?.to_uppercase())))
        .func("pad", pad)
        .func("truncate", |args| {
            let length = number(args, 1)?;
            Ok(string(
                text(args, 0)?.chars().take(length).collect::<String>(),
            ))
        })
}

/// Blanks before and behind a text that is not empty.
fn pad(args: &[Value]) -> Result2 {
    let source = text(args, 0)?;
    if source.is_empty() {
        return Ok(string(source));
    }
    let (before, behind) = (" ".repeat(number(args, 1)?), " ".repeat(number(args, 2)?));
    Ok(string(format!("{before}{source}{behind}")))
}

/// The same names for the row of headers: how a value is shown does not change its column's name,
/// but blanks around it are around its header, too.
fn header_functions(template: gotmpl::Template) -> gotmpl::Template {
    let mut template = template.func("pad", pad);
    for name in ["split", "join", "title", "lower", "upper", "truncate"] {
        template = template.func(name, |args| -> Result2 {
            Ok(args.first().cloned().unwrap_or(Value::Nil))
        });
    }
    template
        // A whole row has no name.
        .func("json", |args| match args.first() {
            Some(name @ Value::String(_)) => Ok(name.clone()),
            _ => Ok(string("")),
        })
        // A label's column is named by the label's last part.
        .func("call", |args| {
            let label = args.get(1).map(ToString::to_string).unwrap_or_default();
            let last = label.rsplit(['.', '-', '_']).next().unwrap_or_default();
            Ok(string(last))
        })
}

fn title(text: &str) -> String {
    let mut start = true;
    text.chars()
        .map(|c| {
            let out = if start {
                c.to_uppercase().next().unwrap_or(c)
            } else {
                c
            };
            start = !c.is_alphanumeric() && c != '_' && c != '\'';
            out
        })
        .collect()
}

/// Data of fields by name.
pub(crate) fn map<'a>(fields: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    let map: BTreeMap<Arc<str>, Value> = fields
        .into_iter()
        .map(|(name, value)| (name.into(), value))
        .collect();
    Value::Map(Arc::new(map))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(template: &str, json: serde_json::Value) -> String {
        match Template::parse(template, Subject::Document)
            .and_then(|t| t.execute(&from_json(&json)))
        {
            Ok(text) => text,
            Err(error) => format!("! {error}"),
        }
    }

    #[test]
    fn dockers_functions_are_there() {
        let data =
            serde_json::json!({"A": "a b", "L": ["x", "y"], "N": 3, "M": {"k": "<v>"}, "Z": null});
        for (template, want) in [
            ("{{json .M}}", r#"{"k":"<v>"}"#),
            ("{{upper .A}} {{lower \"AB\"}} {{title .A}}", "A B ab A B"),
            (
                "{{join .L \",\"}} {{index (split \"a-b\" \"-\") 1}}",
                "x,y b",
            ),
            (
                "{{pad \"x\" 2 3}}|{{pad \"\" 2 3}}|{{truncate \"abcdef\" 3}}",
                "  x   ||abc",
            ),
            ("{{range .L}}[{{.}}]{{end}}{{.N}}{{println}}", "[x][y]3\n"),
            ("{{.M}} {{.L}}", "map[k:<v>] [x y]"),
            ("{{with .Z}}yes{{else}}no{{end}}", "no"),
            (
                "{{.B}}",
                "! template parsing error: template: :1: executing \"\" at <.B>: map has no entry for key \"B\"",
            ),
            (
                "{{foo}}",
                "! template parsing error: template: :1: function \"foo\" not defined",
            ),
        ] {
            assert_eq!(render(template, data.clone()), want, "{template}");
        }
        assert!(render("{{.A", data).starts_with("! template parsing error: template: :1: "));
    }

    #[test]
    fn escapes_are_resolved_outside_of_actions() {
        assert_eq!(
            unescape(r#"a\tb{{join .L "\t"}}\n"#),
            "a\tb{{join .L \"\\t\"}}\n"
        );
        assert_eq!(unescape("{{.A"), "{{.A");
    }

    #[test]
    fn methods_are_called() {
        assert_eq!(
            call_methods(r#"{{.Label "a"}} {{.Labels}}"#),
            r#"{{call .Label "a"}} {{.Labels}}"#
        );
        assert_eq!(
            call_methods(r#"{{json (.Label "a")}}"#),
            r#"{{json (call .Label "a")}}"#
        );
    }
}
