//! Test environments, fixtures and peers for Gantry's own tests and demo.
//!
//! A failure of the set-up panics with a sentence that says what is missing: in a test that is
//! the answer, and nothing is ever skipped.

pub mod cache;
pub mod caller;
pub mod conformance;
pub mod dockerfiles;
pub mod environment;
pub mod fixture;
pub mod held;
pub mod leftover;
pub mod peers;
pub mod registry;
pub mod runner;
pub mod web;

pub use caller::Caller;
pub use environment::{Answer, TestEnv};
pub use held::HeldRegistry;
pub use peers::Peers;
pub use registry::TestRegistry;
