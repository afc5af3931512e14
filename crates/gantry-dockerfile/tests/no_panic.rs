//! The small languages of options, and the rules, never panic, whatever the text.

use gantry_dockerfile::{SourceFile, duration, lint, mode, owner, parse, port, wildcard};
use gantry_model::quantity::parse_bytes;
use proptest::prelude::*;

proptest! {
    #[test]
    fn any_text(text in "\\PC{0,40}") {
        drop(duration::parse(&text));
        drop(parse_bytes(&text));
        drop(owner::parse(&text));
        drop(port::parse(&text));
        drop(lint::Settings::parse(&text));
        drop(mode::parse(&text).map(|mode| mode.apply(0o644, false)));
        drop(wildcard::SourcePattern::new(&text));
    }

    #[test]
    fn nearly_right_text(text in "[0-9.+\\-]{0,25}(ns|us|ms|s|m|h|k|kb|:|/tcp|-|,|=|x)?[0-9a-z:/,=+\\-]{0,10}") {
        drop(duration::parse(&text));
        drop(parse_bytes(&text));
        drop(owner::parse(&text));
        drop(port::parse(&text).map(|ports| ports.names().count()));
        drop(mode::parse(&text));
    }

    #[test]
    fn rules_on_any_script(
        script in r#"([a-z/.-]{0,6}|[ \\\n#'"$()`&|;<>{}=*]|apt-get|apk add|rm|cd |\$\(|&&){0,40}"#,
        exec: bool,
    ) {
        let line = if exec { "CMD [\"sh\",\"-c\",\"x\"]\nRUN " } else { "RUN " };
        let text = format!("FROM a\n{line}{script}\nCMD {script}\n");
        let source = SourceFile::new("Dockerfile", text);
        if let Ok(file) = parse(&source) {
            let surroundings = lint::Surroundings::of(&[]);
            for found in lint::check(&file, &source, &surroundings, &lint::Settings::default()) {
                let (first, last) = lint::lines(&file, &source, &found);
                prop_assert!(first <= last && found.span.end <= source.text().len());
                prop_assert!(!source.excerpt("x", first, last).is_empty());
            }
            drop(file.outline(0, &[]));
        }
    }

    #[test]
    fn modes_stay_in_range(text in "[ugoa]{0,3}[+\\-=][rwxXst]{0,4}(,[ugo]{1,2}[+\\-=][ugo])?", current in 0u32..0o10000, directory: bool) {
        if let Ok(mode) = mode::parse(&text) {
            prop_assert!(mode.apply(current, directory) <= 0o7777);
        }
    }

    #[test]
    fn patterns(pattern in "[a-c*?\\[\\]^\\\\/.-]{0,12}", name in "[a-c/.]{0,12}") {
        if let Ok(pattern) = wildcard::Pattern::new(&pattern) {
            let _: bool = pattern.matches(&name);
            if let Some(literal) = pattern.literal() {
                prop_assert_eq!(pattern.matches(&name), literal == name);
            }
        }
    }
}
