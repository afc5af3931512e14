//! The tree: bodies of blocks and attributes, and expressions.

use std::sync::Arc;

use gantry_dockerfile::Span;

use crate::value::Value;

/// What stands between the braces of a block, or in a whole file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Body {
    /// `name = value`
    pub(crate) attributes: Vec<Attribute>,
    /// `kind "label" { … }`
    pub(crate) blocks: Vec<Block>,
}

impl Body {
    /// The attribute of that name.
    pub(crate) fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes
            .iter()
            .find(|attribute| attribute.name.as_ref() == name)
    }
}

/// `name = value`
#[derive(Debug, Clone)]
pub(crate) struct Attribute {
    pub(crate) name: Arc<str>,
    pub(crate) name_span: Span,
    pub(crate) value: Expr,
}

/// `kind "label" { … }`
#[derive(Debug, Clone)]
pub(crate) struct Block {
    pub(crate) kind: Arc<str>,
    /// From the kind to the opening brace.
    pub(crate) span: Span,
    pub(crate) labels: Vec<(Arc<str>, Span)>,
    pub(crate) body: Body,
}

/// An expression and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Expr {
    pub(crate) kind: Box<ExprKind>,
    pub(crate) span: Span,
    /// How many expressions are inside one another, this one counted.
    pub(crate) depth: usize,
}

#[derive(Debug, Clone)]
pub(crate) enum ExprKind {
    /// A number, a text without interpolation, `true`, `false`, `null`.
    Literal(Value),
    /// A name.
    Variable(Arc<str>),
    /// A text with interpolations.
    Template(Vec<Part>),
    /// `[a, b]`
    Tuple(Vec<Expr>),
    /// `{a = b}`
    Object(Vec<(Expr, Expr)>),
    /// `[for …]`, `{for …}`
    For(ForExpr),
    /// `name(arguments)`
    Call(Call),
    /// `base.name`, `base[key]`
    Access { base: Expr, steps: Vec<Step> },
    /// `base[*].name`, `base.*.name`
    Splat { base: Expr, steps: Vec<Step> },
    /// `!a`, `-a`
    Unary(UnaryOperator, Expr),
    /// `a + b`
    Binary(BinaryOperator, Expr, Expr),
    /// `a ? b : c`
    Conditional(Expr, Expr, Expr),
    /// `(a)`
    Parentheses(Expr),
}

/// A part of a template.
#[derive(Debug, Clone)]
pub(crate) enum Part {
    Text(Arc<str>),
    Interpolation(Expr),
    If {
        condition: Expr,
        yes: Vec<Part>,
        no: Vec<Part>,
    },
    For {
        key: Option<Arc<str>>,
        value: Arc<str>,
        collection: Expr,
        body: Vec<Part>,
    },
}

/// `for key, value in collection : result if condition`
#[derive(Debug, Clone)]
pub(crate) struct ForExpr {
    pub(crate) key: Option<Arc<str>>,
    pub(crate) value: Arc<str>,
    pub(crate) collection: Expr,
    /// The name of each result, where an object is made.
    pub(crate) result_key: Option<Expr>,
    pub(crate) result: Expr,
    /// Whether results of one name are gathered (`...`).
    pub(crate) grouped: bool,
    pub(crate) condition: Option<Expr>,
}

/// `name(arguments)`
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) name: Arc<str>,
    pub(crate) name_span: Span,
    pub(crate) arguments: Vec<Expr>,
    /// Whether the last argument is a list of further arguments (`...`).
    pub(crate) expanded: bool,
}

/// A step into a value.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// `.name`
    Attribute(Arc<str>, Span),
    /// `[key]`, `.0`
    Index(Expr),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UnaryOperator {
    Not,
    Negate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BinaryOperator {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
}

impl Expr {
    pub(crate) fn new(kind: ExprKind, span: Span) -> Self {
        let depth = 1 + kind.inside();
        Self {
            kind: Box::new(kind),
            span,
            depth,
        }
    }

    pub(crate) fn literal(value: impl Into<Value>, span: Span) -> Self {
        Self::new(ExprKind::Literal(value.into()), span)
    }

    /// The name, where the expression is nothing but one: a word, or in JSON a text.
    pub(crate) fn keyword(&self) -> Option<&Arc<str>> {
        match self.kind.as_ref() {
            ExprKind::Variable(name) | ExprKind::Literal(Value::String(name)) => Some(name),
            _ => None,
        }
    }
}

impl ExprKind {
    /// The greatest depth among the expressions inside.
    fn inside(&self) -> usize {
        let deepest = |all: &[Expr]| all.iter().map(|inner| inner.depth).max().unwrap_or(0);
        match self {
            Self::Literal(_) | Self::Variable(_) => 0,
            Self::Template(parts) => depth_of_parts(parts),
            Self::Tuple(items) => deepest(items),
            Self::Object(items) => items
                .iter()
                .map(|(key, value)| key.depth.max(value.depth))
                .max()
                .unwrap_or(0),
            Self::For(each) => [&each.result_key, &each.condition]
                .into_iter()
                .flatten()
                .chain([&each.collection, &each.result])
                .map(|inner| inner.depth)
                .max()
                .unwrap_or(0),
            Self::Call(call) => deepest(&call.arguments),
            Self::Access { base, steps } | Self::Splat { base, steps } => steps
                .iter()
                .map(|step| match step {
                    Step::Attribute(..) => 0,
                    Step::Index(key) => key.depth,
                })
                .max()
                .unwrap_or(0)
                .max(base.depth),
            Self::Unary(_, inner) | Self::Parentheses(inner) => inner.depth,
            Self::Binary(_, left, right) => left.depth.max(right.depth),
            Self::Conditional(condition, yes, no) => condition.depth.max(yes.depth).max(no.depth),
        }
    }
}

fn depth_of_parts(parts: &[Part]) -> usize {
    let depth = |part: &Part| match part {
        Part::Text(_) => 0,
        Part::Interpolation(inner) => inner.depth,
        Part::If { condition, yes, no } => {
            condition
                .depth
                .max(depth_of_parts(yes))
                .max(depth_of_parts(no))
                + 1
        }
        Part::For {
            collection, body, ..
        } => collection.depth.max(depth_of_parts(body)) + 1,
    };
    parts.iter().map(depth).max().unwrap_or(0)
}
