//! The patterns of `${v#p}`, `${v%p}` and `${v/p/r}`: `*`, `?` and `\` before one of them.

use super::ExpandError;

/// Most steps one substitution may take.
const MOST_STEPS: usize = 1 << 24;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    /// `*`
    Any,
    /// `?`
    One,
    Letter(char),
}

impl Token {
    fn takes(self, letter: char) -> bool {
        match self {
            // Like the regular expressions BuildKit uses, wildcards stop at a line end.
            Self::Any | Self::One => letter != '\n',
            Self::Letter(wanted) => wanted == letter,
        }
    }
}

/// A pattern.
#[derive(Debug)]
pub(super) struct Pattern {
    tokens: Vec<Token>,
}

impl Pattern {
    /// Reads a pattern. `\}` and `\/` stand for the characters that would end it.
    pub(super) fn new(pattern: &str) -> Result<Self, ExpandError> {
        let mut tokens = Vec::new();
        let mut letters = pattern.chars();
        while let Some(letter) = letters.next() {
            tokens.push(match letter {
                '*' => Token::Any,
                '?' => Token::One,
                '\\' => match letters.next() {
                    Some(escaped @ ('}' | '/' | '*' | '?' | '\\')) => Token::Letter(escaped),
                    _ => {
                        return Err(ExpandError::InvalidPattern {
                            pattern: pattern.to_owned(),
                        });
                    }
                },
                other => Token::Letter(other),
            });
        }
        Ok(Self { tokens })
    }

    /// The value without the shortest or longest beginning that matches.
    pub(super) fn trim_start<'v>(
        &self,
        value: &'v str,
        longest: bool,
    ) -> Result<&'v str, ExpandError> {
        let mut steps = 0;
        let found = matched_length(&self.tokens, value.chars(), longest, &mut steps)?;
        Ok(found.map_or(value, |length| &value[length..]))
    }

    /// The value without the shortest or longest end that matches.
    pub(super) fn trim_end<'v>(
        &self,
        value: &'v str,
        longest: bool,
    ) -> Result<&'v str, ExpandError> {
        let reversed: Vec<Token> = self.tokens.iter().rev().copied().collect();
        let mut steps = 0;
        let found = matched_length(&reversed, value.chars().rev(), longest, &mut steps)?;
        Ok(found.map_or(value, |length| &value[..value.len() - length]))
    }

    /// The first match replaced, the longest one at its place.
    pub(super) fn replace_first(
        &self,
        value: &str,
        replacement: &str,
    ) -> Result<String, ExpandError> {
        let mut steps = 0;
        Ok(match self.find(value, 0, &mut steps)? {
            Some((start, end)) => format!("{}{replacement}{}", &value[..start], &value[end..]),
            None => value.to_owned(),
        })
    }

    /// Every match replaced. `$0` in the replacement is the match, `$$` a dollar, and any other
    /// `$name` nothing: so does the template language that BuildKit hands it to.
    pub(super) fn replace_all(
        &self,
        value: &str,
        replacement: &str,
        largest: usize,
    ) -> Result<String, ExpandError> {
        let mut result = String::new();
        let (mut at, mut copied, mut last_end, mut steps) = (0, 0, None, 0);
        while let Some((start, end)) = self.find(value, at, &mut steps)? {
            // An empty match directly behind the last match is no match of its own.
            let counts = end > start || last_end != Some(start);
            if counts {
                result.push_str(&value[copied..start]);
                expand_template(replacement, &value[start..end], &mut result);
                copied = end;
                last_end = Some(end);
            }
            at = if end > start {
                end
            } else {
                next_boundary(value, end)
            };
            if at > value.len() {
                break;
            }
            if result.len() > largest {
                return Err(ExpandError::TooLarge { limit: largest });
            }
        }
        result.push_str(&value[copied..]);
        Ok(result)
    }

    /// The leftmost match from `at` on, and of those the longest.
    fn find(
        &self,
        value: &str,
        at: usize,
        steps: &mut usize,
    ) -> Result<Option<(usize, usize)>, ExpandError> {
        let mut start = at;
        while start <= value.len() {
            let first = value[start..].chars().next();
            let possible = match (self.tokens.first(), first) {
                (Some(Token::Letter(wanted)), Some(letter)) => *wanted == letter,
                (Some(Token::Letter(_) | Token::One), None) => false,
                _ => true,
            };
            *steps += 1;
            if possible
                && let Some(length) =
                    matched_length(&self.tokens, value[start..].chars(), true, steps)?
            {
                return Ok(Some((start, start + length)));
            }
            start = next_boundary(value, start);
        }
        Ok(None)
    }
}

/// Where the next character begins; behind the end for the end.
fn next_boundary(value: &str, at: usize) -> usize {
    at + value[at..].chars().next().map_or(1, char::len_utf8)
}

/// How many bytes from the start match, the fewest or the most. All places the pattern can be at
/// are followed at once, so no pattern is slow beyond its length times the text's.
fn matched_length(
    tokens: &[Token],
    letters: impl Iterator<Item = char>,
    longest: bool,
    steps: &mut usize,
) -> Result<Option<usize>, ExpandError> {
    let mut places = vec![false; tokens.len() + 1];
    places[0] = true;
    skip_wildcards(tokens, &mut places);
    let mut length = 0;
    let mut found = places[tokens.len()].then_some(0);
    for letter in letters {
        if found.is_some() && !longest {
            break;
        }
        *steps += places.len();
        if *steps > MOST_STEPS {
            return Err(ExpandError::TooSlow);
        }
        let mut next = vec![false; places.len()];
        let mut alive = false;
        for (place, token) in tokens
            .iter()
            .enumerate()
            .filter(|(place, _)| places[*place])
        {
            if token.takes(letter) {
                next[if *token == Token::Any {
                    place
                } else {
                    place + 1
                }] = true;
                alive = true;
            }
        }
        if !alive {
            break;
        }
        skip_wildcards(tokens, &mut next);
        places = next;
        length += letter.len_utf8();
        if places[tokens.len()] {
            found = Some(length);
        }
    }
    Ok(found)
}

/// `*` may stand for nothing.
fn skip_wildcards(tokens: &[Token], places: &mut [bool]) {
    for (place, token) in tokens.iter().enumerate() {
        if places[place] && *token == Token::Any {
            places[place + 1] = true;
        }
    }
}

/// Writes the replacement of one match.
fn expand_template(template: &str, whole: &str, result: &mut String) {
    let mut rest = template;
    while let Some(at) = rest.find('$') {
        result.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(behind) = rest.strip_prefix('$') {
            result.push('$');
            rest = behind;
            continue;
        }
        let is_name = |letter: char| letter.is_alphanumeric() || letter == '_';
        let (body, braced) = rest
            .strip_prefix('{')
            .map_or((rest, false), |body| (body, true));
        let length = body.find(|letter| !is_name(letter)).unwrap_or(body.len());
        let (name, behind) = body.split_at(length);
        let behind = if braced {
            behind.strip_prefix('}')
        } else {
            Some(behind)
        };
        match behind.filter(|_| !name.is_empty()) {
            None => result.push('$'),
            Some(behind) => {
                if name == "0" {
                    result.push_str(whole);
                }
                rest = behind;
            }
        }
    }
    result.push_str(rest);
}
