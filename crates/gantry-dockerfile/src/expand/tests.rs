use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{ExpandError, Variables, process_heredoc, process_word, process_words};
use crate::ast::Escape;

fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn expanded(word: &str, pairs: &[(&str, &str)]) -> Result<String, ExpandError> {
    process_word(word, &variables(pairs), Escape::Backslash).map(|processed| processed.text)
}

const SHELL: &[(&str, &str)] = &[
    ("PWD", "/home"),
    ("SHELL", "bash"),
    ("KOREAN", "한국어"),
    ("NULL", ""),
];

#[test]
fn quotes_escapes_and_plain_variables() {
    let cases = [
        ("hello", "hello"),
        ("he'll'o", "hello"),
        ("he\\'llo", "he'llo"),
        ("he\\\\'llo'", "he\\llo"),
        ("abc\\tdef", "abctdef"),
        ("\"abc\\tdef\"", "abc\\tdef"),
        ("\"abc\\\\tdef\"", "abc\\tdef"),
        ("'abc\\tdef'", "abc\\tdef"),
        ("hello\\", "hello"),
        ("hello\\\\", "hello\\"),
        ("\"hel'lo\"", "hel'lo"),
        ("'hello\\there'", "hello\\there"),
        ("'hello\\\\there'", "hello\\\\there"),
        ("\"''\"", "''"),
        ("$.", "$."),
        ("he$1x", "hex"),
        ("he$.x", "he$.x"),
        ("he$pwd.", "he."),
        ("he$PWD", "he/home"),
        ("he\\$PWD", "he$PWD"),
        ("he\\\\$PWD", "he\\/home"),
        ("\"he\\$PWD\"", "he$PWD"),
        ("'he\\$PWD'", "he\\$PWD"),
        ("\"he\\\\$PWD\"", "he\\/home"),
        ("\"${PWD}\"", "/home"),
        ("'${PWD}'", "${PWD}"),
        ("he${PWD}", "he/home"),
        ("he${PWD}xx", "he/homexx"),
        ("안녕$KOREAN", "안녕한국어"),
        ("안녕${KOREAN}세계", "안녕한국어세계"),
        ("$KOREAN세", ""),
        ("\"$PWD\"x'$PWD'", "/homex$PWD"),
        ("$", "$"),
        ("$$", ""),
        ("$$PWD", "PWD"),
        ("x$NULL.", "x."),
        ("\"\"", ""),
        ("  keeps   blanks ", "  keeps   blanks "),
        ("\"a  b\"", "a  b"),
        ("he$1x$2y3", "hexy3"),
        ("$0x", "x"),
        ("$@$*$#$?$-$!z", "z"),
        ("a\u{a0}b", "a\u{a0}b"),
    ];
    for (word, expected) in cases {
        assert_eq!(expanded(word, SHELL).as_deref(), Ok(expected), "{word}");
    }
}

#[test]
fn conditions() {
    let cases = [
        ("he${XX:-000}xx", "he000xx"),
        ("he${PWD:-000}xx", "he/homexx"),
        ("he${XX:-$PWD}xx", "he/homexx"),
        ("he${XX:-${PWD:-yy}}xx", "he/homexx"),
        ("he${XX:-${YY:-yy}}xx", "heyyxx"),
        ("he${XX:-YY}xx", "heYYxx"),
        ("he${XX:-'a}b'}xx", "hea}bxx"),
        ("he${XX:-\\}}xx", "he}xx"),
        ("he${XX:-\"$PWD}\"}xx", "he/home}xx"),
        ("he${XX:+\\$PWD}xx", "hexx"),
        ("he${PWD:+$SHELL}xx", "hebashxx"),
        ("he${PWD:+X}xx", "heXxx"),
        ("he${NULL-x}xx", "hexx"),
        ("he${NULL:-x}xx", "hexxx"),
        ("he${NULL+x}xx", "hexxx"),
        ("he${NULL:+x}xx", "hexx"),
        ("he${XX-x}xx", "hexxx"),
        ("he${XX+x}xx", "hexx"),
        ("${PWD?never}", "/home"),
        ("${NULL?never}", ""),
        ("${PWD:?never}", "/home"),
        ("${XX:-}", ""),
        ("${XX:-a b}", "a b"),
        ("${1:-x}", "x"),
    ];
    for (word, expected) in cases {
        assert_eq!(expanded(word, SHELL).as_deref(), Ok(expected), "{word}");
    }
    let failures = [
        ("${XX?}", "XX: is not allowed to be unset"),
        ("${XX:?}", "XX: is not allowed to be unset"),
        ("${NULL:?}", "NULL: is not allowed to be empty"),
        ("${XX?set it to $PWD}", "XX: set it to /home"),
        ("${NULL:?set it}", "NULL: set it"),
    ];
    for (word, message) in failures {
        assert_eq!(
            expanded(word, SHELL).map_err(|error| error.to_string()),
            Err(message.to_owned()),
            "{word}"
        );
    }
}

