//! `--secret` and `--ssh`: what steps may borrow.

use std::collections::BTreeMap;
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;

use gantry_build::SecretSource;

use crate::failure::{Failure, plain};
use crate::flags::environment::Lookup;
use crate::flags::value::{FlagError, unfit};

/// The secrets by id. One whose file is not there is an error at once, needed or not, as in
/// buildx.
pub(in crate::commands::builder) fn secrets(
    texts: &[String],
    lookup: Lookup<'_>,
) -> Result<BTreeMap<String, SecretSource>, Failure> {
    let mut all = BTreeMap::new();
    for text in texts {
        let (id, source) = secret(text, lookup)?;
        if let SecretSource::File(path) = &source {
            std::fs::metadata(path).map_err(|error| {
                let why = plain(&error);
                unfit("--secret", text)(format!("failed to stat {}: {why}", path.display()))
            })?;
        }
        all.insert(id, source);
    }
    Ok(all)
}

/// `id=NAME[,type=file|env][,src=FILE][,env=VARIABLE]`
fn secret(text: &str, lookup: Lookup<'_>) -> Result<(String, SecretSource), FlagError> {
    let bad = |reason: String| unfit("--secret", text)(reason);
    let (mut id, mut file, mut variable, mut kind) = (None, None, None, None);
    for field in text.split(',') {
        let Some((key, value)) = field.split_once('=') else {
            return Err(bad(format!(
                "invalid field '{field}' must be a key=value pair"
            )));
        };
        let value = value.to_owned();
        match key.to_ascii_lowercase().as_str() {
            "type" if value == "file" || value == "env" => kind = Some(value),
            "type" => return Err(bad(format!("unsupported secret type {value:?}"))),
            "id" => id = Some(value),
            "source" | "src" => file = Some(value),
            "env" => variable = Some(value),
            _ => return Err(bad(format!("unexpected key '{key}' in '{field}'"))),
        }
    }
    if kind.as_deref() == Some("env") && variable.is_none() {
        variable = file.take();
    }
    let Some(id) = id.filter(|id| !id.is_empty()) else {
        return Err(bad("secret missing ID".to_owned()));
    };
    let source = match (variable, file) {
        (Some(name), _) => SecretSource::Env(name),
        (None, Some(path)) => SecretSource::File(path.into()),
        (None, None) if kind.as_deref() != Some("file") && lookup(&id).is_some() => {
            SecretSource::Env(id.clone())
        }
        (None, None) => SecretSource::File(id.clone().into()),
    };
    Ok((id, source))
}

/// The variable that names the usual agent.
pub(in crate::commands::builder) const AGENT: &str = "SSH_AUTH_SOCK";

/// The sockets of agents by id.
pub(in crate::commands::builder) fn agents(
    texts: &[String],
    lookup: Lookup<'_>,
) -> Result<BTreeMap<String, PathBuf>, Failure> {
    let mut all = BTreeMap::new();
    for text in texts {
        let (id, path) = text.split_once('=').unwrap_or((text, ""));
        let bad = |reason: String| unfit("--ssh", text)(reason);
        let path = if path.is_empty() {
            let usual = lookup(AGENT).filter(|path| !path.is_empty());
            usual.ok_or_else(|| {
                let reason = format!("invalid empty ssh agent socket: make sure {AGENT} is set");
                bad(reason)
            })?
        } else {
            path.to_owned()
        };
        let is_socket = std::fs::metadata(&path)
            .map_err(|error| bad(format!("failed to stat {path}: {}", plain(&error))))?
            .file_type()
            .is_socket();
        if !is_socket {
            return Err(Failure::unsupported(format!(
                "--ssh {text} is not supported: a key is lent by an agent, add it there \
                 (ssh-add {path}) and give --ssh {id}"
            )));
        }
        let id = if id.is_empty() { "default" } else { id };
        if all.insert(id.to_owned(), path.into()).is_some() {
            return Err(bad(format!("invalid duplicate ID {id}")).into());
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        (name == "TOKEN").then(|| "x".to_owned())
    }

    #[test]
    fn the_forms_of_a_secret() {
        let file = |path: &str| SecretSource::File(path.into());
        let env = |name: &str| SecretSource::Env(name.into());
        for (text, id, source) in [
            ("id=a,src=/x/y", "a", file("/x/y")),
            ("id=a,source=y,type=file", "a", file("y")),
            ("type=env,id=a,src=HOME", "a", env("HOME")),
            ("id=a,env=HOME", "a", env("HOME")),
            ("id=TOKEN", "TOKEN", env("TOKEN")),
            ("id=TOKEN,type=file", "TOKEN", file("TOKEN")),
            ("id=other", "other", file("other")),
        ] {
            let got = secret(text, &lookup);
            assert_eq!(got.unwrap(), (id.to_owned(), source), "{text}");
        }
        for text in ["", "a", "src=x", "id=", "id=a,mode=4", "id=a,type=tape"] {
            assert!(secret(text, &lookup).is_err(), "{text}");
        }
    }

    #[test]
    fn an_agent_is_a_socket() {
        assert!(agents(&["default".into()], &|_| None).is_err());
        assert!(agents(&["k=/dev/null".into()], &lookup).is_err());
        assert!(agents(&["k=/nonesuch".into()], &lookup).is_err());
    }
}
