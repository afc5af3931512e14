//! Shows all there is to know of networks.

use clap::Args;
use gantry_engine::networks::NetworkView;
use serde_json::{Map, Value, json};

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
    /// Show more; there is no more
    #[arg(short, long, hide = true)]
    pub(crate) verbose: bool,
    /// The networks.
    pub(crate) operands: Vec<String>,
}

pub(crate) fn run(context: &Context, args: InspectArgs) -> Outcome {
    let networks = context.engine()?.networks();
    inspected(context, args.format.as_deref(), &args.operands, |name| {
        Ok(Document::new(&document(&networks.inspect(name)?)))
    })
}

/// A network as Docker describes it.
pub(crate) fn document(network: &NetworkView) -> Value {
    let containers: Map<String, Value> = network
        .members
        .iter()
        .map(|member| {
            let address = member.address.map(|a| format!("{a}/{}", member.prefix));
            let value = json!({
                "Name": member.name,
                "EndpointID": member.id,
                "MacAddress": member.mac,
                "IPv4Address": address.unwrap_or_default(),
                "IPv6Address": "",
            });
            (member.id.clone(), value)
        })
        .collect();
    let subnets: Vec<Value> = network
        .subnet
        .iter()
        .map(|subnet| {
            let gateway = network.gateway.map(|gateway| gateway.to_string());
            json!({"Subnet": subnet, "Gateway": gateway.unwrap_or_default()})
        })
        .collect();
    json!({
        "Name": network.name,
        "Id": network.id,
        "Scope": network.scope,
        "Driver": network.driver,
        "EnableIPv6": false,
        "IPAM": {"Driver": "default", "Options": null, "Config": subnets},
        "Internal": false,
        "Attachable": false,
        "Ingress": false,
        "Containers": containers,
        "Options": network.interface.as_ref().map(|bridge| {
            json!({"com.docker.network.bridge.name": bridge})
        }),
        "Labels": {},
    })
}
