//! Shell scripts as far as rules look into them: simple commands, their words, and what joins
//! them. What is nested in `$(…)` or quotes stays part of its word.

use crate::source::Span;

/// One word: quotes taken away, variables as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ShellWord {
    pub(super) text: String,
    pub(super) span: Span,
}

/// What stands between a command and the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Joint {
    /// `;`, a line end, a bracket or the end of the script.
    End,
    And,
    Or,
    Pipe,
    Background,
}

/// A simple command: assignments before it and keywords are gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) words: Vec<ShellWord>,
    pub(super) joint: Joint,
}

impl Command {
    /// The program without its folder; that of `sudo`, `exec`, `env` and their like is the one
    /// they start.
    pub(super) fn name(&self) -> &str {
        let program = self.program().first().map_or("", |word| &word.text);
        program.rsplit('/').next().unwrap_or_default()
    }

    /// The words behind the program.
    pub(super) fn arguments(&self) -> &[ShellWord] {
        self.program().split_first().map_or(&[], |(_, rest)| rest)
    }

    /// Whether an argument is there as it is.
    pub(super) fn has(&self, argument: &str) -> bool {
        self.arguments().iter().any(|word| word.text == argument)
    }

    /// The first argument that is no option; values of the options in `valued` are none either.
    pub(super) fn subcommand(&self, valued: &[&str]) -> Option<&ShellWord> {
        let mut arguments = self.arguments().iter();
        while let Some(word) = arguments.next() {
            if valued.contains(&word.text.as_str()) {
                arguments.next();
            } else if !word.text.starts_with('-') {
                return Some(word);
            }
        }
        None
    }

    /// From the first word to the last.
    pub(super) fn span(&self) -> Span {
        match (self.words.first(), self.words.last()) {
            (Some(first), Some(last)) => first.span.join(last.span),
            _ => Span::default(),
        }
    }

    fn program(&self) -> &[ShellWord] {
        const WRAPPERS: [&str; 7] = ["sudo", "exec", "env", "time", "nohup", "nice", "command"];
        let mut words = self.words.as_slice();
        while let [first, rest @ ..] = words {
            if rest.is_empty() || !WRAPPERS.contains(&first.text.as_str()) {
                break;
            }
            words = rest;
            while let [next, more @ ..] = words {
                let is_own = next.text.starts_with('-') || is_assignment(&next.text);
                if !is_own || more.is_empty() {
                    break;
                }
                words = more;
            }
        }
        words
    }
}

/// How lines go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lines {
    /// As in an instruction: a line end counts for nothing, comment lines are gone.
    Folded,
    /// As in a script of its own: a line end ends the command.
    Script,
}

/// How a script ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// Where another command could be put behind it.
    Command,
    /// Within a comment.
    Comment,
    /// Within quotes, brackets or behind a backslash: it was not meant as it is read.
    Open,
}

