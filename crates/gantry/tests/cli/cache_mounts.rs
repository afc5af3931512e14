//! `gantry build --cache-to …,mounts=true`: cache mounts that go from machine to machine.

use std::fs::File;
use std::path::Path;
use std::process::Command;

use gantry_testkit::environment::wait_for;
use gantry_testkit::{Answer, TestEnv, TestRegistry};

use crate::hostile::crafted;
use crate::outputs::elsewhere;

/// The step says what it finds in its mount, and leaves something there.
const DOCKERFILE: &str = "FROM busybox\nCOPY input .\n\
    RUN --mount=type=cache,id=packages,target=/c,mode=2750,uid=7,gid=8 <<E\n\
    for f in /c /c/d/file /c/link; do test -e $f && stat -c 'found %n %a %u:%g %F' $f; done\n\
    cat /c/seen && echo\n\
    mkdir -p /c/d && echo data > /c/d/file && ln -sfn d/file /c/link\n\
    chown 5:6 /c/d/file && chmod 4751 /c/d/file\n\
    cat /input >> /c/seen\n\
    E\n";

fn prepared(dockerfile: &str) -> TestEnv {
    let env = crate::busybox();
    env.write("ctx/input", "one ");
    env.write("ctx/Dockerfile", dockerfile);
    env
}

/// Another machine, whose `COPY` and what follows it are not in any cache.
fn changed(env: &TestEnv, input: &str) -> TestEnv {
    let fresh = elsewhere(env);
    fresh.write("ctx/input", input);
    fresh
}

fn build(env: &TestEnv, flags: &[&str]) -> Answer {
    let mut args = vec!["build", "--progress=plain"];
    args.extend(flags);
    args.push("ctx");
    env.gantry(args)
}

fn built(env: &TestEnv, flags: &[&str]) -> String {
    let answer = build(env, flags);
    assert_eq!(answer.code, 0, "{}", answer.stderr);
    answer.stderr
}

#[test]
fn root_cache_mounts_travel_through_registries_and_folders() {
    let env = prepared(DOCKERFILE);
    let registry = TestRegistry::start();
    let first = format!("{}/cache:first", registry.address());
    let said = built(
        &env,
        &[
            "--cache-to",
            &format!("type=registry,ref={first},mode=max,mounts=true"),
        ],
    );
    assert!(said.contains("exporting cache mount packages "), "{said}");
    assert!(!said.contains("found /c/"), "{said}");

    // A step that runs on another machine finds the files as they were.
    let second = changed(&env, "two ");
    let said = built(&second, &["--cache-from", &first]);
    for want in [
        "1 cache mount ",
        "importing cache mount packages ",
        "found /c 2750 7:8 directory",
        "found /c/d/file 4751 5:6 regular file",
        "found /c/link 777 0:8 symbolic link",
        " one \n",
    ] {
        assert!(said.contains(want), "{want}: {said}");
    }
    // What is here stays as it is.
    second.write("ctx/input", "three ");
    let said = built(&second, &["--cache-from", &first]);
    assert!(
        said.contains(" one two \n") && !said.contains("importing cache mount "),
        "{said}"
    );

    // Where no step runs nothing is fetched, and yet it goes on to the next cache.
    let third = elsewhere(&env);
    let to = third.work().join("shared").display().to_string();
    let to = format!("type=local,dest={to},mode=max,mounts=true,image-manifest=false");
    let said = built(&third, &["--cache-from", &first, "--cache-to", &to]);
    assert!(!said.contains("importing cache mount "), "{said}");
    assert!(said.contains("exporting cache mount packages "), "{said}");
    let fourth = changed(&env, "four ");
    let shared = third.work().join("shared").display().to_string();
    let said = built(
        &fourth,
        &["--cache-from", &format!("type=local,src={shared}")],
    );
    assert!(said.contains(" one \n"), "{said}");
    // Nothing of it without being asked for.
    let plain = format!("{}/cache:plain", registry.address());
    built(&env, &["--cache-to", &format!("type=registry,ref={plain}")]);
    let said = built(&changed(&env, "five "), &["--cache-from", &plain]);
    assert!(!said.contains("cache mount"), "{said}");
}

#[test]
fn root_a_secret_in_a_cache_mount_does_not_leave() {
    let env = prepared(
        "FROM busybox\nRUN --mount=type=cache,id=m,target=/c --mount=type=secret,id=token \
         base64 /run/secrets/token > /c/kept\n",
    );
    env.write("token", "a-secret-of-some-length");
    let secret = format!("id=token,src={}", env.work().join("token").display());
    let to = format!("type=local,dest={}/shared", env.work().display());
    let (plain, mounts) = (format!("{to},mode=max"), format!("{to},mounts=true"));
    built(&env, &["--secret", &secret, "--cache-to", &plain]);
    let answer = build(&env, &["--secret", &secret, "--cache-to", &mounts]);
    assert_eq!(answer.code, 1, "{}", answer.stderr);
    let said = answer.stderr;
    assert!(said.contains("/kept of the cache mount m"), "{said}");
}

