//! `build --call`, `build --check` and `build lint`: a Dockerfile looked at, not built.

use gantry_testkit::TestEnv;
use gantry_testkit::web::{GitServer, Web, respond};

const RICH: &str = "\
# SYN the thing
ARG SYN=1
FROM scratch${SYN:+} AS one
# two really second
FROM scratch AS Two
RUN --mount=type=secret,id=tok,required=true --mount=type=ssh x
ARG GREETING=hi
COPY --from=one / /
FROM scratch
";

#[test]
fn targets_and_outlines_are_told_as_the_build_tools_tell_them() {
    let env = TestEnv::new(crate::GANTRY);
    env.write("ctx/Dockerfile", RICH);
    let call = |call: &str, more: &[&str]| {
        let mut args = vec!["build", "-q", "--call", call];
        args.extend(more);
        args.push("ctx");
        env.gantry(args)
    };
    let targets = call("targets", &[]).stdout;
    let expected = "TARGET    DESCRIPTION\none       \ntwo       really second\n(default) \n";
    assert_eq!(targets, expected);
    let outline = call(
        "outline",
        &["--target", "two", "--build-arg", "GREETING=ho"],
    );
    let expected = "TARGET:      two\nDESCRIPTION: really second\n\n\
        BUILD ARG   VALUE   DESCRIPTION\nSYN         1       the thing\nGREETING    ho      \n\n\
        SECRET   REQUIRED\ntok      true\n\nSSH       REQUIRED\ndefault   \n\n";
    assert_eq!((outline.code, outline.stdout.as_str()), (0, expected));
    let json = call("targets,format=json", &[]).ok();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["targets"][1]["name"], "two");
    assert_eq!(
        json["targets"][1]["location"]["ranges"][0]["start"]["line"],
        5
    );
    assert_eq!(json["targets"][2]["default"], true);
    assert_eq!(json["targets"][0]["default"], serde_json::Value::Null);
    let json = call("outline,format=json", &["--target=two"]).ok();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["secrets"][0]["required"], true);
    assert_eq!(json["args"][0]["description"], "the thing");
    assert_eq!(call("outline", &["--target=nope"]).code, 1);
    assert_eq!(call("nope", &[]).code, 1);
    let both = call("outline", &["--check"]);
    assert!(
        both.stderr.contains("--check and --call=outline"),
        "{}",
        both.stderr
    );
}

#[test]
fn a_check_tells_what_counts_and_what_is_advice() {
    let env = TestEnv::new(crate::GANTRY);
    let check = |text: &str, flags: &[&str]| {
        env.write("ctx/Dockerfile", text);
        let mut args = vec!["build", "-q", "--check"];
        args.extend(flags);
        args.push("ctx");
        env.gantry(args)
    };
    let clean = check("FROM scratch\nCOPY a /\n", &[]);
    assert_eq!(clean.ok(), "Check complete, no warnings found.");
    let one = check("FROM scratch AS Foo\n", &[]);
    assert_eq!(one.code, 1);
    assert_eq!(
        one.stdout,
        "Check complete, 1 warning has been found!\n\n\
        WARNING: StageNameCasing - https://docs.docker.com/go/dockerfile/rule/stage-name-casing/\n\
        Stage name 'Foo' should be lowercase\nctx/Dockerfile:1\n--------------------\n\
        \x20  1 | >>> FROM scratch AS Foo\n   2 |     \n--------------------\n"
    );
    // Own rules advise; the exit code is that of BuildKit's.
    let advised = check("FROM busybox\nCMD [\"a\"]\n", &[]);
    assert_eq!(advised.code, 0);
    assert!(
        advised.stdout.contains("\nADVICE: LatestTag\n"),
        "{}",
        advised.stdout
    );
    let secret = check("FROM scratch\nENV DB=postgres://me:secret@db\n", &[]);
    assert_eq!(secret.code, 1);
    assert!(
        secret.stdout.contains("WARNING: SecretValue"),
        "{}",
        secret.stdout
    );
    // The argument takes the place of the directive.
    let text = "# check=skip=StageNameCasing\nFROM scratch AS Foo\nEXPOSE 1/TCP\n";
    assert!(check(text, &[]).stdout.contains("ExposeProtoCasing"));
    let argument = "--build-arg=BUILDKIT_DOCKERFILE_CHECK=skip=ExposeProtoCasing";
    let told = check(text, &[argument]).stdout;
    assert!(
        told.contains("StageNameCasing") && !told.contains("ExposeProto"),
        "{told}"
    );
    let oops = check(text, &["--build-arg=BUILDKIT_DOCKERFILE_CHECK=oops"]);
    assert!(
        oops.stderr.contains("invalid check option \"oops\""),
        "{}",
        oops.stderr
    );
    assert_ne!(oops.code, 0);
    // What cannot be built is told as an error.
    let wrong = check("FROM scratch\nRUNN x\n", &[]);
    assert_eq!(wrong.code, 1);
    let expected = "ERROR: dockerfile parse error on line 2: unknown instruction: RUNN (did you mean RUN?)\nctx/Dockerfile:2\n";
    assert!(wrong.stderr.contains(expected), "{}", wrong.stderr);
    let wrong = check("FROM scratch AS a\nSTOPSIGNAL NOSUCH\nFROM scratch\n", &[]);
    assert_eq!(wrong.code, 1);
    let expected = "NOSUCH\nctx/Dockerfile:2\n";
    assert!(wrong.stderr.contains(expected), "{}", wrong.stderr);
    // The ignore file is known.
    env.write("ctx/.dockerignore", "tmp\n");
    let ignored = check(
        "# check=experimental=all\nFROM scratch\nCOPY tmp/x /\n",
        &[],
    );
    assert!(
        ignored.stdout.contains("file \"tmp/x\" that is excluded"),
        "{}",
        ignored.stdout
    );
    // A build says it as well, of the stages that it needs and where the file asks for it.
    let build = |text: &str| {
        env.write("ctx/Dockerfile", text);
        env.gantry(["build", "--progress=plain", "ctx"]).stderr
    };
    let text = "FROM scratch AS a\nCOPY tmp/x /\nFROM scratch AS b\n";
    assert!(!build(text).contains("CopyIgnoredFile"));
    let told = build(&format!("# check=experimental=CopyIgnoredFile\n{text}"));
    assert!(!told.contains("CopyIgnoredFile"), "{told}");
    let text = "# check=experimental=CopyIgnoredFile\nFROM scratch\nCOPY tmp/x /\n";
    let told = build(text);
    assert!(
        told.contains("CopyIgnoredFile: Attempting to Copy file \"tmp/x\""),
        "{told}"
    );
}

