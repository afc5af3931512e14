//! Images, archives and contexts made to do harm.

use std::process::Command;

use gantry_testkit::TestEnv;

use crate::{GANTRY, busybox};

/// A tar written by Python's `tarfile`, which writes whatever it is told.
fn crafted(env: &TestEnv, name: &str, body: &str) -> String {
    let path = env.work().join(name);
    let script = format!(
        "import tarfile, io\nt = tarfile.open({path:?}, 'w')\n\
         def add(name, kind=tarfile.REGTYPE, link='', data=b'', **more):\n    \
         i = tarfile.TarInfo(name); i.type = kind; i.linkname = link; i.size = len(data); i.mode = 0o755\n    \
         for k, v in more.items(): setattr(i, k, v)\n    \
         t.addfile(i, io.BytesIO(data))\n{body}\nt.close()\n",
    );
    let status = Command::new("python3")
        .args(["-c", &script])
        .status()
        .expect("python3 is installed");
    assert!(status.success());
    path.to_str().unwrap().to_owned()
}

#[test]
fn root_layers_cannot_write_outside() {
    let env = TestEnv::new(GANTRY);
    let mark = env.work().join("escaped");
    let target = mark.to_str().unwrap();
    for (name, body) in [
        (
            "dots",
            "add('../../../../../../../tmp/gantry-escaped', data=b'x')".to_owned(),
        ),
        ("absolute", format!("add({target:?}, data=b'x')")),
        (
            "parent",
            format!(
                "add('d', tarfile.SYMTYPE, link={:?})\nadd('d/escaped', data=b'x')",
                env.work().to_str().unwrap()
            ),
        ),
        (
            "hardlink",
            "add('h', tarfile.LNKTYPE, link='../../../../../../etc/passwd')".to_owned(),
        ),
        (
            "linked",
            "add('l', tarfile.SYMTYPE, link='/etc')\nadd('h', tarfile.LNKTYPE, link='l/passwd')"
                .to_owned(),
        ),
        (
            "whiteout",
            format!(
                "add('d', tarfile.SYMTYPE, link={:?})\nadd('d/.wh.kept', data=b'')",
                env.work().to_str().unwrap()
            ),
        ),
        ("dotwhiteout", "add('.wh...', data=b'')".to_owned()),
    ] {
        env.write("kept", "still here");
        let archive = crafted(&env, name, &body);
        // An escape is either refused or ends inside the layer; never outside.
        let answer = env.gantry(["import", &archive, &format!("x:{name}")]);
        assert!(
            answer.code == 0 || answer.stderr.contains("gantry:"),
            "{name}: {}",
            answer.stderr
        );
        assert!(
            !mark.exists() && !std::path::Path::new("/tmp/gantry-escaped").exists(),
            "{name}"
        );
        assert_eq!(
            std::fs::read_to_string(env.work().join("kept")).unwrap(),
            "still here",
            "{name}"
        );
    }
    env.gantry(["system", "check"]).ok();
}

#[test]
fn root_archives_that_lie_are_refused_and_leave_nothing() {
    let env = TestEnv::new(GANTRY);
    let long = crafted(&env, "truncated", "add('f', data=b'x' * 100000)");
    let bytes = std::fs::read(&long).unwrap();
    std::fs::write(&long, &bytes[..50_000]).unwrap();
    let answer = env.gantry(["import", &long, "x"]).fails(1);
    assert!(
        answer.contains("truncated") || answer.contains("end"),
        "{answer}"
    );
    let manifest = "add('manifest.json', data=b'[{\"Config\":\"../../../../etc/passwd\",\"RepoTags\":[\"x:1\"],\"Layers\":[\"/etc/shadow\"]}]')";
    let archive = crafted(&env, "load", manifest);
    env.gantry(["load", "-i", &archive]).fails(1);
    env.gantry(["load", "-i", "/dev/null"]).fails(1);
    env.gantry(["load", "-i", GANTRY]).fails(1);
    assert_eq!(env.gantry(["images", "-aq"]).ok(), "");
    env.gantry(["system", "check"]).ok();
}

#[test]
fn root_contexts_cannot_read_outside() {
    let env = busybox();
    env.write("secret", "outside");
    std::fs::create_dir_all(env.work().join("ctx")).unwrap();
    std::os::unix::fs::symlink("../secret", env.work().join("ctx/link")).unwrap();
    std::os::unix::fs::symlink("/etc", env.work().join("ctx/etc")).unwrap();
    let context = env.work().join("ctx");
    let context = context.to_str().unwrap();
    for (source, fine) in [
        ("../secret", false),
        ("etc/shadow", false),
        ("/../secret", false),
        ("link", true),
    ] {
        env.write(
            "ctx/Dockerfile",
            format!("FROM busybox\nCOPY {source} /got\nRUN cat /got\n"),
        );
        let answer = env.gantry(["build", "--progress=plain", context]);
        assert!(
            !answer.stderr.contains("outside\n"),
            "{source}: {}",
            answer.stderr
        );
        if !fine {
            assert_ne!(answer.code, 0, "{source}");
        }
    }
}

#[test]
fn root_links_in_an_image_do_not_lead_mounts_or_copies_out() {
    let env = busybox();
    image_with(&env, "evil-etc", "./etc", "/proc/1/root/tmp");
    let answer = env.gantry(["run", "--rm", "evil-etc", "true"]);
    assert!(
        answer.code == 0 || answer.stderr.contains("/etc"),
        "{}",
        answer.stderr
    );
    image_with(&env, "evil-out", "./out", "../../../../../../tmp");
    env.write("ctx/file", "gantry-test");
    env.write(
        "ctx/Dockerfile",
        "FROM evil-out\nCOPY file /out/gantry-copied\nRUN test -e /tmp/gantry-copied\n",
    );
    let context = env.work().join("ctx");
    env.gantry(["build", "-q", context.to_str().unwrap()]).ok();
    assert!(!std::path::Path::new("/tmp/gantry-copied").exists());
    let volume = env.gantry([
        "run",
        "--rm",
        "-v",
        "vol:/out/gantry-volume",
        "evil-out",
        "ls",
        "-d",
        "/tmp/gantry-volume",
    ]);
    assert_eq!(volume.ok(), "/tmp/gantry-volume");
    assert!(!std::path::Path::new("/tmp/gantry-volume").exists());
}

/// Imports busybox with a link in place of one of its folders.
fn image_with(env: &TestEnv, name: &str, path: &str, target: &str) {
    let base = gantry_testkit::fixture::busybox();
    let body = format!(
        "for i in (b := tarfile.open({base:?})):\n    \
         if not i.name.startswith({path:?}): t.addfile(i, b.extractfile(i) if i.isreg() else None)\n\
         add({path:?}, tarfile.SYMTYPE, link={target:?})"
    );
    let archive = crafted(env, name, &body);
    env.gantry(["import", &archive, name]).ok();
}
