use std::fmt::Write as _;
use std::time::Duration;

use proptest::prelude::*;

use super::{parse, parse_trigger};
use crate::ast::{
    CacheSharing, CommandLine, CopySource, Dockerfile, Escape, Healthcheck, Instruction,
    InstructionKind, MountSpec, Network, Run, RunProgram, Security,
};
use crate::diagnostic::Diagnostic;
use crate::source::SourceFile;

fn source(text: &str) -> SourceFile {
    SourceFile::new("Dockerfile", text)
}

fn parsed(text: &str) -> Dockerfile {
    let source = source(text);
    match parse(&source) {
        Ok(file) => file,
        Err(errors) => panic!("{}", crate::diagnostic::render_all(&errors, &source)),
    }
}

/// The only instruction behind `FROM x`.
fn instruction(text: &str) -> Instruction {
    let mut file = parsed(&format!("FROM x\n{text}\n"));
    assert_eq!(file.stages[0].instructions.len(), 1, "{text}");
    file.stages[0].instructions.remove(0)
}

fn kind(text: &str) -> InstructionKind {
    instruction(text).kind
}

fn run(text: &str) -> Run {
    match kind(text) {
        InstructionKind::Run(run) => run,
        other => panic!("{other:?}"),
    }
}

/// `line: message [text under the marker]` of every error.
fn errors(text: &str) -> String {
    let source = source(text);
    let errors = parse(&source).map_or_else(|errors| errors, |_| Vec::new());
    let show = |error: &Diagnostic| {
        format!(
            "{}: {} [{}]",
            source.position(error.span.start).line,
            error.message,
            source.slice(error.span)
        )
    };
    errors.iter().map(show).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_error() {
    let cases = [
        ("", "1: the Dockerfile cannot be empty []"),
        ("# just a comment\n\n", "3: file with no instructions []"),
        (
            "ARG a\n",
            "1: dockerfile contains no stages to build [ARG a]",
        ),
        (
            "RUN x\nFROM a\n",
            "1: no build stage in current context: RUN before the first FROM [RUN x]",
        ),
        (
            "FROM a\nRNU x\n",
            "2: unknown instruction: RNU (did you mean RUN?) [RNU]",
        ),
        ("FROM a\nFOO\n", "2: unknown instruction: FOO [FOO]"),
        (
            "FROM\n",
            "1: FROM requires either one or three arguments [FROM]",
        ),
        (
            "FROM a b\n",
            "1: FROM requires either one or three arguments [FROM a b]",
        ),
        (
            "FROM a b c\n",
            "1: FROM requires either one or three arguments [FROM a b c]",
        ),
        (
            "FROM a AS 1b\n",
            "1: invalid name for build stage: \"1b\", name can't start with a number or contain symbols [1b]",
        ),
        (
            "FROM a AS b/c\n",
            "1: invalid name for build stage: \"b/c\", name can't start with a number or contain symbols [b/c]",
        ),
        (
            "FROM --platfrom=x a\n",
            "1: unknown flag: --platfrom (did you mean --platform?) [--platfrom=x]",
        ),
        (
            "FROM --platform a\n",
            "1: missing a value on flag: --platform [--platform]",
        ),
        (
            "FROM a\nADD x\n",
            "2: ADD requires at least two arguments, but only one was provided. Destination could not be determined [ADD x]",
        ),
        (
            "FROM a\nCOPY\n",
            "2: COPY requires at least two arguments, but only one was provided. Destination could not be determined [COPY]",
        ),
        (
            "FROM a\nCOPY --frmo=b x y\n",
            "2: unknown flag: --frmo (did you mean --from?) [--frmo=b]",
        ),
        (
            "FROM a\nCOPY --from=b --from=c x y\n",
            "2: duplicate flag specified: --from [--from=c]",
        ),
        (
            "FROM a\nCOPY --link=maybe x y\n",
            "2: expecting boolean value for flag --link, not: maybe [--link=maybe]",
        ),
        (
            "FROM a\nCOPY --link= x y\n",
            "2: missing a value on flag: --link [--link=]",
        ),
        (
            "FROM a\nCOPY --from=$b x y\n",
            "2: variable expansion is not supported for --from [$b]",
        ),
        (
            "FROM a\nCOPY x <<EOF\nEOF\n",
            "2: COPY cannot accept a heredoc as a destination [<<EOF]",
        ),
        (
            "FROM a\nCOPY << EOF /x\nbody\nEOF\n",
            "2: heredoc EOF is not a source of COPY [<< EOF]",
        ),
        (
            "FROM a\nCOPY <<EOF /x\nbody\n",
            "2: unterminated heredoc: no line holds just EOF [<<EOF]",
        ),
        (
            "FROM a\nCOPY [\"x\", 1]\n",
            "2: when using JSON array syntax, arrays must be comprised of strings only [[\"x\", 1]]",
        ),
        (
            "FROM a\nENV\n",
            "2: ENV requires at least one argument [ENV]",
        ),
        ("FROM a\nENV a\n", "2: ENV must have two arguments [ENV a]"),
        ("FROM a\nENV =b\n", "2: ENV names can not be blank [=b]"),
        (
            "FROM a\nENV a=b c\n",
            "2: syntax error - can't find = in \"c\", must be of the form: name=value [c]",
        ),
        (
            "FROM a\nLABEL a=b\\ c d\n",
            "2: syntax error - can't find = in \"d\", must be of the form: name=value [d]",
        ),
        (
            "FROM a\nARG\n",
            "2: ARG requires at least one argument [ARG]",
        ),
        ("FROM a\nARG =x\n", "2: ARG names can not be blank [=x]"),
        (
            "FROM a\nEXPOSE\n",
            "2: EXPOSE requires at least one argument [EXPOSE]",
        ),
        (
            "FROM a\nVOLUME\n",
            "2: VOLUME requires at least one argument [VOLUME]",
        ),
        (
            "FROM a\nVOLUME [\"/x\", \" \"]\n",
            "2: VOLUME specified can not be an empty string [\" \"]",
        ),
        (
            "FROM a\nUSER\n",
            "2: USER requires exactly one argument [USER]",
        ),
        (
            "FROM a\nWORKDIR \n",
            "2: WORKDIR requires exactly one argument [WORKDIR]",
        ),
        (
            "FROM a\nSTOPSIGNAL\n",
            "2: STOPSIGNAL requires exactly one argument [STOPSIGNAL]",
        ),
        (
            "FROM a\nMAINTAINER\n",
            "2: MAINTAINER requires exactly one argument [MAINTAINER]",
        ),
        (
            "FROM a\nSHELL\n",
            "2: SHELL requires at least one argument [SHELL]",
        ),
        (
            "FROM a\nSHELL []\n",
            "2: SHELL requires at least one argument [SHELL []]",
        ),
        (
            "FROM a\nSHELL bash -c\n",
            "2: SHELL requires the arguments to be in JSON form [SHELL bash -c]",
        ),
        (
            "FROM a\nRUN []\n",
            "2: RUN requires at least one argument [RUN []]",
        ),
        (
            "FROM a\nRUN [\"a\", 2]\n",
            "2: when using JSON array syntax, arrays must be comprised of strings only [[\"a\", 2]]",
        ),
        (
            "FROM a\nRUN --network=hots x\n",
            "2: invalid network mode \"hots\" (did you mean host?) [hots]",
        ),
        (
            "FROM a\nRUN --security=none x\n",
            "2: security \"none\" is not valid [none]",
        ),
        (
            "FROM a\nRUN --mount=type=cahce,target=/x y\n",
            "2: unsupported mount type \"cahce\" (did you mean cache?) [type=cahce,target=/x]",
        ),
        (
            "FROM a\nRUN --mount=type=cache,traget=/x y\n",
            "2: unexpected key 'traget' in 'traget=/x' (did you mean target?) [type=cache,traget=/x]",
        ),
        (
            "FROM a\nRUN --mount=type=cache,target=/x,sharing=al y\n",
            "2: unsupported sharing value \"al\" [type=cache,target=/x,sharing=al]",
        ),
        (
            "FROM a\nRUN --mount=type=bind,from=$x,target=/y z\n",
            "2: 'from' doesn't support variable expansion, define alias stage instead [type=bind,from=$x,target=/y]",
        ),
        (
            "FROM a\nRUN --mount=type=bind,mode=0755,target=/y z\n",
            "2: unexpected key 'mode' for mount type 'bind' [type=bind,mode=0755,target=/y]",
        ),
        (
            "FROM a\nRUN --mount=type=secret z\n",
            "2: secret mount needs one of id, source, target [type=secret]",
        ),
        (
            "FROM a\nRUN --mount=type=secret,id=x,from=y z\n",
            "2: unexpected key 'from' for mount type 'secret' [type=secret,id=x,from=y]",
        ),
        (
            "FROM a\nRUN --mount=type=cache,target=/x,uid=-1 z\n",
            "2: invalid value for uid: -1 [type=cache,target=/x,uid=-1]",
        ),
        (
            "FROM a\nRUN --mount=type=tmpfs,target=/x,size=lots z\n",
            "2: invalid value for size: lots [type=tmpfs,target=/x,size=lots]",
        ),
        (
            "FROM a\nRUN --mount=target z\n",
            "2: invalid field 'target' must be a key=value pair [target]",
        ),
        (
            "FROM a\nRUN --mount=nonsense z\n",
            "2: invalid field 'nonsense' must be a key=value pair [nonsense]",
        ),
        (
            "FROM a\nRUN --mount z\n",
            "2: missing a value on flag: --mount [--mount]",
        ),
        (
            "FROM a\nRUN <<EOF\necho\nEOF2\n",
            "2: unterminated heredoc: no line holds just EOF [<<EOF]",
        ),
        ("FROM a\nCMD --help\n", "2: unknown flag: --help [--help]"),
        (
            "FROM a\nONBUILD\n",
            "2: ONBUILD requires at least one argument [ONBUILD]",
        ),
        (
            "FROM a\nONBUILD ONBUILD RUN x\n",
            "2: chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed [ONBUILD]",
        ),
        (
            "FROM a\nONBUILD from x\n",
            "2: FROM isn't allowed as an ONBUILD trigger [from]",
        ),
        (
            "FROM a\nONBUILD MAINTAINER x\n",
            "2: MAINTAINER isn't allowed as an ONBUILD trigger [MAINTAINER]",
        ),
        (
            "FROM a\nONBUILD RNU x\n",
            "2: unknown instruction: RNU (did you mean RUN?) [RNU]",
        ),
        (
            "FROM a\nHEALTHCHECK\n",
            "2: HEALTHCHECK requires at least one argument [HEALTHCHECK]",
        ),
        (
            "FROM a\nHEALTHCHECK NONE x\n",
            "2: HEALTHCHECK NONE takes no arguments [HEALTHCHECK NONE x]",
        ),
        (
            "FROM a\nHEALTHCHECK CMD\n",
            "2: missing command after HEALTHCHECK CMD [HEALTHCHECK CMD]",
        ),
        (
            "FROM a\nHEALTHCHECK CMD []\n",
            "2: missing command after HEALTHCHECK CMD [HEALTHCHECK CMD []]",
        ),
        (
            "FROM a\nHEALTHCHECK curl x\n",
            "2: unknown type \"CURL\" in HEALTHCHECK (try CMD) [curl]",
        ),
        (
            "FROM a\nHEALTHCHECK --interval=5 CMD x\n",
            "2: --interval: missing unit in duration \"5\" [5]",
        ),
        (
            "FROM a\nHEALTHCHECK --interval=1us CMD x\n",
            "2: interval \"interval\" cannot be less than 1ms [1us]",
        ),
        (
            "FROM a\nHEALTHCHECK --timeout=-1s CMD x\n",
            "2: interval \"timeout\" cannot be less than 1ms [-1s]",
        ),
        (
            "FROM a\nHEALTHCHECK --retries=-1 CMD x\n",
            "2: --retries cannot be negative (-1) [-1]",
        ),
        (
            "FROM a\nHEALTHCHECK --retries=x CMD x\n",
            "2: --retries: \"x\" is not a whole number [x]",
        ),
        (
            "FROM a\nHEALTHCHECK --interal=1s CMD x\n",
            "2: unknown flag: --interal (did you mean --interval?) [--interal=1s]",
        ),
        (
            "# escape=x\nFROM a\n",
            "1: invalid escape token 'x' does not match ` or \\ [x]",
        ),
        (
            "# escape=`\n# escape=\\\nFROM a\n",
            "2: only one escape parser directive can be used [# escape=\\]",
        ),
        (
            "# syntax=a\n# Syntax=b\nFROM a\n",
            "2: only one syntax parser directive can be used [# Syntax=b]",
        ),
        (
            "FROM a\nRUN\u{a0}echo\n",
            "2: unknown instruction: RUN\u{a0}echo [RUN\u{a0}echo]",
        ),
        (
            "FROM a\n\\\n\n",
            "2: unknown instruction: a continuation that nothing follows [\\]",
        ),
        ("FROM a\nRUN x\0y\n", "2: NUL byte in an instruction [\0]"),
    ];
    for (text, expected) in cases {
        assert_eq!(errors(text), expected, "{text:?}");
    }
}

#[test]
fn all_errors_of_a_file() {
    let text = "FROM a AS 1\nRNU x\nENV\nCOPY --oops x y\n";
    assert_eq!(errors(text).lines().count(), 4);
    let many = "FOO\n".repeat(10_000);
    assert_eq!(errors(&many).lines().count(), 100);
}

#[test]
fn rendering() {
    let text = "FROM busybox\n\nRNU echo hi\nCOPY x y\nCMD a\nCMD b\n";
    let source = source(text);
    let errors = parse(&source).unwrap_err();
    insta::assert_snapshot!(errors[0].render(&source), @r"
    Dockerfile:3
    --------------------
       1 |     FROM busybox
       2 |     
       3 | >>> RNU echo hi
         |     ^^^
       4 |     COPY x y
       5 |     CMD a
    --------------------
    error: unknown instruction: RNU (did you mean RUN?)
    ");
    let text =
        "FROM a\nRUN --mount=type=cache,\\\ntarget=/x,\\\nsharing=x echo\n\x1b[31m\tFOO\u{202e}x\n";
    let source = SourceFile::new("Dockerfile", text);
    let rendered = crate::diagnostic::render_all(&parse(&source).unwrap_err(), &source);
    insta::assert_snapshot!(rendered, @r#"
    Dockerfile:2
    --------------------
       1 |     FROM a
       2 | >>> RUN --mount=type=cache,\
       3 | >>> target=/x,\
       4 | >>> sharing=x echo
       5 |     ␛[31m	FOO�x
    --------------------
    error: unsupported sharing value "x"
    note: sharing is shared, private or locked

    Dockerfile:5
    --------------------
       3 |     target=/x,\
       4 |     sharing=x echo
       5 | >>> ␛[31m	FOO�x
         |     ^^^^^
    --------------------
    error: unknown instruction: ␛[31m
    "#);
}

#[test]
fn invalid_utf8() {
    let invalid = SourceFile::from_bytes("Dockerfile", b"FROM a\nRUN \xff\xfe x\nRUN y\n".to_vec())
        .unwrap_err();
    insta::assert_snapshot!(invalid.diagnostic.render(&invalid.source), @r"
    Dockerfile:2
    --------------------
       1 |     FROM a
       2 | >>> RUN �� x
         |         ^
    --------------------
    error: byte 0xff at offset 11 is not UTF-8
    hint: save the file as UTF-8
    ");
}

#[test]
fn directives() {
    let file = parsed(
        "\u{feff}# syntax=docker/dockerfile:1\n# escape=`\n# check=skip=all\n\nFROM a\nRUN x `\n  y\n",
    );
    assert_eq!(file.directives.escape, Escape::Backtick);
    assert_eq!(
        file.directives.syntax.as_ref().unwrap().value,
        "docker/dockerfile:1"
    );
    assert_eq!(file.directives.check.as_ref().unwrap().value, "skip=all");
    assert_eq!(file.stages[0].instructions[0].text, "RUN x   y");

    for text in [
        "# a comment first\n# escape=`\nFROM a\nRUN x `\nRUN y\n",
        "\n# escape=`\nFROM a\nRUN x `\nRUN y\n",
        "# unknown=1\n# escape=`\nFROM a\nRUN x `\nRUN y\n",
        "FROM a\n# escape=`\nRUN x `\nRUN y\n",
    ] {
        let file = parsed(text);
        assert_eq!(file.directives.escape, Escape::Backslash, "{text}");
        assert_eq!(file.stages[0].instructions.len(), 2, "{text}");
    }
}

#[test]
fn continuations_and_comments() {
    let cases = [
        ("RUN a \\\n  b\n", "RUN a   b"),
        ("RUN a \\  \n b", "RUN a  b"),
        ("RUN a\\\nb", "RUN ab"),
        ("RUN a \\\n# comment\n  b", "RUN a   b"),
        ("RUN a \\\n   # indented comment \\\n  b", "RUN a   b"),
        ("RUN a \\\n\n\n  b", "RUN a   b"),
        ("RUN a \\\r\n  b\r\n", "RUN a   b"),
        ("RUN a \\\n", "RUN a"),
        ("RUN a \\", "RUN a"),
        ("RUN a \\\\\n", "RUN a \\\\"),
        ("RUN a \\\\\\\n", "RUN a \\\\\\"),
        ("   RUN a", "RUN a"),
        ("\tRUN\ta", "RUN\ta"),
        ("\\\nRUN a", "RUN a"),
        ("\\\n\\\nRUN a", "RUN a"),
        ("RUN a # no comment", "RUN a # no comment"),
        ("RU\\\nN a", "RUN a"),
        ("RUN a \\\n\\\n  b", "RUN a   b"),
        ("run a", "run a"),
    ];
    for (text, expected) in cases {
        assert_eq!(instruction(text).text, expected, "{text:?}");
    }
}

#[test]
fn empty_lines_in_continuations_warn_once_each() {
    let file = parsed("FROM a\nRUN x \\\n\n  y \\\n\n  z\nRUN a \\\n\n b\n");
    let messages: Vec<_> = file
        .warnings
        .iter()
        .map(|warning| warning.message.as_str())
        .collect();
    assert_eq!(messages, ["Empty continuation line"; 2]);
}

#[test]
fn comments_above() {
    let file = parsed("# one\n# two\nFROM a AS b\n# gone\n\n# kept\nRUN x\nRUN y\n");
    assert_eq!(file.stages[0].comments, ["one", "two"]);
    assert_eq!(file.stages[0].instructions[0].comments, ["kept"]);
    assert!(file.stages[0].instructions[1].comments.is_empty());
}

#[test]
fn stages() {
    let file = parsed(
        "ARG V=1\nARG W\nFROM --platform=$BUILDPLATFORM a:$V AS Build\nRUN x\nfrom scratch\nFROM build as final\n",
    );
    assert_eq!(file.meta_args.len(), 2);
    assert_eq!(file.stages.len(), 3);
    let first = &file.stages[0];
    assert_eq!(first.base.value, "a:$V");
    assert_eq!(first.platform.as_ref().unwrap().value, "$BUILDPLATFORM");
    assert_eq!(first.name.as_ref().unwrap().value, "Build");
    assert_eq!(first.normal_name().as_deref(), Some("build"));
    assert_eq!(first.text, "FROM --platform=$BUILDPLATFORM a:$V AS Build");
    assert_eq!(file.stages[1].name, None);
    assert_eq!(file.stages[2].as_keyword.as_ref().unwrap().value, "as");
}

#[test]
fn command_lines() {
    let shell = |text: &str| match kind(text) {
        InstructionKind::Cmd(CommandLine::Shell(word)) => Some(word.value),
        _ => None,
    };
    let exec = |text: &str| match kind(text) {
        InstructionKind::Cmd(CommandLine::Exec(words)) => {
            Some(words.into_iter().map(|word| word.value).collect::<Vec<_>>())
        }
        _ => None,
    };
    assert_eq!(
        shell("CMD echo  $HOME \"x\"").as_deref(),
        Some("echo  $HOME \"x\"")
    );
    assert_eq!(shell("CMD ['a', 'b']").as_deref(), Some("['a', 'b']"));
    assert_eq!(shell("CMD [ -f x ] && y").as_deref(), Some("[ -f x ] && y"));
    assert_eq!(shell("CMD [\"a\"] b").as_deref(), Some("[\"a\"] b"));
    assert_eq!(shell("CMD").as_deref(), Some(""));
    assert_eq!(
        exec("CMD [\"a\", \"b c\", \"\"]"),
        Some(vec!["a".into(), "b c".into(), String::new()])
    );
    assert_eq!(exec("CMD []"), Some(vec![]));
    assert_eq!(
        exec("CMD [\\\n  \"a\", \\\n  \"b\" \\\n]"),
        Some(vec!["a".into(), "b".into()])
    );
    let InstructionKind::Cmd(line) = kind("CMD a b") else {
        panic!()
    };
    assert_eq!(line.arguments(&["/bin/sh", "-c"]), ["/bin/sh", "-c", "a b"]);
}

#[test]
fn run_flags() {
    let all = run(
        "RUN --mount=type=cache,id=go,target=/root/.cache,sharing=locked,uid=1000,gid=1,mode=0700,from=base,source=/c \\\n  \
         --mount=target=. --mount=type=bind,source=go.mod,dst=go.mod,rw --mount=type=tmpfs,target=/tmp,size=64m \\\n  \
         --mount=type=secret,id=npm,target=/root/.npmrc,required --mount=type=secret,id=token,env=TOKEN \\\n  \
         --mount=type=ssh --network=none --security=insecure --device=vendor.com/class=dev,required=true \\\n  go build",
    );
    assert_eq!(
        all.command,
        CommandLine::Shell(crate::Word::new("go build", all_span(&all)))
    );
    assert_eq!(
        (all.network, all.security),
        (Network::None, Security::Insecure)
    );
    assert_eq!(
        (all.devices[0].name.as_str(), all.devices[0].required),
        ("vendor.com/class=dev", true)
    );
    let specs: Vec<&MountSpec> = all.mounts.iter().map(|mount| &mount.spec).collect();
    insta::assert_debug_snapshot!(specs);
}

fn all_span(run: &Run) -> crate::Span {
    match &run.command {
        CommandLine::Shell(word) => word.span,
        CommandLine::Exec(_) => panic!("exec form"),
    }
}

#[test]
fn mounts() {
    let spec = |text: &str| run(&format!("RUN --mount={text} x")).mounts.remove(0).spec;
    let MountSpec::Cache(cache) = spec("type=CACHE,target=/x,SHARING=Private,ro") else {
        panic!()
    };
    assert_eq!(
        (cache.sharing, cache.read_only),
        (CacheSharing::Private, true)
    );
    let MountSpec::Bind(bind) = spec("source=a,target=/b,rw=false") else {
        panic!()
    };
    assert!(!bind.read_write);
    let MountSpec::Secret(secret) = spec("type=secret,target=/etc/key.pem") else {
        panic!()
    };
    assert_eq!(
        (secret.id.as_str(), secret.target.as_deref()),
        ("key.pem", Some("/etc/key.pem"))
    );
    let MountSpec::Secret(secret) = spec("required=true,type=secret,src=key") else {
        panic!()
    };
    assert_eq!((secret.id.as_str(), secret.required), ("key", true));
    let MountSpec::Cache(cache) = spec("type=cache,\\\"target=/a,b\\\"") else {
        panic!()
    };
    assert_eq!(cache.target, "/a,b");
    // Variables wait for expansion.
    let MountSpec::Cache(cache) = spec("type=cache,target=$DIR,uid=$UID,sharing=${S:-locked}")
    else {
        panic!()
    };
    assert_eq!(
        (cache.target.as_str(), cache.uid, cache.sharing),
        ("$DIR", None, CacheSharing::Shared)
    );
    assert!(matches!(spec("type=$T,target=/x"), MountSpec::Bind(_)));
    assert!(matches!(spec("type=secret,id=$ID"), MountSpec::Secret(_)));
}

#[test]
fn run_heredocs() {
    let script = run("RUN <<EOF\necho a\necho b\nEOF\n");
    assert_eq!(
        script.program(),
        RunProgram::Shell("echo a\necho b\n".into())
    );
    let stripped = run("RUN <<-EOF\n\techo a\n\t\techo b\n\tEOF\n");
    assert_eq!(
        stripped.program(),
        RunProgram::Shell("echo a\necho b\n".into())
    );
    let python = run("RUN <<'EOF'\n#!/usr/bin/env python\nprint(1)\nEOF\n");
    assert_eq!(
        python.program(),
        RunProgram::Script {
            name: "EOF".into(),
            content: "#!/usr/bin/env python\nprint(1)\n".into()
        }
    );
    let piped = run("RUN cat <<A > /x && cat 3<<-B\na\nA\n\tb\n\tB\n");
    assert_eq!(
        piped.program(),
        RunProgram::Shell("cat <<A > /x && cat 3<<-B\na\nA\n\tb\nB".into())
    );
    assert_eq!(piped.heredocs[1].descriptor, 3);
    let flagged = run("RUN --mount=type=cache,target=/x <<EOF\necho\nEOF\n");
    assert_eq!(flagged.program(), RunProgram::Shell("echo\n".into()));
    let exec = run("RUN [\"cat\", \"<<EOF\"]\n");
    assert_eq!(
        exec.program(),
        RunProgram::Exec(vec!["cat".into(), "<<EOF".into()])
    );
    let crlf = run("RUN <<EOF\r\necho a\r\nEOF\r\n");
    assert_eq!(crlf.program(), RunProgram::Shell("echo a\r\n".into()));
    let comments = run("RUN <<EOF\n# kept\n\necho \\\nx\nEOF");
    assert_eq!(
        comments.program(),
        RunProgram::Shell("# kept\n\necho \\\nx\n".into())
    );
    let empty = run("RUN <<EOF\nEOF");
    assert_eq!(empty.program(), RunProgram::Shell(String::new()));
}

#[test]
fn instructions_go_on_after_heredocs() {
    let file = parsed("FROM a\nRUN <<EOF\nFROM b\nEOF\nCOPY <<x <<y /d/\n1\nx\n2\ny\nCMD z\n");
    assert_eq!(file.stages.len(), 1);
    let names: Vec<_> = file.stages[0]
        .instructions
        .iter()
        .map(|one| one.kind.name())
        .collect();
    assert_eq!(names, ["RUN", "COPY", "CMD"]);
    let source = source("FROM a\nRUN <<EOF\nFROM b\nEOF\nCOPY <<x <<y /d/\n1\nx\n2\ny\nCMD z\n");
    assert_eq!(
        source.slice(file.stages[0].instructions[0].span),
        "RUN <<EOF\nFROM b\nEOF"
    );
}

#[test]
fn copies() {
    let InstructionKind::Copy(copy) = kind(
        "COPY --from=build --chown=1:1 --chmod=u+x --link --parents --exclude=*.md --exclude=*.txt a 'b' <<-\"c\" /d/\n\tc $x\n\tc\n",
    ) else {
        panic!()
    };
    assert_eq!(copy.from.unwrap().value, "build");
    assert_eq!((copy.link, copy.parents), (true, true));
    assert_eq!(
        copy.exclude
            .iter()
            .map(|word| word.as_str())
            .collect::<Vec<_>>(),
        ["*.md", "*.txt"]
    );
    assert_eq!(copy.destination.value, "/d/");
    let CopySource::Path(quoted) = &copy.sources[1] else {
        panic!()
    };
    assert_eq!(quoted.value, "'b'");
    let CopySource::Inline(heredoc) = &copy.sources[2] else {
        panic!()
    };
    assert_eq!(
        (
            heredoc.name.as_str(),
            heredoc.expand,
            heredoc.body().as_str()
        ),
        ("c", false, "c $x\n")
    );

    let InstructionKind::Add(add) = kind(
        "ADD --keep-git-dir --checksum=sha256:24 --unpack=false --link=false [\"a b\", \"https://x/y\", \"/d\"]",
    ) else {
        panic!()
    };
    assert_eq!(
        (add.keep_git_dir, add.unpack, add.link),
        (Some(true), Some(false), false)
    );
    assert_eq!(add.checksum.unwrap().value, "sha256:24");
    assert_eq!(add.sources.len(), 2);
    let InstructionKind::Copy(copy) = kind("COPY -- --weird /d") else {
        panic!()
    };
    assert_eq!(copy.sources.len(), 1);
}

#[test]
fn pairs() {
    let pairs = |text: &str| match kind(text) {
        InstructionKind::Env(pairs) | InstructionKind::Label(pairs) => pairs
            .into_iter()
            .map(|pair| (pair.key.value, pair.value.value, pair.legacy))
            .collect::<Vec<_>>(),
        _ => panic!("{text}"),
    };
    let pair = |key: &str, value: &str, legacy| (key.to_owned(), value.to_owned(), legacy);
    assert_eq!(pairs("ENV a=b"), [pair("a", "b", false)]);
    assert_eq!(
        pairs("ENV a=b c=\"d e\" f='g' h=\\ i"),
        [
            pair("a", "b", false),
            pair("c", "\"d e\"", false),
            pair("f", "'g'", false),
            pair("h", "\\ i", false)
        ]
    );
    assert_eq!(pairs("ENV a b  c=d"), [pair("a", "b  c=d", true)]);
    assert_eq!(
        pairs("ENV a= b="),
        [pair("a", "", false), pair("b", "", false)]
    );
    assert_eq!(
        pairs("LABEL \"a b\"=c \\\n   d=e"),
        [pair("\"a b\"", "c", false), pair("d", "e", false)]
    );
    assert_eq!(pairs("LABEL a=b=c"), [pair("a", "b=c", false)]);
    assert_eq!(pairs("ENV a\tb"), [pair("a", "b", true)]);
}

#[test]
fn args() {
    let InstructionKind::Arg(declarations) = kind("ARG a b=c d= e=\"x y\"") else {
        panic!()
    };
    let shown: Vec<_> = declarations
        .iter()
        .map(|one| {
            (
                one.name.as_str(),
                one.default.as_ref().map(|default| default.as_str()),
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("a", None),
            ("b", Some("c")),
            ("d", Some("")),
            ("e", Some("\"x y\""))
        ]
    );
}

#[test]
fn healthchecks() {
    let InstructionKind::Healthcheck(Healthcheck::Command(check)) = kind(
        "HEALTHCHECK --interval=5m --timeout=3s --start-period=0s --start-interval=1.5s --retries=3 \\\n  CMD curl -f http://localhost/ || exit 1",
    ) else {
        panic!()
    };
    assert_eq!(check.interval, Some(Duration::from_secs(300)));
    assert_eq!(check.timeout, Some(Duration::from_secs(3)));
    assert_eq!(check.start_period, None);
    assert_eq!(check.start_interval, Some(Duration::from_millis(1500)));
    assert_eq!(check.retries, Some(3));
    assert!(
        matches!(check.command, CommandLine::Shell(word) if word.value == "curl -f http://localhost/ || exit 1")
    );
    let InstructionKind::Healthcheck(Healthcheck::Command(check)) =
        kind("healthcheck cmd [\"a\", \"b\"]")
    else {
        panic!()
    };
    assert!(matches!(check.command, CommandLine::Exec(words) if words.len() == 2));
    assert!(matches!(
        kind("HEALTHCHECK none"),
        InstructionKind::Healthcheck(Healthcheck::None)
    ));
}

#[test]
fn onbuild() {
    let InstructionKind::Onbuild(onbuild) = kind("ONBUILD  COPY . /app") else {
        panic!()
    };
    assert_eq!(onbuild.trigger, "COPY . /app");
    assert!(matches!(onbuild.instruction.kind, InstructionKind::Copy(_)));
    let InstructionKind::Onbuild(onbuild) = kind("ONBUILD RUN <<EOF\necho\nEOF\n") else {
        panic!()
    };
    assert_eq!(onbuild.trigger, "RUN <<EOF\necho\nEOF");
    let again = parse_trigger(&source(&onbuild.trigger), Escape::Backslash).unwrap();
    let InstructionKind::Run(run) = again.kind else {
        panic!()
    };
    assert_eq!(run.program(), RunProgram::Shell("echo\n".into()));
    let InstructionKind::Onbuild(onbuild) = kind("ONBUILD COPY --from=x a b") else {
        panic!()
    };
    assert_eq!(onbuild.trigger, "COPY --from=x a b");
}

#[test]
fn triggers() {
    let refused = |text: &str| parse_trigger(&source(text), Escape::Backslash).is_err();
    for text in [
        "",
        "FROM x",
        "ONBUILD RUN x",
        "MAINTAINER x",
        "RUN a\nRUN b",
        "NONSENSE",
        "FROM x\nRUN y",
    ] {
        assert!(refused(text), "{text}");
    }
    assert!(!refused("RUN a"));
}

#[test]
fn spans_of_words() {
    let text = "FROM a AS b\nENV k=\"v w\" \\\n  x=y\nEXPOSE 80 443/tcp\n";
    let source = source(text);
    let file = parse(&source).unwrap();
    assert_eq!(source.slice(file.stages[0].base.span), "a");
    assert_eq!(
        source.slice(file.stages[0].name.as_ref().unwrap().span),
        "b"
    );
    let InstructionKind::Env(pairs) = &file.stages[0].instructions[0].kind else {
        panic!()
    };
    assert_eq!(source.slice(pairs[0].value.span), "\"v w\"");
    assert_eq!(source.slice(pairs[1].key.span), "x");
    assert_eq!(
        source.position(pairs[1].key.span.start),
        crate::source::Position { line: 3, column: 3 }
    );
    let InstructionKind::Expose(ports) = &file.stages[0].instructions[1].kind else {
        panic!()
    };
    assert_eq!(source.slice(ports[1].span), "443/tcp");
}

#[test]
fn monstrous_files() {
    let long_line = format!("FROM a\nRUN echo {}\n", "x".repeat(20 << 20));
    assert_eq!(parsed(&long_line).stages[0].instructions.len(), 1);
    let mut heredocs = "FROM a\nCOPY".to_owned();
    for _ in 0..100_000 {
        heredocs.push_str(" <<E");
    }
    heredocs.push_str(" /d/\n");
    heredocs.push_str(&"E\n".repeat(100_000));
    let file = parsed(&heredocs);
    let InstructionKind::Copy(copy) = &file.stages[0].instructions[0].kind else {
        panic!()
    };
    assert_eq!(copy.sources.len(), 100_000);
    let mut many = "FROM a\n".to_owned();
    for number in 0..50_000 {
        let _ = writeln!(many, "RUN <<E\n{number}\nE");
    }
    assert_eq!(parsed(&many).stages[0].instructions.len(), 50_000);
    let continued = format!("FROM a\nRUN x{}", " \\\n".repeat(1_000_000));
    assert_eq!(parsed(&continued).stages[0].instructions.len(), 1);
    let nested = format!("FROM a\nRUN {}", "[".repeat(1 << 20));
    assert_eq!(parsed(&nested).stages[0].instructions.len(), 1);
    let words = format!("FROM a\nEXPOSE {}", "1 ".repeat(1 << 20));
    assert_eq!(parsed(&words).stages[0].instructions.len(), 1);
    let onbuild = format!("FROM a\n{}", "ONBUILD ".repeat(1 << 20));
    assert!(parse(&source(&onbuild)).is_err());
    let mounts = format!("FROM a\nRUN {}", "--mount=target=/x ".repeat(10_000));
    assert_eq!(run_of(&parsed(&mounts)).mounts.len(), 10_000);
}

fn run_of(file: &Dockerfile) -> &Run {
    match &file.stages[0].instructions[0].kind {
        InstructionKind::Run(run) => run,
        other => panic!("{other:?}"),
    }
}

/// Pieces of which most texts are nearly Dockerfiles.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "FROM a",
        "FROM b AS c",
        "\n",
        "\n",
        "\r\n",
        " ",
        "RUN ",
        "COPY ",
        "ADD ",
        "ENV ",
        "ARG ",
        "ONBUILD ",
        "CMD ",
        "LABEL ",
        "HEALTHCHECK ",
        "EXPOSE ",
        "--from=",
        "--mount=type=cache,",
        "target=/x",
        "<<EOF",
        "<<-'E'",
        "EOF",
        "E",
        "\\\n",
        "\\",
        "`",
        "# c",
        "#escape=`\n",
        "\u{feff}",
        "[\"",
        "\"]",
        "\"",
        "'",
        "$x",
        "${x:-",
        "}",
        "=",
        "é",
        "\0",
        "--",
        ",",
        "CMD",
        "/a",
        "\t",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn check_spans(text: &str) -> Result<(), TestCaseError> {
    let source = source(text);
    match parse(&source) {
        Ok(file) => {
            for stage in &file.stages {
                prop_assert!(text.get(stage.span.start..stage.span.end).is_some());
                prop_assert!(
                    text.get(stage.base.span.start..stage.base.span.end)
                        .is_some()
                );
                for instruction in &stage.instructions {
                    let span = instruction.span;
                    prop_assert!(
                        text.get(span.start..span.end)
                            .is_some_and(|slice| !slice.is_empty())
                    );
                    prop_assert!(text[span.start..].starts_with(&instruction.keyword.value[..1]));
                }
            }
            for warning in &file.warnings {
                prop_assert!(text.get(warning.span.start..warning.span.end).is_some());
            }
        }
        Err(errors) => {
            prop_assert!(!errors.is_empty());
            for error in &errors {
                prop_assert!(
                    text.get(error.span.start..error.span.end).is_some(),
                    "{error:?}"
                );
                prop_assert!(error.render(&source).ends_with('\n'));
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn near_files_do_not_panic(text in pieces()) {
        check_spans(&text)?;
    }

    #[test]
    fn any_text_does_not_panic(text in "\\PC{0,80}") {
        check_spans(&text)?;
        check_spans(&format!("FROM a\n{text}"))?;
    }

    #[test]
    fn any_bytes_are_refused_or_parsed(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        match SourceFile::from_bytes("Dockerfile", bytes) {
            Ok(source) => drop(parse(&source)),
            Err(invalid) => prop_assert!(invalid.diagnostic.render(&invalid.source).contains("not UTF-8")),
        }
    }
}
