//! What each instruction becomes.

use super::*;

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
    assert_eq!(parsed("FROM --platform= a\n").stages[0].platform, None);
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
fn copies() {
    let InstructionKind::Copy(copy) = kind(
        "COPY --from=build --chown=1:1 --chmod=u+x --link --parents --exclude=*.md --exclude=*.txt a 'b' <<-\"c\" /d/\n\tc $x\n\tc\n",
    ) else {
        panic!()
    };
    assert_eq!(copy.from.unwrap().value, "build");
    let InstructionKind::Copy(plain) = kind("COPY --from= a b\n") else {
        panic!()
    };
    assert_eq!(plain.from, None);
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
