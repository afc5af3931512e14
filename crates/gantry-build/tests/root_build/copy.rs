//! `COPY`, `ADD` and `WORKDIR`; what is expected is what Docker 28.5 with BuildKit does.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::time::{Duration, SystemTime};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::Test;
use crate::environment::Environment;

pub(crate) const TESTS: &[Test] = &[
    ("root_copy_files_and_folders", files_and_folders),
    ("root_copy_into_existing_directories", existing_directories),
    ("root_copy_owner_and_mode", owner_and_mode),
    ("root_copy_follows_links_of_the_image", links_of_the_image),
    ("root_copy_conflicts", conflicts),
    ("root_copy_from_stages_keeps_owners", from_stages),
    ("root_copy_inline_documents", inline_documents),
    ("root_copy_special_files_and_hard_links", special_files),
    ("root_copy_link_exclude_parents", link_exclude_parents),
    ("root_workdir_makes_directories", workdir),
    ("root_add_unpacks_archives", archives),
    ("root_copy_into_scratch", scratch),
];

fn files_and_folders() {
    let environment = Environment::new();
    environment.write("a", "A");
    environment.write("d/b", "B");
    environment.write("d/e/c", "C");
    environment.write("x.txt", "X");
    environment.write("y.txt", "Y");
    fs::set_permissions(environment.path("d/e"), Permissions::from_mode(0o711)).unwrap();
    fs::set_permissions(environment.path("d/b"), Permissions::from_mode(0o640)).unwrap();
    for (copy, want) in [
        ("COPY a /", vec!["644 0:0 a f=A"]),
        ("COPY a /new", vec!["644 0:0 new f=A"]),
        ("COPY a /new/", vec!["755 0:0 new d", "644 0:0 new/a f=A"]),
        (
            "COPY a /p/q/r",
            vec!["755 0:0 p d", "755 0:0 p/q d", "644 0:0 p/q/r f=A"],
        ),
        ("COPY ../a /up", vec!["644 0:0 up f=A"]),
        (
            "COPY d /d",
            vec![
                "755 0:0 d d",
                "640 0:0 d/b f=B",
                "711 0:0 d/e d",
                "644 0:0 d/e/c f=C",
            ],
        ),
        (
            "COPY d/ /z/",
            vec![
                "755 0:0 z d",
                "640 0:0 z/b f=B",
                "711 0:0 z/e d",
                "644 0:0 z/e/c f=C",
            ],
        ),
        (
            "COPY *.txt /t/",
            vec!["755 0:0 t d", "644 0:0 t/x.txt f=X", "644 0:0 t/y.txt f=Y"],
        ),
        ("COPY nothing* /t/", vec![]),
        (
            "COPY a d /m/",
            vec![
                "755 0:0 m d",
                "644 0:0 m/a f=A",
                "640 0:0 m/b f=B",
                "711 0:0 m/e d",
                "644 0:0 m/e/c f=C",
            ],
        ),
        ("COPY a x.txt /last", vec!["644 0:0 last f=X"]),
    ] {
        let built = environment.build(&format!("FROM busybox\n{copy}\n"));
        assert_eq!(built.last(), want, "{copy}");
        assert_eq!(built.result.layers.len(), 2);
    }
}

fn existing_directories() {
    let environment = Environment::new();
    environment.write("d/s/f", "F");
    environment.write("d/g", "G");
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    for path in ["d/s", "d"] {
        fs::File::open(environment.path(path))
            .unwrap()
            .set_modified(old)
            .unwrap();
    }
    fs::set_permissions(environment.path("d"), Permissions::from_mode(0o750)).unwrap();
    fs::set_permissions(environment.path("d/s"), Permissions::from_mode(0o711)).unwrap();
    let base = "FROM busybox\nRUN mkdir -p /pre/s /etc/keep && chmod 700 /pre /pre/s && chown 5:6 /pre /pre/s && touch -d '2001-01-01 00:00:00' /pre\n";
    // The directory that is copied to keeps owner and mode and gets the time; those in it are replaced.
    let built = environment.build(&format!("{base}COPY d /pre\n"));
    assert_eq!(
        built.last(),
        [
            "700 5:6 pre d",
            "644 0:0 pre/g f=G",
            "711 0:0 pre/s d",
            "644 0:0 pre/s/f f=F"
        ]
    );
    assert_eq!(built.time(2, "pre"), 1_000_000_000);
    assert_eq!(built.time(2, "pre/s"), 1_000_000_000);
    let built = environment.build(&format!("{base}COPY --chown=9:9 --chmod=705 d /pre\n"));
    assert_eq!(
        built.last(),
        [
            "700 5:6 pre d",
            "705 9:9 pre/g f=G",
            "705 9:9 pre/s d",
            "705 9:9 pre/s/f f=F"
        ]
    );
    // A directory on the way keeps everything, its time too.
    let built = environment.build(&format!("{base}COPY d/g /pre/s/\n"));
    assert_eq!(
        built.last(),
        ["700 5:6 pre d", "700 5:6 pre/s d", "644 0:0 pre/s/g f=G"]
    );
    assert_eq!(built.time(2, "pre"), 978_307_200);
    // A new one has the mode 0755, whatever the source has.
    let built = environment.build("FROM busybox\nCOPY d /n1/n2\n");
    assert_eq!(
        built.last(),
        [
            "755 0:0 n1 d",
            "755 0:0 n1/n2 d",
            "644 0:0 n1/n2/g f=G",
            "711 0:0 n1/n2/s d",
            "644 0:0 n1/n2/s/f f=F"
        ]
    );
}