#[test]
fn patterns() {
    let cases = [
        ("${FOO#*x*y}", "xxyy", "y"),
        ("${FOO#*}", "xxyy", "xxyy"),
        ("${FOO##*}", "xxyy", ""),
        ("${FOO#x}", "xxyy", "xyy"),
        ("${FOO##*x}", "xxyy", "yy"),
        ("${FOO#}", "xxyy", "xxyy"),
        ("${FOO##}", "xxyy", "xxyy"),
        ("${FOO#?\\?}", "???y", "?y"),
        ("${FOO#y}", "xxyy", "xxyy"),
        ("${FOO%y}", "xxyy", "xxy"),
        ("${FOO%%y*}", "xxyy", "xx"),
        ("${FOO%y*}", "xxyy", "xxy"),
        ("${FOO%%\\**}", "xx**", "xx"),
        ("${FOO%%\\**\\*}", "a***yy*", "a"),
        ("${FOO%}", "xxyy", "xxyy"),
        ("${FOO%.tar.gz}", "app.tar.gz", "app"),
        ("${FOO##*/}", "/usr/bin/env", "env"),
        ("${FOO%/*}", "/usr/bin/env", "/usr/bin"),
        ("${FOO#()[]{\\}^$.\\*\\?|\\\\}", "()[]{}^$.*?|\\x", "x"),
        ("${FOO#$BAR}", "xxyy", "xyy"),
        ("${FOO#'x'}", "xxyy", "xyy"),
        ("${FOO/x/z}", "xxyy", "zxyy"),
        ("${FOO//x/z}", "xxyy", "zzyy"),
        ("${FOO/x*/z}", "axxyy", "az"),
        ("${FOO/\\//_}", "/a/b", "_a/b"),
        ("${FOO//\\//_}", "/a/b", "_a_b"),
        ("${FOO//\\//\\/}", "/tmp/foo.txt", "\\/tmp\\/foo.txt"),
        ("${FOO/$BAR/ww}", "axb", "awwb"),
        ("${FOO/./-}", "a.b", "a-b"),
        ("${FOO//./-}", "1.2.3", "1-2-3"),
        ("${FOO///}", "xxyy", "xxyy"),
        ("${FOO//*/z}", "xxyy", "z"),
        ("${FOO//?/z}", "xyz", "zzz"),
        ("${FOO/nothing/z}", "xyz", "xyz"),
        ("${FOO/x/}", "xyz", "yz"),
        ("${FOO//x/$0$0}", "axb", "ab"),
        ("${FOO/한/국}", "한한", "국한"),
        ("${FOO%?}", "한국", "한"),
        ("${FOO#?}", "한국", "국"),
        ("${FOO#*\\/}", "a/b/c", "b/c"),
        ("${FOO#*}", "a\nb", "a\nb"),
        ("${FOO##*}", "a\nb", "\nb"),
    ];
    for (word, value, expected) in cases {
        let result = expanded(word, &[("FOO", value), ("BAR", "x")]);
        assert_eq!(result.as_deref(), Ok(expected), "{word} of {value:?}");
    }
    assert_eq!(
        expanded(
            "${FOO//$A/$B}",
            &[("FOO", "xy"), ("A", "x"), ("B", "[$0$$${0}$none]")]
        )
        .as_deref(),
        Ok("[x$x]y")
    );
    assert_eq!(
        expanded("${FOO//$A/-}", &[("FOO", "ab"), ("A", "")]).as_deref(),
        Ok("-a-b-")
    );
    assert_eq!(
        expanded("${FOO/$A/-}", &[("FOO", "ab"), ("A", "")]).as_deref(),
        Ok("-ab")
    );
}

