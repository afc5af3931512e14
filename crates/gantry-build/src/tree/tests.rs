use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use rustix::fs::{CWD, Mode, mknodat};

use super::*;

struct Context {
    folder: tempfile::TempDir,
    caches: tempfile::TempDir,
}

fn context(files: &[(&str, &str)]) -> Context {
    let context = Context {
        folder: tempfile::tempdir().unwrap(),
        caches: tempfile::tempdir().unwrap(),
    };
    for (path, content) in files {
        context.write(path, content);
    }
    context
}

impl Context {
    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn write(&self, path: &str, content: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn tree(&self, ignore: &str) -> Tree {
        let cache = StatCache::open(self.caches.path(), self.folder.path());
        Tree::context(
            self.folder.path(),
            IgnoreFile::parse(ignore.as_bytes()).unwrap(),
            cache,
            2,
        )
        .unwrap()
    }

    fn select(
        &self,
        pattern: &str,
        ignore: &str,
        exclude: &[&str],
    ) -> Result<Vec<Match>, SelectError> {
        self.tree(ignore).select(
            pattern,
            &IgnoreFile::from_patterns(exclude.iter().copied()).unwrap(),
        )
    }

    fn paths(&self, pattern: &str, ignore: &str) -> Vec<String> {
        paths(&self.select(pattern, ignore, &[]).unwrap())
    }
}

fn paths(matches: &[Match]) -> Vec<String> {
    matches
        .iter()
        .flat_map(Match::entries)
        .map(|entry| entry.path.to_str().unwrap().to_owned())
        .collect()
}

#[test]
fn patterns_select_files_and_folders() {
    let context = context(&[
        ("a.txt", "a"),
        ("b.txt", "b"),
        ("d/e/f", "f"),
        ("d/g.txt", "g"),
        ("x/y.txt", "y"),
    ]);
    for (pattern, want) in [
        ("a.txt", vec!["a.txt"]),
        ("./a.txt", vec!["a.txt"]),
        ("/a.txt", vec!["a.txt"]),
        ("../../a.txt", vec!["a.txt"]),
        ("*.txt", vec!["a.txt", "b.txt"]),
        ("*/*.txt", vec!["d/g.txt", "x/y.txt"]),
        ("d", vec!["d", "d/e", "d/e/f", "d/g.txt"]),
        ("d/", vec!["d", "d/e", "d/e/f", "d/g.txt"]),
        ("d/*", vec!["d/e", "d/e/f", "d/g.txt"]),
        ("?", vec!["d", "d/e", "d/e/f", "d/g.txt", "x", "x/y.txt"]),
        ("[a-b].txt", vec!["a.txt", "b.txt"]),
        ("nothing*", vec![]),
        ("a.txt/*", vec![]),
    ] {
        assert_eq!(context.paths(pattern, ""), want, "{pattern}");
    }
    assert_eq!(context.paths(".", "").len(), 9);
}

#[test]
fn what_is_not_there_is_named_with_what_is_near() {
    let context = context(&[("package.json", ""), ("secret", "")]);
    let Err(SelectError::NotFound {
        path,
        ignored,
        similar,
    }) = context.select("pakage.json", "", &[])
    else {
        panic!()
    };
    assert_eq!(
        (path.as_str(), ignored, similar.as_deref()),
        ("/pakage.json", false, Some("package.json"))
    );
    let Err(SelectError::NotFound { ignored, .. }) = context.select("secret", "secret", &[]) else {
        panic!()
    };
    assert!(ignored);
    assert!(matches!(
        context.select("a/../b[", "", &[]),
        Err(SelectError::Pattern(_))
    ));
}

#[test]
fn ignored_files_do_not_exist() {
    let files = [
        ("a", ""),
        ("node_modules/x/y", ""),
        ("logs/1.log", ""),
        ("logs/keep.log", ""),
        ("src/b.o", ""),
        ("src/c", ""),
    ];
    let context = context(&files);
    let ignore = "node_modules\nlogs/*\n!logs/keep.log\n**/*.o\n";
    assert_eq!(
        context.paths(".", ignore),
        ["", "a", "logs", "logs/keep.log", "src", "src/c"]
    );
    assert_eq!(
        context.paths("*", ignore),
        ["a", "logs", "logs/keep.log", "src", "src/c"]
    );
    assert_eq!(context.paths("src/*", ignore), ["src/c"]);
    // An ignored directory comes back for the sake of what is kept in it, and only then.
    assert_eq!(
        context.paths(".", "*\n!logs/keep.log"),
        ["", "logs", "logs/keep.log"]
    );
    assert_eq!(
        context.paths("logs", "logs\n!logs/keep.log"),
        ["logs", "logs/keep.log"]
    );
    assert_eq!(
        context.paths("*", "logs\n!logs/none"),
        [
            "a",
            "node_modules",
            "node_modules/x",
            "node_modules/x/y",
            "src",
            "src/b.o",
            "src/c"
        ]
    );
    assert!(context.select("logs", "logs\n!logs/none", &[]).is_err());
}

#[test]
fn exclude_speaks_of_paths_below_the_source() {
    let context = context(&[
        ("d/a.txt", ""),
        ("d/b.md", ""),
        ("d/s/c.md", ""),
        ("e.md", ""),
    ]);
    assert_eq!(
        paths(&context.select("d", "", &["**/*.md"]).unwrap()),
        ["d", "d/a.txt", "d/s"]
    );
    assert_eq!(
        paths(&context.select("d", "", &["s"]).unwrap()),
        ["d", "d/a.txt", "d/b.md"]
    );
    assert_eq!(
        paths(&context.select("*.md", "", &["e.*"]).unwrap()),
        Vec::<String>::new()
    );
}

#[test]
fn links_are_followed_inside_only() {
    let context = context(&[("d/f", "inside"), ("etc/hostname", "mine")]);
    symlink("d/f", context.path("file")).unwrap();
    symlink("d", context.path("folder")).unwrap();
    symlink("/etc/hostname", context.path("absolute")).unwrap();
    symlink("../../../../etc/hostname", context.path("up")).unwrap();
    symlink("/etc/passwd", context.path("outside")).unwrap();
    symlink("loop", context.path("loop")).unwrap();
    symlink("/proc/self/root/etc/passwd", context.path("magic")).unwrap();
    symlink("../f", context.path("d/dangling")).unwrap();
    assert_eq!(context.paths("file", ""), ["d/f"]);
    assert_eq!(context.select("file", "", &[]).unwrap()[0].name, "file");
    assert_eq!(context.paths("folder/f", ""), ["d/f"]);
    assert_eq!(context.paths("folder", ""), ["d", "d/dangling", "d/f"]);
    assert_eq!(context.paths("absolute", ""), ["etc/hostname"]);
    assert_eq!(context.paths("up", ""), ["etc/hostname"]);
    for outside in ["outside", "magic", "d/dangling"] {
        assert!(
            matches!(
                context.select(outside, "", &[]),
                Err(SelectError::NotFound { .. })
            ),
            "{outside}"
        );
    }
    assert!(matches!(
        context.select("loop", "", &[]),
        Err(SelectError::File(_))
    ));
    // In a directory a link is copied, not followed.
    let all = context.select("d", "", &[]).unwrap();
    assert_eq!(
        all[0].below.iter().next().unwrap().link.as_deref(),
        Some(OsStr::new("../f"))
    );
    // A link to something ignored leads nowhere.
    assert!(matches!(
        context.select("file", "d", &[]),
        Err(SelectError::NotFound { .. })
    ));
}

#[test]
fn special_files_do_not_hold_up_anything() {
    let context = context(&[("d/f", "x")]);
    mknodat(
        CWD,
        context.path("d/fifo"),
        FileType::Fifo,
        Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(context.path("d/socket")).unwrap();
    let found = context.select("d", "", &[]).unwrap();
    assert_eq!(paths(&found), ["d", "d/f", "d/fifo"]);
    assert_eq!(found[0].below.iter().nth(1).unwrap().digest(), None);
}

#[test]
fn digests_follow_content_and_are_remembered() {
    let context = context(&[]);
    for number in 0..200 {
        context.write(
            &format!("d{}/f{number}", number % 7),
            &format!("content {number}"),
        );
    }
    let digests = |tree: &Tree| -> BTreeMap<OsString, [u8; 32]> {
        let found = tree
            .select(".", &IgnoreFile::from_patterns([]).unwrap())
            .unwrap();
        found[0]
            .below
            .iter()
            .filter_map(|entry| Some((entry.path.to_os_string(), *entry.digest()?)))
            .collect()
    };
    let tree = context.tree("");
    let first = digests(&tree);
    assert_eq!(first.len(), 200);
    assert_eq!(
        first[OsStr::new("d0/f0")],
        *blake3::hash(b"content 0").as_bytes()
    );
    tree.save();
    context.write("d0/f0", "changed 0");
    fs::set_permissions(context.path("d1/f1"), fs::Permissions::from_mode(0o600)).unwrap();
    let second = digests(&context.tree(""));
    let changed: Vec<_> = first
        .iter()
        .filter(|(path, digest)| second[*path] != **digest)
        .map(|(path, _)| path)
        .collect();
    assert_eq!(changed, ["d0/f0"]);
}

#[test]
fn walks_share_what_they_look_at_as_long_as_they_are_told_to() {
    let context = context(&[
        ("a/b/one", "1"),
        ("a/b/skip", "2"),
        ("a/c/two", "3"),
        ("d", ""),
    ]);
    let tree = context.tree("**/skip\n");
    let select = |pattern: &str, exclude: &[&str]| {
        let exclude = IgnoreFile::from_patterns(exclude.iter().copied()).unwrap();
        paths(&tree.select(pattern, &exclude).unwrap())
    };
    let below = ["", "a", "a/b", "a/b/one", "a/c", "a/c/two", "d"];
    tree.share(true);
    assert_eq!(select(".", &[]), below);
    // Only who looks at the disk once more sees this.
    context.write("a/c/three", "4");
    assert_eq!(select(".", &[]), below);
    assert_eq!(select("a/c", &[]), ["a/c", "a/c/two"]);
    // What a step leaves out by itself is left out for nobody else.
    assert_eq!(
        select("a", &["b/one"]),
        ["a", "a/b", "a/c", "a/c/three", "a/c/two"]
    );
    assert_eq!(select("a/b", &[]), ["a/b", "a/b/one"]);
    tree.share(false);
    assert_eq!(select("a/c", &[]), ["a/c", "a/c/three", "a/c/two"]);
}

/// Size and modification time are the same each time: what is known must come from the content.
#[test]
fn content_that_changes_without_a_trace_in_size_and_time_is_read_anew() {
    let context = context(&[("f", "0000")]);
    let past = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    let future = SystemTime::now() + std::time::Duration::from_secs(1_000_000_000);
    for round in 0..200 {
        let text = format!("{round:04}");
        context.write("f", &text);
        let file = File::options().write(true).open(context.path("f")).unwrap();
        let time = if round % 2 == 0 { past } else { future };
        file.set_modified(time).unwrap();
        let tree = context.tree("");
        let found = tree.select("f", &IgnoreFile::from_patterns([]).unwrap());
        let digest = *found.unwrap()[0].top.digest().unwrap();
        assert_eq!(
            digest,
            digest_of_bytes(text.as_bytes(), &[]),
            "round {round}"
        );
        tree.save();
    }
}

#[test]
fn sources_with_parents_keep_what_follows_the_pivot() {
    let context = context(&[("d/s/f", ""), ("d/t/f", ""), ("d/t/no/f", ""), ("e/g", "")]);
    symlink("d", context.path("l")).unwrap();
    symlink("f", context.path("d/s/x")).unwrap();
    let tree = context.tree("**/no");
    let nothing = IgnoreFile::from_patterns([]).unwrap();
    let select = |pattern: &str| tree.select_with_parents(pattern, &nothing);
    let kept = |pattern: &str| -> Vec<String> {
        let found = select(pattern).unwrap();
        let kept = found.iter().map(Match::kept);
        kept.map(|path| path.to_str().unwrap().to_owned()).collect()
    };
    assert_eq!(kept("d/s/f"), ["d/s/f"]);
    assert_eq!(kept("./d/./s/f"), ["s/f"]);
    assert_eq!(kept("d/*/./f"), ["f", "f"]);
    assert_eq!(kept("**/f"), ["d/s/f", "d/t/f"]);
    assert_eq!(kept("d/./**/**/f"), ["s/f", "t/f"]);
    assert_eq!(kept("e/**"), ["e/g"]);
    assert_eq!(kept("e/./"), [""]);
    // Links are followed before the pivot and copied behind it.
    assert_eq!(kept("l/./s/f"), ["s/f"]);
    assert_eq!(kept("d/s/x"), ["d/s/x"]);
    assert!(select("d/s/x").unwrap()[0].top.link.is_some());
    for missing in ["l/s/f", "d/./nosuch", "nosuch/./f", "d/t/no/f"] {
        assert!(
            matches!(select(missing), Err(SelectError::NotFound { .. })),
            "{missing}"
        );
    }
    assert_eq!(kept("nosuch*/./f"), Vec::<String>::new());
    // Each way to a path is gone once, however many there are.
    let deep = format!("deep{}", "/d".repeat(40));
    fs::create_dir_all(context.path(&deep)).unwrap();
    fs::write(context.path(&deep).join("x"), "").unwrap();
    let (neighbours, apart) = ("**/".repeat(30), "**/*/".repeat(15));
    assert_eq!(kept(&format!("deep/./{neighbours}x")).len(), 1);
    assert_eq!(kept(&format!("deep/./{apart}x")).len(), 1);
}

#[test]
fn paths_are_made_short() {
    for (path, want) in [
        ("/", "/"),
        ("//a//b/", "/a/b"),
        ("/a/./../..//c", "/c"),
        ("", "/"),
    ] {
        assert_eq!(clean(path), want);
    }
}
