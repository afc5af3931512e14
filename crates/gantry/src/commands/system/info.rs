//! Shows the state of this installation.

use clap::Args;
use gantry_engine::system::Info;
use serde_json::{Value, json};

use super::version::VERSION;
use crate::context::Context;
use crate::failure::{Exit, Outcome};
use crate::output::template::{self, Subject, Template};
use crate::output::{go_json, size};

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct InfoArgs {
    /// Format output by a Go template: 'json' or 'TEMPLATE'
    #[arg(short, long)]
    pub(crate) format: Option<String>,
}

pub(crate) fn run(context: &Context, args: InfoArgs) -> Outcome {
    let info = context.engine()?.system().info()?;
    match args.format.as_deref().map(str::trim) {
        None | Some("") => context.ui.data(&text(&info))?,
        Some("json") => context.ui.line(&go_json::compact(&document(&info)))?,
        Some(format) => {
            let template = Template::parse(&template::unescape(format), Subject::Document)?;
            context
                .ui
                .line(&template.execute(&template::from_json(&document(&info)))?)?;
        }
    }
    Ok(Exit::SUCCESS)
}

fn text(info: &Info) -> String {
    let mut text = format!(
        "Containers: {}\n Running: {}\n Paused: {}\n Stopped: {}\nImages: {}\nServer Version: {VERSION}\n\
         Storage Driver: overlay\n Backing Filesystem: {}\nLogging Driver: json-file\n\
         Cgroup Version: {}\nRuntime: built in\nKernel Version: {}\nOperating System: {}\n\
         OSType: linux\nArchitecture: {}\nCPUs: {}\nTotal Memory: {}\nName: {}\nRootless: {}\n\
         Root Dir: {}\nRun Dir: {}\nInsecure Registries:\n",
        info.containers,
        info.running,
        info.paused,
        info.stopped,
        info.images,
        info.backing_filesystem,
        info.cgroup_version,
        info.kernel,
        info.operating_system,
        info.architecture,
        info.processors,
        size::binary(info.memory),
        info.host_name,
        info.rootless,
        info.root.display(),
        info.run_root.display(),
    );
    text.extend(
        info.insecure_registries
            .iter()
            .map(|name| format!(" {name}\n")),
    );
    if !info.mirrors.is_empty() {
        text.push_str("Registry Mirrors:\n");
        let line = |(name, all): &(String, Vec<String>)| format!(" {name}: {}\n", all.join(" "));
        text.extend(info.mirrors.iter().map(line));
    }
    text
}

/// The same under Docker's names.
fn document(info: &Info) -> Value {
    json!({
        "Containers": info.containers,
        "ContainersRunning": info.running,
        "ContainersPaused": info.paused,
        "ContainersStopped": info.stopped,
        "Images": info.images,
        "Driver": "overlay",
        "DriverStatus": [["Backing Filesystem", info.backing_filesystem]],
        "LoggingDriver": "json-file",
        "CgroupDriver": "cgroupfs",
        "CgroupVersion": info.cgroup_version,
        "KernelVersion": info.kernel,
        "OperatingSystem": info.operating_system,
        "OSVersion": info.os_version,
        "OSType": "linux",
        "Architecture": info.architecture,
        "NCPU": info.processors,
        "MemTotal": info.memory,
        "Name": info.host_name,
        "DockerRootDir": info.root.display().to_string(),
        "RunDir": info.run_root.display().to_string(),
        "Rootless": info.rootless,
        "ServerVersion": VERSION,
        "Swarm": {"LocalNodeState": "inactive"},
        "RegistryConfig": {
            "InsecureRegistryCIDRs": info.insecure_registries,
            "Mirrors": info.mirrors.iter().flat_map(|(_, all)| all.clone()).collect::<Vec<_>>(),
        },
    })
}