/// The simple commands of `text`, which begins at `offset` of the file, and how it ends.
pub(super) fn commands(text: &str, offset: usize, lines: Lines) -> (Vec<Command>, Ending) {
    let mut reader = Reader {
        text,
        at: 0,
        offset,
        lines,
        word: None,
        words: Vec::new(),
        commands: Vec::new(),
        ending: Ending::Command,
    };
    while reader.step() {}
    reader.end_command(Joint::End);
    (reader.commands, reader.ending)
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    offset: usize,
    lines: Lines,
    /// The word being read, and where it began.
    word: Option<(String, usize)>,
    words: Vec<ShellWord>,
    commands: Vec<Command>,
    ending: Ending,
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at..)?.chars().next()
    }

    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn push(&mut self, letter: char) {
        let at = self.at;
        self.word
            .get_or_insert_with(|| (String::new(), at))
            .0
            .push(letter);
        self.at += letter.len_utf8();
    }

    /// Takes what comes next; false at the end.
    fn step(&mut self) -> bool {
        let Some(letter) = self.peek() else {
            return false;
        };
        match letter {
            '\\' => self.escaped(),
            '\'' | '"' => self.quoted(letter),
            '$' if self.rest().starts_with("$(") => self.nested(),
            '`' => self.quoted('`'),
            '#' if self.word.is_none() => self.skip_line(),
            '\n' => {
                self.at += 1;
                match self.lines {
                    Lines::Folded => self.end_word(),
                    Lines::Script => self.end_command(Joint::End),
                }
            }
            ' ' | '\t' | '\r' => {
                self.end_word();
                self.at += 1;
            }
            '<' | '>' => self.redirection(),
            '&' if self.rest().starts_with("&>") => {
                self.end_word();
                self.at += 1;
                self.redirection();
            }
            '&' | '|' | ';' | '(' | ')' => self.joint(letter),
            other => self.push(other),
        }
        true
    }

    /// A backslash: a continued line, or a letter as it is.
    fn escaped(&mut self) {
        let behind = &self.rest()[1..];
        let line = behind.split('\n').next().unwrap_or_default();
        let folds = self.lines == Lines::Folded && behind.len() > line.len();
        if (folds && line.trim().is_empty()) || behind.starts_with('\n') {
            self.at += 1 + line.len() + 1;
            if self.lines == Lines::Folded {
                self.skip_folded();
            }
            return;
        }
        self.at += 1;
        match self.peek() {
            Some(letter) => self.push(letter),
            None => self.ending = Ending::Open,
        }
    }

    /// Empty lines and comment lines inside an instruction are none of the script.
    fn skip_folded(&mut self) {
        loop {
            let line = self.rest().split('\n').next().unwrap_or_default();
            let left = line.trim_start();
            if self.rest().is_empty() || !(left.is_empty() || left.starts_with('#')) {
                return;
            }
            let is_comment = !left.is_empty();
            self.at = (self.at + line.len() + 1).min(self.text.len());
            if is_comment && self.rest().is_empty() {
                self.ending = Ending::Comment;
            }
        }
    }

    fn quoted(&mut self, quote: char) {
        let start = self.at;
        self.word.get_or_insert_with(|| (String::new(), start));
        self.at += 1;
        let keeps = quote == '`';
        loop {
            let Some(letter) = self.peek() else {
                self.ending = Ending::Open;
                break;
            };
            if letter == quote {
                self.at += 1;
                break;
            }
            if letter == '\\' && quote != '\'' {
                self.at += 1;
                match self.peek() {
                    Some('\n') => self.at += 1,
                    Some(escaped) => self.push(escaped),
                    None => {}
                }
                continue;
            }
            self.push(letter);
        }
        if keeps && let Some((word, _)) = &mut self.word {
            word.push('`');
        }
    }

    /// `$(…)`, brackets counted.
    fn nested(&mut self) {
        let mut depth = 0_usize;
        while let Some(letter) = self.peek() {
            self.push(letter);
            match letter {
                '(' => depth += 1,
                ')' if depth <= 1 => return,
                ')' => depth -= 1,
                _ => {}
            }
        }
        self.ending = Ending::Open;
    }

    fn skip_line(&mut self) {
        let line = self.rest().split('\n').next().unwrap_or_default().len();
        self.at += line;
        if self.rest().is_empty() {
            self.ending = Ending::Comment;
        }
    }

    /// `>file`, `2>&1`, `<<EOF`: the operator and its target are no words of the command.
    fn redirection(&mut self) {
        let is_number =
            |(word, _): &(String, usize)| word.bytes().all(|byte| byte.is_ascii_digit());
        if self.word.as_ref().is_some_and(is_number) {
            self.word = None;
        }
        self.end_word();
        let rest = self.rest();
        let operator = rest.len() - rest.trim_start_matches(['<', '>', '&', '|', '-']).len();
        self.at += operator;
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t']).len();
        let target = self.words.len();
        while self
            .peek()
            .is_some_and(|letter| !" \t\r\n;&|<>()".contains(letter))
        {
            self.step();
        }
        self.end_word();
        self.words.truncate(target);
    }

    fn joint(&mut self, letter: char) {
        let rest = self.rest();
        let (joint, length) = match letter {
            '&' if rest.starts_with("&&") => (Joint::And, 2),
            '&' => (Joint::Background, 1),
            '|' if rest.starts_with("||") => (Joint::Or, 2),
            '|' if rest.starts_with("|&") => (Joint::Pipe, 2),
            '|' => (Joint::Pipe, 1),
            _ => (Joint::End, 1),
        };
        self.end_command(joint);
        self.at += length;
    }

    fn end_word(&mut self) {
        if let Some((text, start)) = self.word.take() {
            let span = Span::new(self.offset + start, self.offset + self.at);
            self.words.push(ShellWord { text, span });
        }
    }

    fn end_command(&mut self, joint: Joint) {
        self.end_word();
        let words = std::mem::take(&mut self.words);
        let skipped = words
            .iter()
            .take_while(|word| is_keyword(&word.text) || is_assignment(&word.text))
            .count();
        let words: Vec<ShellWord> = words.into_iter().skip(skipped).collect();
        match self.commands.last_mut() {
            _ if !words.is_empty() => self.commands.push(Command { words, joint }),
            // `fi | x`, `} && x`: the joint belongs to the command inside.
            Some(last) if last.joint == Joint::End => last.joint = joint,
            _ => {}
        }
    }
}