#[test]
fn what_is_no_folder_is_looked_at_as_well() {
    let env = TestEnv::new(crate::GANTRY);
    let text = "# check=experimental=all\n# foo is the first\nFROM scratch AS foo\nARG A=1\nCOPY out /\nCMD a\n";
    env.write("ctx/Dockerfile", text);
    env.write("ctx/in/Other", "FROM scratch AS other\n");
    env.write("ctx/.dockerignore", "out\n");
    let packed = std::process::Command::new("tar")
        .args(["-cJf", "-", "-C"])
        .arg(env.work().join("ctx"))
        .arg(".")
        .output()
        .unwrap();
    let archive = env.write("ctx.tar.xz", &packed.stdout);
    let server = GitServer::start();
    let repository = server.repository("one");
    for name in ["Dockerfile", "in/Other", ".dockerignore"] {
        let content = std::fs::read_to_string(env.work().join("ctx").join(name)).unwrap();
        repository.write(name, &content);
    }
    drop(repository.commit());
    let bytes = packed.stdout.clone();
    let web = Web::start(move |asked, stream| {
        let body: &[u8] = match asked.path.as_str() {
            "/Dockerfile" => b"FROM scratch AS Foo\n",
            _ => &bytes,
        };
        respond(stream, "200 OK", &[], body);
    });
    let (git, url) = (server.url("one"), web.url("/ctx.tar.xz"));
    for context in [archive.to_str().unwrap(), "-", &git, &url] {
        let call = |flags: &[&str]| {
            let args = ["build"].iter().chain(flags).chain([&context]);
            env.gantry_with_input(args, &packed.stdout)
        };
        let checked = call(&["--check"]);
        assert_eq!(checked.code, 1, "{context}: {}", checked.stderr);
        for rule in ["JSONArgsRecommended", "CopyIgnoredFile"] {
            assert!(
                checked.stdout.contains(rule),
                "{context}: {}",
                checked.stdout
            );
        }
        let targets = call(&["--call=targets"]).ok();
        assert!(targets.contains("the first"), "{context}: {targets}");
        let outline = call(&["--call=outline"]).ok();
        assert!(
            outline.contains("BUILD ARG") && outline.contains('A'),
            "{outline}"
        );
        let other = call(&["--call=targets", "-f", "in/Other"]).ok();
        assert!(other.contains("other"), "{context}: {other}");
    }
    let alone = env.gantry_with_input(["build", "--check", "-"], b"FROM scratch AS Foo\n");
    assert_eq!(alone.code, 1, "{}", alone.stderr);
    assert!(alone.stdout.contains("StageNameCasing"), "{}", alone.stdout);
    let address = web.url("/Dockerfile");
    let remote = env.gantry(["build", "--check", "-f", &address, "ctx"]);
    assert_eq!(remote.code, 1, "{}", remote.stderr);
    assert!(
        remote.stdout.contains("StageNameCasing"),
        "{}",
        remote.stdout
    );
}

