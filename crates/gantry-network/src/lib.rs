//! Container networks: addresses, plan, apply, DNS.
//!
//! [`Networks`] attaches containers to the default bridge and detaches them again. What to do
//! is decided by a pure function (`plan`) from what is wanted and what was observed; doing
//! it is route netlink and nf_tables spoken directly, undone in reverse on failure. No helper
//! program runs, nothing waits.
//!
//! State is one small document under `<run root>/network/`, guarded by a file lock, so that
//! any number of processes work at once and a killed one is noticed by the next. Several
//! installations live side by side: bridge and table are named after the run root, and a
//! subnet is chosen that nothing on the host uses.
//!
//! What guards the containers, and the host from them, is described in the module `ruleset`.
//! Forwarding of IPv4 is switched on globally when it is off, as every container engine on
//! Linux must (it leaves IPv6 router advertisements alone), and left on: another program may
//! rely on it by then.
//!
//! Without root there is no bridge: [`UserNetwork`] has a helper program (pasta or slirp4netns)
//! carry a container's packets over the user's own sockets.
//!
//! This crate never knows what an image is, nor who a container belongs to.

mod apply;
mod attach;
mod config;
mod dns;
mod endpoint;
mod error;
mod flows;
mod inside;
mod names;
mod networks;
mod observe;
mod owner;
mod plan;
mod ports;
mod resolv;
mod restore;
mod ruleset;
mod state;
mod subnet;
mod user;

pub use config::NetworkConfig;
pub use dns::Relay;
pub use endpoint::{AttachRequest, Attachment, DetachOutcome, Endpoint, EndpointView};
pub use error::{NetworkError, PortOwner};
pub use gantry_sys::netlink::Mac;
pub use inside::loopback_up;
pub use names::Names;
pub use networks::{LINGER, Networks};
pub use resolv::{DnsOptions, Reach, ResolvConf, host_resolv_conf, resolv_conf};
pub use restore::Member;
pub use subnet::{NotASubnet, Subnet};
pub use user::{UserNetwork, UserProgram, UserRequest};
