//! Bake files: texts, an environment and overrides in, build targets out.
//!
//! The language is that of the Bake reference, as the reference implementation 0.29 reads it:
//! HCL in its native and its JSON syntax, and Compose files.
//!
//! | module | what |
//! | --- | --- |
//! | [`bake`] | the way from texts to targets |
//! | [`surroundings`] | what an evaluation is told of the world |
//! | [`target`] | targets, their entries, overrides, their JSON |
//! | [`value`], [`number`], [`types`] | what expressions evaluate to |
//! | [`error`] | what is wrong, with the lines of the file |
//! | `syntax` | text → tree |
//! | `definitions` | tree → variables, functions, targets |
//! | `resolver`, `eval` | names and expressions → values, each when it is first asked for |
//! | `functions` | the standard library |
//! | `compose` | services of Compose files → targets |
//!
//! This crate is pure: it never reads a file, the network, the clock or the environment. It must
//! never know of builders, images or the command line. Every input is hostile: depth, the size of
//! values and the number of operations are bounded, circles are told, nothing panics.

pub mod bake;
mod compose;
mod convert;
mod definitions;
pub mod error;
mod eval;
mod functions;
pub mod number;
mod path;
mod resolver;
pub mod surroundings;
mod syntax;
pub mod target;
pub mod types;
pub mod value;

pub use bake::{Baked, Definition, File, Request, TargetRow, VariableRow, define, evaluate};
pub use compose::dotenv;
pub use error::BakeError;
pub use surroundings::Surroundings;
pub use target::Target;
pub use target::decode::Group;
