use proptest::prelude::*;

use super::{IgnoreError, IgnoreFile, clean};

fn ignores(patterns: &[&str]) -> IgnoreFile {
    IgnoreFile::from_patterns(patterns.iter().copied()).unwrap()
}

/// The verdict of a walk down to the path.
fn walked(file: &IgnoreFile, path: &str) -> bool {
    let mut verdict = file.root();
    for (at, _) in path.match_indices('/') {
        verdict = file.entry(&verdict, &path[..at]);
    }
    file.entry(&verdict, path).is_ignored()
}

#[test]
fn one_pattern() {
    let cases = [
        ("**", "file", true),
        ("**", "file/", true),
        ("**/", "file", true),
        ("**/", "file/", true),
        ("**", "/", true),
        ("**/", "/", true),
        ("**", "dir/file", true),
        ("**/", "dir/file", true),
        ("**/", "dir/file/", true),
        ("**/**", "dir/file", true),
        ("**/**", "dir/file/", true),
        ("dir/**", "dir/file", true),
        ("dir/**", "dir/file/", true),
        ("dir/**", "dir/dir2/file", true),
        ("dir/**", "dir/dir2/file/", true),
        ("dir/**", "dir", false),
        ("**/dir", "dir", true),
        ("**/dir", "dir/file", true),
        ("**/dir2/*", "dir/dir2/file", true),
        ("**/dir2/*", "dir/dir2/file/", true),
        ("**/dir2/**", "dir/dir2/dir3/file", true),
        ("**/dir2/**", "dir/dir2/dir3/file/", true),
        ("**file", "file", true),
        ("**file", "dir/file", true),
        ("**/file", "dir/file", true),
        ("**file", "dir/dir/file", true),
        ("**/file", "dir/dir/file", true),
        ("**/file*", "dir/dir/file", true),
        ("**/file*", "dir/dir/file.txt", true),
        ("**/file*txt", "dir/dir/file.txt", true),
        ("**/file*.txt", "dir/dir/file.txt", true),
        ("**/file*.txt*", "dir/dir/file.txt", true),
        ("**/**/*.txt", "dir/dir/file.txt", true),
        ("**/**/*.txt2", "dir/dir/file.txt", false),
        ("**/*.txt", "file.txt", true),
        ("**/**/*.txt", "file.txt", true),
        ("a**/*.txt", "a/file.txt", true),
        ("a**/*.txt", "a/dir/file.txt", true),
        ("a**/*.txt", "a/dir/dir/file.txt", true),
        ("a/*.txt", "a/dir/file.txt", false),
        ("a/*.txt", "a/file.txt", true),
        ("a/*.txt**", "a/file.txt", true),
        ("a[b-d]e", "ae", false),
        ("a[b-d]e", "ace", true),
        ("a[b-d]e", "aae", false),
        ("a[^b-d]e", "aze", true),
        (".*", ".foo", true),
        (".*", "foo", false),
        ("abc.def", "abcdef", false),
        ("abc.def", "abc.def", true),
        ("abc.def", "abcZdef", false),
        ("abc?def", "abcZdef", true),
        ("abc?def", "abcdef", false),
        ("a\\\\", "a\\", true),
        ("**/foo/bar", "foo/bar", true),
        ("**/foo/bar", "dir/foo/bar", true),
        ("**/foo/bar", "dir/dir2/foo/bar", true),
        ("abc/**", "abc", false),
        ("abc/**", "abc/def", true),
        ("abc/**", "abc/def/ghi", true),
        ("**/.foo", ".foo", true),
        ("**/.foo", "bar.foo", false),
        ("a(b)c/def", "a(b)c/def", true),
        ("a(b)c/def", "a(b)c/xyz", false),
        ("a.|)$(}+{bc", "a.|)$(}+{bc", true),
        (
            "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl",
            "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl",
            true,
        ),
        (
            "dist/*.whl",
            "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl",
            true,
        ),
        ("a\\*b", "a*b", true),
        ("a\\*b", "a/b", false),
        ("[ab]?", "ax", true),
        ("한*", "한국어", true),
        ("x\\d", "x7", true),
        ("foo\\bar", "foobar", false),
        ("/abs", "abs", true),
        ("./rel/../x", "x", true),
        ("dir/", "dir/file", true),
        ("*", "dir/file", true),
        ("*/*", "dir/file", true),
        ("*/*", "dir", false),
        (".", "file", false),
        ("/", "file", false),
        ("..", "file", false),
        ("file", "FILE", false),
    ];
    for (pattern, path, expected) in cases {
        assert_eq!(
            ignores(&[pattern]).is_ignored(path),
            expected,
            "{pattern:?} on {path:?}"
        );
    }
}