fn owner_and_mode() {
    let environment = Environment::new();
    environment.write("f", "F");
    environment.write("d/g", "G");
    symlink("g", environment.path("d/l")).unwrap();
    fs::set_permissions(environment.path("f"), Permissions::from_mode(0o6755)).unwrap();
    chown(environment.path("d/g"), Some(12), Some(13)).unwrap();
    for (copy, want) in [
        ("COPY f /f", vec!["6755 0:0 f f=F"]),
        (
            "COPY --chown=1:2 f /p/f",
            vec!["755 1:2 p d", "6755 1:2 p/f f=F"],
        ),
        (
            "COPY --chown=1 d /d",
            vec!["755 1:1 d d", "644 1:1 d/g f=G", "777 1:1 d/l l->g"],
        ),
        ("COPY --chown=nobody d/g /g", vec!["644 65534:65534 g f=G"]),
        ("COPY --chown=:extra d/g /g", vec!["644 0:77 g f=G"]),
        (
            "COPY --chmod=600 d/g /p/q/",
            vec!["600 0:0 p d", "600 0:0 p/q d", "600 0:0 p/q/g f=G"],
        ),
        (
            "COPY --chmod=u+x,g=u d /d",
            vec!["775 0:0 d d", "774 0:0 d/g f=G", "777 0:0 d/l l->g"],
        ),
        ("COPY --chown=nosuch d/g /g", vec!["644 0:0 g f=G"]),
    ] {
        assert_eq!(
            environment.build(&format!("FROM busybox\n{copy}\n")).last(),
            want,
            "{copy}"
        );
    }
    let built = environment.build("FROM busybox\nCOPY --chown=nosuch2 d/g /g\n");
    assert_eq!(
        built.said.warnings(),
        ["/g: the image knows no user \"nosuch2\": root is used"]
    );
}

fn links_of_the_image() {
    let environment = Environment::new();
    environment.write("f", "F");
    environment.write("d/g", "G");
    let base = "FROM busybox\nRUN ln -s /etc /abs && ln -s ../usr /home/up && ln -s nowhere /dangling && ln -s /../../../tmp /out\n";
    for (copy, want) in [
        ("COPY f /abs", vec!["755 0:0 etc d", "644 0:0 etc/f f=F"]),
        (
            "COPY f /abs/n/",
            vec!["755 0:0 etc d", "755 0:0 etc/n d", "644 0:0 etc/n/f f=F"],
        ),
        ("COPY d /abs", vec!["755 0:0 etc d", "644 0:0 etc/g f=G"]),
        (
            "COPY f /home/up/x",
            vec!["755 0:0 usr d", "644 0:0 usr/x f=F"],
        ),
        ("COPY f /dangling", vec!["644 0:0 nowhere f=F"]),
        ("COPY f /out/", vec!["1777 0:0 tmp d", "644 0:0 tmp/f f=F"]),
        (
            "COPY f /bin/sh",
            vec!["755 0:0 bin d", "644 0:0 bin/busybox f=F"],
        ),
    ] {
        assert_eq!(
            environment.build(&format!("{base}{copy}\n")).last(),
            want,
            "{copy}"
        );
    }
}

fn conflicts() {
    let environment = Environment::new();
    environment.write("f", "F");
    environment.write("d/sub/g", "G");
    environment.write("e/sub", "a file");
    for (text, message) in [
        (
            "COPY d /etc/passwd",
            "cannot copy to non-directory: /etc/passwd",
        ),
        (
            "COPY f /etc/passwd/x",
            "cannot mkdir /etc/passwd: Not a directory",
        ),
        (
            "RUN mkdir /d && ln -s /etc /d/sub\nCOPY d /d",
            "cannot copy to non-directory: /d/sub",
        ),
        (
            "RUN mkdir -p /d/sub\nCOPY e /d",
            "cannot replace directory /d/sub with file",
        ),
        (
            "WORKDIR /etc/passwd",
            "cannot mkdir /etc/passwd: Not a directory",
        ),
        ("COPY nosuch /", "\"/nosuch\": not found"),
        ("COPY --from=busybox /nosuch /", "\"/nosuch\": not found"),
    ] {
        let (error, rendered) = environment.fail(&format!("FROM busybox\n{text}\n"));
        assert!(error.contains(message), "{text}: {error}");
        let line = text.lines().last().unwrap();
        assert!(rendered.contains(&format!(">>> {line}")), "{rendered}");
        assert!(
            rendered.contains(message.split(": Not").next().unwrap()),
            "{rendered}"
        );
    }
}

