use super::{Choice, ContextView, Origin, OtherPlatform, Rule, Settings, Surroundings, check};
use crate::diagnostic::{Code, Diagnostic};
use crate::source::SourceFile;

/// Every complaint; `image` is a base of which the environment is known, the ignore file takes
/// `tmp` out.
fn complaints(source: &SourceFile) -> Vec<Diagnostic> {
    let file = crate::parse(source).unwrap();
    let settings = file
        .directives
        .check
        .as_ref()
        .map(|check| Settings::parse(&check.value).unwrap());
    let environment =
        |name: &str| (name == "image").then(|| vec![("IMAGE_HOME".to_owned(), "/i".to_owned())]);
    let other_platform = |_: usize, name: &str| {
        (name == "image-for-another-platform").then(|| OtherPlatform {
            actual: "linux/s390x".to_owned(),
            expected: "linux/amd64".to_owned(),
        })
    };
    let arguments = [
        ("TARGETPLATFORM".to_owned(), "linux/amd64".to_owned()),
        ("GIVEN".to_owned(), "1".to_owned()),
    ];
    let names = [".git", "src", "tmp"].map(str::to_owned);
    let surroundings = Surroundings {
        environment: &environment,
        other_platform: &other_platform,
        context: Some(ContextView {
            names: &names,
            ignored: &|path| path == "tmp" || path.starts_with("tmp/"),
        }),
        ..Surroundings::of(&arguments)
    };
    check(&file, source, &surroundings, &settings.unwrap_or_default())
}

fn rule_of(complaint: &Diagnostic) -> Rule {
    match complaint.code {
        Code::Lint(rule) => rule,
        _ => panic!("{complaint:?}"),
    }
}

/// `line rule: message` of every complaint of one origin.
fn told(text: &str, origin: Origin) -> String {
    let source = SourceFile::new("Dockerfile", text);
    let all = complaints(&source);
    let shown = all
        .iter()
        .filter(|one| rule_of(one).origin() == origin)
        .map(|one| {
            let line = source.position(one.span.start).line;
            format!("{line} {}: {}", rule_of(one), one.message)
        });
    shown.collect::<Vec<_>>().join("\n")
}

fn warnings(text: &str) -> String {
    told(text, Origin::BuildKit)
}