fn is_keyword(word: &str) -> bool {
    matches!(
        word,
        "if" | "then"
            | "else"
            | "elif"
            | "fi"
            | "do"
            | "done"
            | "while"
            | "until"
            | "!"
            | "{"
            | "}"
    )
}

/// `NAME=value` in front of a command.
fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty()
            && !name.starts_with(|letter: char| letter.is_ascii_digit())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    })
}

#[cfg(test)]
mod tests {
    use super::{Ending, Lines, commands};

    /// Words with `,` between, commands with their joints behind.
    fn show(text: &str, lines: Lines) -> String {
        let shown = commands(text, 0, lines).0.into_iter().map(|command| {
            let words: Vec<&str> = command
                .words
                .iter()
                .map(|word| word.text.as_str())
                .collect();
            format!("{} {:?}", words.join(","), command.joint)
        });
        shown.collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn scripts_become_commands() {
        let cases = [
            ("a b && c", "a,b And; c End"),
            ("a|b || c & d;e", "a Pipe; b Or; c Background; d End; e End"),
            ("A=1 B='x y' a \"b c\"'d'", "a,b cd End"),
            ("a 2>&1 >/x b <in &>/y c", "a,b,c End"),
            ("a \\\n  # note\n\n  b", "a,b End"),
            ("a \\  \n b", "a,b End"),
            ("a \\& b", "a,&,b End"),
            ("x=$(a | b; c) d $(e && f)", "d,$(e && f) End"),
            ("if a; then b; fi && c", "a End; b And; c End"),
            ("{ a; b; } | c", "a End; b Pipe; c End"),
            ("(a && b) & c", "a And; b Background; c End"),
            ("a # b", "a End"),
            ("a b#c", "a,b#c End"),
            (
                "echo 'a & b' \"c | d\" `e ; f`",
                "echo,a & b,c | d,e ; f` End",
            ),
            ("cat <<EOF >/x", "cat End"),
            ("", ""),
            ("a \\", "a End"),
            ("'", " End"),
        ];
        for (text, expected) in cases {
            assert_eq!(show(text, Lines::Folded), expected, "{text}");
        }
        assert_eq!(show("a\n# b\nc d\\\n e", Lines::Script), "a End; c,d,e End");
    }

    #[test]
    fn it_is_told_how_a_script_ends() {
        for (text, expected) in [
            ("a b", Ending::Command),
            ("a 'b'", Ending::Command),
            ("a # b\nc", Ending::Command),
            ("", Ending::Command),
            ("a # b", Ending::Comment),
            ("a \\\n  # b", Ending::Comment),
            ("a 'b", Ending::Open),
            ("a \"b\\\"", Ending::Open),
            ("a `b", Ending::Open),
            ("a $(b", Ending::Open),
            ("a \\", Ending::Open),
        ] {
            assert_eq!(commands(text, 0, Lines::Folded).1, expected, "{text}");
        }
    }

    #[test]
    fn the_program_is_found_behind_others() {
        let name = |text: &str| {
            let (all, _) = commands(text, 0, Lines::Folded);
            all.first().map(|command| command.name().to_owned())
        };
        assert_eq!(name("sudo -E apt-get update").as_deref(), Some("apt-get"));
        assert_eq!(name("env A=1 /usr/bin/pip install").as_deref(), Some("pip"));
        assert_eq!(name("exec").as_deref(), Some("exec"));
        let command = &commands("apt-get -o A=b -y install x", 7, Lines::Folded).0[0];
        let found = command.subcommand(&["-o"]).unwrap();
        assert_eq!((found.text.as_str(), found.span.start), ("install", 25));
        assert!(command.has("-y") && !command.has("apt-get"));
    }
}
