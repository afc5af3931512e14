//! Those of the files that can be built here: with their contexts, over a busybox in the place of
//! every image they name, and without asking anybody on the network.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::RealFile;

/// Folders of the archives whose Dockerfiles stand beside what they copy.
const FOLDERS: [&str; 3] = [
    "/tests/bud/",
    "/tests/conformance/testdata/",
    "/dockerclient/testdata/",
];

/// Words of files that ask for what a busybox without a network lacks, take their time, or come
/// out differently from one machine to the next.
const NOT_HERE: [&str; 25] = [
    "://",
    "git@",
    "wget",
    "curl",
    "dnf",
    "yum",
    "apt-get",
    "apk ",
    "apk\t",
    "npm",
    "useradd",
    "adduser",
    "groupadd",
    "addgroup",
    "sleep",
    "date",
    "random",
    "hostname",
    "ulimit",
    "ping",
    "nslookup",
    "/proc",
    "/sys",
    "platform",
    "type=cache",
];

/// A file with what a build of it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buildable {
    /// The file.
    pub file: RealFile,
    /// Its folder.
    pub context: PathBuf,
    /// The images it names: others may be among them, but none is missing.
    pub images: Vec<String>,
}

/// All of them.
///
/// # Panics
/// When the archives cannot be fetched.
#[must_use]
pub fn buildable() -> Vec<Buildable> {
    super::all().into_iter().filter_map(with_context).collect()
}

fn with_context(file: RealFile) -> Option<Buildable> {
    let text = String::from_utf8(file.bytes.clone()).ok()?;
    let stands_there = FOLDERS.iter().any(|folder| file.origin.contains(folder));
    let base_varies = |line: &str| {
        let word = line.get(..4).unwrap_or_default();
        word.eq_ignore_ascii_case("from") && line.contains('$')
    };
    if !stands_there
        || NOT_HERE.iter().any(|word| text.contains(word))
        || text.lines().any(base_varies)
    {
        return None;
    }
    let context = file.path.parent()?.to_path_buf();
    let images = images(&text);
    Some(Buildable {
        file,
        context,
        images,
    })
}

/// The words that stand where images stand and have the form of a name.
fn images(text: &str) -> Vec<String> {
    let mut names = BTreeSet::new();
    for line in text.lines() {
        let mut words = line.split([' ', '\t', ',']).filter(|word| !word.is_empty());
        let first = words.next().unwrap_or_default();
        let base = first.eq_ignore_ascii_case("from").then(|| words.next());
        let sources = line.split("from=").skip(1);
        let sources = sources.filter_map(|rest| rest.split([' ', '\t', ',']).next());
        names.extend(base.flatten().into_iter().chain(sources));
    }
    let is_name = |name: &&str| {
        let plain =
            |letter: char| letter.is_ascii_lowercase() || "0123456789/.:-_".contains(letter);
        *name != "scratch"
            && !name.is_empty()
            && name.starts_with(char::is_alphanumeric)
            && name.chars().all(plain)
    };
    names
        .into_iter()
        .filter(is_name)
        .map(str::to_owned)
        .collect()
}
