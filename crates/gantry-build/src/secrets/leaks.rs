//! The search for secrets in what would become an image: as they are, and in the forms that
//! programs write them in.

use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use aho_corasick::AhoCorasick;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use rustix::fs::OFlags;

use super::SecretValue;
use crate::stop::Stop;

/// Shorter ones are found by chance.
const SHORTEST: usize = 8;

/// What is searched for.
#[derive(Debug)]
pub(crate) struct Search {
    patterns: AhoCorasick,
    /// For each pattern: whose it is.
    ids: Vec<String>,
    /// Names the set of patterns, and does not tell them.
    pub(crate) digest: [u8; 32],
}

/// A secret that was found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Leak {
    pub(crate) id: String,
    /// The file, absolute in the layer.
    pub(crate) path: PathBuf,
}

impl Search {
    /// A search for these; `None` where none is long enough.
    pub(crate) fn new<'s>(
        secrets: impl IntoIterator<Item = (&'s str, &'s SecretValue)>,
    ) -> Option<Self> {
        let (mut ids, mut patterns, mut hasher) = (Vec::new(), Vec::new(), blake3::Hasher::new());
        for (id, value) in secrets {
            for pattern in forms(value.expose().trim_ascii_end()) {
                hasher.update(blake3::hash(&pattern).as_bytes());
                ids.push(id.to_owned());
                patterns.push(pattern);
            }
        }
        if patterns.is_empty() {
            return None;
        }
        Some(Self {
            patterns: AhoCorasick::new(patterns).ok()?,
            ids,
            digest: *hasher.finalize().as_bytes(),
        })
    }

    /// Whose secret is in a text.
    pub(crate) fn in_text(&self, text: &[u8]) -> Option<&str> {
        let found = self.patterns.find(text)?;
        Some(&self.ids[found.pattern()])
    }

    /// The first secret in the files of a folder, in their names or in what links say.
    pub(crate) fn in_folder(&self, folder: &Path, stop: &Stop) -> io::Result<Option<Leak>> {
        let mut open = vec![folder.to_owned()];
        while let Some(path) = open.pop() {
            for entry in fs::read_dir(&path)? {
                let entry = entry?;
                let path = entry.path();
                let kind = entry.file_type()?;
                let mut found = self.in_text(entry.file_name().as_bytes());
                if kind.is_dir() {
                    open.push(path.clone());
                } else if kind.is_symlink() {
                    let target = fs::read_link(&path)?;
                    found = found.or_else(|| self.in_text(target.as_os_str().as_bytes()));
                } else if kind.is_file() && found.is_none() {
                    found = self.in_file(&path, stop)?;
                }
                if let Some(id) = found {
                    let inside = path.strip_prefix(folder).unwrap_or(&path);
                    return Ok(Some(Leak {
                        id: id.to_owned(),
                        path: Path::new("/").join(inside),
                    }));
                }
            }
        }
        Ok(None)
    }

    fn in_file(&self, path: &Path, stop: &Stop) -> io::Result<Option<&str>> {
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let flags = i32::try_from(flags.bits()).expect("flags of open(2) fit");
        let file = File::options().read(true).custom_flags(flags).open(path)?;
        match self.patterns.stream_find_iter(stop.reading(file)).next() {
            Some(found) => Ok(Some(&self.ids[found?.pattern()])),
            None => Ok(None),
        }
    }
}

/// A secret as it is, in base64 at each place of a longer text, in hexadecimal, and as part of a
/// URL.
fn forms(secret: &[u8]) -> Vec<Vec<u8>> {
    if secret.len() < SHORTEST {
        return Vec::new();
    }
    let mut forms = vec![secret.to_vec()];
    for before in 0..3_usize {
        let mut padded = vec![0; before];
        padded.extend(secret);
        // Characters that say something of what stands before or behind are left out.
        let (first, behind) = ((before * 8).div_ceil(6), padded.len() * 8 / 6);
        for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            forms.push(engine.encode(&padded).as_bytes()[first..behind].to_vec());
        }
    }
    let hex = gantry_model::digest::hex_encode(secret);
    forms.push(hex.to_uppercase().into_bytes());
    forms.push(hex.into_bytes());
    forms.push(in_url(secret));
    forms.sort();
    forms.dedup();
    forms
}

fn in_url(secret: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    for byte in secret {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => text.push(*byte),
            other => text.extend(format!("%{other:02X}").bytes()),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(secret: &str) -> Search {
        let value = SecretValue::from(secret.as_bytes().to_vec());
        Search::new([("token", &value)]).expect("it is long enough")
    }

    #[test]
    fn every_form_is_found_wherever_it_stands() {
        let secret = "s3cr/t+v&lue\u{fe}!";
        let search = search(&format!("{secret}\n"));
        for before in ["", "a", "ab", "abc", "user:"] {
            for behind in ["", "x", "yz", "\n"] {
                let text = format!("{before}{secret}{behind}");
                let hex = gantry_model::digest::hex_encode(text.as_bytes());
                let coded = [
                    text.clone(),
                    STANDARD_NO_PAD.encode(&text),
                    URL_SAFE_NO_PAD.encode(&text),
                    hex.to_uppercase(),
                    hex,
                    String::from_utf8(in_url(text.as_bytes())).expect("text"),
                ];
                for coded in coded {
                    assert_eq!(search.in_text(coded.as_bytes()), Some("token"), "{coded}");
                }
            }
        }
        assert_eq!(search.in_text(b"s3cr/t+v"), None);
    }

    #[test]
    fn short_ones_are_not_searched_for() {
        let value = SecretValue::from(b"1234567\n".to_vec());
        assert!(Search::new([("pin", &value)]).is_none());
    }

    #[test]
    fn files_names_and_links_are_searched() {
        let search = search("correct horse");
        let stop = Stop::new(crate::Cancellation::new().expect("a switch")).expect("a switch");
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("d")).expect("made");
        let mut long = vec![b'.'; 200_000];
        fs::write(at("d/clean"), &long).expect("written");
        assert_eq!(search.in_folder(folder.path(), &stop).expect("read"), None);
        long.extend(b"correct horse battery");
        fs::write(at("d/dirty"), &long).expect("written");
        let found = search.in_folder(folder.path(), &stop).expect("read");
        assert_eq!(found.map(|leak| leak.path), Some("/d/dirty".into()));
        fs::remove_file(at("d/dirty")).expect("removed");
        std::os::unix::fs::symlink("/x/correct horse", at("l")).expect("a link");
        let found = search.in_folder(folder.path(), &stop).expect("read");
        assert_eq!(found.map(|leak| leak.path), Some("/l".into()));
    }
}
