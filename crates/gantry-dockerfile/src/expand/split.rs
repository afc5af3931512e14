//! Splitting into words, character by character.

/// One of the words a text was split into.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Split {
    pub(crate) text: String,
    /// Where its first character came from in the input.
    pub(crate) at: usize,
}

/// The words so far.
#[derive(Debug, Default)]
pub(super) struct Words {
    done: Vec<Split>,
    open: Split,
    inside: bool,
}

impl Words {
    /// A character that white space ends a word at.
    pub(super) fn push(&mut self, letter: char, at: usize) {
        if !letter.is_whitespace() {
            self.push_raw(letter, at);
        } else if self.inside && !self.open.text.is_empty() {
            self.done.push(std::mem::take(&mut self.open));
            self.inside = false;
        }
    }

    /// A character that belongs to the word whatever it is.
    pub(super) fn push_raw(&mut self, letter: char, at: usize) {
        self.begin(at);
        self.open.text.push(letter);
    }

    pub(super) fn push_raw_str(&mut self, text: &str, at: usize) {
        self.begin(at);
        self.open.text.push_str(text);
    }

    fn begin(&mut self, at: usize) {
        if self.open.text.is_empty() {
            self.open.at = at;
        }
        self.inside = true;
    }

    pub(super) fn finish(mut self) -> Vec<Split> {
        if !self.open.text.is_empty() {
            self.done.push(self.open);
        }
        self.done
    }
}