#[test]
fn builds_tell_warnings_briefly_and_fail_where_the_file_wants_it() {
    let env = TestEnv::new(crate::GANTRY);
    let build = |text: &str, flags: &[&str]| {
        env.write("ctx/Dockerfile", text);
        let mut args = flags.to_vec();
        args.extend(["build", "--progress=plain", "ctx"]);
        env.gantry(args)
    };
    let text = "FROM scratch AS Foo\nCOPY . /\nCMD [\"/a\"]\n";
    let built = build(text, &[]);
    assert_eq!(built.code, 0, "{}", built.stderr);
    let warned = "\n 1 warning found (use --debug to expand):\n - StageNameCasing: Stage name 'Foo' should be lowercase (line 1)\n";
    assert!(built.stderr.contains(warned), "{}", built.stderr);
    assert!(
        built
            .stderr
            .contains("\n 1 more found by own rules (RootUser): --check shows where\n")
    );
    let detailed = build(text, &["--debug"]).stderr;
    assert!(detailed.contains("More info: https://docs.docker.com/go/dockerfile/rule/stage-name-casing/\nDockerfile:1\n"), "{detailed}");
    let failed = build(&format!("# check=error=true\n{text}"), &[]);
    assert_eq!(failed.code, 1);
    let violated = "lint violation found for rules: StageNameCasing";
    assert!(failed.stderr.contains(violated), "{}", failed.stderr);
    // Own rules do not stop what BuildKit builds.
    let own = build("# check=error=true\nFROM scratch\nCMD [\"/a\"]\n", &[]);
    assert_eq!(own.code, 0, "{}", own.stderr);
}

#[test]
fn the_linter_tells_in_three_forms_and_mends() {
    let env = TestEnv::new(crate::GANTRY);
    let text =
        "FROM busybox:1 as x\nRUN apk add curl\nUSER 1000\nCMD [\"sh\", \"-c\", \"httpd -f\"]\n";
    env.write("ctx/Dockerfile", text);
    env.write("ctx/web.Dockerfile", "FROM scratch\n");
    env.write("ctx/Dockerfile.dockerignore", "x\n");
    let lint = |args: &[&str]| {
        let words: Vec<&str> = ["build", "lint"].iter().chain(args).copied().collect();
        env.gantry(words)
    };
    let found = lint(&["ctx"]);
    assert_eq!(found.code, 1);
    let marked = "1 | >>> FROM busybox:1 as x\n     |                    ^^\n";
    assert!(found.stdout.contains(marked), "{}", found.stdout);
    assert!(
        found.stdout.ends_with("3 warnings; --fix mends 3\n"),
        "{}",
        found.stdout
    );
    assert_eq!(lint(&["--severity=error", "ctx"]).ok(), "nothing found");
    assert!(
        lint(&["--severity=info", "ctx"])
            .stdout
            .contains("TagWithoutDigest")
    );
    let only = lint(&[
        "--rule=signalslost,FromAsCasing",
        "--skip=FromAsCasing",
        "--format=json",
        "ctx",
    ]);
    let json: serde_json::Value = serde_json::from_str(&only.stdout).unwrap();
    let findings = &json["files"][0]["findings"];
    assert_eq!(findings.as_array().map(Vec::len), Some(1), "{json}");
    assert_eq!(findings[0]["rule"], "SignalsLost");
    assert_eq!(findings[0]["range"]["start"]["line"], 4);
    assert_eq!(findings[0]["fix"][0]["text"], "exec ");
    assert_eq!(json["files"][1]["name"], "ctx/web.Dockerfile");

    let sarif = lint(&["--format=sarif", "ctx/Dockerfile"]);
    let sarif: serde_json::Value = serde_json::from_str(&sarif.stdout).unwrap();
    assert_eq!(sarif["version"], "2.1.0");
    let run = &sarif["runs"][0];
    let results = run["results"].as_array().unwrap();
    assert_eq!(results.len(), 3);
    for result in results {
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(
            run["tool"]["driver"]["rules"][index]["id"],
            result["ruleId"]
        );
        let place = &result["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "ctx/Dockerfile");
        assert!(place["region"]["startLine"].as_u64() > Some(0));
    }

    let mended = lint(&["--fix", "ctx/Dockerfile"]);
    assert_eq!(
        (mended.code, mended.stdout.as_str()),
        (0, "nothing found\n")
    );
    assert!(
        mended.stderr.contains("ctx/Dockerfile: 3 findings mended"),
        "{}",
        mended.stderr
    );
    let after = std::fs::read_to_string(env.work().join("ctx/Dockerfile")).unwrap();
    let expected = "FROM busybox:1 AS x\nRUN apk add --no-cache curl\nUSER 1000\nCMD [\"sh\", \"-c\", \"exec httpd -f\"]\n";
    assert_eq!(after, expected);

    let broken = env.gantry_with_input(["builder", "lint", "-"], b"FROM scratch\nRUNN x\n");
    assert_eq!(broken.code, 1);
    assert!(
        broken.stdout.contains("error: unknown instruction: RUNN"),
        "{}",
        broken.stdout
    );
    assert!(
        lint(&["--explain", "rootuser"])
            .ok()
            .starts_with("# RootUser\n")
    );
    let unknown = lint(&["--rule", "RootUsr"]);
    assert!(
        unknown.stderr.contains("did you mean RootUser?"),
        "{}",
        unknown.stderr
    );
    env.write("none/x", "");
    assert!(lint(&["none"]).stderr.contains("holds no Dockerfile"));
}
