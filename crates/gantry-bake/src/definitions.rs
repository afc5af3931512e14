//! What the files define, before anything is evaluated.

mod function;
mod variable;

use std::collections::BTreeMap;
use std::sync::Arc;

use gantry_dockerfile::{SourceFile, Span};

use crate::error::{BakeError, Result};
use crate::eval::UserFunction;
use crate::syntax::ast::{Block, Body, Expr};

pub(crate) use variable::Variable;

/// What all files define; later files come before earlier ones.
#[derive(Debug, Default)]
pub(crate) struct Definitions {
    pub(crate) variables: BTreeMap<Arc<str>, Variable>,
    /// Attributes outside of blocks.
    pub(crate) globals: BTreeMap<Arc<str>, Global>,
    pub(crate) functions: BTreeMap<Arc<str>, UserFunction>,
    /// Targets and groups, in the order of the files.
    pub(crate) blocks: Vec<Definition>,
}

/// An attribute outside of blocks.
#[derive(Debug)]
pub(crate) struct Global {
    pub(crate) source: Arc<SourceFile>,
    pub(crate) value: Expr,
}

/// What a block defines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum BlockKind {
    Target,
    Group,
}

impl BlockKind {
    /// The word that such a block begins with.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Target => "target",
            Self::Group => "group",
        }
    }

    /// The kind that begins with this word.
    pub(crate) fn of(word: &str) -> Option<Self> {
        [Self::Target, Self::Group]
            .into_iter()
            .find(|kind| kind.word() == word)
    }
}

/// A `target` or `group` block.
#[derive(Debug)]
pub(crate) struct Definition {
    pub(crate) kind: BlockKind,
    pub(crate) label: Arc<str>,
    pub(crate) label_span: Span,
    pub(crate) source: Arc<SourceFile>,
    pub(crate) body: Body,
}

/// Names that are given a value by Bake itself.
pub(crate) const BUILT_IN: [&str; 2] = ["BAKE_CMD_CONTEXT", "BAKE_LOCAL_PLATFORM"];

impl Definitions {
    /// Adds what a file defines; `is_json` where it is written in the JSON syntax.
    pub(crate) fn add(
        &mut self,
        source: &Arc<SourceFile>,
        body: Body,
        is_json: bool,
    ) -> Result<()> {
        for attribute in body.attributes {
            let global = Global {
                source: Arc::clone(source),
                value: attribute.value,
            };
            self.globals.insert(attribute.name, global);
        }
        for block in body.blocks {
            self.add_block(source, block, is_json)?;
        }
        Ok(())
    }

    fn add_block(&mut self, source: &Arc<SourceFile>, block: Block, is_json: bool) -> Result<()> {
        let kind = BlockKind::of(&block.kind);
        if kind.is_none() && !matches!(block.kind.as_ref(), "variable" | "function") {
            let known = ["variable", "function", "target", "group"];
            let error = BakeError::new(format!("there is no block {}", block.kind))
                .suggesting(&block.kind, known)
                .with_hint(format!(
                    "the blocks of a Bake file are {}",
                    known.join(", ")
                ));
            return Err(error.at(source, block.span));
        }
        let [(label, label_span)] = block.labels.as_slice() else {
            let message = format!("a block {0} has one name: {0} \"NAME\" {{ … }}", block.kind);
            return Err(BakeError::new(message).at(source, block.span));
        };
        let (label, label_span) = (Arc::clone(label), *label_span);
        match kind {
            Some(kind) => {
                if let Some(inner) = block.body.blocks.first() {
                    let message = format!("there is no block {} in a {}", inner.kind, kind.word());
                    return Err(BakeError::new(message).at(source, inner.span));
                }
                check_name(kind.word(), &label).map_err(|error| error.at(source, label_span))?;
                self.blocks.push(Definition {
                    kind,
                    label,
                    label_span,
                    source: Arc::clone(source),
                    body: block.body,
                });
            }
            // What Bake sets itself cannot be defined.
            None if BUILT_IN.contains(&label.as_ref()) => {}
            None if block.kind.as_ref() == "variable" => {
                let variable = variable::read(source, block, is_json)?;
                self.variables.insert(label, variable);
            }
            None => {
                let function = function::read(source, block)?;
                self.functions.insert(label, function);
            }
        }
        Ok(())
    }
}

/// Refuses names that targets and groups cannot have.
pub(crate) fn check_name(what: &str, name: &str) -> Result<()> {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || "_-".contains(letter);
    if !name.is_empty() && name.chars().all(allowed) {
        return Ok(());
    }
    Err(
        BakeError::new(format!("a {what} cannot be called {name:?}"))
            .with_hint("letters, digits, _ and - are allowed"),
    )
}

/// Refuses attributes that a block does not have.
fn check_attributes(
    source: &Arc<SourceFile>,
    body: &Body,
    what: &str,
    known: &[&str],
) -> Result<()> {
    for attribute in &body.attributes {
        if !known.contains(&attribute.name.as_ref()) {
            let message = format!("a {what} has no attribute {}", attribute.name);
            let error = BakeError::new(message)
                .suggesting(&attribute.name, known.iter().copied())
                .with_hint(format!("there are {}", known.join(", ")));
            return Err(error.at(source, attribute.name_span));
        }
    }
    Ok(())
}
