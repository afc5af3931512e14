//! Documents of `inspect`: an indented array, one JSON line, or a template for each.

use serde::Serialize;
use serde_json::Value;

use super::absent;
use super::go_json;
use super::template::{Subject, Template, TemplateFailure, from_json};

/// One document, its fields in the order they were given in.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    indented: String,
    compact: String,
    value: Value,
}

impl Document {
    /// Takes a document.
    pub(crate) fn new(document: &impl Serialize) -> Self {
        Self {
            indented: go_json::indented(document),
            compact: go_json::compact(document),
            value: serde_json::to_value(document).unwrap_or_default(),
        }
    }
}

/// The whole text of what was found.
pub(crate) fn render(
    format: Option<&str>,
    documents: &[Document],
) -> Result<String, TemplateFailure> {
    match format.map(str::trim) {
        None | Some("") if documents.is_empty() => Ok("[]\n".to_owned()),
        None | Some("") => {
            let shifted =
                |document: &Document| format!("    {}", document.indented.replace('\n', "\n    "));
            let all: Vec<String> = documents.iter().map(shifted).collect();
            Ok(format!("[\n{}\n]\n", all.join(",\n")))
        }
        Some("json") => {
            let all: Vec<&str> = documents.iter().map(|d| d.compact.as_str()).collect();
            Ok(format!("[{}]\n", all.join(",")))
        }
        Some(text) => {
            let template = Template::parse(text, Subject::Document)?;
            let mut out = String::new();
            for document in documents {
                let data = from_json(&document.value);
                out.push_str(&absent::execute(&template, text, data)?);
                out.push('\n');
            }
            Ok(out)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Thing {
        state: Value,
        id: &'static str,
    }

    #[test]
    fn every_format_shows_the_same_documents() {
        let document = Document::new(&Thing {
            state: serde_json::json!({"Running": true}),
            id: "a",
        });
        let documents = [document.clone(), document];
        assert_eq!(render(None, &[]).unwrap(), "[]\n");
        let one = "    {\n        \"State\": {\n            \"Running\": true\n        },\n        \"Id\": \"a\"\n    }";
        assert_eq!(
            render(None, &documents).unwrap(),
            format!("[\n{one},\n{one}\n]\n")
        );
        assert_eq!(
            render(Some("json"), &documents[..1]).unwrap(),
            "[{\"State\":{\"Running\":true},\"Id\":\"a\"}]\n"
        );
        assert_eq!(
            render(Some("{{.Id}} {{.State.Running}}"), &documents).unwrap(),
            "a true\na true\n"
        );
    }
}