#[test]
fn root_a_cache_mount_in_use_leaves_when_it_is_whole() {
    let env = prepared(DOCKERFILE);
    built(&env, &[]);
    let mounts = env.root().join("cache-mounts");
    let entries = std::fs::read_dir(&mounts).unwrap();
    let paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    let folder = paths.iter().find(|path| path.is_dir()).unwrap();
    // Another step that shares it is in the middle of writing.
    let lock = File::open(folder.with_extension("lock")).unwrap();
    lock.lock_shared().unwrap();
    std::fs::write(folder.join("seen"), "half").unwrap();
    let shared = env.work().join("shared").display().to_string();
    let to = format!("type=local,dest={shared},mode=max,mounts=true");
    let log = env.work().join("log");
    let mut command = env.command(["build", "--progress=plain", "--cache-to", &to, "ctx"]);
    let output = File::create(&log).unwrap();
    let mut child = command.stderr(output).spawn().unwrap();
    wait_for("the export waits", || {
        let said = std::fs::read_to_string(&log).unwrap();
        said.contains("waiting for who uses cache mount packages")
    });
    std::fs::write(folder.join("seen"), "whole").unwrap();
    drop(lock);
    assert!(child.wait().unwrap().success());
    let fresh = changed(&env, "two ");
    let said = built(
        &fresh,
        &["--cache-from", &format!("type=local,src={shared}")],
    );
    assert!(said.contains(" whole\n"), "{said}");
}

/// Puts another archive in the place of the cache mount of a layout.
const TAMPER: &str = r#"
import hashlib, json, os, sys
folder, archive, lie = sys.argv[1:]
blobs = os.path.join(folder, "blobs/sha256")
def put(data):
    digest = hashlib.sha256(data).hexdigest()
    with open(os.path.join(blobs, digest), "wb") as f: f.write(data)
    return "sha256:" + digest, len(data)
with open(os.path.join(folder, "index.json")) as f: index = json.load(f)
top = index["manifests"][0]
with open(os.path.join(blobs, top["digest"][7:])) as f: manifest = json.load(f)
mount, = [l for l in manifest["layers"] if "org.gantry.cache-mount.name" in l.get("annotations", {})]
with open(archive, "rb") as f: digest, size = put(f.read())
mount.update(mediaType="application/vnd.oci.image.layer.v1.tar", digest=digest, size=size)
mount["annotations"]["org.gantry.cache-mount.diff-id"] = digest
if lie == "size": mount["size"] += 1
if lie == "diff-id": mount["annotations"]["org.gantry.cache-mount.diff-id"] = "sha256:" + "0" * 64
top["digest"], top["size"] = put(json.dumps(manifest).encode())
with open(os.path.join(folder, "index.json"), "w") as f: json.dump(index, f)
"#;

fn tamper(layout: &Path, archive: &str, lie: &str) {
    let mut python = Command::new("python3");
    python.args(["-c", TAMPER]).arg(layout).args([archive, lie]);
    assert!(python.status().expect("python3 is installed").success());
}

#[test]
fn root_a_hostile_cache_mount_is_of_no_use_and_no_harm() {
    let env = prepared(DOCKERFILE);
    let layout = env.work().join("shared");
    let to = format!("type=local,dest={},mounts=true", layout.display());
    built(&env, &["--cache-to", &to]);
    let fresh = changed(&env, "two ");
    fresh.configure("[limits]\nlayer-bytes = \"4m\"\nlayer-entries = 100\ndevices = 2\n");
    let from = format!("type=local,src={}", layout.display());
    let mark = fresh.work().join("escaped");
    let place = fresh.work().display().to_string();
    let file = "add('x', data=b'x')";
    // Refused, and the step begins with an empty mount.
    for (name, body, lie) in [
        ("dots", "add('../../../escaped', data=b'x')".to_owned(), ""),
        (
            "link",
            "add('h', tarfile.LNKTYPE, link='../../../../etc/passwd')".to_owned(),
            "",
        ),
        (
            "nowhere",
            "add('h', tarfile.LNKTYPE, link='etc/passwd')".to_owned(),
            "",
        ),
        ("huge", "add('x', data=b'x' * 5000000)".to_owned(), ""),
        (
            "many",
            "for n in range(200): add(str(n), data=b'x')".to_owned(),
            "",
        ),
        (
            "devices",
            "for n in range(3): add(str(n), tarfile.BLKTYPE, devmajor=8, devminor=n)".to_owned(),
            "",
        ),
        ("size", file.to_owned(), "size"),
        ("diff-id", file.to_owned(), "diff-id"),
    ] {
        let archive = crafted(&fresh, name, &body);
        tamper(&layout, &archive, lie);
        fresh.write("ctx/input", name);
        let said = built(&fresh, &["--cache-from", &from]);
        let warned = said.contains("the cache mount packages begins anew");
        assert!(warned && !said.contains("found /c/"), "{name}: {said}");
        assert!(!mark.exists(), "{name}");
        fresh.gantry(["builder", "prune", "--all", "--force"]).ok();
    }
    // What leads through a link stays inside.
    let body = format!(
        "add('link', tarfile.SYMTYPE, link={place:?})\nadd('link/escaped', data=b'x')\n\
         add('.', tarfile.DIRTYPE, mode=0o777)"
    );
    tamper(&layout, &crafted(&fresh, "through", &body), "");
    fresh.write("ctx/input", "through");
    let said = built(&fresh, &["--cache-from", &from]);
    assert!(said.contains("importing cache mount packages"), "{said}");
    assert!(!mark.exists());
}
