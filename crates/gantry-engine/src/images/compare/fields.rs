//! Documents, field by field.

use gantry_model::image::ImageConfig;
use serde_json::{Map, Value};

use super::FieldDifference;

/// The fields of two configurations that differ: those of the history last, layers left out.
pub(super) fn differences(first: &ImageConfig, second: &ImageConfig) -> Vec<FieldDifference> {
    let parts = |config: &ImageConfig| {
        let mut document = match serde_json::to_value(config) {
            Ok(Value::Object(fields)) => fields,
            _ => Map::new(),
        };
        document.remove("rootfs");
        let history = document.remove("history").unwrap_or(Value::Null);
        (Value::Object(document), history)
    };
    let ((first, ours), (second, theirs)) = (parts(first), parts(second));
    let mut all = Vec::new();
    compare("", &first, &second, &mut all);
    compare("history", &ours, &theirs, &mut all);
    all
}

fn compare(place: &str, first: &Value, second: &Value, all: &mut Vec<FieldDifference>) {
    match (first, second) {
        _ if first == second => {}
        (Value::Object(ours), Value::Object(theirs)) => {
            let mut names: Vec<&String> = ours.keys().chain(theirs.keys()).collect();
            names.sort();
            names.dedup();
            for name in names {
                let below = match place {
                    "" => name.clone(),
                    _ => format!("{place}.{name}"),
                };
                let of = |fields: &Map<String, Value>| fields.get(name).cloned();
                let (first, second) = (of(ours), of(theirs));
                compare(
                    &below,
                    &first.unwrap_or_default(),
                    &second.unwrap_or_default(),
                    all,
                );
            }
        }
        (Value::Array(ours), Value::Array(theirs)) => {
            for number in 0..ours.len().max(theirs.len()) {
                let of = |items: &[Value]| items.get(number).cloned().unwrap_or_default();
                let below = format!("{place}[{number}]");
                compare(&below, &of(ours), &of(theirs), all);
            }
        }
        _ => all.push(FieldDifference {
            field: place.to_owned(),
            first: first.clone(),
            second: second.clone(),
            is_time: place == "created"
                || place.ends_with("].created")
                || (is_squash(first) && is_squash(second)),
        }),
    }
}

/// Whether it is the remark on a squashed layer, which names the image that it was made of: the
/// times of that are part of its name.
fn is_squash(value: &Value) -> bool {
    value.as_str().is_some_and(super::is_squash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_model::image::History;

    #[test]
    fn fields_are_named_by_their_place() {
        let mut first = ImageConfig {
            created: Some("1".into()),
            ..ImageConfig::default()
        };
        let mut second = first.clone();
        assert_eq!(differences(&first, &second), []);
        second.created = Some("2".into());
        first.config.env = vec!["A=1".into(), "B=1".into()];
        second.config.env = vec!["A=1".into(), "B=2".into(), "C=3".into()];
        second.config.labels.insert("l".into(), "v".into());
        second.history.push(History {
            created: Some("3".into()),
            created_by: "RUN x".into(),
            ..History::default()
        });
        first.history.push(History {
            created: Some("2".into()),
            created_by: "RUN y".into(),
            ..History::default()
        });
        let found = differences(&first, &second);
        let told: Vec<(&str, bool)> = found.iter().map(|d| (&*d.field, d.is_time)).collect();
        assert_eq!(
            told,
            [
                ("config.Env[1]", false),
                ("config.Env[2]", false),
                ("config.Labels", false),
                ("created", true),
                ("history[0].created", true),
                ("history[0].created_by", false),
            ]
        );
        assert_eq!(found[1].first, Value::Null);
    }
}
