//! The command line: which commands there are, and how their words are read.

pub(crate) mod builder;
pub(crate) mod command;
pub(crate) mod global;
pub(crate) mod help;
pub(crate) mod lookup;
pub(crate) mod parse;
pub(crate) mod table;
pub(crate) mod tree;
pub(crate) mod usage;
