//! The value of `--mount`: `type=cache,target=/x,…`.

use crate::ast::{
    BindMount, CacheMount, CacheSharing, MountSpec, SecretMount, SshMount, TmpfsMount,
};
use crate::diagnostic::{Code, Diagnostic};
use crate::expand::ExpandError;
use crate::source::Span;
use gantry_model::quantity::parse_bytes;

/// Replaces the variables of one value.
pub(crate) type Expander<'e> = &'e mut dyn FnMut(&str) -> Result<String, ExpandError>;

/// What can be wrong with the value of `--mount` or `--device`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MountError {
    #[error("failed to parse csv value: {reason}")]
    Csv { reason: &'static str },
    #[error("invalid field '{field}' must be a key=value pair")]
    NotAPair { field: String },
    #[error("unexpected key '{key}' in '{field}'")]
    UnknownKey {
        key: String,
        field: String,
        known: &'static [&'static str],
    },
    #[error("unexpected key '{key}' for mount type '{kind}'")]
    ForeignKey { key: String, kind: &'static str },
    #[error("unsupported mount type \"{kind}\"")]
    UnknownType { kind: String },
    #[error("unsupported sharing value \"{value}\"")]
    UnknownSharing { value: String },
    #[error("invalid value for {key}: {value}")]
    InvalidValue { key: String, value: String },
    #[error("'{key}' doesn't support variable expansion, define alias stage instead")]
    NotExpandable { key: String },
    #[error("secret mount needs one of id, source, target")]
    SecretWithoutName,
    #[error("both source and id can't be set")]
    SourceAndId,
    #[error(transparent)]
    Expand(#[from] ExpandError),
}

impl MountError {
    /// The error at a place, with a suggestion.
    pub(crate) fn diagnostic(&self, span: Span) -> Diagnostic {
        let code = if matches!(self, Self::Expand(_)) {
            Code::Expansion
        } else {
            Code::Mount
        };
        let diagnostic = Diagnostic::error(code, self.to_string(), span);
        match self {
            Self::UnknownKey { key, known, .. } => diagnostic.suggesting(key, known.iter().copied()),
            Self::UnknownType { kind } => diagnostic
                .suggesting(kind, TYPES.iter().copied())
                .with_note(format!("mount types are {}", TYPES.join(", "))),
            Self::UnknownSharing { value } => diagnostic
                .suggesting(value, ["shared", "private", "locked"])
                .with_note("sharing is shared, private or locked"),
            Self::NotAPair { field } if field.is_empty() => {
                diagnostic.with_hint("nothing follows a comma: white space, also at the start of a line, ends the option")
            }
            Self::NotExpandable { .. } => diagnostic.with_hint("add `FROM <image> AS <name>` and use from=<name>"),
            _ => diagnostic,
        }
    }
}

const TYPES: [&str; 5] = ["bind", "cache", "tmpfs", "secret", "ssh"];

const KEYS: [&str; 19] = [
    "type",
    "from",
    "source",
    "target",
    "readonly",
    "id",
    "sharing",
    "required",
    "size",
    "mode",
    "uid",
    "gid",
    "env",
    "src",
    "dst",
    "destination",
    "ro",
    "rw",
    "readwrite",
];

/// Everything that can be said about a mount, whatever its type.
#[derive(Debug, Default)]
struct Options {
    kind: Kind,
    from: Option<String>,
    source: Option<String>,
    target: Option<String>,
    read_only: Option<bool>,
    id: Option<String>,
    sharing: Option<CacheSharing>,
    required: Option<bool>,
    size: Option<u64>,
    mode: Option<u32>,
    uid: Option<u32>,
    gid: Option<u32>,
    env: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    Bind,
    Cache,
    Tmpfs,
    Secret,
    Ssh,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Bind => "bind",
            Self::Cache => "cache",
            Self::Tmpfs => "tmpfs",
            Self::Secret => "secret",
            Self::Ssh => "ssh",
        }
    }

    fn read(value: &str) -> Result<Self, MountError> {
        match value.to_lowercase().as_str() {
            "bind" => Ok(Self::Bind),
            "cache" => Ok(Self::Cache),
            "tmpfs" => Ok(Self::Tmpfs),
            "secret" => Ok(Self::Secret),
            "ssh" => Ok(Self::Ssh),
            _ => Err(MountError::UnknownType {
                kind: value.to_owned(),
            }),
        }
    }
}

/// One `key=value`, or a bare `key`.
struct Field {
    key: String,
    value: Option<String>,
    written: String,
}

