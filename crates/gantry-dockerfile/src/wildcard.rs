//! Wildcards in the sources of `COPY` and `ADD`, by the rules of Go's `filepath.Match`: `*` and `?`
//! stay within a path component, `[a-z]` and `[^a-z]` are sets, `\` escapes.

use std::iter::Peekable;
use std::str::Chars;

use gantry_model::{Fault, FaultKind};

use crate::glob::{self, Malformed, Token};

/// A pattern that cannot be read: an open `[`, or a `\` at the end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("syntax error in pattern '{pattern}'")]
pub struct PatternError {
    /// The pattern.
    pub pattern: String,
}

impl Fault for PatternError {
    fn kind(&self) -> FaultKind {
        FaultKind::Invalid
    }

    fn hints(&self) -> Vec<String> {
        vec!["close every [ by a ], and write [[] for a [ in a name".to_owned()]
    }
}

/// Whether a path holds wildcards that are not escaped.
pub fn has_wildcard(path: &str) -> bool {
    let mut letters = path.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => drop(letters.next()),
            '*' | '?' | '[' => return true,
            _ => {}
        }
    }
    false
}

/// A pattern over one name or one whole path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    tokens: Vec<Token>,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// It is malformed.
    pub fn new(pattern: &str) -> Result<Self, PatternError> {
        let mut letters = pattern.chars().peekable();
        let tokens = tokens(&mut letters).map_err(|Malformed| PatternError {
            pattern: pattern.to_owned(),
        })?;
        Ok(Self { tokens })
    }

    /// Whether the whole of a name or path matches. Bytes that are not UTF-8 count as one
    /// character each.
    pub fn matches(&self, name: impl AsRef<[u8]>) -> bool {
        glob::matches(&self.tokens, name.as_ref())
    }

    /// The one text that matches, where the pattern has no wildcards; escapes are gone.
    pub fn literal(&self) -> Option<String> {
        self.tokens
            .iter()
            .map(|token| {
                if let Token::Letter(letter) = token {
                    Some(*letter)
                } else {
                    None
                }
            })
            .collect()
    }
}

/// Reads tokens to the end.
pub(crate) fn tokens(letters: &mut Peekable<Chars<'_>>) -> Result<Vec<Token>, Malformed> {
    let mut tokens = Vec::new();
    while let Some(letter) = letters.next() {
        let token = match letter {
            // Two in a row mean the same as one.
            '*' if tokens.last() == Some(&Token::Run) => continue,
            '*' => Token::Run,
            '?' => Token::One,
            '[' => Token::Class(glob::class(letters)?),
            '\\' => Token::Letter(letters.next().ok_or(Malformed)?),
            other => Token::Letter(other),
        };
        tokens.push(token);
    }
    Ok(tokens)
}

/// A source path, component by component: whoever walks a tree asks each component for names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourcePattern {
    components: Vec<Component>,
    trailing_slash: bool,
}

/// One component of a [`SourcePattern`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Component {
    /// Just this name.
    Literal(String),
    /// Every name that matches.
    Wild(Pattern),
    /// Directories of any number, also none: `**` of `COPY --parents`.
    AnyDepth,
}

impl Component {
    /// The only name that matches, where there is just one.
    pub fn literal(&self) -> Option<&str> {
        match self {
            Self::Literal(name) => Some(name),
            Self::Wild(_) | Self::AnyDepth => None,
        }
    }

    /// Whether a name matches.
    pub fn matches(&self, name: impl AsRef<[u8]>) -> bool {
        match self {
            Self::Literal(literal) => literal.as_bytes() == name.as_ref(),
            Self::Wild(pattern) => pattern.matches(name),
            Self::AnyDepth => true,
        }
    }
}

impl SourcePattern {
    /// Splits a source path. `.`, empty components and a leading `/` fall away; `..` goes up, at
    /// the root it stays there. Without wildcards a path is taken as it is, its backslashes too.
    ///
    /// # Errors
    /// A component is malformed.
    pub fn new(path: &str) -> Result<Self, PatternError> {
        Self::split(path, has_wildcard(path), false)
    }

    /// Splits a path in the same way in which nothing is a wildcard.
    pub fn exact(path: &str) -> Self {
        Self::split(path, false, false).expect("a path without wildcards is not malformed")
    }

    /// Splits a source of `COPY --parents`: what stands before the first `/./`, which is not kept,
    /// and what is kept. In the latter `**` means directories of any depth; at the end it is `*`.
    ///
    /// # Errors
    /// A component is malformed.
    pub fn around_pivot(path: &str) -> Result<(Self, Self), PatternError> {
        let (before, kept) = path.split_once("/./").unwrap_or(("", path));
        let mut kept = Self::split(kept, has_wildcard(kept), true)?;
        if let Some(last @ Component::AnyDepth) = kept.components.last_mut() {
            *last = Component::Wild(Pattern::new("*")?);
        }
        Ok((Self::new(before)?, kept))
    }

    fn split(path: &str, wild: bool, deep: bool) -> Result<Self, PatternError> {
        let mut components = Vec::new();
        for part in path.split('/') {
            match part {
                "" | "." => {}
                ".." => drop(components.pop()),
                "**" if deep => components.push(Component::AnyDepth),
                literal if !wild => components.push(Component::Literal(literal.to_owned())),
                part => {
                    let pattern = Pattern::new(part).map_err(|_| PatternError {
                        pattern: path.to_owned(),
                    })?;
                    components.push(
                        pattern
                            .literal()
                            .map_or(Component::Wild(pattern), Component::Literal),
                    );
                }
            }
        }
        Ok(Self {
            components,
            trailing_slash: path.ends_with('/'),
        })
    }

