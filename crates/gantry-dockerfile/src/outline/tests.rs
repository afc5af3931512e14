use crate::ast::Dockerfile;
use crate::source::SourceFile;

const FILE: &str = "\
# SYN the thing
ARG SYN=1
ARG UNUSED=2
# VER the version
ARG VER=3
ARG NODEF
FROM scratch${SYN:+} AS one
# IN inner
ARG IN=$VER
ARG VER
ARG NODEF
# two is the second stage
#
# two really second
FROM scratch AS Two
RUN --mount=type=secret,id=tok,required=true --mount=type=secret,target=/run/x --mount=type=ssh,required x
ARG TWO=é A B=b
COPY --from=one / /
FROM scratch
ARG THREE
RUN --mount=type=secret,id=other x
FROM two AS last
";

fn parse(text: &str) -> (SourceFile, Dockerfile) {
    let source = SourceFile::new("Dockerfile", text);
    let file = crate::parse(&source).unwrap();
    (source, file)
}

/// `line name=value (description)` of every argument, then the secrets and agents.
fn outline(target: &str, arguments: &[(&str, &str)]) -> String {
    let (source, file) = parse(FILE);
    let arguments: Vec<(String, String)> = arguments
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let target = file.target(Some(target)).unwrap();
    let outline = file.outline(target, &arguments).unwrap();
    let mut out = format!("{:?} {:?}\n", outline.name, outline.description);
    for argument in outline.arguments {
        let line = source.line_at(argument.span.start);
        let value = argument.value.unwrap_or_default();
        let described = argument.description.unwrap_or_default();
        out.push_str(&format!("{line} {}={value} ({described})\n", argument.name));
    }
    for lent in outline.secrets.iter().chain(&outline.agents) {
        let line = source.line_at(lent.span.start);
        out.push_str(&format!("{line} {} {}\n", lent.name, lent.required));
    }
    out
}

#[test]
fn outlines_are_those_of_buildkit() {
    let expected = "Some(\"two\") Some(\"really second\")\n\
        2 SYN=1 (the thing)\n5 VER=3 (the version)\n9 IN= (inner)\n11 NODEF= ()\n\
        17 TWO=é ()\n17 A= ()\n17 B=b ()\n16 tok true\n16 x false\n16 default true\n";
    assert_eq!(outline("two", &[]), expected);
    let last = expected.replace(
        "Some(\"two\") Some(\"really second\")",
        "Some(\"last\") None",
    );
    assert_eq!(outline("last", &[]), last);
    let given = outline("one", &[("VER", "9"), ("SYN", "")]);
    let expected =
        "Some(\"one\") None\n2 SYN= (the thing)\n9 IN= (inner)\n10 VER=9 ()\n11 NODEF= ()\n";
    assert_eq!(given, expected);
}

#[test]
fn what_the_builder_gives_is_nobodys_to_give() {
    let own = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let given = [own("TARGETOS", "linux"), own("TARGETARCH", "arm64")];
    let names = |text: &str, given: &[(String, String)]| -> String {
        let (_, file) = parse(text);
        let last = file.stages.len() - 1;
        let all = file.outline(last, given).unwrap().arguments.into_iter();
        let shown = all.map(|one| format!("{}={:?} ", one.name, one.value));
        shown.collect()
    };
    let file = "FROM scratch\nARG TARGETOS\nARG TARGETARCH=x\nARG A\n";
    assert_eq!(names(file, &given), "TARGETARCH=Some(\"x\") A=None ");
    let more = [&given[..], &[own("TARGETOS", "plan9")]].concat();
    let expected = "TARGETOS=Some(\"plan9\") TARGETARCH=Some(\"x\") A=None ";
    assert_eq!(names(file, &more), expected);
    let above = "ARG TARGETOS\nARG A\nFROM scratch${TARGETOS:+}${A}\n";
    assert_eq!(names(above, &given), "TARGETOS=None ");
}

#[test]
fn a_name_is_told_once() {
    let (source, file) =
        parse("FROM scratch AS a\nARG X=1\nARG Y=1\nFROM scratch\nARG X=2\nCOPY --from=a / /\n");
    let outline = file.outline(1, &[]).unwrap();
    let lines = outline.arguments.iter();
    let lines: Vec<usize> = lines.map(|one| source.line_at(one.span.start)).collect();
    assert_eq!(lines, [3, 5]);
}

#[test]
fn defaults_name_further_arguments() {
    let (_, file) = parse("ARG a=1 b=${a}2 c=$a\nFROM scratch\nARG b\n");
    let outline = file.outline(0, &[]).unwrap();
    let names: Vec<&str> = outline
        .arguments
        .iter()
        .map(|one| one.name.as_str())
        .collect();
    assert_eq!(names, ["a", "b"]);
}

#[test]
fn targets_are_told_with_their_descriptions() {
    let (_, file) = parse(FILE);
    let shown: Vec<String> = file
        .targets()
        .into_iter()
        .map(|one| {
            format!(
                "{:?} {} {:?} {}",
                one.name, one.is_default, one.description, one.base
            )
        })
        .collect();
    let expected = [
        "Some(\"one\") false None scratch${SYN:+}",
        "Some(\"two\") false Some(\"really second\") scratch",
        "None false None scratch",
        "Some(\"last\") true None two",
    ];
    assert_eq!(shown, expected);
}

#[test]
fn a_source_that_comes_later_is_an_error() {
    let (_, file) = parse("FROM scratch\nCOPY --from=late / /\nFROM scratch AS late\n");
    assert!(file.outline(0, &[]).is_err());
    assert!(file.outline(1, &[]).is_ok());
}

#[test]
fn many_stages_are_no_trouble() {
    let mut text = String::from("FROM scratch AS s0\n");
    for index in 1..5000 {
        let before = index - 1;
        text.push_str(&format!(
            "FROM s{before} AS s{index}\nCOPY --from=s{before} / /\n"
        ));
    }
    let (_, file) = parse(&text);
    assert!(file.outline(4999, &[]).is_ok());
}
