//! Shows an image of a registry.

use clap::Args;
use gantry_model::Reference;
use gantry_model::image::{Descriptor, Index};
use gantry_model::media_type;
use serde_json::{Value, json};

use crate::commands::manifest::reference;
use crate::context::Context;
use crate::failure::{Exit, Failure, Outcome};
use crate::output::go_json;
use crate::output::template::{self, Subject, Template};

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct InspectArgs {
    /// Format output by a Go template ('{{.Name}}', '{{json .Manifest}}')
    #[arg(long)]
    pub(crate) format: Option<String>,
    /// Show original, unformatted JSON manifest
    #[arg(long)]
    pub(crate) raw: bool,
    /// The image.
    pub(crate) operands: Vec<String>,
}

pub(crate) fn run(context: &Context, args: InspectArgs) -> Outcome {
    let name = reference(&args.operands[0])?;
    let fetched = context.engine()?.registry()?.resolve(&name)?;
    let (descriptor, bytes) = (fetched.descriptor, fetched.bytes);
    if args.raw {
        context.ui.data(&String::from_utf8_lossy(&bytes))?;
        return Ok(Exit::SUCCESS);
    }
    let mut manifest = serde_json::to_value(&descriptor).unwrap_or_default();
    let index: Option<Index> = media_type::is_index(&descriptor.media_type)
        .then(|| serde_json::from_slice(&bytes).ok())
        .flatten();
    if let (Some(index), Value::Object(manifest)) = (&index, &mut manifest) {
        manifest.insert("schemaVersion".to_owned(), index.schema_version.into());
        manifest.insert("manifests".to_owned(), json!(index.manifests));
    }
    match args.format.as_deref() {
        None | Some("") => context.ui.data(&text(&name, &descriptor, index.as_ref()))?,
        Some("json" | "{{json .}}") => {
            let document = json!({ "name": name.to_string(), "manifest": manifest });
            context.ui.line(&go_json::indented(&document))?;
        }
        Some(written) => {
            let document = json!({ "Name": name.to_string(), "Manifest": manifest });
            if written.contains(".Image")
                || written.contains(".Provenance")
                || written.contains(".SBOM")
            {
                return Err(Failure::unsupported(
                    "a template of .Image, .Provenance or .SBOM is not supported: .Name and .Manifest are there",
                ));
            }
            let template = Template::parse(&template::unescape(written), Subject::Document)?;
            let shown = template.execute(&template::from_json(&document))?;
            context.ui.line(&shown)?;
        }
    }
    Ok(Exit::SUCCESS)
}

/// What there is, in buildx's words.
fn text(name: &Reference, descriptor: &Descriptor, index: Option<&Index>) -> String {
    let mut text = format!(
        "Name:      {name}\nMediaType: {}\nDigest:    {}\n",
        descriptor.media_type, descriptor.digest
    );
    let Some(index) = index else { return text };
    text.push_str("           \nManifests: \n");
    for (number, entry) in index.manifests.iter().enumerate() {
        if number > 0 {
            text.push_str("               \n");
        }
        let own = name.with_digest(entry.digest);
        let platform = entry
            .platform
            .as_ref()
            .map_or_else(String::new, ToString::to_string);
        text.push_str(&format!(
            "  Name:        {own}\n  MediaType:   {}\n  Platform:    {platform}\n",
            entry.media_type
        ));
        if !entry.annotations.is_empty() {
            text.push_str("  Annotations: \n");
            for (key, value) in &entry.annotations {
                text.push_str(&format!("    {key}: {value}\n"));
            }
        }
    }
    text
}
