//! `gantry build --output`, `--push`: what leaves a build, read by others.

use std::collections::BTreeSet;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use gantry_testkit::{Answer, Peers, TestEnv, TestRegistry};

use serde_json::Value;

use crate::GANTRY;

in_both_modes! {
    one_build_has_several_outputs,
    what_is_said_of_files_lies_beside_them,
}

fn build(env: &TestEnv, flags: &[&str]) -> Answer {
    let mut args = vec!["build", "--progress=plain"];
    args.extend(flags);
    args.push("ctx");
    env.gantry(args)
}

/// Another machine with the same base image and the same context.
pub(crate) fn elsewhere(env: &TestEnv) -> TestEnv {
    let other = TestEnv::new(GANTRY);
    env.gantry(["save", "-o", "base.tar", "busybox"]).ok();
    let base = env.work().join("base.tar");
    other
        .gantry(["load", "-q", "-i", base.to_str().unwrap()])
        .ok();
    for entry in std::fs::read_dir(env.work().join("ctx")).unwrap() {
        let name = format!("ctx/{}", entry.unwrap().file_name().display());
        other.write(&name, std::fs::read(env.work().join(&name)).unwrap());
    }
    other
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The manifest of the only image of a layout in a folder.
fn manifest(layout: &Path) -> Value {
    let index = json(&layout.join("index.json"));
    let digest = index["manifests"][0]["digest"].as_str().unwrap();
    json(&layout.join("blobs").join(digest.replace(':', "/")))
}

fn one_build_has_several_outputs(env: TestEnv) {
    env.write("ctx/hello", "hello\n");
    env.write(
        "ctx/Dockerfile",
        "FROM busybox AS made\nRUN mkdir -p /o/sub && echo a > /o/sub/a && chmod 750 /o/sub \
         && ln -s a /o/sub/link && rm -rf /o/none\nRUN echo b > /o/sub/b && rm /o/sub/a && echo a > /o/sub/a\n\
         FROM scratch\nCOPY hello /\nCOPY --from=made /o /\n",
    );
    env.write("out/stays", "");
    env.write("mirror/goes/away", "");
    let built = build(
        &env,
        &[
            "--progress=quiet",
            "-t",
            "several:1",
            "-o",
            "out",
            "-o",
            "type=local,dest=mirror,mode=delete",
            "--output=type=tar,dest=files.tar",
            "-o=type=oci,dest=zstd.tar,compression=zstd,compression-level=7",
            "-o=type=oci,tar=false,dest=layout,compression=estargz,annotation.who=me",
            "-o=type=docker,dest=docker.tar",
            "--load",
            "--iidfile=id",
            "--metadata-file=metadata.json",
        ],
    );
    let id = built.ok();
    let at = |name: &str| env.work().join(name);
    assert_eq!(std::fs::read_to_string(at("id")).unwrap(), id);
    let inspected = env.gantry(["image", "inspect", "several:1", "-f", "{{.Id}}"]);
    assert_eq!(inspected.ok(), id);
    for folder in ["out", "mirror"] {
        let read = |name: &str| std::fs::read_to_string(at(folder).join(name)).unwrap();
        assert_eq!((&*read("hello"), &*read("sub/link")), ("hello\n", "a\n"));
        let sub = std::fs::metadata(at(folder).join("sub")).unwrap();
        assert_eq!(sub.permissions().mode() & 0o7777, 0o750);
        assert_eq!(sub.uid(), std::fs::metadata(env.work()).unwrap().uid());
    }
    assert!(at("out/stays").exists() && !at("mirror/goes").exists());
    let listed = Command::new("tar")
        .arg("tf")
        .arg(at("files.tar"))
        .output()
        .unwrap();
    let listed: BTreeSet<String> = String::from_utf8(listed.stdout)
        .unwrap()
        .lines()
        .map(|line| line.trim_start_matches("./").to_owned())
        .filter(|line| !line.is_empty())
        .collect();
    let want = ["hello", "sub/", "sub/a", "sub/b", "sub/link"];
    assert!(listed.iter().eq(want.iter()), "{listed:?}");
    // Others read them, and it is the same image.
    let peers = Peers::beside(&env);
    for source in [
        "oci-archive:zstd.tar:1",
        "docker-archive:docker.tar",
        "oci:layout",
    ] {
        let _quiet = peers.skopeo(&[
            "copy",
            "--quiet",
            source,
            &format!("dir:{}", at("copied").display()),
        ]);
        let copied = json(&at("copied/manifest.json"));
        assert_eq!(copied["layers"].as_array().unwrap().len(), 2, "{source}");
        std::fs::remove_dir_all(at("copied")).unwrap();
    }
    let metadata = json(&at("metadata.json"));
    assert_eq!(metadata["containerimage.config.digest"], id.as_str());
    assert_eq!(metadata["image.name"], "docker.io/library/several:1");
    let estargz = manifest(&at("layout"));
    assert_eq!(estargz["annotations"]["who"], "me");
    let layer = &estargz["layers"][0]["annotations"];
    assert!(
        layer["containerd.io/snapshot/stargz/toc.digest"].is_string(),
        "{estargz}"
    );
    // And so do we.
    for archive in ["zstd.tar", "docker.tar"] {
        let loaded = env.gantry(["load", "-q", "-i", archive]).ok();
        assert!(loaded.contains("several:1"), "{loaded}");
    }
    let inspected = env.gantry(["image", "inspect", "several:1", "-f", "{{.Id}}"]);
    assert_eq!(inspected.ok(), id);
    // Nothing is left but the cache where nothing is wanted.
    let none = build(
        &env,
        &["--progress=quiet", "-o", "type=cacheonly", "--target=made"],
    );
    assert_eq!(none.ok(), "");
    let refused = build(&env, &["-o", "type=oci,dest=x,colour=red"]);
    assert_ne!(refused.code, 0);
    assert!(refused.stderr.contains("colour"), "{}", refused.stderr);
}

fn what_is_said_of_files_lies_beside_them(env: TestEnv) {
    env.write("ctx/hello", "hello\n");
    env.write("ctx/sub/b", "b\n");
    env.write("ctx/sub-a", "a\n");
    std::os::unix::fs::symlink("hello", env.work().join("ctx/link")).unwrap();
    env.write(
        "ctx/Dockerfile",
        "FROM scratch\nARG TARGETARCH\nCOPY . /\nCOPY <<EOT /arch\n$TARGETARCH\nEOT\n",
    );
    env.write("ctx/.dockerignore", "Dockerfile\n.dockerignore\n");
    env.write("out/linux_arm64/goes", "");
    let at = |name: &str| env.work().join(name);
    let said = ["--provenance=mode=max", "--sbom=true"];
    let flags = [
        "--platform=linux/amd64,linux/arm64",
        "--build-arg=SOURCE_DATE_EPOCH=1700000000",
        "-o=type=local,dest=out,mode=delete",
        "-o=type=tar,dest=files.tar,attestation-prefix=of-",
    ];
    let both = [&said[..], &flags].concat();
    assert_eq!(build(&env, &both).code, 0);
    let archived = |name: &str| {
        let mut tar = Command::new("tar");
        tar.arg("xOf").arg(at("files.tar")).arg(name);
        tar.output().unwrap().stdout
    };
    let mut all = Vec::new();
    for platform in ["amd64", "arm64"] {
        let folder = at("out").join(format!("linux_{platform}"));
        for (name, kind) in [
            ("provenance.json", "https://slsa.dev/provenance/v1"),
            ("sbom.spdx.json", "https://spdx.dev/Document"),
        ] {
            let facts = std::fs::metadata(folder.join(name)).unwrap();
            let mine = std::fs::metadata(env.work()).unwrap().uid();
            assert_eq!((facts.mode() & 0o7777, facts.uid()), (0o600, mine));
            assert_eq!(facts.mtime(), 1_700_000_000);
            let bytes = std::fs::read(folder.join(name)).unwrap();
            assert_eq!(bytes, archived(&format!("linux_{platform}/of-{name}")));
            let statement: Value = serde_json::from_slice(&bytes).unwrap();
            assert_eq!(statement["predicateType"], kind);
            // It is about the regular files, folder by folder.
            let subjects = statement["subject"].as_array().unwrap();
            let names: Vec<&Value> = subjects.iter().map(|subject| &subject["name"]).collect();
            assert_eq!(names, ["arch", "hello", "sub/b", "sub-a"]);
            let sha256 = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
            assert_eq!(subjects[1]["digest"]["sha256"], sha256);
            all.push(bytes);
        }
        let provenance = json(&folder.join("provenance.json"));
        let asked = &provenance["predicate"]["buildDefinition"]["externalParameters"]["request"];
        assert_eq!(asked["args"]["platform"], format!("linux/{platform}"));
    }
    assert_ne!(all[0], all[2], "each platform has files of its own");
    assert!(!at("out/linux_arm64/goes").exists());
    // With the time of the build given, all of it is the same again.
    let archive = std::fs::read(at("files.tar")).unwrap();
    assert_eq!(build(&env, &both).code, 0);
    let again = std::fs::read(at("files.tar")).unwrap();
    assert!(again == archive, "the archives differ");

    // A file of the build is not replaced, and nothing is written before that is known.
    env.write("ctx/provenance.json", "mine\n");
    for output in ["new", "type=tar,dest=new"] {
        let refused = build(&env, &["--provenance=true", "-o", output]).fails(1);
        assert!(refused.contains("attestation-prefix"), "{refused}");
        assert!(!at("new").exists());
    }
    let prefixed = "type=local,dest=new,attestation-prefix=my-";
    assert_eq!(build(&env, &["--provenance=true", "-o", prefixed]).code, 0);
    let mine = std::fs::read_to_string(at("new/provenance.json")).unwrap();
    assert_eq!(mine, "mine\n");
    let subjects = json(&at("new/my-provenance.json"))["subject"].clone();
    assert_eq!(subjects[2]["name"], "provenance.json");
}

#[test]
fn root_reproducible_builds_give_the_same_digest_anywhere() {
    let env = crate::busybox();
    env.write("ctx/hello", "hello\n");
    env.write(
        "ctx/Dockerfile",
        "FROM busybox\nCOPY hello /copied/\nENV A=b\nRUN echo made > /made && mkdir /new\nWORKDIR /w\n",
    );
    let other = elsewhere(&env);
    let flags = [
        "--build-arg=SOURCE_DATE_EPOCH=1700000000",
        "-o=type=oci,tar=false,dest=layout,rewrite-timestamp=true",
    ];
    let digests = [&env, &other].map(|env| {
        let built = build(env, &flags);
        assert_eq!(built.code, 0, "{}", built.stderr);
        let index = json(&env.work().join("layout/index.json"));
        index["manifests"][0]["digest"].as_str().unwrap().to_owned()
    });
    assert_eq!(digests[0], digests[1]);
    // The base keeps its layer, and the new ones are not newer than they should be.
    let layers = manifest(&env.work().join("layout"))["layers"].clone();
    let top = layers.as_array().unwrap().last().unwrap()["digest"].clone();
    let blob = env
        .work()
        .join("layout/blobs")
        .join(top.as_str().unwrap().replace(':', "/"));
    let listed = Command::new("tar")
        .args(["--full-time", "--utc", "-tvzf"])
        .arg(blob)
        .output()
        .unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.contains("2023-11-14 22:13:20"), "{listed}");
}