#[test]
fn order_and_exceptions() {
    let cases: [(&[&str], &str, bool); 16] = [
        (&["**", "!util/docker/web"], "util/docker/web/foo", false),
        (
            &["**", "!util/docker/web", "util/docker/web/foo"],
            "util/docker/web/foo",
            true,
        ),
        (
            &[
                "**",
                "!dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl",
            ],
            "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl",
            false,
        ),
        (
            &["**", "!dist/*.whl"],
            "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl",
            false,
        ),
        (&["*.md", "!README.md"], "README.md", false),
        (&["*.md", "!README.md"], "OTHER.md", true),
        (
            &["*.md", "!README*.md", "README-secret.md"],
            "README-secret.md",
            true,
        ),
        (
            &["*.md", "README-secret.md", "!README*.md"],
            "README-secret.md",
            false,
        ),
        (&["dir", "!dir/keep"], "dir/keep", false),
        (&["dir", "!dir/keep"], "dir/keep/deep", false),
        (&["dir", "!dir/keep"], "dir/other", true),
        (&["*", "!src", "src/*.tmp"], "src/a.tmp", true),
        (&["*", "!src", "src/*.tmp"], "src/a.rs", false),
        (&["!file"], "file", false),
        (
            &["node_modules", "**/node_modules"],
            "a/b/node_modules/x",
            true,
        ),
        (&["*", "!**/*.go"], "a/b/c.go", false),
    ];
    for (patterns, path, expected) in cases {
        let file = ignores(patterns);
        assert_eq!(file.is_ignored(path), expected, "{patterns:?} on {path:?}");
        assert_eq!(
            walked(&file, path),
            expected,
            "walk: {patterns:?} on {path:?}"
        );
    }
}

#[test]
fn where_the_walk_differs() {
    let file = ignores(&["a/b", "!a"]);
    assert!(!file.is_ignored("a/b"));
    assert!(walked(&file, "a/b"));
}

#[test]
fn files() {
    let content = "\u{feff}test1\r\n/test2\n/a/file/here\n\nlastfile\n# this is a comment\n! /inverted/abs/path\n!\u{20}rel\n  indented  \n #not a comment\n./x/../y/\n";
    let file = IgnoreFile::parse(content.as_bytes()).unwrap();
    let patterns: Vec<String> = file.patterns().collect();
    assert_eq!(
        patterns,
        [
            "test1",
            "test2",
            "a/file/here",
            "lastfile",
            "!inverted/abs/path",
            "!rel",
            "indented",
            "#not a comment",
            "y"
        ]
    );
    assert!(IgnoreFile::parse(b"").unwrap().is_empty());
    assert!(IgnoreFile::parse(b"\n\n# x\n").unwrap().is_empty());
}

#[test]
fn refusals() {
    assert_eq!(IgnoreFile::parse(b"!\n"), Err(IgnoreError::LoneExclamation));
    assert_eq!(
        IgnoreFile::parse(b"!  \n"),
        Err(IgnoreError::LoneExclamation)
    );
    for pattern in ["a[", "[-a]", "a\\", "[z-a]", "[]", "\\p", "x\\Q"] {
        assert!(
            matches!(ignores_error(pattern), IgnoreError::Malformed { .. }),
            "{pattern}"
        );
    }
}