fn from_stages() {
    let environment = Environment::new();
    let stages = "FROM busybox AS b\nRUN mkdir -p /s/d && echo 1 > /s/su && chown -R 3:4 /s && chmod 6755 /s/su && chmod 2770 /s/d && ln -s su /s/l && rm -r /home\nFROM busybox\n";
    let built = environment.build(&format!("{stages}COPY --from=b /s /t\n"));
    assert_eq!(
        built.last(),
        [
            "755 0:0 t d",
            "2770 3:4 t/d d",
            "777 0:0 t/l l->su",
            "6755 3:4 t/su f=1"
        ]
    );
    let built = environment.build(&format!("{stages}COPY --from=0 --chown=7:8 /s/su /t/\n"));
    assert_eq!(built.last(), ["755 7:8 t d", "6755 7:8 t/su f=1"]);
    let built = environment.build(&format!("{stages}COPY --from=busybox /etc/group /t/\n"));
    assert_eq!(built.last().len(), 2);
    // What the stage deleted is gone.
    let (error, _) = environment.fail(&format!("{stages}COPY --from=b /home /t\n"));
    assert!(error.contains("\"/home\": not found"), "{error}");
}

fn inline_documents() {
    let environment = Environment::new();
    let built = environment
        .build("FROM busybox\nARG W=world\nCOPY <<a <<\"b\" /x/\nhello $W\na\nhello $W\nb\n");
    assert_eq!(
        built.last(),
        [
            "755 0:0 x d",
            "644 0:0 x/a f=hello world",
            "644 0:0 x/b f=hello $W"
        ]
    );
    let built = environment.build(
        "FROM busybox\nCOPY --chmod=750 --chown=1:1 <<-E /bin/tool\n\t#!/bin/sh\n\ttrue\nE\n",
    );
    assert_eq!(
        built.last(),
        ["755 0:0 bin d", "750 1:1 bin/tool f=#!/bin/sh\ntrue"]
    );
}

