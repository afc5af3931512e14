//! Fixtures: `testdata/lower/<case>/{Dockerfile,flags}` and `image.json`, which Docker 28.5 with
//! BuildKit made of them. The base image is the same everywhere: one layer, no settings.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use gantry_dockerfile::{SourceFile, parse};
use gantry_model::image::{History, ImageConfig, RootFs};
use gantry_model::{Digest, Platform};
use serde_json::Value;

use super::*;
use crate::base::BaseImage;

struct OneBase {
    triggers: Vec<String>,
}

impl Images for OneBase {
    fn prefetch(&self, _requests: &[ImageRequest]) {}

    fn image(&self, request: &ImageRequest) -> Result<NamedImage, ImageFailure> {
        let source = request.name.source()?;
        let mut config = ImageConfig {
            architecture: "amd64".into(),
            os: "linux".into(),
            history: vec![History {
                comment: "Imported from -".into(),
                ..History::default()
            }],
            rootfs: RootFs {
                diff_ids: vec![Digest::from_bytes([7; 32])],
                ..RootFs::default()
            },
            ..ImageConfig::default()
        };
        config.config.on_build.clone_from(&self.triggers);
        config.config.cmd = Some(vec!["sh".into()]);
        let image = BaseImage {
            id: Digest::from_bytes([1; 32]),
            manifest: None,
            config,
        };
        Ok(NamedImage {
            reference: source.to_string(),
            image,
        })
    }
}

fn settings(flags: &str) -> Settings {
    let mut settings = Settings {
        build_args: BTreeMap::new(),
        proxy_args: BTreeMap::new(),
        labels: BTreeMap::new(),
        target: None,
        network: RunNetwork::None,
        allow: Entitlements::default(),
        shm_size: None,
        ulimits: Vec::new(),
        confinement: Vec::new(),
        extra_hosts: Vec::new(),
        request: 0,
        title: None,
        spelling: Spelling::default(),
        multi_platform: false,
        context: ContextId(0),
        named: BTreeMap::new(),
        pull: PullPolicy::Missing,
        no_cache: false,
        no_cache_stages: Vec::new(),
        target_platform: "linux/amd64".parse::<Platform>().unwrap(),
        build_platform: "linux/amd64".parse::<Platform>().unwrap(),
        epoch: None,
        view: None,
    };
    let mut flags = flags.lines().filter(|line| !line.is_empty());
    while let Some(flag) = flags.next() {
        let value = flags.next().unwrap();
        let pair = value
            .split_once('=')
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        match flag {
            "--build-arg" => settings.build_args.extend(pair),
            "--label" => settings.labels.extend(pair),
            "--target" => settings.target = Some(value.to_owned()),
            other => panic!("{other}"),
        }
    }
    settings
}

/// What one file comes to for several settings.
fn all_lowered(
    text: &str,
    settings: &[Settings],
    triggers: &[&str],
) -> Result<(Graph, Vec<Lowered>), BuildError> {
    let source = Arc::new(SourceFile::new("Dockerfile", text));
    let dockerfile = parse(&source).map_err(|errors| BuildError::dockerfile(&source, &errors))?;
    let images = OneBase {
        triggers: triggers.iter().map(|&text| text.to_owned()).collect(),
    };
    let subject = |settings: &Settings| Subject {
        dockerfile: &dockerfile,
        source: &source,
        settings: settings.clone(),
    };
    let subjects: Vec<Subject<'_>> = settings.iter().map(subject).collect();
    lower(&subjects, &images)
}

fn lowered_with(
    text: &str,
    flags: &str,
    triggers: &[&str],
) -> Result<(Graph, Lowered), BuildError> {
    let (graph, mut all) = all_lowered(text, &[settings(flags)], triggers)?;
    Ok((graph, all.remove(0)))
}

fn lowered(text: &str, flags: &str) -> Result<(Graph, Lowered), BuildError> {
    lowered_with(text, flags, &[])
}

fn names(graph: &Graph, targets: &[NodeId]) -> Vec<String> {
    let mut nodes: Vec<_> = graph
        .needed(targets)
        .into_iter()
        .map(|id| graph.node(id))
        .collect();
    nodes.sort_by_key(|node| node.label.position);
    nodes
        .iter()
        .map(|node| node.label.name.clone())
        .filter(|name| !name.is_empty())
        .collect()
}

fn image_json(lowered: &Lowered) -> Value {
    let mut image = serde_json::to_value(&lowered.config).unwrap();
    image.as_object_mut().unwrap().remove("rootfs");
    image["history"] = serde_json::to_value(&lowered.history).unwrap();
    image
}