/// Reads the value of `--mount`.
///
/// Without an `expander`, values that hold variables (or quotes, or escapes) are not judged, and
/// stay as they are written where they are plain strings.
pub(crate) fn parse(
    text: &str,
    mut expander: Option<Expander<'_>>,
) -> Result<MountSpec, MountError> {
    let mut fields = Vec::new();
    for written in self::fields(text)? {
        let (key, value) = match written.split_once('=') {
            Some((key, value)) => (key.to_lowercase(), Some(value.to_owned())),
            None => (written.to_lowercase(), None),
        };
        if key == "from" && value.as_deref().is_some_and(super::copy::has_variable) {
            return Err(MountError::NotExpandable { key });
        }
        let value = match (value, expander.as_mut()) {
            (Some(value), Some(expander)) => Some(expander(&value)?),
            (value, _) => value,
        };
        fields.push(Field {
            key,
            value,
            written,
        });
    }
    let lenient = expander.is_none();
    let mut options = Options::default();
    // The type first: which other keys are allowed hangs on it.
    for field in fields
        .iter()
        .filter(|field| field.key == "type" && !(lenient && field.is_deferred()))
    {
        options.kind = Kind::read(field.value.as_deref().unwrap_or_default())?;
    }
    for field in fields.iter().filter(|field| field.key != "type") {
        options.set(field, lenient && field.is_deferred())?;
    }
    options.spec(lenient && fields.iter().any(Field::is_deferred))
}

/// Splits at commas; a field in double quotes may hold commas, and `""` for a quote.
pub(crate) fn fields(text: &str) -> Result<Vec<String>, MountError> {
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let Some(quoted) = rest.strip_prefix('"') else {
            let end = rest.find(',').unwrap_or(rest.len());
            let (field, behind) = rest.split_at(end);
            if field.contains('"') {
                return Err(MountError::Csv {
                    reason: "bare \" in non-quoted-field",
                });
            }
            fields.push(field.to_owned());
            match behind.strip_prefix(',') {
                Some(behind) => rest = behind,
                None => return Ok(fields),
            }
            continue;
        };
        let (field, behind) = quoted_field(quoted)?;
        fields.push(field);
        match behind.strip_prefix(',') {
            Some(behind) => rest = behind,
            None if behind.is_empty() => return Ok(fields),
            None => {
                return Err(MountError::Csv {
                    reason: "extraneous or missing \" in quoted-field",
                });
            }
        }
    }
}

fn quoted_field(text: &str) -> Result<(String, &str), MountError> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let Some(end) = rest.find('"') else {
            return Err(MountError::Csv {
                reason: "extraneous or missing \" in quoted-field",
            });
        };
        field.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(behind) => {
                field.push('"');
                rest = behind;
            }
            None => return Ok((field, rest)),
        }
    }
}

impl Field {
    /// Whether only expansion will tell what the value is.
    fn is_deferred(&self) -> bool {
        self.value
            .as_deref()
            .is_some_and(|value| value.contains(['$', '"', '\'', '\\', '`']))
    }

    fn text(&self) -> Result<String, MountError> {
        self.value.clone().ok_or_else(|| MountError::NotAPair {
            field: self.written.clone(),
        })
    }

    fn number(&self, radix: u32) -> Result<u32, MountError> {
        let value = self.text()?;
        let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
        let parsed = if digits {
            u32::from_str_radix(&value, radix).ok()
        } else {
            None
        };
        parsed.ok_or_else(|| MountError::InvalidValue {
            key: self.key.clone(),
            value,
        })
    }

    fn switch(&self) -> Result<bool, MountError> {
        self.value
            .as_deref()
            .map_or(Ok(true), |value| boolean(&self.key, value))
    }
}

/// The spellings of true and false.
pub(crate) fn boolean(key: &str, value: &str) -> Result<bool, MountError> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(MountError::InvalidValue {
            key: key.to_owned(),
            value: value.to_owned(),
        }),
    }
}

impl Options {
    fn set(&mut self, field: &Field, deferred: bool) -> Result<(), MountError> {
        match field.key.as_str() {
            "from" => self.from = Some(field.text()?),
            "source" | "src" => self.source = Some(field.text()?),
            "target" | "dst" | "destination" => self.target = Some(field.text()?),
            "id" => self.id = Some(field.text()?),
            "env" => self.env = Some(field.text()?),
            key if deferred && KEYS.contains(&key) => {}
            "readonly" | "ro" => self.read_only = Some(field.switch()?),
            "readwrite" | "rw" => self.read_only = Some(!field.switch()?),
            "required" => self.required = Some(field.switch()?),
            "size" => {
                let value = field.text()?;
                let parsed = parse_bytes(&value);
                self.size = Some(parsed.map_err(|_| MountError::InvalidValue {
                    key: "size".to_owned(),
                    value,
                })?);
            }
            "sharing" => self.sharing = Some(sharing(&field.text()?)?),
            "mode" => self.mode = Some(field.number(8)?),
            "uid" => self.uid = Some(field.number(10)?),
            "gid" => self.gid = Some(field.number(10)?),
            key if field.value.is_none() && !KEYS.contains(&key) => {
                return Err(MountError::NotAPair {
                    field: field.written.clone(),
                });
            }
            key => {
                let (key, field) = (key.to_owned(), field.written.clone());
                return Err(MountError::UnknownKey {
                    key,
                    field,
                    known: &KEYS,
                });
            }
        }
        Ok(())
    }

