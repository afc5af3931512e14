//! systemd's manager, asked over D-Bus for the units that containers live in.
//!
//! On a host that systemd runs, the tree of cgroups is systemd's; whoever wants a part of it asks
//! for a *transient unit*, a scope that is given processes or a slice, and is *delegated* what lies
//! below. [`Manager`] is the conversation, [`Property`] what a unit is given.
//!
//! Only what these few calls need of D-Bus is here: the marshalling of their messages (`wire`), and
//! calls one after the other on one connection (`connection`).
//!
//! This crate never knows what a container is, nor where cgroups are mounted.

mod connection;
mod error;
mod manager;
mod property;
mod wire;

pub use error::SystemdError;
pub use manager::Manager;
pub use property::{Property, Value};