#[test]
fn root_a_build_is_pushed_in_the_form_that_was_asked_for() {
    let env = crate::busybox();
    let registry = TestRegistry::start();
    let at = registry.address();
    env.write("ctx/hello", "hello\n");
    env.write("ctx/Dockerfile", "FROM busybox\nCOPY hello /\n");
    let name = format!("{at}/pushed:1");
    let metadata = env.work().join("metadata.json");
    let push = |flags: &[&str]| {
        let mut all = vec!["-t", &name, "--metadata-file=metadata.json"];
        all.extend(flags);
        let built = build(&env, &all);
        assert_eq!(built.code, 0, "{}", built.stderr);
        json(&metadata)
    };
    let peers = Peers::beside(&env);
    let raw = |name: &str| -> Value {
        let source = format!("docker://{name}");
        let text = peers.skopeo(&["inspect", "--raw", "--tls-verify=false", &source]);
        serde_json::from_str(&text).unwrap()
    };
    let first = push(&["--push", "--annotation", "manifest:org.x=y"]);
    let found = raw(&name);
    assert_eq!(
        found["mediaType"],
        "application/vnd.oci.image.manifest.v1+json"
    );
    assert_eq!(found["annotations"]["org.x"], "y");
    assert_eq!(
        found["config"]["digest"],
        first["containerimage.config.digest"]
    );
    // The same again is the same.
    let again = push(&["--push", "--annotation", "manifest:org.x=y"]);
    assert_eq!(
        first["containerimage.digest"],
        again["containerimage.digest"]
    );
    // By digest alone, in another form, its base too.
    let other = format!("{at}/other");
    let output = format!(
        "-o=type=image,name={other},push=true,push-by-digest=true,store=false,compression=zstd,force-compression=true"
    );
    let built = build(&env, &["--metadata-file=metadata.json", &output]);
    assert_eq!(built.code, 0, "{}", built.stderr);
    let digest = json(&metadata)["containerimage.digest"].clone();
    let found = raw(&format!("{other}@{}", digest.as_str().unwrap()));
    for layer in found["layers"].as_array().unwrap() {
        assert_eq!(
            layer["mediaType"],
            "application/vnd.oci.image.layer.v1.tar+zstd"
        );
    }
    // A table of contents is part of the archive: the layers are others then, the files not.
    let lazy = push(&["--output=type=registry,compression=estargz,force-compression=true"]);
    assert_eq!(
        lazy["containerimage.config.digest"],
        first["containerimage.config.digest"]
    );
    env.gantry(["rmi", "-f", &name]).ok();
    env.gantry(["pull", "-q", &name]).ok();
    assert_eq!(
        env.gantry(["run", "--rm", &name, "cat", "/hello"]).ok(),
        "hello"
    );
    let index = build(&env, &["-t", &name, "--push", "--annotation=index:a=b"]);
    assert!(
        index.stderr.contains("index annotations"),
        "{}",
        index.stderr
    );
}

