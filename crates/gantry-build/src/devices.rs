//! Devices of the machine for `RUN --device`, and who may have them.

use std::collections::{BTreeMap, BTreeSet};

use gantry_model::{Fault, FaultKind};
use oci_spec::runtime::Spec;

use crate::error::BuildError;
use crate::graph::{Graph, NodeId, Operation, RunOperation};
use crate::report::Reporter;
use crate::spelling::Spelling;

/// The devices of the machine by the Container Device Interface; implemented over the engine by
/// the command line.
pub trait Devices: Send + Sync {
    /// The devices that a name of a Dockerfile stands for, by their whole names
    /// (`vendor.com/class=name`); none where there is no such device.
    ///
    /// # Errors
    /// The name is none, or what there is cannot be read.
    fn find(&self, name: &str) -> Result<Vec<String>, DeviceError>;

    /// Whether the machine lets every build have a device, by its whole name.
    ///
    /// # Errors
    /// What there is cannot be read.
    fn is_free(&self, device: &str) -> Result<bool, DeviceError>;

    /// Writes what these devices, by their whole names, change in a container into its document.
    ///
    /// # Errors
    /// One of them is gone, or cannot be added.
    fn add(&self, devices: &[String], document: &mut Spec) -> Result<(), DeviceError>;
}

/// Why devices cannot be had.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct DeviceError {
    message: String,
    kind: FaultKind,
    hints: Vec<String>,
}

impl DeviceError {
    /// What another error says.
    pub fn new(error: &impl Fault) -> Self {
        Self {
            message: error.to_string(),
            kind: error.kind(),
            hints: error.hints(),
        }
    }
}

impl Fault for DeviceError {
    fn kind(&self) -> FaultKind {
        self.kind
    }

    fn hints(&self) -> Vec<String> {
        self.hints.clone()
    }
}

/// Where devices come from.
const UNKNOWN: &str = "devices come from CDI specifications in /etc/cdi and /var/run/cdi, or in the \
                       folders of cdi-spec-dirs in config.toml";

/// Which devices `RUN --device` may have (`--allow device[=NAME[,alias=NAME]]`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeviceGrants {
    /// Whether it may have all.
    pub all: bool,
    /// Names as in a Dockerfile, each of one device or of several.
    pub names: BTreeSet<String>,
    /// What names in a Dockerfile stand for; it may have these as well.
    pub aliases: BTreeMap<String, String>,
}

/// The devices of a step, by their whole names, each once. What there is not and need not be is
/// left out.
pub(crate) fn of_step(
    devices: &dyn Devices,
    operation: &RunOperation,
) -> Result<Vec<String>, DeviceError> {
    let mut all: Vec<String> = Vec::new();
    for wanted in &operation.devices {
        for found in devices.find(&wanted.name)? {
            if !all.contains(&found) {
                all.push(found);
            }
        }
    }
    Ok(all)
}

/// Refuses steps that ask for devices they are not granted, and such that need devices there are
/// not; tells of those that go on without one. `requests` are what each of them is granted, and how
/// it is spelt.
pub(crate) fn check(
    graph: &Graph,
    targets: &[NodeId],
    requests: &[(&Spelling, &DeviceGrants)],
    devices: &dyn Devices,
    reporter: &Reporter<'_>,
) -> Result<(), BuildError> {
    for id in graph.needed(targets) {
        let node = graph.node(id);
        let (Operation::Run(run), Some((source, span))) = (&node.operation, &node.label.place)
        else {
            continue;
        };
        let Some((spelling, grants)) = requests.get(node.label.request) else {
            continue;
        };
        let refuse = |message: String, hints: &[String]| {
            spelling.told(BuildError::hinted(source, *span, message, hints))
        };
        let unread = |error: DeviceError| refuse(error.to_string(), &error.hints);
        let grants = Granted::of(grants, devices).map_err(unread)?;
        let mut forbidden = BTreeSet::new();
        for wanted in &run.devices {
            let found = devices.find(&wanted.name).map_err(unread)?;
            if found.is_empty() && wanted.required {
                let message = format!("required device {:?} is not registered", wanted.name);
                return Err(refuse(message, &[UNKNOWN.to_owned()]));
            }
            if found.is_empty() {
                let name = &wanted.name;
                let message =
                    format!("there is no device {name:?}, and RUN goes on without it: {UNKNOWN}");
                reporter.warning(&message, None);
            }
            for device in found {
                if !grants.have(&device) && !devices.is_free(&device).map_err(unread)? {
                    forbidden.insert(device);
                }
            }
        }
        if let Some(first) = forbidden.first() {
            let names: Vec<&str> = forbidden.iter().map(String::as_str).collect();
            let message = format!(
                "{} requested by RUN and not allowed unless the build itself is given {}",
                match names.as_slice() {
                    [one] => format!("device {one} is"),
                    all => format!("devices {} are", all.join(", ")),
                },
                spelling.entitlement(&format!("device={first}"))
            );
            let all = format!(
                "all devices are granted by {}",
                spelling.entitlement("device")
            );
            return Err(refuse(message, &[all]));
        }
    }
    Ok(())
}

/// Grants of which the whole names are known.
struct Granted {
    all: bool,
    devices: BTreeSet<String>,
}

impl Granted {
    fn of(grants: &DeviceGrants, devices: &dyn Devices) -> Result<Self, DeviceError> {
        let mut granted = Self {
            all: grants.all,
            devices: BTreeSet::new(),
        };
        for name in grants.names.iter().chain(grants.aliases.values()) {
            granted.devices.extend(devices.find(name)?);
        }
        Ok(granted)
    }

    fn have(&self, device: &str) -> bool {
        self.all || self.devices.contains(device)
    }
}