    /// The options as what their type takes. An option of another type is refused.
    fn spec(mut self, unfinished: bool) -> Result<MountSpec, MountError> {
        for text in [
            &mut self.from,
            &mut self.source,
            &mut self.target,
            &mut self.id,
            &mut self.env,
        ] {
            *text = text.take().filter(|text| !text.is_empty());
        }
        let spec = match self.kind {
            Kind::Bind => MountSpec::Bind(BindMount {
                target: self.target.take().unwrap_or_default(),
                source: self.source.take(),
                from: self.from.take(),
                read_write: self.read_only == Some(false),
            }),
            Kind::Cache => MountSpec::Cache(self.cache()),
            Kind::Tmpfs => MountSpec::Tmpfs(TmpfsMount {
                target: self.target.take().unwrap_or_default(),
                size: self.size.take(),
                read_only: self.read_only.unwrap_or(false),
            }),
            Kind::Secret => MountSpec::Secret(self.secret(unfinished)?),
            Kind::Ssh => MountSpec::Ssh(self.ssh()),
        };
        match self.leftover() {
            Some(key) if !unfinished => Err(MountError::ForeignKey {
                key: key.to_owned(),
                kind: self.kind.name(),
            }),
            _ => Ok(spec),
        }
    }

    fn cache(&mut self) -> CacheMount {
        CacheMount {
            id: self.id.take(),
            target: self.target.take().unwrap_or_default(),
            read_only: self.read_only.unwrap_or(false),
            sharing: self.sharing.take().unwrap_or_default(),
            from: self.from.take(),
            source: self.source.take(),
            mode: self.mode.take(),
            uid: self.uid.take(),
            gid: self.gid.take(),
        }
    }

    fn secret(&mut self, unfinished: bool) -> Result<SecretMount, MountError> {
        let target = self.target.take();
        Ok(SecretMount {
            id: secret_id(
                self.id.take(),
                self.source.take(),
                target.as_deref(),
                unfinished,
            )?,
            target,
            env: self.env.take(),
            required: self.required.take().unwrap_or(false),
            mode: self.mode.take(),
            uid: self.uid.take(),
            gid: self.gid.take(),
        })
    }

    fn ssh(&mut self) -> SshMount {
        SshMount {
            id: self.id.take(),
            target: self.target.take(),
            required: self.required.take().unwrap_or(false),
            mode: self.mode.take(),
            uid: self.uid.take(),
            gid: self.gid.take(),
        }
    }

    /// An option that the type did not take. An `id` is suffered everywhere, as BuildKit does.
    fn leftover(&self) -> Option<&'static str> {
        let checks = [
            ("from", self.from.is_some()),
            ("source", self.source.is_some()),
            ("sharing", self.sharing.is_some()),
            ("required", self.required.is_some()),
            ("size", self.size.is_some()),
            ("mode", self.mode.is_some()),
            ("uid", self.uid.is_some()),
            ("gid", self.gid.is_some()),
            ("env", self.env.is_some()),
        ];
        checks
            .into_iter()
            .find(|(_, present)| *present)
            .map(|(key, _)| key)
    }
}

/// Which secret: its id or source, else the last part of the target.
fn secret_id(
    id: Option<String>,
    source: Option<String>,
    target: Option<&str>,
    unfinished: bool,
) -> Result<String, MountError> {
    match (source, id) {
        (Some(_), Some(_)) => Err(MountError::SourceAndId),
        (Some(name), None) | (None, Some(name)) => Ok(name),
        (None, None) => {
            match target.and_then(|target| target.trim_end_matches('/').rsplit('/').next()) {
                Some(name) if !name.is_empty() => Ok(name.to_owned()),
                _ if unfinished => Ok(String::new()),
                _ => Err(MountError::SecretWithoutName),
            }
        }
    }
}

fn sharing(value: &str) -> Result<CacheSharing, MountError> {
    match value.to_lowercase().as_str() {
        "shared" => Ok(CacheSharing::Shared),
        "private" => Ok(CacheSharing::Private),
        "locked" => Ok(CacheSharing::Locked),
        _ => Err(MountError::UnknownSharing {
            value: value.to_owned(),
        }),
    }
}