#[test]
fn root_attestations_are_attached_and_in_nobodys_way() {
    let env = crate::busybox();
    let registry = TestRegistry::start();
    let name = format!("{}/attested:1", registry.address());
    env.write(
        "ctx/status",
        "Package: tool\nStatus: install ok installed\nVersion: 1.2\nArchitecture: amd64\n",
    );
    env.write("ctx/Packages.db", "no database");
    let dockerfile = "FROM busybox\nARG WORD\nCOPY status /var/lib/dpkg/status\n\
        COPY Packages.db /var/lib/rpm/\nRUN echo a > /a\n";
    env.write("ctx/Dockerfile", dockerfile);
    let flags = [
        "-t",
        &name,
        "--push",
        "--provenance=mode=max",
        "--sbom=true",
    ];
    let more = [
        "--build-arg=WORD=of-mine",
        "--build-arg=SOURCE_DATE_EPOCH=1700000000",
    ];
    let built = build(&env, &[&flags[..], &more].concat());
    assert_eq!(built.code, 0, "{}", built.stderr);
    let gap = "packages may be missing from the SBOM: /var/lib/rpm/Packages.db of layer sha256:";
    assert!(built.stderr.contains(gap), "{}", built.stderr);
    let peers = Peers::beside(&env);
    let raw = |reference: &str| -> Value {
        let source = format!("docker://{reference}");
        let text = peers.skopeo(&["inspect", "--raw", "--tls-verify=false", &source]);
        serde_json::from_str(&text).unwrap()
    };
    let index = raw(&name);
    let [image, attached] = &index["manifests"].as_array().unwrap()[..] else {
        panic!("{index}")
    };
    assert_eq!(attached["platform"]["os"], "unknown");
    let annotations = &attached["annotations"];
    assert_eq!(
        annotations["vnd.docker.reference.type"],
        "attestation-manifest"
    );
    assert_eq!(annotations["vnd.docker.reference.digest"], image["digest"]);
    // This registry lists no referrers: the index that stands in for the list does.
    let digest = image["digest"].as_str().unwrap();
    let listed = raw(&name.replace(":1", &format!(":{}", digest.replace(':', "-"))));
    assert_eq!(listed["manifests"][0]["digest"], attached["digest"]);
    // The statements are about the image.
    let by_digest = name.replace(":1", &format!("@{}", attached["digest"].as_str().unwrap()));
    let folder = env.work().join("attached");
    let manifest = raw(&by_digest);
    let copied = format!("dir:{}", folder.display());
    let source = format!("docker://{by_digest}");
    let _quiet = peers.skopeo(&[
        "copy",
        "--src-tls-verify=false",
        "--quiet",
        &source,
        &copied,
    ]);
    let statement = |number: usize| {
        let layer = manifest["layers"][number]["digest"].as_str().unwrap();
        json(&folder.join(layer.strip_prefix("sha256:").unwrap()))
    };
    let (sbom, provenance) = (statement(0), statement(1));
    for statement in [&sbom, &provenance] {
        let subject = &statement["subject"][0];
        assert_eq!(
            format!("sha256:{}", subject["digest"]["sha256"].as_str().unwrap()),
            digest
        );
    }
    assert_eq!(
        provenance["predicateType"],
        "https://slsa.dev/provenance/v1"
    );
    let definition = &provenance["predicate"]["buildDefinition"];
    let asked = &definition["externalParameters"]["request"]["args"];
    assert_eq!(asked["build-arg:WORD"], "of-mine");
    assert_eq!(
        definition["resolvedDependencies"][0]["uri"],
        "pkg:docker/busybox@latest"
    );
    let packages = sbom["predicate"]["packages"].as_array().unwrap();
    let tool = packages
        .iter()
        .find(|package| package["name"] == "tool")
        .unwrap();
    assert!(
        tool["sourceInfo"].as_str().unwrap().contains("COPY status"),
        "{tool}"
    );
    let comment = sbom["predicate"]["comment"].as_str().unwrap();
    assert!(comment.starts_with(gap), "{comment}");
    let files = sbom["predicate"]["files"].as_array().unwrap();
    let file = files.iter().find(|file| file["fileName"] == "/a").unwrap();
    let sha256 = "87428fc522803d31065e7bce3cf03fe475096631e5e07bbd7a0fde60c4cf25c7";
    assert_eq!(file["checksums"][1]["checksumValue"], sha256);
    assert!(
        file["comment"].as_str().unwrap().contains("echo a"),
        "{file}"
    );
    // With the time of the build given, all of it is the same again.
    let again = build(&env, &[&flags[..], &more].concat());
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert_eq!(raw(&name), index);
    // In the short form no value of an argument is told.
    let layout = "-o=type=oci,tar=false,dest=layout";
    let argument = "--build-arg=UNUSED=quite-mine";
    let short = build(&env, &[layout, "--provenance=true", argument]);
    assert_eq!(short.code, 0, "{}", short.stderr);
    let mut search = Command::new("grep");
    search.args(["-r", "quite-mine", "layout"]);
    let found = search.current_dir(env.work()).output().unwrap();
    assert!(found.stdout.is_empty(), "{found:?}");
    // Whoever pulls it has an image and nothing unknown.
    env.gantry(["rmi", "-f", &name]).ok();
    env.gantry(["pull", "-q", &name]).ok();
    assert_eq!(env.gantry(["run", "--rm", &name, "cat", "/a"]).ok(), "a");
    let images = env.gantry(["images", "--tree"]).ok();
    assert!(!images.contains("unknown"), "{images}");
    let alone = build(&env, &["--sbom=true"]);
    assert!(alone.stderr.contains("--push"), "{}", alone.stderr);
}