#[test]
fn errors() {
    use ExpandError as E;
    let modifier = |modifier: &str| E::UnsupportedModifier {
        modifier: modifier.to_owned(),
    };
    let cases = [
        ("${", E::MissingBrace),
        ("${a", E::MissingBrace),
        ("${}", E::BadSubstitution),
        ("${:}", E::BadSubstitution),
        ("${{a}}", E::BadSubstitution),
        ("${a:-b", E::MissingBrace),
        ("${a:", E::MissingBrace),
        ("${a:-${b:-c}", E::MissingBrace),
        ("${a=b}", modifier("=")),
        ("${a:=b}", modifier(":=")),
        ("${a,,}", modifier(",")),
        ("${a^}", modifier("^")),
        ("${a:1:2}", modifier(":1")),
        ("${a[0]}", modifier("[")),
        ("${a/b}", E::MissingSlash),
        ("${a//b}", E::MissingSlash),
        ("${a/b/c", E::MissingBrace),
        (
            "'open",
            E::OpenQuote {
                quote: "single-quote",
            },
        ),
        (
            "\"open",
            E::OpenQuote {
                quote: "double-quote",
            },
        ),
        (
            "it's",
            E::OpenQuote {
                quote: "single-quote",
            },
        ),
        (
            "${SET#a\\b}",
            E::InvalidPattern {
                pattern: "a\\b".to_owned(),
            },
        ),
    ];
    for (word, expected) in cases {
        assert_eq!(expanded(word, &[("SET", "x")]), Err(expected), "{word}");
    }
}

#[test]
fn splitting() {
    let set = &[("a", "x y"), ("e", ""), ("q", "\"x y\"")];
    let cases: [(&str, &[&str]); 18] = [
        ("hello", &["hello"]),
        ("hello there", &["hello", "there"]),
        ("  hello   there  ", &["hello", "there"]),
        ("hello \"there you\"", &["hello", "there you"]),
        ("hello 'there you'", &["hello", "there you"]),
        ("hello\\ there", &["hello there"]),
        ("$a", &["x", "y"]),
        ("a$a.b", &["ax", "y.b"]),
        ("\"$a\"", &["x y"]),
        ("'$a'", &["$a"]),
        ("$q", &["\"x", "y\""]),
        ("$e", &[]),
        ("\"\"", &[]),
        ("a \"\" b", &["a", "b"]),
        ("a$e b", &["a", "b"]),
        ("${z:-p q}", &["p", "q"]),
        ("\"${z:-p q}\"", &["p q"]),
        ("", &[]),
    ];
    for (word, expected) in cases {
        let words = process_words(word, &variables(set), Escape::Backslash).unwrap();
        assert_eq!(words, expected, "{word}");
    }
}

#[test]
fn backtick() {
    let set = variables(&[("PATH", "C:\\bin")]);
    let cases = [
        ("C:\\dir\\file", "C:\\dir\\file"),
        ("$PATH\\x", "C:\\bin\\x"),
        ("`$PATH", "$PATH"),
        ("``", "`"),
        ("\"a`\"b\"", "a\"b"),
        ("\"C:\\$PATH\"", "C:\\C:\\bin"),
        ("a` b", "a b"),
    ];
    for (word, expected) in cases {
        assert_eq!(
            process_word(word, &set, Escape::Backtick).unwrap().text,
            expected,
            "{word}"
        );
    }
}

#[test]
fn heredoc_bodies() {
    let set = variables(&[("NAME", "world")]);
    let cases = [
        ("hello $NAME\n", "hello world\n"),
        ("it's \"$NAME\"\n", "it's \"world\"\n"),
        ("'$NAME'\n", "'world'\n"),
        ("\\$NAME\n", "$NAME\n"),
        ("a \"b\n", "a \"b\n"),
        ("${NONE:-\"x\"}\n", "\"x\"\n"),
        ("C:\\\\x\n", "C:\\x\n"),
    ];
    for (body, expected) in cases {
        assert_eq!(
            process_heredoc(body, &set).unwrap().text,
            expected,
            "{body}"
        );
    }
}