#[test]
fn configurations_and_histories_are_those_of_buildkit() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/lower");
    let mut seen = 0;
    for case in fs::read_dir(cases).unwrap() {
        let case = case.unwrap().path();
        let text = fs::read_to_string(case.join("Dockerfile")).unwrap();
        let flags = fs::read_to_string(case.join("flags")).unwrap();
        let want: Value =
            serde_json::from_slice(&fs::read(case.join("image.json")).unwrap()).unwrap();
        let (_, lowered) =
            lowered(&text, &flags).unwrap_or_else(|error| panic!("{case:?}: {error:?}"));
        let have = image_json(&lowered);
        let pretty = |value: &Value| serde_json::to_string_pretty(value).unwrap();
        assert_eq!(pretty(&have), pretty(&want), "{}", case.display());
        seen += 1;
    }
    assert!(seen >= 5);
}

#[test]
fn steps_are_named_and_numbered() {
    let text = "FROM busybox AS build\nARG X=1\nRUN echo $X\nRUN <<E\nfirst\nsecond\nE\nFROM build\nWORKDIR /\nCOPY a b\n\
                FROM scratch\nCOPY --from=1 a /\nCOPY --from=busybox b /\n";
    let (graph, lowered) = lowered(text, "").unwrap();
    assert_eq!(
        names(&graph, &[lowered.target]),
        [
            "[build 1/3] FROM docker.io/library/busybox:latest",
            "[build 2/3] RUN echo 1",
            "[build 3/3] RUN <<E (first...)",
            "[stage-1 1/2] COPY a b",
            "[stage-2 1/2] COPY --from=1 a /",
            "[stage-2 2/2] COPY --from=busybox b /",
        ]
    );
}

#[test]
fn stages_that_nobody_needs_are_not_looked_at() {
    let text =
        "FROM not/a:image:at:all AS broken\nRUN x\nFROM busybox AS wanted\nRUN y\nFROM broken\n";
    let (graph, lowered) = lowered(text, "--target\nwanted").unwrap();
    assert_eq!(
        names(&graph, &[lowered.target]),
        [
            "[wanted 1/2] FROM docker.io/library/busybox:latest",
            "[wanted 2/2] RUN y"
        ]
    );
}

#[test]
fn equal_stages_are_built_once() {
    let text =
        "FROM busybox AS a\nRUN same\nFROM busybox AS b\nRUN same\nFROM a\nCOPY --from=b /x /\n";
    let (graph, lowered) = lowered(text, "").unwrap();
    assert_eq!(graph.needed(&[lowered.target]).len(), 3);
}

#[test]
fn triggers_of_the_base_come_first_and_reach_stages() {
    let text = "FROM scratch AS files\nCOPY f /f\nFROM busybox\nRUN last\n";
    let triggers = ["ARG Q=1", "COPY --from=files /f /f", "RUN echo $Q"];
    let (graph, lowered) = lowered_with(text, "", &triggers).unwrap();
    assert_eq!(
        names(&graph, &[lowered.target]),
        [
            "[files 1/1] COPY f /f",
            "[stage-1 1/5] FROM docker.io/library/busybox:latest",
            "[stage-1 2/5] ONBUILD COPY --from=files /f /f",
            "[stage-1 3/5] ONBUILD RUN echo 1",
            "[stage-1 4/5] RUN last",
        ]
    );
    assert!(lowered.config.config.on_build.is_empty());
}

