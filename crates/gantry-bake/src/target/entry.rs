//! Entries of lists that are written as comma-separated fields or as objects: outputs, caches,
//! attestations, secrets and SSH agents (Bake reference).

use std::collections::BTreeMap;

use crate::functions::csv_fields;
use crate::resolver::variables::truth;
use crate::value::Value;

/// Fields by name.
pub(crate) type Fields = BTreeMap<String, String>;

/// What is wrong with an entry: a sentence.
pub(crate) type Read<T> = Result<T, String>;

/// Something that is written as fields.
pub(crate) trait Entry: Sized {
    /// Reads a text; several where it stands for several.
    fn parse(text: &str) -> Read<Vec<Self>>;

    /// Reads an object.
    fn from_fields(fields: Fields) -> Read<Self>;

    /// Reads a value: a text or an object.
    fn from_value(value: &Value) -> Read<Vec<Self>> {
        match (value.as_text(), value.fields()) {
            (Some(""), _) => Ok(Vec::new()),
            (Some(text), _) => Self::parse(text),
            (None, Some(_)) => Ok(vec![Self::from_fields(fields_of(value)?)?]),
            (None, None) if value.is_null() => Ok(Vec::new()),
            (None, None) => Err(format!(
                "a text or an object is required, not {}",
                value.kind()
            )),
        }
    }
}

/// The fields of an object; those that are null are left out.
fn fields_of(value: &Value) -> Read<Fields> {
    let mut fields = Fields::new();
    for (name, field) in value.fields().into_iter().flatten() {
        let text = match field {
            Value::Null(_) => continue,
            Value::String(text) => text.to_string(),
            Value::Number(number) => number.to_string(),
            Value::Bool(truth) => truth.to_string(),
            Value::List(..) | Value::Tuple(_) | Value::Set(..) if name.as_ref() == "paths" => {
                let paths = field.items().unwrap_or_default().iter();
                let paths: Option<Vec<&str>> = paths.map(Value::as_text).collect();
                paths
                    .ok_or_else(|| "paths is a list of texts".to_owned())?
                    .join(",")
            }
            _ => return Err(format!("attribute {name:?}: a text is required")),
        };
        fields.insert(name.to_string(), text);
    }
    Ok(fields)
}

/// `a=b,c=d`; names are read without regard to case.
fn key_values(text: &str) -> Read<Fields> {
    let mut fields = Fields::new();
    for field in csv_fields(text)? {
        let Some((name, value)) = field.split_once('=') else {
            return Err(format!("invalid value {field}: NAME=VALUE is required"));
        };
        fields.insert(name.trim().to_lowercase(), value.to_owned());
    }
    Ok(fields)
}

fn kind(fields: &mut Fields, what: &str) -> Read<String> {
    let kind = fields.remove("type").filter(|kind| !kind.is_empty());
    kind.ok_or_else(|| format!("type is required for {what}"))
}

/// An output (`type=…,dest=…`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// `image`, `local`, `tar`, `oci`, `docker`, `registry`, …
    pub kind: String,
    /// The other attributes.
    pub attributes: BTreeMap<String, String>,
    /// Where it goes.
    pub destination: Option<String>,
}

impl Entry for Output {
    fn parse(text: &str) -> Read<Vec<Self>> {
        let plain = !text.contains([',', '"']) && !text.starts_with("type=");
        if plain {
            let kind = if text == "-" { "tar" } else { "local" };
            return Ok(vec![Self {
                kind: kind.to_owned(),
                attributes: Fields::new(),
                destination: Some(text.to_owned()),
            }]);
        }
        Ok(vec![Self::from_fields(key_values(text)?)?])
    }

    fn from_fields(mut fields: Fields) -> Read<Self> {
        Ok(Self {
            kind: kind(&mut fields, "output")?,
            destination: fields.remove("dest").filter(|path| !path.is_empty()),
            attributes: fields,
        })
    }
}

/// A source or destination of cache (`type=…,ref=…`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheEntry {
    /// `registry`, `local`, `inline`, …
    pub kind: String,
    /// The other attributes.
    pub attributes: BTreeMap<String, String>,
}