fn special_files() {
    let environment = Environment::new();
    // What marks a deletion in a layer is no file.
    let mark = environment.path("mark");
    mknodat(
        CWD,
        &mark,
        FileType::CharacterDevice,
        Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    let (_, failure) = environment.fail("FROM busybox\nCOPY mark /mark\n");
    assert!(failure.contains("character device 0:0"), "{failure}");
    fs::remove_file(mark).unwrap();
    environment.write("d/f", "same");
    fs::hard_link(environment.path("d/f"), environment.path("d/z")).unwrap();
    mknodat(
        CWD,
        environment.path("d/fifo"),
        FileType::Fifo,
        Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    let file = fs::File::create(environment.path("d/sparse")).unwrap();
    file.set_len(50 << 20).unwrap();
    drop(file);
    let built = environment.build("FROM busybox\nCOPY d /d\n");
    assert_eq!(
        built.last(),
        [
            "755 0:0 d d",
            "644 0:0 d/f f=same",
            "600 0:0 d/fifo p",
            "644 0:0 d/sparse f:52428800",
            "644 0:0 d/z f=same"
        ]
    );
    use std::os::unix::fs::MetadataExt;
    let tree = environment.store.layers().tree(&built.result.layers[1]);
    let inode = |path: &str| fs::metadata(tree.join(path)).unwrap().ino();
    assert_eq!(inode("d/f"), inode("d/z"));
    assert!(fs::metadata(tree.join("d/sparse")).unwrap().blocks() < 1000);
}

fn link_exclude_parents() {
    let environment = Environment::new();
    environment.write("d/a.txt", "A");
    environment.write("d/b.md", "B");
    environment.write("d/s/c.md", "C");
    let built = environment.build("FROM busybox\nRUN ln -s /etc /l\nCOPY --link d/a.txt /l/\n");
    assert_eq!(built.last(), ["755 0:0 l d", "644 0:0 l/a.txt f=A"]);
    let built = environment.build("FROM busybox\nCOPY --exclude=**/*.md d /d\n");
    assert_eq!(
        built.last(),
        ["755 0:0 d d", "644 0:0 d/a.txt f=A", "755 0:0 d/s d"]
    );
    let built = environment.build("FROM busybox\nCOPY --parents d/s/c.md d/a.txt /x/\n");
    assert_eq!(
        built.last(),
        [
            "755 0:0 x d",
            "755 0:0 x/d d",
            "644 0:0 x/d/a.txt f=A",
            "755 0:0 x/d/s d",
            "644 0:0 x/d/s/c.md f=C"
        ]
    );
    // What stands before the pivot is not kept, and belongs to the key no more than it matters.
    let built = environment.build("FROM busybox\nCOPY --parents ./d/./s/c.md /x/\n");
    let from_pivot = ["755 0:0 x d", "755 0:0 x/s d", "644 0:0 x/s/c.md f=C"];
    assert_eq!(built.last(), from_pivot);
    let built = environment.build("FROM busybox\nCOPY --parents d*/./**/*.md /x/\n");
    assert_eq!(
        built.last(),
        [
            "755 0:0 x d",
            "644 0:0 x/b.md f=B",
            "755 0:0 x/s d",
            "644 0:0 x/s/c.md f=C"
        ]
    );
    let built = environment.build("FROM busybox\nCOPY --parents **/*.md /x/\n");
    assert_eq!(
        built.last(),
        [
            "755 0:0 x d",
            "755 0:0 x/d d",
            "644 0:0 x/d/b.md f=B",
            "755 0:0 x/d/s d",
            "644 0:0 x/d/s/c.md f=C"
        ]
    );
}

fn workdir() {
    let environment = Environment::new();
    let built = environment.build("FROM busybox\nWORKDIR /a/b\nUSER nobody\nWORKDIR c\nWORKDIR /etc\nWORKDIR /\nRUN pwd; ls -ld /a/b/c\n");
    assert_eq!(built.layer(1), ["755 0:0 a d", "755 0:0 a/b d"]);
    assert_eq!(
        built.layer(2),
        ["755 0:0 a d", "755 0:0 a/b d", "755 65534:65534 a/b/c d"]
    );
    assert_eq!(built.layer(3), Vec::<String>::new());
    assert_eq!(built.result.layers.len(), 5);
    assert_eq!(built.config().config.working_dir, "/");
}

fn archives() {
    let environment = Environment::new();
    environment.write("t/x/f", "F");
    symlink("/etc", environment.path("t/evil")).unwrap();
    chown(environment.path("t/x/f"), Some(7), Some(8)).unwrap();
    for (name, flags) in [("t.tar", "cf"), ("t.tgz", "czf"), ("t.tar.zst", "cf")] {
        let mut tar = std::process::Command::new("tar");
        tar.current_dir(environment.path("t"))
            .arg(flags)
            .arg(environment.path(name));
        if name.ends_with("zst") {
            tar.arg("--zstd");
        }
        let status = tar.args(["x", "evil"]).status().unwrap();
        if !status.success() && name.ends_with("zst") {
            continue; // no zstd here
        }
        assert!(status.success());
        let built = environment.build(&format!("FROM busybox\nADD {name} /u/\n"));
        assert_eq!(
            built.last(),
            [
                "755 0:0 u d",
                "777 0:0 u/evil l->/etc",
                "755 0:0 u/x d",
                "644 7:8 u/x/f f=F"
            ],
            "{name}"
        );
    }
    let built = environment.build("FROM busybox\nADD --chown=1:2 t.tgz /u/\n");
    assert!(
        built.last().contains(&"644 1:2 u/x/f f=F".to_owned()),
        "{:?}",
        built.last()
    );
    let built = environment.build("FROM busybox\nCOPY t.tgz /\n");
    assert_eq!(built.last().len(), 1);
    // Not an archive, though compressed or empty.
    environment.write("empty", "");
    assert!(
        std::process::Command::new("gzip")
            .arg("-k")
            .arg(environment.path("t/x/f"))
            .status()
            .unwrap()
            .success()
    );
    let built = environment.build("FROM busybox\nADD t/x/f.gz empty /u/\n");
    assert_eq!(built.last().len(), 3, "{:?}", built.last());
    // Through a link that is in the image already, nothing leaves the destination.
    let built = environment.build("FROM busybox\nRUN mkdir /u && ln -s /etc /u/x\nADD t.tgz /u/\n");
    assert!(
        built.last().iter().all(|line| line.contains(" u")),
        "{:?}",
        built.last()
    );
    let built = environment.build("FROM scratch\nADD t.tgz /\n");
    assert!(
        built.last().contains(&"644 7:8 x/f f=F".to_owned()),
        "{:?}",
        built.last()
    );
}

fn scratch() {
    let environment = Environment::new();
    environment.write("f", "F");
    let built = environment.build("FROM scratch\nCOPY f /bin/f\nENTRYPOINT [\"/bin/f\"]\n");
    assert_eq!(built.last(), ["755 0:0 bin d", "644 0:0 bin/f f=F"]);
    assert_eq!(built.result.layers.len(), 1);
    let built = environment.build("FROM scratch\nLABEL a=b\n");
    assert!(built.result.layers.is_empty());
}