#[test]
fn steps() {
    let set = variables(&[("NAME", "world"), ("DIR", "/srv")]);
    let cases = [
        (
            "RUN echo \"$NAME\" $unset ${NAME:+x} 'a'",
            "RUN echo \"world\" $unset x 'a'",
        ),
        ("run echo it's", "RUN echo it's"),
        (
            "RUN <<EOF\necho $NAME\necho\nEOF",
            "RUN <<EOF (echo world...)",
        ),
        ("RUN <<EOF\n\n  echo\nEOF", "RUN <<EOF (echo)"),
        ("RUN cat <<EOF > x\necho\nEOF", "RUN cat <<EOF > x"),
        ("COPY \"a\" $DIR/", "COPY a /srv/"),
        ("workdir $DIR/$none", "WORKDIR /srv/"),
        ("CMD", "CMD"),
    ];
    for (text, expected) in cases {
        let source = crate::SourceFile::new("Dockerfile", format!("FROM x\n{text}\n"));
        let file = crate::parse(&source).unwrap();
        let shown = super::step_text(&file.stages[0].instructions[0], &set, Escape::Backslash);
        assert_eq!(shown, expected, "{text}");
    }
    assert_eq!(
        super::process_display("echo \"$NAME\" $x", &set, Escape::Backslash),
        "echo \"world\" $x"
    );
    assert_eq!(
        super::process_display("echo 'open", &set, Escape::Backslash),
        "echo 'open"
    );
}

#[test]
fn instructions() {
    let set = variables(&[("V", "1 2"), ("D", "/d"), ("M", "0755"), ("U", "1000")]);
    let cases = [
        ("ENV a=$V b='$V'", "a=1 2 b=$V"),
        ("LABEL $D=$V", "/d=1 2"),
        ("EXPOSE $V/udp 80", "1 2/udp 80"),
        ("VOLUME $D \"$V\"", "/d|1 2"),
        ("USER $U:$none", "1000:"),
        ("WORKDIR $D/x", "/d/x"),
        ("STOPSIGNAL $U", "1000"),
        (
            "COPY --chmod=$M --chown=$U --exclude=$V a$V <<F $D/\n$V '$V'\nF",
            "0755 1000 1 2 a1 2 1 2 '1 2'\n /d/",
        ),
        ("COPY <<-'F' $D/\n\t$V\n\tF", "- - $V\n /d/"),
        ("ADD --checksum=$U $V $D", "- - 1000 1 2 /d"),
        (
            "RUN --mount=type=cache,target=$D,uid=$U,mode=${M} x $V",
            "/d 1000 755 x $V",
        ),
        ("CMD $V", "$V"),
        ("ONBUILD RUN $V", "RUN $V"),
    ];
    for (text, expected) in cases {
        let source = crate::SourceFile::new("Dockerfile", format!("FROM x\n{text}\n"));
        let file = crate::parse(&source).unwrap();
        let expanded =
            super::expand_instruction(&file.stages[0].instructions[0], &set, Escape::Backslash)
                .unwrap();
        assert_eq!(shown(&expanded.instruction.kind), expected, "{text}");
    }
}

