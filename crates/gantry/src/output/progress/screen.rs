//! A block of lines at the bottom of the terminal that is drawn over and over.

/// Most characters of one line that are looked at; what a container writes has no limit.
const LONGEST: usize = 4096;

/// Draws frames over one another.
#[derive(Debug, Default)]
pub(crate) struct Screen {
    drawn: usize,
}

impl Screen {
    /// What to write so that `lines` stand where the last frame stood. Lines are no wider than
    /// the terminal, or the next frame would not find its place.
    pub(crate) fn frame(&mut self, lines: &[String]) -> Vec<u8> {
        let mut out = String::new();
        if self.drawn > 0 {
            out.push_str(&format!("\x1b[{}A", self.drawn));
        }
        for line in lines {
            // Cleared behind the text, not before it: that flickers.
            out.push('\r');
            out.push_str(line);
            out.push_str("\x1b[K\n");
        }
        // A shorter frame leaves lines of the longer one below it.
        if self.drawn > lines.len() {
            out.push_str("\x1b[J");
        }
        self.drawn = lines.len();
        out.into_bytes()
    }
}

/// Text of a container or a registry without anything a terminal would obey: escape sequences
/// and control characters are left out, tabs become spaces, of what overwrites itself the last
/// is kept.
pub(crate) fn harmless(text: &str) -> String {
    let text = text.trim_end_matches('\r');
    let text = text.rsplit('\r').next().unwrap_or_default();
    let mut out = String::new();
    let mut chars = text.chars().take(LONGEST).peekable();
    while let Some(c) = chars.next() {
        match c {
            '\x1b' => skip_escape(&mut chars),
            '\t' => out.push_str("    "),
            c if c.is_control() => {}
            // Bidirectional overrides reorder what stands beside them.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {}
            c => out.push(c),
        }
    }
    out
}

fn skip_escape(chars: &mut std::iter::Peekable<impl Iterator<Item = char>>) {
    match chars.next() {
        // CSI: up to its final byte.
        Some('[') => {
            while chars
                .next()
                .is_some_and(|c| !('\x40'..='\x7e').contains(&c))
            {}
        }
        // OSC and the other strings: up to BEL or ESC \.
        Some(']' | 'P' | '_' | '^' | 'X') => {
            while let Some(c) = chars.next() {
                if c == '\x07' || (c == '\x1b' && chars.next_if_eq(&'\\').is_some()) {
                    break;
                }
            }
        }
        _ => {}
    }
}

/// The first `width` characters, an ellipsis in place of the rest.
pub(crate) fn clip(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut out: String = text.chars().take(width.saturating_sub(1)).collect();
    if width > 0 {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_replace_each_other() {
        let mut screen = Screen::default();
        let lines = |l: &[&str]| l.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        assert_eq!(screen.frame(&lines(&["a", "b"])), b"\ra\x1b[K\n\rb\x1b[K\n");
        assert_eq!(screen.frame(&lines(&["c"])), b"\x1b[2A\rc\x1b[K\n\x1b[J");
        assert_eq!(screen.frame(&lines(&["d"])), b"\x1b[1A\rd\x1b[K\n");
    }

    #[test]
    fn nothing_a_terminal_obeys_gets_through() {
        for (text, want) in [
            ("plain é", "plain é"),
            ("\x1b[31mred\x1b[0m", "red"),
            ("\x1b]0;title\x07x", "x"),
            ("\x1b]8;;http://a\x1b\\link", "link"),
            ("10%\r50%\r100%\r", "100%"),
            ("a\tb\x08\x07", "a    b"),
            ("\x1b", ""),
            ("\x1b[", ""),
            ("a\u{202e}b", "ab"),
        ] {
            assert_eq!(harmless(text), want, "{text:?}");
        }
    }

    #[test]
    fn long_lines_are_clipped() {
        assert_eq!(clip("abcdef", 4), "abc…");
        assert_eq!(clip("abc", 3), "abc");
        assert_eq!(clip("abc", 0), "");
    }
}
