//! The tag of a log: a template over the container, with Docker's names.

use std::collections::BTreeMap;
use std::sync::Arc;

use gantry_model::ContainerRecord;
use gotmpl::{MissingKey, Template, TemplateError, Value};

use super::LoggingError;

/// What a tag is when nobody says.
const DEFAULT: &str = "{{.ID}}";

/// The tag of a container's log.
pub(super) fn of(record: &ContainerRecord) -> Result<String, LoggingError> {
    let asked = record.spec.log.options.get("tag").map(String::as_str);
    let text = asked.filter(|tag| !tag.is_empty()).unwrap_or(DEFAULT);
    Template::new("log-tag")
        .missing_key(MissingKey::Error)
        .parse(text)
        .and_then(|template| template.execute_to_string(&data(record)))
        .map_err(|error| LoggingError::Value {
            reason: match error {
                TemplateError::Parse { line, message, .. }
                | TemplateError::Lex { line, message, .. } => {
                    format!("template: log-tag:{line}: {message}")
                }
                TemplateError::MissingKey { key } => format!(
                    "template: log-tag:1: executing \"log-tag\" at <.{key}>: can't evaluate field {key} in type *logger.Info"
                ),
                other => format!("template: log-tag:1: {other}"),
            },
        })
}

fn data(record: &ContainerRecord) -> Value {
    let image = record.image_id.to_string();
    let image_hex = image.rsplit(':').next().unwrap_or_default();
    let command = record.args.join(" ");
    let text = |text: &str| Value::String(text.into());
    let map = |pairs: &BTreeMap<String, String>| {
        Value::Map(Arc::new(
            pairs
                .iter()
                .map(|(name, value)| (name.as_str().into(), text(value)))
                .collect(),
        ))
    };
    let fields = [
        ("ID", text(record.id.short())),
        ("FullID", text(record.id.as_str())),
        ("Name", text(&record.name)),
        ("ImageID", text(image_hex.get(..12).unwrap_or(image_hex))),
        ("ImageFullID", text(&image)),
        ("ImageName", text(&record.image_name)),
        ("Command", text(&command)),
        ("DaemonName", text("docker")),
        ("Config", map(&record.spec.log.options)),
        ("ContainerID", text(record.id.as_str())),
        ("ContainerName", text(&format!("/{}", record.name))),
        (
            "ContainerEntrypoint",
            text(record.args.first().map_or("", String::as_str)),
        ),
        ("ContainerImageID", text(&image)),
        ("ContainerImageName", text(&record.image_name)),
        ("ContainerCreated", text(&record.created)),
        (
            "ContainerEnv",
            Value::List(
                record
                    .process
                    .env
                    .iter()
                    .map(|variable| text(variable))
                    .collect(),
            ),
        ),
        ("ContainerLabels", map(&record.process.labels)),
    ];
    Value::Map(Arc::new(
        fields
            .into_iter()
            .map(|(name, value)| (name.into(), value))
            .collect(),
    ))
}
