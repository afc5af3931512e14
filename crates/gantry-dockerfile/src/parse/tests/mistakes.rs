//! Files that are wrong, and what is said of them.

use super::*;

#[test]
fn every_error() {
    let cases = [
        ("", "1: the Dockerfile cannot be empty []"),
        ("# just a comment\n\n", "2: file with no instructions []"),
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