impl Entry for CacheEntry {
    /// Names of images alone are caches in a registry.
    fn parse(text: &str) -> Read<Vec<Self>> {
        if text.contains('=') {
            return Ok(vec![Self::from_fields(key_values(text)?)?]);
        }
        let image = |name: String| Self {
            kind: "registry".to_owned(),
            attributes: Fields::from([("ref".to_owned(), name)]),
        };
        Ok(csv_fields(text)?.into_iter().map(image).collect())
    }

    fn from_fields(mut fields: Fields) -> Read<Self> {
        Ok(Self {
            kind: kind(&mut fields, "cache")?,
            attributes: fields,
        })
    }
}

/// An attestation (`type=provenance,mode=max`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attest {
    /// `provenance` or `sbom`.
    pub kind: String,
    /// Whether it is not wanted.
    pub disabled: bool,
    /// The other attributes.
    pub attributes: BTreeMap<String, String>,
}

impl Entry for Attest {
    fn parse(text: &str) -> Read<Vec<Self>> {
        Ok(vec![Self::from_fields(key_values(text)?)?])
    }

    fn from_fields(mut fields: Fields) -> Read<Self> {
        let disabled = match fields.remove("disabled") {
            Some(text) => truth(&text).ok_or_else(|| format!("disabled: {text:?} is no bool"))?,
            None => false,
        };
        Ok(Self {
            kind: kind(&mut fields, "attest")?,
            disabled,
            attributes: fields,
        })
    }
}

/// The last attestation of each type, at the place of the first.
pub(super) fn last_of_each_type(all: Vec<Attest>) -> Vec<Attest> {
    let mut kept: Vec<Attest> = Vec::new();
    for attest in all {
        match kept.iter_mut().find(|other| other.kind == attest.kind) {
            Some(other) => *other = attest,
            None => kept.push(attest),
        }
    }
    kept
}

/// A secret (`id=…,src=…`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Secret {
    /// Its name in the Dockerfile.
    pub id: String,
    /// The file that it is in.
    pub file: Option<String>,
    /// The environment variable that it is in.
    pub variable: Option<String>,
}

impl Entry for Secret {
    fn parse(text: &str) -> Read<Vec<Self>> {
        Ok(vec![Self::from_fields(key_values(text)?)?])
    }

    /// `type=env` without `env` takes `src` for the variable.
    fn from_fields(fields: Fields) -> Read<Self> {
        let mut secret = Self::default();
        let mut is_variable = false;
        for (name, value) in fields {
            match name.as_str() {
                "type" if value == "file" || value == "env" => is_variable = value == "env",
                "type" => return Err(format!("unsupported secret type {value:?}")),
                "id" => secret.id = value,
                "src" | "source" => secret.file = Some(value),
                "env" => secret.variable = Some(value),
                _ => return Err(format!("unexpected key {name:?} of a secret")),
            }
        }
        if is_variable && secret.variable.is_none() {
            secret.variable = secret.file.take();
        }
        Ok(secret)
    }
}

/// An SSH agent or keys (`ID=PATH,…`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ssh {
    /// Its name in the Dockerfile.
    pub id: String,
    /// Its socket, or files of keys; the usual agent without.
    pub paths: Vec<String>,
}

impl Entry for Ssh {
    fn parse(text: &str) -> Read<Vec<Self>> {
        let (id, paths) = text.split_once('=').unwrap_or((text, ""));
        Ok(vec![Self {
            id: id.to_owned(),
            paths: paths
                .split(',')
                .filter(|path| !path.is_empty())
                .map(String::from)
                .collect(),
        }])
    }

    fn from_fields(mut fields: Fields) -> Read<Self> {
        let id = fields.remove("id").unwrap_or_default();
        let paths = fields.remove("paths").unwrap_or_default();
        if let Some(name) = fields.keys().next() {
            return Err(format!("unexpected key {name:?} of an SSH agent"));
        }
        Ok(Self {
            id,
            paths: paths
                .split(',')
                .filter(|path| !path.is_empty())
                .map(String::from)
                .collect(),
        })
    }
}
