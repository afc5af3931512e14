//! Shows all there is to know of volumes.

use clap::Args;
use gantry_engine::volumes::Volume;
use serde_json::{Value, json};

use crate::commands::inspected::inspected;
use crate::context::Context;
use crate::failure::Outcome;
use crate::output::documents::Document;

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct InspectArgs {
    /// Format output by a Go template: 'json' or 'TEMPLATE'
    #[arg(short, long)]
    pub(crate) format: Option<String>,
    /// The volumes.
    pub(crate) operands: Vec<String>,
}

pub(crate) fn run(context: &Context, args: InspectArgs) -> Outcome {
    let volumes = context.engine()?.volumes();
    inspected(context, args.format.as_deref(), &args.operands, |name| {
        Ok(Document::new(&document(&volumes.inspect(name)?)))
    })
}

/// A volume as Docker describes it.
pub(crate) fn document(volume: &Volume) -> Value {
    let or_null = |map: &std::collections::BTreeMap<String, String>| match map.is_empty() {
        true => Value::Null,
        false => json!(map),
    };
    json!({
        "CreatedAt": volume.created,
        "Driver": "local",
        "Labels": or_null(&volume.labels),
        "Mountpoint": volume.mountpoint.display().to_string(),
        "Name": volume.name,
        "Options": or_null(&volume.options),
        "Scope": "local",
    })
}
