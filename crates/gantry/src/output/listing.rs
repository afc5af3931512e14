//! Listings: one type of row behind the table, `--format TEMPLATE`, `--format json` and `-q`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use gotmpl::Value;

use super::columns;
use super::go_json;
use super::template::{self, Subject, Template, TemplateFailure};

/// The fields a kind of row has, and the header of each one's column.
#[derive(Debug)]
pub(crate) struct Shape {
    /// Field and header, all there are.
    pub(crate) fields: &'static [(&'static str, &'static str)],
    /// The fields that the plain table shows.
    pub(crate) table: &'static [&'static str],
    /// What `--format raw` shows of a row; empty where Docker has no such format.
    pub(crate) raw: &'static str,
}

/// One row: the text of every field.
#[derive(Debug, Clone, Default)]
pub(crate) struct Row {
    cells: BTreeMap<&'static str, String>,
    labels: Option<Arc<BTreeMap<String, String>>>,
}

impl Row {
    /// A row with these cells.
    pub(crate) fn new(cells: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        Self {
            cells: cells.into_iter().collect(),
            labels: None,
        }
    }

    /// The row with another text in one cell.
    pub(crate) fn with(mut self, field: &'static str, text: String) -> Self {
        self.cells.insert(field, text);
        self
    }

    /// Adds labels: the field `Labels`, and `{{.Label "name"}}` in templates.
    pub(crate) fn with_labels(mut self, labels: &BTreeMap<String, String>) -> Self {
        let all: Vec<String> = labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
        self.cells.insert("Labels", all.join(","));
        self.labels = Some(Arc::new(labels.clone()));
        self
    }

    /// The row as JSON: every cell as text.
    pub(crate) fn json(&self) -> serde_json::Value {
        let cells = self.cells.iter();
        cells
            .map(|(name, text)| ((*name).to_owned(), text.as_str().into()))
            .collect::<serde_json::Map<_, _>>()
            .into()
    }

    /// The row for a table, where no text may look like further cells or rows.
    fn in_cells(&self) -> Self {
        let cells = self.cells.iter();
        Self {
            cells: cells
                .map(|(name, text)| (*name, one_cell(text).into_owned()))
                .collect(),
            labels: self.labels.clone(),
        }
    }

    fn cell(&self, field: &str) -> &str {
        self.cells.get(field).map_or("", String::as_str)
    }

    fn value(&self) -> Value {
        let mut fields: Vec<(&str, Value)> = self
            .cells
            .iter()
            .map(|(name, text)| (*name, Value::String(text.as_str().into())))
            .collect();
        if let Some(labels) = &self.labels {
            let labels = Arc::clone(labels);
            let lookup = move |args: &[Value]| {
                let name = args.first().and_then(Value::as_str).unwrap_or_default();
                let text = labels.get(name).map_or("", String::as_str);
                Ok(Value::String(text.into()))
            };
            fields.push(("Label", Value::Function(Arc::new(lookup))));
        }
        template::map(fields)
    }
}

/// How rows are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Format {
    /// The plain table.
    Table,
    /// A table whose line is a template.
    TableOf(String),
    /// One JSON object a line.
    Json,
    /// Some lines for each row, a field each.
    Raw,
    /// A line for each row.
    Lines(String),
}

impl Format {
    /// What `--format` says.
    pub(crate) fn parse(text: Option<&str>) -> Self {
        match text.map(str::trim) {
            None | Some("" | "table") => Self::Table,
            Some("json") => Self::Json,
            Some("raw") => Self::Raw,
            Some(text) => match text.strip_prefix("table ") {
                Some(template) => Self::TableOf(template::unescape(template.trim())),
                None => Self::Lines(template::unescape(text)),
            },
        }
    }

    /// Whether this field will be looked at, given the table's own fields.
    pub(crate) fn shows(&self, field: &str, shape: &Shape) -> bool {
        match self {
            // As Docker, which measures nothing for `json` alone.
            Self::Table | Self::Json => shape.table.contains(&field),
            Self::Raw => shape.raw.contains(&format!(".{field}")),
            Self::TableOf(text) | Self::Lines(text) => {
                text.contains(&format!(".{field}"))
                    || text.contains("json .}")
                    || text.contains("json . ")
            }
        }
    }
}

/// The whole text of a listing.
pub(crate) fn render(
    shape: &Shape,
    format: &Format,
    rows: &[Row],
) -> Result<String, TemplateFailure> {
    let wrong = |e: TemplateFailure| e.with_fields(shape.fields.iter().map(|(name, _)| *name));
    match format {
        Format::Table => Ok(table(shape, rows)),
        Format::Json => Ok(rows
            .iter()
            .map(|row| go_json::compact(&row.cells) + "\n")
            .collect()),
        Format::Raw if shape.raw.is_empty() => body("raw", rows).map_err(wrong),
        Format::Raw => body(shape.raw, rows).map_err(wrong),
        Format::Lines(text) => body(text, rows).map_err(wrong),
        Format::TableOf(text) => {
            let headers = template::map(
                shape
                    .fields
                    .iter()
                    .map(|(name, header)| (*name, Value::String((*header).into()))),
            );
            let head = Template::parse(text, Subject::Header)
                .and_then(|t| t.execute(&headers))
                .map_err(wrong)?;
            let cells: Vec<Row> = rows.iter().map(Row::in_cells).collect();
            let body = body(text, &cells).map_err(wrong)?;
            Ok(columns::align(&format!("{head}\n{body}")))
        }
    }
}

