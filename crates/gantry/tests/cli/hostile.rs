//! Images, archives and contexts made to do harm.

use std::process::Command;

use gantry_testkit::{TestEnv, TestRegistry};

use crate::{GANTRY, busybox};

/// A tar written by Python's `tarfile`, which writes whatever it is told.
pub(crate) fn crafted(env: &TestEnv, name: &str, body: &str) -> String {
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
fn root_an_image_whose_links_lead_nowhere_is_refused_where_it_enters() {
    let env = TestEnv::new(GANTRY);
    let body = "add('a', data=b'x')\nadd('b', tarfile.LNKTYPE, link='nowhere')";
    let archive = crafted(&env, "links", body);
    let refused = env.gantry(["import", &archive, "links"]).fails(1);
    assert!(
        refused.contains("hard link \"b\" to \"nowhere\""),
        "{refused}"
    );
    assert_eq!(env.gantry(["images", "-aq"]).ok(), "");
    env.gantry(["system", "prune", "-f"]).ok();
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

/// Compresses a file beside itself.
fn gzipped(path: &str) -> String {
    let status = Command::new("gzip").args(["-9k", path]).status();
    assert!(status.expect("gzip is installed").success());
    format!("{path}.gz")
}

#[test]
fn root_bombs_are_refused_on_every_way_in() {
    let env = busybox();
    // Eight mebibytes of zeros in some eight kilobytes: more than 250 for one.
    let bomb = gzipped(&crafted(&env, "bomb", "add('f', data=bytes(8 << 20))"));
    let name = "ctx/bomb.tar.gz";
    env.write(name, std::fs::read(&bomb).unwrap());
    let (told, hint) = (
        "more than 250 uncompressed bytes for a compressed one",
        "raise `compression-ratio` below [limits] in config.toml",
    );
    let refused = |arguments: &[&str]| {
        let said = env.gantry(arguments).fails(1);
        assert!(
            said.contains(told) && said.contains(hint),
            "{arguments:?}: {said}"
        );
    };
    env.configure("[limits]\ncompression-ratio-floor = \"1m\"\n");
    env.write("ctx/Dockerfile", "FROM busybox\nADD bomb.tar.gz /x/\n");
    refused(&["build", "ctx"]);
    refused(&["import", &bomb, "x"]);
    refused(&["load", "-i", &bomb]);
    assert_eq!(env.gantry(["images", "-q", "x"]).ok(), "");
    // What stands in an archive is unpacked once: a bomb within is a file, and one that is
    // compressed twice is not even an archive.
    let outer = crafted(
        &env,
        "outer",
        &format!("add('inner.tar.gz', data=open({bomb:?}, 'rb').read())"),
    );
    env.write("ctx/outer.tar", std::fs::read(outer).unwrap());
    env.write("ctx/twice", std::fs::read(&bomb).unwrap());
    gzipped(env.work().join("ctx/twice").to_str().unwrap());
    env.write(
        "ctx/Dockerfile",
        "FROM busybox\nADD outer.tar twice.gz /x/\nRUN ls /x && ! ls /x/f /x/x\n",
    );
    env.gantry(["build", "-q", "-t", "nested", "ctx"]).ok();
    let listed = env.gantry(["run", "--rm", "nested", "ls", "/x"]).ok();
    assert_eq!(listed, "inner.tar.gz\ntwice.gz");
    // Who trusts the source says so.
    env.configure("[limits]\ncompression-ratio-floor = \"1m\"\ncompression-ratio = 2000\n");
    env.write("ctx/Dockerfile", "FROM busybox\nADD bomb.tar.gz /x/\n");
    env.gantry(["build", "-q", "ctx"]).ok();
    env.gantry(["import", &bomb, "x"]).ok();
    env.gantry(["system", "check"]).ok();
}

#[test]
fn root_limits_hold_for_pulls_and_loads() {
    let registry = TestRegistry::start();
    let env = busybox();
    let name = format!("{}/box:1", registry.address());
    env.gantry(["tag", "busybox", &name]).ok();
    env.gantry(["push", "-q", &name]).ok();
    env.gantry(["save", "-o", "box.tar", &name]).ok();
    let other = TestEnv::new(GANTRY);
    let saved = env.work().join("box.tar");
    let saved = saved.to_str().unwrap();
    for (limit, told) in [
        ("layer-bytes = \"64k\"", "more than 65536 bytes of a layer"),
        ("layer-entries = 2", "more than 2 entries of a layer"),
        ("file-bytes = \"1k\"", "more than 1024 bytes of a file"),
    ] {
        other.configure(&format!("[limits]\n{limit}\n"));
        for arguments in [["pull", "-q", &name], ["load", "-i", saved]] {
            let said = other.gantry(arguments).fails(1);
            let key = limit.split(' ').next().unwrap();
            assert!(said.contains(told) && said.contains(key), "{limit}: {said}");
        }
    }
    assert_eq!(other.gantry(["images", "-aq"]).ok(), "");
    other.configure("[limits]\nlayer-bites = 5\n");
    let said = other.gantry(["pull", &name]).fails(1);
    assert!(said.contains("layer-bites"), "{said}");
    other.configure("[limits]\npath-depth = 0\n");
    let said = other.gantry(["pull", &name]).fails(1);
    assert!(said.contains("limits.path-depth"), "{said}");
    other.configure("");
    other.gantry(["pull", "-q", &name]).ok();
    other.gantry(["system", "check"]).ok();
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