fn ignores_error(pattern: &str) -> IgnoreError {
    IgnoreFile::from_patterns([pattern]).unwrap_err()
}

#[test]
fn what_a_walk_may_skip() {
    let cases: [(&[&str], &str, bool); 14] = [
        (&["node_modules"], "node_modules", true),
        (&["node_modules", "!src"], "node_modules", true),
        (&["*", "!src"], "node_modules", true),
        (&["*", "!src/lib"], "src", false),
        (&["*", "!src/lib"], "src/lib2", true),
        (&["*", "!**/*.go"], "src", false),
        (&["*", "!src/**"], "src", false),
        (&["*", "!src/**"], "other", true),
        (&["*", "!*/keep"], "any", false),
        (&["*", "!*/keep"], "any/deeper", true),
        (&["*", "!a*/b/c"], "abc", false),
        (&["*", "!a*/b/c"], "abc/x", true),
        (&["*", "!a?c/**/x"], "abc/d/e/f", false),
        (&["*", "!srcery"], "src", true),
    ];
    for (patterns, directory, expected) in cases {
        let file = ignores(patterns);
        let mut verdict = file.root();
        for (at, _) in directory.match_indices('/') {
            verdict = file.entry(&verdict, &directory[..at]);
        }
        verdict = file.entry(&verdict, directory);
        assert_eq!(
            file.can_skip(&verdict, directory),
            expected,
            "{patterns:?} in {directory:?}"
        );
    }
    assert!(!ignores(&["!x"]).can_skip(&ignores(&["!x"]).root(), "dir"));
}

#[test]
fn cleaning() {
    let cases = [
        ("abc", "abc"),
        ("abc/def", "abc/def"),
        ("", "."),
        (".", "."),
        ("..", ".."),
        ("../..", "../.."),
        ("/abc", "/abc"),
        ("/", "/"),
        ("abc/", "abc"),
        ("a//b//c", "a/b/c"),
        ("./a", "a"),
        ("a/./b", "a/b"),
        ("a/b/../c", "a/c"),
        ("a/..", "."),
        ("../a", "../a"),
        ("a/../../b", "../b"),
        ("/../a", "/a"),
        ("/..", "/"),
    ];
    for (path, expected) in cases {
        assert_eq!(clean(path), expected, "{path}");
    }
}

proptest! {
    /// A skipped directory really holds nothing that a walk would keep.
    #[test]
    fn skipping_loses_nothing(
        patterns in prop::collection::vec("!?(\\*\\*/)?[ab*?]{1,3}(/[ab*?]{1,2}){0,2}(/\\*\\*)?", 1..5),
        path in "[abc]{1,2}(/[abc]{1,2}){1,4}",
    ) {
        let Ok(file) = IgnoreFile::from_patterns(patterns.iter().map(String::as_str)) else { return Ok(()) };
        let mut verdict = file.root();
        let mut skipped = false;
        for (at, _) in path.match_indices('/') {
            verdict = file.entry(&verdict, &path[..at]);
            skipped |= file.can_skip(&verdict, &path[..at]);
        }
        if skipped {
            prop_assert!(file.entry(&verdict, &path).is_ignored());
        }
    }

    #[test]
    fn no_pattern_panics(content in prop::collection::vec(any::<u8>(), 0..200), path in prop::collection::vec(any::<u8>(), 0..50)) {
        if let Ok(file) = IgnoreFile::parse(&content) {
            let _ = file.is_ignored(&path);
            let _ = file.could_keep_below(&path);
            drop(file.entry(&file.root(), &path));
        }
    }

    /// Cleaning is done once and for all.
    #[test]
    fn cleaning_is_idempotent(path in "[a./]{0,20}") {
        prop_assert_eq!(clean(&clean(&path)), clean(&path));
    }
}