#[test]
fn targets_and_platforms_share_one_graph() {
    let text = "FROM --platform=$BUILDPLATFORM busybox AS build\nARG TARGETARCH\nRUN make\n\
                FROM scratch\nCOPY --from=build /out /\nCOPY same /\n";
    let platform = |text: &str, number: usize| Settings {
        multi_platform: true,
        target_platform: text.parse().unwrap(),
        request: number,
        ..settings("")
    };
    let pair = [platform("linux/amd64", 0), platform("linux/arm64", 0)];
    let (graph, both) = all_lowered(text, &pair, &[]).unwrap();
    let targets: Vec<NodeId> = both.iter().map(|lowered| lowered.target).collect();
    assert_eq!(
        names(&graph, &targets),
        [
            "[linux/amd64 build 1/2] FROM docker.io/library/busybox:latest",
            "[linux/amd64 build 2/2] RUN make",
            "[linux/amd64 stage-1 1/2] COPY --from=build /out /",
            "[linux/amd64 stage-1 2/2] COPY same /",
            "[linux/amd64->arm64 build 2/2] RUN make",
            "[linux/arm64 stage-1 1/2] COPY --from=build /out /",
            "[linux/arm64 stage-1 2/2] COPY same /",
        ]
    );
    assert_eq!(both[1].config.architecture, "arm64");

    // Two targets of the same meaning are one, which is run anew as soon as one asks for that.
    let target = |name: &str, number: usize| Settings {
        title: Some(name.to_owned()),
        request: number,
        no_cache: number == 1,
        ..settings("")
    };
    let text = "FROM busybox\nRUN one\n";
    let (graph, two) = all_lowered(text, &[target("a", 0), target("b", 1)], &[]).unwrap();
    assert_eq!(two[0].target, two[1].target);
    assert!(graph.node(two[0].target).label.fresh);
    let stages = Settings {
        no_cache_stages: vec!["B".into(), "2".into(), "c".into()],
        ..settings("")
    };
    let text = "FROM busybox AS a\nRUN one\nFROM a AS b\nRUN two\nFROM b\nRUN three\n";
    let (graph, one) = all_lowered(text, &[stages], &[]).unwrap();
    let fresh: Vec<bool> = graph
        .needed(&[one[0].target])
        .into_iter()
        .map(|id| graph.node(id).label.fresh)
        .collect();
    assert_eq!(fresh, [false, false, true, true]);
    let told = |warning: &Warning| warning.message.contains("no stage \"c\"");
    assert!(one[0].warnings.iter().any(told));
    assert_eq!(
        names(&graph, &[two[0].target]),
        [
            "[a 1/2] FROM docker.io/library/busybox:latest",
            "[a 2/2] RUN one"
        ]
    );

    // Another context is other files.
    let other = Settings {
        context: ContextId(1),
        ..settings("")
    };
    let text = "FROM scratch\nCOPY a /\n";
    let (_, two) = all_lowered(text, &[settings(""), other], &[]).unwrap();
    assert_ne!(two[0].target, two[1].target);
}

#[test]
fn times_come_from_the_epoch() {
    let settings = Settings {
        epoch: Some("1970-01-01T00:00:01Z".into()),
        ..settings("")
    };
    let text = "FROM scratch\nCOPY a /\nLABEL x=y\n";
    let (_, all) = all_lowered(text, &[settings], &[]).unwrap();
    let [lowered] = all.as_slice() else {
        panic!("{all:?}")
    };
    assert!(
        lowered
            .history
            .iter()
            .all(|entry| entry.created.as_deref() == Some("1970-01-01T00:00:01Z"))
    );
    assert_eq!(
        lowered.config.created.as_deref(),
        Some("1970-01-01T00:00:01Z")
    );
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    for (instruction, message) in [
        (
            "RUN --security=insecure x",
            "RUN --security=insecure is not allowed unless the build itself is given --allow security.insecure",
        ),
        (
            "RUN --network=host x",
            "RUN --network=host is not allowed unless the build itself is given --network=host or --allow network.host",
        ),
    ] {
        let error = lowered(&format!("FROM busybox\n{instruction}\n"), "").unwrap_err();
        assert_eq!(error.to_string(), message, "{instruction}");
        let BuildError::Dockerfile {
            rendered,
            unsupported,
            ..
        } = &error
        else {
            panic!("{error:?}")
        };
        assert!(*unsupported, "{instruction}");
        assert!(
            rendered.contains(&format!(">>> {instruction}")),
            "{rendered}"
        );
    }
}

#[test]
fn what_is_wrong_is_shown_with_its_line() {
    for (text, message) in [
        (
            "FROM $NOTHING\n",
            "base name ($NOTHING) should not be blank",
        ),
        (
            "FROM busybox\nSTOPSIGNAL SIGNOPE\n",
            "invalid signal: SIGNOPE",
        ),
        (
            "FROM busybox\nCOPY --chmod=9 a b\n",
            "invalid chmod parameter: '9'",
        ),
        (
            "FROM busybox\nCOPY --from=5 a b\n",
            "invalid stage index 5: the Dockerfile has 1 stage, the first is 0",
        ),
        ("FROM busybox\nEXPOSE x\n", "invalid containerPort: x"),
    ] {
        let error = lowered(text, "").unwrap_err();
        let BuildError::Dockerfile {
            rendered,
            unsupported,
            ..
        } = &error
        else {
            panic!("{error:?}")
        };
        assert!(!unsupported);
        assert!(rendered.contains(">>>"), "{rendered}");
        assert!(rendered.contains(message), "{text}: {rendered}");
    }
}

#[test]
fn unused_arguments_are_a_warning() {
    let (_, lowered) = lowered(
        "ARG A\nFROM busybox\nARG B\n",
        "--build-arg\nA=1\n--build-arg\nB=1\n--build-arg\nC=1\n--build-arg\nHTTP_PROXY=x",
    )
    .unwrap();
    let messages: Vec<&str> = lowered
        .warnings
        .iter()
        .filter(|warning| !warning.is_advice)
        .map(|warning| warning.message.as_str())
        .collect();
    assert_eq!(messages, ["one or more build-args [C] were not consumed"]);
}
