//! Fields that a document of `inspect` may lack without that being an error in a template.
//!
//! Docker applies templates to typed values: an optional field that is not there is nil, so that
//! `{{if .State.Health}}` asks whether there is one, and a name that is not in a map, such as
//! that of a label, has no value. A field that no document has stays an error.

use std::sync::Arc;

use gotmpl::Value;

use super::template::{Template, TemplateFailure};

/// Optional fields, and below what.
const OPTIONAL: &[(&[&str], &str)] = &[
    (&[], "SizeRw"),
    (&[], "SizeRootFs"),
    (&["State"], "Health"),
    (&["Config"], "ExposedPorts"),
    (&["Config"], "Healthcheck"),
    (&["Config"], "Shell"),
    (&["Config"], "StopSignal"),
    (&["Config"], "StopTimeout"),
    (&["HostConfig"], "Annotations"),
    (&["HostConfig"], "Init"),
    (&["HostConfig"], "Mounts"),
    (&["HostConfig"], "StorageOpt"),
    (&["HostConfig"], "Sysctls"),
    (&["HostConfig"], "Tmpfs"),
];

/// Maps whose names are people's own.
const MAPS: &[&[&str]] = &[
    &["Config", "ExposedPorts"],
    &["Config", "Labels"],
    &["Config", "Volumes"],
    &["Containers"],
    &["GraphDriver", "Data"],
    &["HostConfig", "Annotations"],
    &["HostConfig", "LogConfig", "Config"],
    &["HostConfig", "PortBindings"],
    &["HostConfig", "Sysctls"],
    &["Labels"],
    &["NetworkSettings", "Networks"],
    &["NetworkSettings", "Ports"],
    &["Options"],
];

/// Applies a template, whose text is `text`, to a document.
pub(super) fn execute(
    template: &Template,
    text: &str,
    mut document: Value,
) -> Result<String, TemplateFailure> {
    let chains: Vec<Vec<&str>> = chains(text).collect();
    for chain in &chains {
        let found = MAPS.iter().find(|path| chain.starts_with(path));
        if let Some(path) = found
            && let Some(name) = chain.get(path.len())
        {
            insert(&mut document, path, name);
        }
    }
    let whole = match template.execute(&document) {
        Err(failure) => failure,
        shown => return shown,
    };
    let mut below_nothing = false;
    for (path, field) in OPTIONAL {
        let full = [*path, &[*field]].concat();
        let asked = |chain: &Vec<&str>| chain.len() > full.len() && chain.starts_with(&full);
        below_nothing |= insert(&mut document, path, field) && chains.iter().any(asked);
    }
    match template.execute(&document) {
        // A field of nothing was not only asked for but shown.
        Ok(shown) if below_nothing && shown.contains("<no value>") => Err(whole),
        shown => shown,
    }
}

/// Puts nothing at `field` of the map at `path`, where there is such a map without it; whether
/// that was so.
fn insert(document: &mut Value, path: &[&str], field: &str) -> bool {
    let Value::Map(map) = document else {
        return false;
    };
    let Some((first, rest)) = path.split_first() else {
        if map.contains_key(field) {
            return false;
        }
        Arc::make_mut(map).insert(field.into(), Value::Nil);
        return true;
    };
    match Arc::make_mut(map).get_mut(*first) {
        Some(below) => insert(below, rest, field),
        None => false,
    }
}

/// The field names that follow each other in a template: `.Config.Labels.role` is three.
fn chains(template: &str) -> impl Iterator<Item = Vec<&str>> {
    let inside = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.');
    let words = template.split(move |c: char| !inside(c));
    words
        .filter_map(|word| word.strip_prefix('.'))
        .map(|word| word.split('.').collect())
}

#[cfg(test)]
mod tests {
    use super::super::template::{Subject, from_json};
    use super::*;

    #[test]
    fn what_may_be_missing_is_nothing() {
        let json = serde_json::json!({
            "State": {"Status": "running"},
            "Config": {"Labels": {"a": "1"}, "Volumes": null},
            "NetworkSettings": {"Ports": {}},
        });
        for (template, want) in [
            ("{{if .State.Health}}yes{{else}}no{{end}}", Some("no")),
            (
                "{{.Config.Labels.a}} {{if .Config.Labels.b}}b{{end}}",
                Some("1 "),
            ),
            (
                "{{with .Config.Labels.c}}{{.}}{{end}}{{.SizeRw}}",
                Some("<no value>"),
            ),
            ("{{if .NetworkSettings.Ports.x}}x{{end}}", Some("")),
            ("{{.State.Nope}}", None),
            ("{{.Nope}}", None),
            (
                "{{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}}",
                Some("none"),
            ),
            ("{{.State.Health.Status}}", None),
        ] {
            let shown = Template::parse(template, Subject::Document)
                .and_then(|parsed| execute(&parsed, template, from_json(&json)));
            assert_eq!(shown.ok().as_deref(), want, "{template}");
        }
    }
}
