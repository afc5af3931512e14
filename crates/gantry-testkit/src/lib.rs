//! Test environments, fixtures and peers for Gantry's own tests and demo.
//!
//! A failure of the set-up panics with a sentence that says what is missing: in a test that is
//! the answer, and nothing is ever skipped.

pub mod cache;
pub mod environment;
pub mod fixture;
pub mod leftover;
pub mod registry;

pub use environment::{Answer, TestEnv};
pub use registry::TestRegistry;
