//! Heredoc markers in a command line: `<<EOF`, `<<-EOF`, `3<<"EOF"`.

use super::line::Text;
use crate::ast::Escape;
use crate::expand::word::{Options, process};
use crate::source::Span;

/// A marker without its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Marker {
    pub(crate) name: String,
    pub(crate) descriptor: u32,
    pub(crate) strip_tabs: bool,
    pub(crate) expand: bool,
    pub(crate) span: Span,
}

/// The markers of a command line, in order.
///
/// A line that cannot be lexed as a shell would (an open quote, a substitution unknown to the
/// builder) has none.
pub(crate) fn markers(text: Text<'_>) -> Vec<Marker> {
    if !text.as_str().contains("<<") {
        return Vec::new();
    }
    let options = Options {
        raw_quotes: true,
        raw_escapes: true,
        keep_unset: true,
        ..Options::new(Escape::Backslash)
    };
    let Ok(processed) = process(text.as_str(), &NoVariables, options) else {
        return Vec::new();
    };
    let words = processed.words.into_iter();
    words
        .filter_map(|word| {
            let length = word.text.len();
            let span = text.part(word.at..word.at + length).span();
            marker(&word.text).map(|marker| Marker { span, ..marker })
        })
        .collect()
}

/// Reads one word as a marker; its span is left empty.
pub(crate) fn marker(word: &str) -> Option<Marker> {
    let digits = word
        .find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(word.len());
    let (descriptor, rest) = word.split_at(digits);
    let rest = rest.strip_prefix("<<")?;
    let (strip_tabs, rest) = rest
        .strip_prefix('-')
        .map_or((false, rest), |rest| (true, rest));
    let rest = rest.trim_start_matches([' ', '\t', '\n', '\r', '\u{c}']);
    if rest.is_empty() || rest.contains('<') {
        return None;
    }
    let plain = Options {
        keep_unset: true,
        ..Options::new(Escape::Backslash)
    };
    let unquoted = single_word(rest, plain)?;
    let quoted = single_word(
        rest,
        Options {
            raw_quotes: true,
            ..plain
        },
    )?;
    let quotes = |text: &str| text.matches(['"', '\'']).count();
    Some(Marker {
        expand: quotes(&unquoted) == quotes(&quoted),
        name: unquoted,
        descriptor: descriptor.parse().unwrap_or(0),
        strip_tabs,
        span: Span::default(),
    })
}

/// The only word of a text; `None` where there are more or fewer.
fn single_word(text: &str, options: Options) -> Option<String> {
    let mut words = process(text, &NoVariables, options).ok()?.words.into_iter();
    let first = words.next()?;
    words.next().is_none().then_some(first.text)
}

/// No variable is set.
struct NoVariables;

impl crate::expand::Variables for NoVariables {
    fn value(&self, _name: &str) -> Option<&str> {
        None
    }

    fn names(&self) -> Vec<&str> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::super::line::LogicalLine;
    use super::markers;

    fn found(text: &str) -> Vec<(String, u32, bool, bool)> {
        let mut line = LogicalLine::default();
        line.push(text, 0);
        let found = markers(line.whole());
        found
            .into_iter()
            .map(|one| (one.name, one.descriptor, one.strip_tabs, one.expand))
            .collect()
    }

    #[test]
    fn one_marker() {
        let cases = [
            ("RUN <<EOF", "EOF", 0, false, true),
            ("RUN <<-EOF", "EOF", 0, true, true),
            ("RUN <<'EOF'", "EOF", 0, false, false),
            ("RUN <<\"EOF\"", "EOF", 0, false, false),
            ("RUN <<-\"E O F\"", "E O F", 0, true, false),
            ("RUN cat 3<<EOF", "EOF", 3, false, true),
            ("RUN <<EO'F'", "EOF", 0, false, false),
            ("COPY <<robots.txt /usr/", "robots.txt", 0, false, true),
            ("RUN <<EOF cat > /x", "EOF", 0, false, true),
            ("RUN python3 <<EOF && echo", "EOF", 0, false, true),
            ("RUN <<$EOF", "$EOF", 0, false, true),
            ("RUN << EOF", "EOF", 0, false, true),
            ("RUN cat 3<<  \t'EOF' | x", "EOF", 3, false, false),
        ];
        for (text, name, descriptor, strip_tabs, expand) in cases {
            assert_eq!(
                found(text),
                [(name.to_owned(), descriptor, strip_tabs, expand)],
                "{text}"
            );
        }
    }

    #[test]
    fn none() {
        let cases = [
            "RUN echo hi",
            "RUN cat <<<EOF",
            "RUN cat<< EOF",
            "RUN cat <<- EOF",
            "RUN cat <<",
            "RUN cat '<<' EOF",
            "RUN x<<EOF",
            "RUN echo \"<<EOF\"",
            "RUN echo '<<EOF'",
            "RUN echo \\<<EOF",
            "RUN echo $((1<<2))",
            "RUN echo \"open <<EOF",
            "RUN <<-",
        ];
        for text in cases {
            assert_eq!(found(text), [], "{text}");
        }
    }

    #[test]
    fn several() {
        let names: Vec<String> = found("COPY <<a <<-'b' 2<<c /dest/")
            .into_iter()
            .map(|one| one.0)
            .collect();
        assert_eq!(names, ["a", "b", "c"]);
    }
}
