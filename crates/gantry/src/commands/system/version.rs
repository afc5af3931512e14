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
    let part = serde_json::json!({
        "Version": VERSION,
        "GitCommit": BUILD,
        "Os": platform.os,
        "Arch": platform.architecture,
        "KernelVersion": kernel,
    });
    // Scripts ask for .Client and .Server; without a daemon they are one.
    let document = serde_json::json!({ "Client": part, "Server": part });
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
