//! Shows the state of this installation.

use clap::Args;
use gantry_engine::system::Info;
use jiff::Timestamp;
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
         Storage Driver: overlay\n Backing Filesystem: {}\nLogging Driver: {}\n\
         Cgroup Version: {}\nRuntime: built in\nKernel Version: {}\nOperating System: {}\n\
         OSType: linux\nArchitecture: {}\nCPUs: {}\nTotal Memory: {}\nName: {}\nRootless: {}\n\
         Root Dir: {}\nRun Dir: {}\nInsecure Registries:\n",
        info.containers,
        info.running,
        info.paused,
        info.stopped,
        info.images,
        info.backing_filesystem,
        info.log_driver,
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

/// The same under Docker's names; what only a daemon has is left out.
fn document(info: &Info) -> Value {
    let mut document = facts(info);
    let more = [capabilities(info), surroundings(info)];
    if let Value::Object(all) = &mut document {
        for part in more {
            if let Value::Object(part) = part {
                all.extend(part);
            }
        }
    }
    document
}

fn facts(info: &Info) -> Value {
    json!({
        "Containers": info.containers,
        "ContainersRunning": info.running,
        "ContainersPaused": info.paused,
        "ContainersStopped": info.stopped,
        "Images": info.images,
        "Driver": "overlay",
        "DriverStatus": [["Backing Filesystem", info.backing_filesystem]],
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
        "SystemTime": Timestamp::now().to_string(),
    })
}

/// What containers can have here.
fn capabilities(info: &Info) -> Value {
    let limits = info.limits;
    let mut security = vec!["name=seccomp,profile=builtin"];
    security.extend(info.rootless.then_some("name=rootless"));
    security.push("name=cgroupns");
    json!({
        "LoggingDriver": info.log_driver,
        "CgroupDriver": "cgroupfs",
        "CgroupVersion": info.cgroup_version,
        "MemoryLimit": limits.memory,
        "SwapLimit": limits.swap,
        "OomKillDisable": limits.oom_kill_disable,
        "CPUShares": limits.cpu_shares,
        "CpuCfsPeriod": limits.cpu_quota,
        "CpuCfsQuota": limits.cpu_quota,
        "CPUSet": limits.cpuset,
        "PidsLimit": limits.pids,
        "IPv4Forwarding": info.forwards,
        "SecurityOptions": security,
        "Runtimes": {"gantry": {"path": "gantry"}},
        "DefaultRuntime": "gantry",
        "InitBinary": "gantry",
        "Isolation": "",
        // Containers do not need the process that started them.
        "LiveRestoreEnabled": true,
        "CDISpecDirs": ["/etc/cdi", "/var/run/cdi"],
        "Plugins": {
            "Volume": ["local"],
            "Network": ["bridge", "host", "null"],
            "Authorization": null,
            "Log": ["journald", "json-file", "local", "none", "syslog"],
        },
    })
}

/// What it works with.
fn surroundings(info: &Info) -> Value {
    let [http, https, none] = &info.proxies;
    let mirrors: Vec<String> = info
        .mirrors
        .iter()
        .flat_map(|(_, all)| all.clone())
        .collect();
    json!({
        "HttpProxy": http,
        "HttpsProxy": https,
        "NoProxy": none,
        "IndexServerAddress": "https://index.docker.io/v1/",
        "RegistryConfig": {
            "InsecureRegistryCIDRs": info.insecure_registries,
            "IndexConfigs": {
                "docker.io": {"Name": "docker.io", "Mirrors": mirrors, "Secure": true, "Official": true},
            },
            "Mirrors": mirrors,
        },
        "Swarm": {"LocalNodeState": "inactive", "ControlAvailable": false},
        "Labels": [],
        "ExperimentalBuild": false,
        "Debug": false,
        "Warnings": null,
        "ClientInfo": {"Version": VERSION, "Context": "default", "Debug": false, "Plugins": [], "Warnings": null},
    })
}