#[test]
fn one_warning() {
    let cases = [
        (
            "FROM scratch\nEXPOSE 80/TCP\n",
            "2 ExposeProtoCasing: Defined protocol '80/TCP' in EXPOSE instruction should be lowercase",
        ),
        (
            "FROM scratch\nEXPOSE 8080:80\n",
            "2 ExposeInvalidFormat: EXPOSE instruction should not define an IP address or host-port mapping, found '8080:80'",
        ),
        (
            "from scratch as x\nENV a=b\nENV c=d\n",
            "1 ConsistentInstructionCasing: Command 'from' should match the case of the command majority (uppercase)",
        ),
        (
            "From scratch as x\n",
            "1 ConsistentInstructionCasing: Command 'From' should match the case of the command majority (uppercase)",
        ),
        (
            "FROM scratch As x\n",
            "1 FromAsCasing: 'As' and 'FROM' keywords' casing do not match",
        ),
        (
            "from scratch AS x\n",
            "1 FromAsCasing: 'AS' and 'from' keywords' casing do not match",
        ),
        (
            "FROM scratch AS Xy\n",
            "1 StageNameCasing: Stage name 'Xy' should be lowercase",
        ),
        (
            "FROM scratch AS x\nFROM scratch AS x\n",
            "2 DuplicateStageName: Duplicate stage name \"x\", stage names should be unique",
        ),
        (
            "FROM scratch AS context\n",
            "1 ReservedStageName: Stage name should not use the same name as reserved stage \"context\"",
        ),
        (
            "FROM scratch\nMAINTAINER x\n",
            "2 MaintainerDeprecated: Maintainer instruction is deprecated in favor of using label",
        ),
        (
            "FROM scratch\nENV a b\n",
            "2 LegacyKeyValueFormat: \"ENV key=value\" should be used instead of legacy \"ENV key value\" format",
        ),
        (
            "FROM scratch\nCMD x\n",
            "2 JSONArgsRecommended: JSON arguments recommended for CMD to prevent unintended behavior related to OS signals",
        ),
        (
            "FROM scratch\nCMD [\"x\"]\nCMD [\"y\"]\n",
            "2 MultipleInstructionsDisallowed: Multiple CMD instructions should not be used in the same stage because only the last one will be used",
        ),
        (
            "FROM scratch\nWORKDIR a\nWORKDIR b\n",
            "2 WorkdirRelativePath: Relative workdir \"a\" can have unexpected results if the base image changes",
        ),
        (
            "FROM scratch\nARG GITHUB_TOKEN\n",
            "2 SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data (ARG \"GITHUB_TOKEN\")",
        ),
        (
            "FROM scratch\nENV db_password=1\n",
            "2 SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data (ENV \"db_password\")",
        ),
        (
            "ARG BASE=scratch\nFROM $BSAE:1\n",
            "2 InvalidDefaultArgInFrom: Default value for ARG $BSAE:1 results in empty or invalid base image name\n2 UndefinedArgInFrom: FROM argument 'BSAE' is not declared (did you mean BASE?)",
        ),
        (
            "ARG T=\nFROM busybox:$T\n",
            "2 InvalidDefaultArgInFrom: Default value for ARG busybox:$T results in empty or invalid base image name",
        ),
        (
            "ARG GIVEN\nFROM busybox:$GIVEN\n",
            "2 InvalidDefaultArgInFrom: Default value for ARG busybox:$GIVEN results in empty or invalid base image name",
        ),
        (
            "FROM --platform=$TARGETPLATFORM scratch\n",
            "1 RedundantTargetPlatform: Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior",
        ),
        (
            "FROM --platform=linux/amd64 scratch\n",
            "1 FromPlatformFlagConstDisallowed: FROM --platform flag should not use constant value \"linux/amd64\"",
        ),
        (
            "FROM scratch\nENV PATH=$PAHT\n",
            "2 UndefinedVar: Usage of undefined variable '$PAHT' (did you mean $PATH?)",
        ),
        (
            "FROM image\nENV a=$IMAGE_HOEM\n",
            "2 UndefinedVar: Usage of undefined variable '$IMAGE_HOEM' (did you mean $IMAGE_HOME?)",
        ),
        (
            "FROM scratch\nCOPY <<EOF /x\n$und\nEOF\n",
            "2 UndefinedVar: Usage of undefined variable '$und'",
        ),
        (
            "FROM scratch\nRUN --mount=type=cache,target=/$tt [\"x\"]\n",
            "2 UndefinedVar: Usage of undefined variable '$tt'",
        ),
        (
            "FROM scratch AS a\nENV x=1\nFROM a\nLABEL l=$x m=$y\n",
            "4 UndefinedVar: Usage of undefined variable '$y'",
        ),
        (
            "FROM scratch\nRUN x \\\n\n y\n",
            "3 NoEmptyContinuation: Empty continuation line",
        ),
    ];
    for (text, expected) in cases {
        let mut found: Vec<String> = warnings(text).lines().map(str::to_owned).collect();
        found.sort();
        assert_eq!(found.join("\n"), expected, "{text}");
    }
}

#[test]
fn no_warning() {
    let cases = [
        "FROM scratch AS x\nENV a=b\nCMD [\"x\"]\nEXPOSE 80/tcp 81-82\n",
        "from scratch as x\nenv a=b\n",
        "FROM scratch\nWORKDIR /a\nWORKDIR b\n",
        "FROM scratch AS a\nWORKDIR /x\nFROM a\nWORKDIR y\n",
        "FROM scratch\nSHELL [\"a\"]\nCMD z\n",
        "FROM scratch\nENV keyring=1 PUBLIC_KEY=2 TOKEN_FILE=3 author=4\n",
        "FROM scratch\nARG X\nLABEL a=$X\n",
        "ARG X=1\nFROM scratch\nARG X\nLABEL a=$X\n",
        "ARG BASE\nFROM ${BASE:-scratch}\n",
        "FROM --platform=$BUILDPLATFORM scratch\n",
        "FROM --platform=linux/amd64 scratch AS build_amd64\n",
        "FROM unknown\nLABEL a=$WHO_KNOWS\n",
        "FROM image\nLABEL a=$IMAGE_HOME\n",
        "FROM scratch\nLABEL a=${X:-y} b=${Z:+z}\n",
        "FROM scratch\nRUN echo $x\nONBUILD CMD x\n",
        "# check=skip=all\nFROM scratch AS X\nMAINTAINER y\n",
        "# check=skip=StageNameCasing,maintainerdeprecated\nFROM scratch AS X\nMAINTAINER y\n",
    ];
    for text in cases {
        assert_eq!(warnings(text), "", "{text}");
    }
}

