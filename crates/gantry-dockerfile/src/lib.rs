//! The Dockerfile front end: text in, a tree with source spans out.
//!
//! The language is the one of the Dockerfile reference 1.26, and where the reference is silent,
//! BuildKit's behaviour decides.
//!
//! | module | what |
//! | --- | --- |
//! | [`source`] | a source file, spans in it, lines and columns |
//! | [`diagnostic`] | errors and warnings, and how they are shown with their lines |
//! | [`ast`] | the tree: stages, instructions, words |
//! | [`parse`] | text → tree |
//! | [`expand`] | `$variables` in words and instructions |
//! | [`resolve`] | names of stages in `FROM`, `--from` and `--target` |
//! | [`argument`] | predefined build arguments and the scopes of variables |
//! | [`ignore`] | `.dockerignore` |
//! | [`wildcard`] | wildcards in the sources of `COPY` and `ADD` |
//! | [`duration`], [`mode`], [`owner`], [`port`], [`size`] | the small languages inside options |
//! | [`lint`] | rules over the tree |
//! | [`fix`] | changes of the text that end a complaint |
//! | [`outline`] | what a file offers: its targets, and the arguments, secrets and agents of one |
//!
//! This crate is pure: it never reads a file, the network, the clock or the environment, and
//! starts no process. It must never know of images, containers or the command line. Every input
//! is hostile: no panic, bounded recursion, time linear in the input (quadratic at worst in one
//! matched pattern).

pub mod argument;
pub mod ast;
pub mod diagnostic;
pub mod duration;
pub mod expand;
pub mod fix;
mod glob;
pub mod ignore;
pub mod lint;
pub mod mask;
pub mod mode;
pub mod outline;
pub mod owner;
pub mod parse;
pub mod port;
pub mod resolve;
pub mod source;
pub mod suggest;
pub mod wildcard;

pub use ast::{Dockerfile, Instruction, InstructionKind, Stage, Word};
pub use diagnostic::{Diagnostic, Severity};
pub use expand::{Expanded, Variables, expand_instruction};
pub use parse::{parse, parse_trigger};
pub use source::{SourceFile, Span};