/// The expanded words of an instruction.
fn shown(kind: &crate::InstructionKind) -> String {
    use crate::InstructionKind as K;
    use crate::ast::{CommandLine, CopySource, MountSpec};
    let text =
        |word: &Option<crate::Word>| word.as_ref().map_or("-", |word| word.as_str()).to_owned();
    let sources = |sources: &[CopySource]| {
        let one = |source: &CopySource| match source {
            CopySource::Path(path) => path.value.clone(),
            CopySource::Inline(heredoc) => heredoc.content.clone(),
        };
        sources.iter().map(one).collect::<Vec<_>>().join(" ")
    };
    let words = |words: &[crate::Word], between| {
        words
            .iter()
            .map(|word| word.as_str())
            .collect::<Vec<_>>()
            .join(between)
    };
    match kind {
        K::Env(pairs) | K::Label(pairs) => {
            let one =
                |pair: &crate::ast::KeyValue| format!("{}={}", pair.key.value, pair.value.value);
            pairs.iter().map(one).collect::<Vec<_>>().join(" ")
        }
        K::Expose(ports) => words(ports, " "),
        K::Volume(paths) => words(paths, "|"),
        K::User(word)
        | K::Workdir(word)
        | K::StopSignal(word)
        | K::Cmd(CommandLine::Shell(word)) => word.value.clone(),
        K::Copy(copy) => {
            let exclude = words(&copy.exclude, " ");
            let flags = format!("{} {} {exclude}", text(&copy.chmod), text(&copy.chown));
            format!(
                "{} {} {}",
                flags.trim_end(),
                sources(&copy.sources),
                copy.destination.value
            )
        }
        K::Add(add) => {
            let flags = format!(
                "{} {} {}",
                text(&add.chmod),
                text(&add.chown),
                text(&add.checksum)
            );
            format!(
                "{flags} {} {}",
                sources(&add.sources),
                add.destination.value
            )
        }
        K::Run(run) => match (&run.mounts[0].spec, &run.command) {
            (MountSpec::Cache(cache), CommandLine::Shell(script)) => {
                format!(
                    "{} {} {:o} {}",
                    cache.target,
                    cache.uid.unwrap(),
                    cache.mode.unwrap(),
                    script.value
                )
            }
            other => panic!("{other:?}"),
        },
        K::Onbuild(onbuild) => onbuild.trigger.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn which_variables_were_used() {
    let set = variables(&[("A", "1"), ("B", "")]);
    let processed = process_word(
        "$A ${B} $C ${D:-d} ${E:+e} ${F#x} ${A:-$G} '$H' \\$I",
        &set,
        Escape::Backslash,
    )
    .unwrap();
    let names = |set: &std::collections::BTreeSet<String>| {
        set.iter().cloned().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names(&processed.used), "A B");
    assert_eq!(names(&processed.unset), "C F G");
}

#[test]
fn hostile_words_end() {
    let deep = format!("{}{}", "${a:-".repeat(100_000), "}".repeat(100_000));
    assert_eq!(
        expanded(&deep, &[]),
        Err(ExpandError::TooDeep { limit: 100 })
    );
    let nested = format!("{}x{}", "${a:-".repeat(50), "}".repeat(50));
    assert_eq!(expanded(&nested, &[]).as_deref(), Ok("x"));
    let large = "x".repeat(1 << 20);
    let bomb = "$L".repeat(1000);
    assert!(matches!(
        expanded(&bomb, &[("L", &large)]),
        Err(ExpandError::TooLarge { .. })
    ));
    let slow = format!("${{L#{}}}", "*a".repeat(1000));
    assert_eq!(expanded(&slow, &[("L", &large)]), Err(ExpandError::TooSlow));
    let replace = "${L//a*b/x}";
    assert!(expanded(replace, &[("L", &"a".repeat(100_000))]).is_err());
    let grow = expanded("${L//x/$R}", &[("L", &large), ("R", &"y".repeat(1 << 10))]);
    assert!(matches!(grow, Err(ExpandError::TooLarge { .. })));
    assert!(expanded(&"\\".repeat(1 << 20), &[]).is_ok());
    assert!(expanded(&"'".repeat(1 << 20), &[]).is_ok());
}

/// A map that knows every name, by its own name.
struct Echo;

impl Variables for Echo {
    fn value(&self, name: &str) -> Option<&str> {
        name.starts_with('S').then_some("a/b*?$x")
    }

    fn names(&self) -> Vec<&str> {
        Vec::new()
    }
}

proptest! {
    #[test]
    fn no_word_panics(word in "[$\\{\\}:'\"\\\\`/#%*?+\\-aSé \n]{0,60}", backtick: bool) {
        let escape = if backtick { Escape::Backtick } else { Escape::Backslash };
        let whole = process_word(&word, &Echo, escape);
        let words = process_words(&word, &Echo, escape);
        prop_assert_eq!(whole.is_ok(), words.is_ok());
        drop(process_heredoc(&word, &Echo));
    }

    /// Text without signs of meaning stays as it is.
    #[test]
    fn plain_text_is_kept(word in "[a-zA-Z0-9 ./:=,@\\-]{0,60}") {
        prop_assert_eq!(process_word(&word, &Echo, Escape::Backslash).unwrap().text, word);
    }

    /// Single quotes keep everything but themselves.
    #[test]
    fn single_quotes_keep(word in "[^']{0,40}") {
        prop_assert_eq!(process_word(&format!("'{word}'"), &Echo, Escape::Backslash).unwrap().text, word);
    }
}