#[test]
fn settings() {
    let parsed =
        Settings::parse("skip=UndefinedVar, JSONArgsRecommended,NewRule;error=true").unwrap();
    assert_eq!(
        parsed.skip,
        Choice::Rules(vec![Rule::UndefinedVar, Rule::JSONArgsRecommended])
    );
    assert!(parsed.error);
    assert_eq!(Settings::parse("").unwrap(), Settings::default());
    assert_eq!(Settings::parse("skip=all").unwrap().skip, Choice::All);
    assert!(Settings::parse("oops").is_err());
    assert!(Settings::parse("oops=1").is_err());
    assert!(Settings::parse("error=maybe").is_err());
}

#[test]
fn rules_on_trial_are_looked_for_on_demand() {
    let text = "# what\nFROM scratch AS x\nCOPY tmp/a /\n# y is it\nARG x y\n# no\nARG z\nARG v\n";
    assert_eq!(warnings(text), "");
    let all = format!("# check=experimental=all\n{text}");
    assert_eq!(
        warnings(&all),
        "3 InvalidDefinitionDescription: Comment for FROM should follow the format: `# x <description>`\n\
        4 CopyIgnoredFile: Attempting to Copy file \"tmp/a\" that is excluded by .dockerignore\n\
        8 InvalidDefinitionDescription: Comment for ARG should follow the format: `# z <description>`"
    );
    let one = format!("# check=experimental=CopyIgnoredFile\n{text}");
    assert!(!warnings(&one).contains("Definition"));
}

#[test]
fn stages_that_are_not_needed_are_only_parsed() {
    let text = "FROM scratch AS X\nMAINTAINER me\nENV a b\nFROM scratch\nENV c d\n";
    let source = SourceFile::new("Dockerfile", text);
    let file = crate::parse(&source).unwrap();
    let surroundings = Surroundings {
        needed: Some(&[false, true]),
        ..Surroundings::of(&[])
    };
    let found = check(&file, &source, &surroundings, &Settings::default());
    let found = found
        .iter()
        .filter(|one| rule_of(one).origin() == Origin::BuildKit);
    let rules: Vec<(Rule, usize)> = found
        .map(|one| (rule_of(one), super::lines(&file, &source, one).0))
        .collect();
    let expected = [
        (Rule::StageNameCasing, 1),
        (Rule::MaintainerDeprecated, 2),
        (Rule::LegacyKeyValueFormat, 5),
    ];
    assert_eq!(rules, expected);
}

#[test]
fn an_empty_line_is_told_at_the_end_of_its_instruction() {
    let source = SourceFile::new("Dockerfile", "FROM scratch\nRUN a \\\n\n  b \\\n  c\n");
    let file = crate::parse(&source).unwrap();
    assert_eq!(super::lines(&file, &source, &file.warnings[0]), (5, 5));
}

/// The examples on the pages hold: the rule finds the first and not the second, and where it can
/// mend, the mended file has it no more.
#[test]
fn rules_find_their_examples() {
    for rule in Rule::ALL {
        let (bad, good) = rule.examples();
        let find = |text: &str| {
            let source = SourceFile::new("Dockerfile", text);
            let all = complaints(&source);
            all.into_iter()
                .filter(|one| rule_of(one) == rule)
                .collect::<Vec<_>>()
        };
        assert!(!find(bad).is_empty(), "{rule} is not found in:\n{bad}");
        assert_eq!(find(good), [], "{rule} is found in:\n{good}");
        let (mended, made) = crate::fix::apply(bad, &find(bad));
        if made > 0 {
            assert_eq!(find(&mended), [], "{rule} is still found in:\n{mended}");
            assert_eq!(mended, good, "{rule}");
        }
    }
}

mod own;
