//! Says which version this is.

use clap::Args;

use crate::context::Context;
use crate::failure::{Exit, Outcome};
use crate::output::template::{self, Subject, Template};

/// Version of this release.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What it was built from, where the build said so.
pub(crate) const BUILD: &str = match option_env!("GANTRY_BUILD") {
    Some(build) => build,
    None => "unknown",
};

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct VersionArgs {
    /// Format output by a Go template: 'json' or 'TEMPLATE'
    #[arg(short, long)]
    pub(crate) format: Option<String>,
}

pub(crate) fn run(context: &Context, args: VersionArgs) -> Outcome {
    let platform = gantry_model::Platform::host();
    let kernel = rustix::system::uname();
    let kernel = kernel.release().to_string_lossy();
    let facts = serde_json::json!({
        "Version": VERSION,
        "GitCommit": BUILD,
        "Os": platform.os,
        "Arch": platform.architecture,
        "KernelVersion": kernel,
        "Experimental": false,
    });
    // Scripts ask for .Client and .Server; without a daemon they are one. There is no API, so
    // there is no version of one.
    let mut document = serde_json::json!({ "Client": facts, "Server": facts });
    document["Client"]["Context"] = "default".into();
    document["Server"]["Platform"] = serde_json::json!({ "Name": "Gantry" });
    document["Server"]["Components"] =
        serde_json::json!([{ "Name": "Engine", "Version": VERSION, "Details": facts_of(&facts) }]);
    match args.format.as_deref() {
        None => context.ui.data(&format!(
            "Gantry:\n Version:    {VERSION}\n Git commit: {BUILD}\n OS/Arch:    {}/{}\n Kernel:     {kernel}\n",
            platform.os, platform.architecture,
        ))?,
        Some("json") => context.ui.line(&crate::output::go_json::compact(&document))?,
        Some(text) => {
            let template = Template::parse(&template::unescape(text), Subject::Document)?;
            context.ui.line(&template.execute(&template::from_json(&document))?)?;
        }
    }
    Ok(Exit::SUCCESS)
}

/// What Docker says of a component, all of it text.
fn facts_of(facts: &serde_json::Value) -> serde_json::Map<String, serde_json::Value> {
    let names = ["Arch", "Experimental", "GitCommit", "KernelVersion", "Os"];
    let text = |name: &str| match &facts[name] {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    names
        .into_iter()
        .map(|name| (name.to_owned(), text(name).into()))
        .collect()
}
