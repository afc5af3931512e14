//! Patterns over paths, followed at all their places at once: time is the pattern's length times
//! the path's, whatever the pattern.

/// One step of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Token {
    /// This character.
    Letter(char),
    /// `?`: any character but `/`.
    One,
    /// `*`: any run without `/`.
    Run,
    /// `[…]`
    Class(Class),
    /// `**` at the end: anything.
    Rest,
    /// Before [`Token::Directories`]: they may be missing.
    Perhaps,
    /// `**/`: anything that ends with `/`.
    Directories,
    /// Something that no path fulfils.
    Never,
}

/// A set of characters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Class {
    pub(crate) negated: bool,
    pub(crate) ranges: Vec<(char, char)>,
}

impl Class {
    fn holds(&self, letter: char) -> bool {
        self.ranges
            .iter()
            .any(|(low, high)| (*low..=*high).contains(&letter))
            != self.negated
    }

    pub(crate) fn of(negated: bool, ranges: &[(char, char)]) -> Self {
        Self {
            negated,
            ranges: ranges.to_vec(),
        }
    }
}

/// The pattern is malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Reads what follows `[`, up to `]`.
pub(crate) fn class(
    letters: &mut std::iter::Peekable<std::str::Chars<'_>>,
) -> Result<Class, Malformed> {
    let negated = letters.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    loop {
        if !ranges.is_empty() && letters.next_if_eq(&']').is_some() {
            return Ok(Class { negated, ranges });
        }
        let low = class_letter(letters)?;
        let high = if letters.next_if_eq(&'-').is_some() {
            class_letter(letters)?
        } else {
            low
        };
        ranges.push((low, high));
    }
}

fn class_letter(letters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<char, Malformed> {
    match letters.next() {
        None | Some('-' | ']') => Err(Malformed),
        Some('\\') => letters.next().ok_or(Malformed),
        Some(letter) => Ok(letter),
    }
}

/// Where a pattern stands after some characters.
#[derive(Debug)]
pub(crate) struct Places<'t> {
    tokens: &'t [Token],
    present: Vec<bool>,
    next: Vec<bool>,
}

impl<'t> Places<'t> {
    pub(crate) fn new(tokens: &'t [Token]) -> Self {
        let mut present = vec![false; tokens.len() + 1];
        present[0] = true;
        let mut places = Self {
            tokens,
            present,
            next: vec![false; tokens.len() + 1],
        };
        places.follow_optional();
        places
    }

    /// Goes on by all characters of a path, which need not be UTF-8; `false` once nothing can
    /// match any more.
    pub(crate) fn advance_all(&mut self, path: &[u8]) -> bool {
        for chunk in path.utf8_chunks() {
            let broken = chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER);
            for letter in chunk.valid().chars().chain(broken) {
                if !self.advance(letter) {
                    return false;
                }
            }
        }
        true
    }

    fn advance(&mut self, letter: char) -> bool {
        self.next.fill(false);
        let mut alive = false;
        for (place, token) in self.tokens.iter().enumerate() {
            if !self.present[place] {
                continue;
            }
            let (stays, goes_on) = match token {
                Token::Letter(wanted) => (false, *wanted == letter),
                Token::One => (false, letter != '/'),
                Token::Run => (letter != '/', false),
                Token::Class(class) => (false, class.holds(letter)),
                // Like the regular expressions of the original, `**` stops at a line end.
                Token::Rest => (letter != '\n', false),
                Token::Directories => (letter != '\n', letter == '/'),
                Token::Perhaps | Token::Never => (false, false),
            };
            self.next[place] |= stays;
            self.next[place + 1] |= goes_on;
            alive |= stays | goes_on;
        }
        std::mem::swap(&mut self.present, &mut self.next);
        self.follow_optional();
        alive
    }

    /// Steps that may stand for nothing.
    fn follow_optional(&mut self) {
        for (place, token) in self.tokens.iter().enumerate() {
            if !self.present[place] {
                continue;
            }
            match token {
                Token::Run | Token::Rest => self.present[place + 1] = true,
                Token::Perhaps => {
                    self.present[place + 1] = true;
                    self.present[place + 2] = true;
                }
                _ => {}
            }
        }
    }

    /// Whether what was read is a whole match.
    pub(crate) fn is_match(&self) -> bool {
        self.present[self.tokens.len()]
    }

    /// Whether something longer could match.
    pub(crate) fn can_go_on(&self) -> bool {
        self.tokens
            .iter()
            .zip(&self.present)
            .any(|(token, present)| *present && *token != Token::Never)
    }
}

/// Whether a pattern matches a whole path.
pub(crate) fn matches(tokens: &[Token], path: &[u8]) -> bool {
    let mut places = Places::new(tokens);
    places.advance_all(path) && places.is_match()
}
