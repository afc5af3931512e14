//! Keeping and forgetting credentials (`login` and `logout`), as Docker does it: in a helper
//! where `config.json` names one, else in `config.json` itself.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::{Credentials, helper, keys, same_host};
use crate::error::RegistryError;

/// Where credentials went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// Into `config.json`, where whoever can read the file can read them.
    File,
    /// To the helper of this name.
    Helper(String),
}

/// Keeps the credentials of a registry.
///
/// # Errors
/// [`RegistryError::Settings`] when the file cannot be used, and the helper's.
pub fn keep(path: &Path, registry: &str, credentials: &Credentials) -> Result<Kept, RegistryError> {
    let mut document = read(path)?;
    let server = keys(registry).swap_remove(0);
    if let Some(name) = helper_of(&document, registry) {
        helper::store(&name, &server, credentials)?;
        // As Docker: an empty entry tells which registries there are credentials for.
        auths(&mut document).insert(server, Value::Object(Map::new()));
        write(path, &document)?;
        return Ok(Kept::Helper(name));
    }
    let mut entry = Map::new();
    match credentials {
        Credentials::Basic { user, password } => {
            let auth = STANDARD.encode(format!("{user}:{}", password.expose()));
            entry.insert("auth".to_owned(), Value::from(auth));
        }
        Credentials::IdentityToken(token) => {
            entry.insert("identitytoken".to_owned(), Value::from(token.expose()));
        }
    }
    auths(&mut document).insert(server, Value::Object(entry));
    write(path, &document)?;
    Ok(Kept::File)
}

/// Forgets the credentials of a registry; says whether there were any.
///
/// # Errors
/// As [`keep`].
pub fn forget(path: &Path, registry: &str) -> Result<bool, RegistryError> {
    let mut document = read(path)?;
    let keys = keys(registry);
    let mut known = false;
    if let Some(name) = helper_of(&document, registry) {
        known |= helper::erase(&name, &keys[0])?;
    }
    let auths = auths(&mut document);
    let before = auths.len();
    auths.retain(|stored, _| !keys.iter().any(|key| same_host(key, stored)));
    if auths.len() != before {
        known = true;
        write(path, &document)?;
    }
    Ok(known)
}

fn unusable(path: &Path) -> impl Fn(String) -> RegistryError + '_ {
    move |reason| RegistryError::Settings {
        what: path.display().to_string(),
        reason,
    }
}

/// The whole document; what is not known in it stays.
fn read(path: &Path) -> Result<Map<String, Value>, RegistryError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(Map::new());
        }
        Err(error) => return Err(unusable(path)(error.to_string())),
    };
    if text.iter().all(u8::is_ascii_whitespace) {
        return Ok(Map::new());
    }
    serde_json::from_slice(&text).map_err(|error| unusable(path)(error.to_string()))
}

fn helper_of(document: &Map<String, Value>, registry: &str) -> Option<String> {
    let helpers = document.get("credHelpers").and_then(Value::as_object);
    let own = keys(registry)
        .into_iter()
        .find_map(|key| helpers?.get(&key)?.as_str());
    let name = own.or_else(|| document.get("credsStore")?.as_str())?;
    (!name.is_empty()).then(|| name.to_owned())
}

fn auths(document: &mut Map<String, Value>) -> &mut Map<String, Value> {
    let slot = document
        .entry("auths")
        .or_insert_with(|| Value::Object(Map::new()));
    if !slot.is_object() {
        *slot = Value::Object(Map::new());
    }
    slot.as_object_mut().expect("made one above")
}

/// Written aside and renamed, readable by its owner only. A link to the file is followed, so
/// that it stays one.
fn write(path: &Path, document: &Map<String, Value>) -> Result<(), RegistryError> {
    let failed = |error: io::Error| unusable(path)(error.to_string());
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = target.parent().map_or_else(PathBuf::new, Path::to_owned);
    if !folder.as_os_str().is_empty() {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .map_err(failed)?;
    }
    let mut text = serde_json::to_vec_pretty(document)
        .map_err(io::Error::from)
        .map_err(failed)?;
    text.push(b'\n');
    let aside = folder.join(format!(".config.json.{}", std::process::id()));
    let written = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&aside)
        .and_then(|mut file| file.write_all(&text).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&aside, &target));
    if written.is_err() {
        // What could not be finished must not lie about with a secret in it.
        let _gone = fs::remove_file(&aside);
    }
    written.map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::credentials::DockerConfig;
    use crate::secret::Secret;

    fn basic(user: &str, password: &str) -> Credentials {
        Credentials::Basic {
            user: user.to_owned(),
            password: Secret::new(password.to_owned()),
        }
    }

    #[test]
    fn what_is_kept_is_found_and_forgotten_and_all_else_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/config.json");
        assert_eq!(
            keep(&path, "docker.io", &basic("u", "p:q")).unwrap(),
            Kept::File
        );
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let mut document = read(&path).unwrap();
        document.insert("psFormat".to_owned(), Value::from("x"));
        write(&path, &document).unwrap();
        keep(
            &path,
            "r.example:5000",
            &Credentials::IdentityToken(Secret::new("t".to_owned())),
        )
        .unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(
            text.contains("https://index.docker.io/v1/") && text.contains("psFormat"),
            "{text}"
        );
        let config = DockerConfig::parse(&text).unwrap();
        assert_eq!(config.lookup("docker.io").unwrap(), Some(basic("u", "p:q")));
        assert!(config.lookup("r.example:5000").unwrap().is_some());
        assert!(forget(&path, "docker.io").unwrap() && !forget(&path, "docker.io").unwrap());
        let config = DockerConfig::parse(&fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!(config.lookup("docker.io").unwrap(), None);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_is_none_of_ours_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        fs::write(&path, "[1, 2").unwrap();
        assert!(keep(&path, "r", &basic("u", "p")).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "[1, 2");
        assert!(!forget(&folder.path().join("none"), "r").unwrap());
    }
}