    /// The components; none of them for the root itself.
    pub fn components(&self) -> &[Component] {
        &self.components
    }

    /// Whether any component has wildcards.
    pub fn is_wild(&self) -> bool {
        self.components
            .iter()
            .any(|component| !matches!(component, Component::Literal(_)))
    }

    /// Whether the path ends with `/`: only a directory will do.
    pub fn needs_directory(&self) -> bool {
        self.trailing_slash
    }
}

#[cfg(test)]
mod tests {
    use super::{Component, Pattern, SourcePattern, has_wildcard};

    #[test]
    fn matching() {
        let cases = [
            ("abc", "abc", true),
            ("*", "abc", true),
            ("*c", "abc", true),
            ("a*", "a", true),
            ("a*", "abc", true),
            ("a*", "ab/c", false),
            ("a*/b", "abc/b", true),
            ("a*/b", "a/c/b", false),
            ("a*b*c*d*e*/f", "axbxcxdxe/f", true),
            ("a*b*c*d*e*/f", "axbxcxdxexxx/f", true),
            ("a*b*c*d*e*/f", "axbxcxdxe/xxx/f", false),
            ("a*b*c*d*e*/f", "axbxcxdxexxx/fff", false),
            ("a*b?c*x", "abxbbxdbxebxczzx", true),
            ("a*b?c*x", "abxbbxdbxebxczzy", false),
            ("ab[c]", "abc", true),
            ("ab[b-d]", "abc", true),
            ("ab[e-g]", "abc", false),
            ("ab[^c]", "abc", false),
            ("ab[^b-d]", "abc", false),
            ("ab[^e-g]", "abc", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "ab", false),
            ("a?b", "a☺b", true),
            ("a[^a]b", "a☺b", true),
            ("a???b", "a☺b", false),
            ("[a-ζ]*", "α", true),
            ("*[a-ζ]", "A", false),
            ("a?b", "a/b", false),
            ("a*b", "a/b", false),
            ("[\\]a]", "]", true),
            ("[\\-]", "-", true),
            ("[x\\-]", "-", true),
            ("[x\\-]", "z", false),
            ("[\\-x]", "x", true),
            ("*x", "xxx", true),
            ("", "", true),
            ("", "x", false),
            ("arr[[]0].txt", "arr[0].txt", true),
            ("hom*", "home.txt", true),
            ("hom?.txt", "home.txt", true),
            ("hom?.txt", "homee.txt", false),
            ("**", "a/b", false),
        ];
        for (pattern, name, expected) in cases {
            assert_eq!(
                Pattern::new(pattern).unwrap().matches(name),
                expected,
                "{pattern} {name}"
            );
        }
    }

    #[test]
    fn malformed() {
        for pattern in [
            "[]a]", "[-]", "[x-]", "[-x]", "\\", "[a-b-c]", "[", "[^", "[^bc", "a[", "a[b", "[\\",
        ] {
            assert!(Pattern::new(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn bytes() {
        assert!(Pattern::new("a?b").unwrap().matches(b"a\xffb"));
        assert!(Pattern::new("*").unwrap().matches(b"\xff\xfe"));
        assert!(!Pattern::new("a?b").unwrap().matches(b"a\xff\xffb"));
    }

    #[test]
    fn sources_around_a_pivot() {
        let literal = |name: &str| Component::Literal(name.to_owned());
        let around = |path: &str| {
            let (before, kept) = SourcePattern::around_pivot(path).unwrap();
            [before, kept].map(|pattern| pattern.components().to_vec())
        };
        assert_eq!(around("./a/b"), [vec![], vec![literal("a"), literal("b")]]);
        assert_eq!(around("./a/./b/./c")[0], [literal("a")]);
        assert_eq!(around("./a/./b/./c")[1], [literal("b"), literal("c")]);
        assert_eq!(around("/a/b/."), around("a/b"));
        let deep = around("**/./x/**/y/**");
        assert!(matches!(deep[0][..], [Component::Wild(_)]));
        let kept = &deep[1];
        assert_eq!(kept[..3], [literal("x"), Component::AnyDepth, literal("y")]);
        assert!(matches!(kept[3..], [Component::Wild(_)]));
        assert!(SourcePattern::around_pivot("a/./[").is_err());
    }

    #[test]
    fn sources() {
        let literal = |name: &str| Component::Literal(name.to_owned());
        let source = SourcePattern::new("./src/../lib//x/").unwrap();
        assert_eq!(source.components(), [literal("lib"), literal("x")]);
        assert!(source.needs_directory() && !source.is_wild());
        assert!(SourcePattern::new("/").unwrap().components().is_empty());
        assert!(SourcePattern::new("../../etc").unwrap().components() == [literal("etc")]);
        let source = SourcePattern::new("a/*.rs").unwrap();
        assert_eq!(source.components()[0], literal("a"));
        assert!(
            source.components()[1].matches("main.rs") && !source.components()[1].matches("main.c")
        );
        assert_eq!(
            SourcePattern::new("a\\b").unwrap().components(),
            [literal("a\\b")]
        );
        assert_eq!(
            SourcePattern::new("a\\b/*").unwrap().components()[0],
            literal("ab")
        );
        assert!(has_wildcard("a[") && !has_wildcard("a\\*") && has_wildcard("\\\\*"));
        assert!(SourcePattern::new("a[").is_err());
    }

    #[test]
    fn no_pattern_is_slow() {
        let pattern = Pattern::new(&"*a".repeat(200)).unwrap();
        assert!(!pattern.matches("a".repeat(5000) + "b"));
    }
}
