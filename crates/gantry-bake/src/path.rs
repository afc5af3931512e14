//! Paths as texts (Go's package `path`).

/// What the folder of the command is called, where paths are those of the definition.
pub(crate) const COMMAND: &str = "cwd://";

/// The shortest path that leads to the same place; an empty one is `.`.
pub(crate) fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    let rooted = path.starts_with('/');
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    match (rooted, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}

/// Whether a context is a URL or a git repository rather than a local path.
pub(crate) fn is_remote(path: &str) -> bool {
    const PREFIXES: [&str; 6] = [
        "http://",
        "https://",
        "git://",
        "ssh://",
        "git@",
        "github.com/",
    ];
    PREFIXES.iter().any(|prefix| path.starts_with(prefix))
}
