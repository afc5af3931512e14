//! `--build-context NAME=oci-layout://…`: images of OCI layouts in folders.

use std::path::{Path, PathBuf};

use gantry_testkit::{Answer, TestEnv};
use serde_json::{Value, json};

in_both_modes! {
    an_image_of_a_layout_is_a_context,
    a_layout_that_lies_is_refused,
}

fn build(env: &TestEnv, layout: &str, flags: &[&str], dockerfile: &str) -> Answer {
    let context = format!("base=oci-layout://{layout}");
    let mut args = vec!["build", "--progress=plain", "--build-context", &context];
    args.extend(flags);
    args.push("-");
    env.gantry_with_input(args, dockerfile.as_bytes())
}

/// Writes an image with this file into a layout, under this tag.
fn write(env: &TestEnv, layout: &str, tag: &str, content: &str) {
    let dockerfile = format!("FROM busybox\nRUN echo {content} > /file\nENV WHO={content}\n");
    let output = format!("type=oci,tar=false,dest={layout},name=made:{tag}");
    let built = env.gantry_with_input(["build", "-q", "-o", &output, "-"], dockerfile.as_bytes());
    assert_eq!(built.code, 0, "{}", built.stderr);
}

fn index(env: &TestEnv, layout: &str) -> Value {
    let path = env.work().join(layout).join("index.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn blob(layout: &Path, digest: &Value) -> PathBuf {
    layout
        .join("blobs")
        .join(digest.as_str().unwrap().replace(':', "/"))
}

const USES: &str = "FROM base AS one\nRUN echo $WHO > /who\n\
    FROM busybox\nCOPY --from=one /who /file /one/\nCOPY --from=base /file /two\n\
    RUN --mount=from=base,target=/m cat /m/file > /three\n";

fn an_image_of_a_layout_is_a_context(env: TestEnv) {
    write(&env, "dist", "v1", "first");
    let before = env.gantry(["images", "-aq"]).ok();
    let seen = |image: &str| {
        let files = ["/one/who", "/one/file", "/two", "/three"];
        let mut args = vec!["run", "--rm", image, "cat"];
        args.extend(files);
        env.gantry(args).ok()
    };
    // The only image is taken, whatever it is called.
    let built = build(&env, "dist", &["-t", "a"], USES);
    assert_eq!(built.code, 0, "{}", built.stderr);
    assert_eq!(seen("a"), "first\nfirst\nfirst\nfirst");
    env.gantry(["rmi", "a"]).ok();
    assert_eq!(env.gantry(["images", "-aq"]).ok(), before, "it got no name");

    let other = build(&env, "dist:v9", &[], USES).fails(1);
    assert!(
        other.contains("its only image is not called \"v9\"") && other.contains("v1"),
        "{other}"
    );

    // Of several that of the tag or the digest; what changed is noticed, what did not is cached.
    write(&env, "dist", "latest", "second");
    let entries = index(&env, "dist");
    let digest = entries["manifests"][0]["digest"].as_str().unwrap();
    for (which, want) in [
        ("dist:v1".to_owned(), "first"),
        ("dist".to_owned(), "second"),
        (format!("dist@{digest}"), "first"),
        (format!("./dist:nothing@{digest}"), "first"),
    ] {
        let built = build(&env, &which, &["-t", "a"], USES);
        assert_eq!(built.code, 0, "{which}: {}", built.stderr);
        assert_eq!(seen("a"), [want; 4].join("\n"), "{which}");
    }
    let again = build(&env, "dist:v1", &[], USES).stderr;
    assert_eq!(again.matches("CACHED").count(), 4, "{again}");
    let unknown = build(&env, "dist:v3", &[], USES).fails(1);
    assert!(
        unknown.contains("none of its 2 images is called \"v3\""),
        "{unknown}"
    );

    // An index is looked through for the platform of the stage.
    let dockerfile =
        "FROM scratch\nARG TARGETARCH\nENV FOR=$TARGETARCH\nCOPY <<EOT /arch\n$TARGETARCH\nEOT\n";
    let flags = [
        "--platform=linux/amd64,linux/arm64",
        "-q",
        "-o",
        "type=oci,tar=false,dest=many",
    ];
    let built = env.gantry_with_input(
        ["build"].iter().chain(&flags).chain(&["-"]),
        dockerfile.as_bytes(),
    );
    assert_eq!(built.code, 0, "{}", built.stderr);
    for (platform, want) in [("linux/arm64", "arm64\n"), ("linux/amd64", "amd64\n")] {
        let flags = ["--platform", platform, "-o", "out"];
        let built = build(&env, "many", &flags, "FROM base\n");
        assert_eq!(built.code, 0, "{}", built.stderr);
        let arch = std::fs::read_to_string(env.work().join("out/arch")).unwrap();
        assert_eq!(arch, want);
    }
    let missing = build(&env, "many", &["--platform=linux/s390x"], "FROM base\n").fails(1);
    assert!(missing.contains("linux/arm64"), "{missing}");

    // A bake file has them as well, and the outline looks at them.
    env.write(
        "docker-bake.hcl",
        "target \"default\" {\n contexts = { base = \"oci-layout://dist:v1\" }\n tags = [\"baked\"]\n \
         dockerfile-inline = \"FROM base\"\n}\n",
    );
    let baked = env.gantry(["bake"]);
    assert_eq!(baked.code, 0, "{}", baked.stderr);
    assert_eq!(
        env.gantry(["run", "--rm", "baked", "cat", "/file"]).ok(),
        "first"
    );
    let outline = build(&env, "dist:v1", &["--call=outline"], "FROM base\n");
    assert_eq!(outline.code, 0, "{}", outline.stderr);
    assert!(env.gantry(["system", "check"]).code == 0);
}

fn a_layout_that_lies_is_refused(env: TestEnv) {
    write(&env, "good", "v1", "content");
    let good = env.work().join("good");
    let manifest = index(&env, "good")["manifests"][0]["digest"].clone();
    let manifest: Value =
        serde_json::from_slice(&std::fs::read(blob(&good, &manifest)).unwrap()).unwrap();
    let layer = blob(Path::new("bad"), &manifest["layers"][1]["digest"]);
    let config = blob(Path::new("bad"), &manifest["config"]["digest"]);
    let bad = env.work().join("bad");
    let refused = |what: &str, change: &dyn Fn(), want: &str| {
        drop(std::fs::remove_dir_all(&bad));
        let copy = std::process::Command::new("cp")
            .arg("-a")
            .arg(&good)
            .arg(&bad)
            .status();
        assert!(copy.unwrap().success());
        change();
        let said = build(&env, "bad", &["--no-cache"], "FROM base\n").fails(1);
        assert!(
            said.contains(want) && said.contains("OCI layout bad"),
            "{what}: {said}"
        );
    };
    let place = |path: &Path| env.work().join(path);
    let replace = |path: &Path, content: &[u8]| {
        std::fs::remove_file(place(path)).unwrap();
        std::fs::write(place(path), content).unwrap();
    };
    let link = |path: &Path, target: &str| {
        std::fs::remove_file(place(path)).unwrap();
        std::os::unix::fs::symlink(target, place(path)).unwrap();
    };
    let index = Path::new("bad/index.json");
    // What is in the store already would be taken from there.
    env.gantry(["builder", "prune", "-af"]).ok();
    refused(
        "no layer",
        &|| std::fs::remove_file(place(&layer)).unwrap(),
        "is missing",
    );
    refused(
        "no config",
        &|| std::fs::remove_file(place(&config)).unwrap(),
        "is missing",
    );
    refused("another config", &|| replace(&config, b"{}"), "has digest");
    refused(
        "another layer",
        &|| replace(&layer, b"\x1f\x8bnot what it was"),
        "blobs/sha256/",
    );
    refused(
        "a link to a layer",
        &|| link(&layer, "/etc/passwd"),
        "it is a link",
    );
    let outside = env.write("outside.json", r#"{"manifests":[]}"#);
    refused(
        "a link to an index",
        &|| link(index, outside.to_str().unwrap()),
        "it is a link",
    );
    refused(
        "a link up",
        &|| link(index, "../outside.json"),
        "it is a link",
    );
    refused(
        "no index",
        &|| std::fs::remove_file(place(index)).unwrap(),
        "is missing",
    );
    refused("no json", &|| replace(index, b"{"), "malformed");
    refused(
        "a huge index",
        &|| {
            let file = std::fs::File::create(place(index)).unwrap();
            file.set_len(1 << 40).unwrap();
        },
        "bytes, more than",
    );
    refused(
        "a pipe",
        &|| {
            std::fs::remove_file(place(index)).unwrap();
            rustix::fs::mkfifoat(
                rustix::fs::CWD,
                place(index),
                rustix::fs::Mode::from_raw_mode(0o644),
            )
            .unwrap();
        },
        "it is no file",
    );
    let entry = json!({"mediaType": "application/vnd.oci.image.index.v1+json", "size": 2,
        "digest": format!("sha256:{}", "0".repeat(64))});
    let lying = json!({"schemaVersion": 2, "manifests": [entry]}).to_string();
    refused(
        "no manifest",
        &|| replace(index, lying.as_bytes()),
        "is missing",
    );
    let none = env.gantry([
        "build",
        "--build-context",
        "base=oci-layout://nonesuch",
        "-f",
        "-",
        ".",
    ]);
    assert_eq!(none.code, 1, "{}", none.stderr);
}