fn body(text: &str, rows: &[Row]) -> Result<String, TemplateFailure> {
    let template = Template::parse(text, Subject::Row)?;
    let mut out = String::new();
    for row in rows {
        out.push_str(&template.execute(&row.value())?);
        out.push('\n');
    }
    Ok(out)
}

/// A text as one cell of a table: its line ends and tabs written out.
fn one_cell(text: &str) -> Cow<'_, str> {
    if !text.contains(['\n', '\t']) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.replace('\n', "\\n").replace('\t', "\\t"))
}

fn table(shape: &Shape, rows: &[Row]) -> String {
    let header = |field: &str| {
        shape
            .fields
            .iter()
            .find(|(name, _)| *name == field)
            .map_or("", |(_, header)| *header)
    };
    let mut text = shape
        .table
        .iter()
        .map(|f| header(f))
        .collect::<Vec<_>>()
        .join("\t");
    text.push('\n');
    for row in rows {
        let cell = |field: &&str| one_cell(row.cell(field)).into_owned();
        let cells: Vec<String> = shape.table.iter().map(cell).collect();
        text.push_str(&cells.join("\t"));
        text.push('\n');
    }
    columns::align(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape {
        fields: &[
            ("ID", "CONTAINER ID"),
            ("Names", "NAMES"),
            ("Ports", "PORTS"),
            ("Labels", "LABELS"),
        ],
        table: &["ID", "Names"],
        raw: "id: {{.ID}}\nports: {{- pad .Ports 1 0}}\n",
    };

    fn rows() -> Vec<Row> {
        let labels = BTreeMap::from([("com.x.role".to_owned(), "web".to_owned())]);
        vec![
            Row::new([
                ("ID", "9774c37abf20".into()),
                ("Names", "elegant".into()),
                ("Ports", "1->2".into()),
            ])
            .with_labels(&labels),
            Row::new([
                ("ID", "a".into()),
                ("Names", "b".into()),
                ("Ports", String::new()),
            ])
            .with_labels(&BTreeMap::new()),
        ]
    }

    fn show(format: &str) -> String {
        render(&SHAPE, &Format::parse(Some(format)), &rows()).unwrap_or_else(|e| format!("! {e}"))
    }

    #[test]
    fn every_format_shows_the_same_rows() {
        assert_eq!(
            show("table"),
            "CONTAINER ID   NAMES\n9774c37abf20   elegant\na              b\n"
        );
        assert_eq!(
            show(r"table {{.ID}}\t{{upper .Names}}"),
            "CONTAINER ID   NAMES\n9774c37abf20   ELEGANT\na              B\n"
        );
        assert_eq!(
            show(r#"{{.ID}}={{.Label "com.x.role"}}"#),
            "9774c37abf20=web\na=\n"
        );
        assert_eq!(show(r#"table {{.Label "com.x.role"}}"#), "role\nweb\n\n");
        assert_eq!(
            show("json"),
            "{\"ID\":\"9774c37abf20\",\"Labels\":\"com.x.role=web\",\"Names\":\"elegant\",\"Ports\":\"1-\\u003e2\"}\n\
             {\"ID\":\"a\",\"Labels\":\"\",\"Names\":\"b\",\"Ports\":\"\"}\n"
        );
        let spread = [Row::new([("ID", "a\tb\nc".into()), ("Names", "n".into())])];
        for format in ["table", r"table {{.ID}}\t{{.Names}}"] {
            let shown = render(&SHAPE, &Format::parse(Some(format)), &spread).unwrap();
            assert_eq!(shown, "CONTAINER ID   NAMES\na\\tb\\nc        n\n");
        }
        assert_eq!(show("{{json .}}"), show("json"));
        assert_eq!(
            show("raw"),
            "id: 9774c37abf20\nports: 1->2\n\nid: a\nports:\n\n"
        );
        assert_eq!(
            show(r#"table {{pad .ID 1 1}}|{{join (split .Names "A") "-"}}|{{json .ID}}{{json .}}"#)
                .lines()
                .next(),
            Some(" CONTAINER ID |NAMES|CONTAINER ID")
        );
        assert_eq!(show("{{json .Ports}}"), "\"1->2\"\n\"\"\n");
        assert!(
            show("{{.Nope}}").contains("no entry for key \"Nope\""),
            "{}",
            show("{{.Nope}}")
        );
    }

    #[test]
    fn costly_fields_are_known_before_they_are_made() {
        assert!(!Format::parse(None).shows("Ports", &SHAPE));
        assert!(Format::parse(Some("{{.Ports}}")).shows("Ports", &SHAPE));
        assert!(Format::parse(Some("{{json .}}")).shows("Ports", &SHAPE));
        assert!(!Format::parse(Some("{{.ID}}")).shows("Ports", &SHAPE));
        assert!(!Format::parse(Some("json")).shows("Ports", &SHAPE));
        assert!(Format::parse(Some("raw")).shows("Ports", &SHAPE));
    }
}
