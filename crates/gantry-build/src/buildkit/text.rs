//! The texts that BuildKit digests: JSON as Go encodes it, fields in this order, what is zero left
//! out where it says so.

use serde::Serialize;

/// JSON as Go's encoder writes it: what means something in HTML is escaped.
pub(super) fn json(value: &impl Serialize) -> Option<Vec<u8>> {
    let text = serde_json::to_string(value).ok()?;
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                escaped.push_str(&format!("\\u{:04x}", u32::from(letter)));
            }
            letter => escaped.push(letter),
        }
    }
    Some(escaped.into_bytes())
}

fn is_zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ImageText<'o> {
    pub(super) digest: String,
    #[serde(rename = "OS")]
    pub(super) os: &'o str,
    pub(super) arch: &'o str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) variant: &'o str,
}

#[derive(Serialize)]
pub(super) struct FileText<'o> {
    #[serde(rename = "Type")]
    pub(super) kind: &'static str,
    #[serde(rename = "Actions")]
    pub(super) actions: Vec<String>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(super) indexes: &'o [[i32; 3]],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MakeDirectoryAction {
    pub(super) path: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) mode: u32,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) make_parents: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) owner: Option<Ownership>,
    pub(super) timestamp: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "BuildKit's")]
pub(super) struct CopyAction {
    pub(super) src: String,
    pub(super) dest: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) owner: Option<Ownership>,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) mode: i64,
    pub(super) follow_symlink: bool,
    pub(super) dir_copy_contents: bool,
    #[serde(
        rename = "attemptUnpackDockerCompatibility",
        skip_serializing_if = "is_zero"
    )]
    pub(super) attempt_unpack: bool,
    pub(super) create_dest_path: bool,
    pub(super) allow_wildcard: bool,
    pub(super) allow_empty_wildcard: bool,
    pub(super) timestamp: i64,
    #[serde(rename = "exclude_patterns", skip_serializing_if = "Vec::is_empty")]
    pub(super) exclude_patterns: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mode_str: Option<String>,
}

#[derive(Clone, Serialize)]
pub(super) struct Ownership {
    pub(super) user: Who,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) group: Option<Who>,
}

#[derive(Clone, Serialize)]
pub(super) struct Who {
    #[serde(rename = "User")]
    user: WhoBy,
}

impl Who {
    pub(super) fn id(number: u32) -> Self {
        Self {
            user: WhoBy {
                by_name: None,
                by_id: number,
            },
        }
    }

    pub(super) fn name(name: String) -> Self {
        Self {
            user: WhoBy {
                by_name: Some(Name { name }),
                by_id: 0,
            },
        }
    }
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct WhoBy {
    #[serde(skip_serializing_if = "Option::is_none")]
    by_name: Option<Name>,
    #[serde(skip_serializing_if = "is_zero")]
    by_id: u32,
}

#[derive(Clone, Serialize)]
struct Name {
    name: String,
}

#[derive(Serialize)]
pub(super) struct ExecText<'o> {
    #[serde(rename = "Type")]
    pub(super) kind: &'static str,
    #[serde(rename = "Exec")]
    pub(super) exec: Exec<'o>,
    #[serde(rename = "OS")]
    pub(super) os: &'o str,
    #[serde(rename = "Arch")]
    pub(super) arch: &'o str,
    #[serde(rename = "Variant", skip_serializing_if = "str::is_empty")]
    pub(super) variant: &'o str,
}

#[derive(Serialize)]
pub(super) struct Exec<'o> {
    pub(super) meta: Meta<'o>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) mounts: Vec<MountText<'o>>,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) network: u8,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) secretenv: Vec<SecretVariable<'o>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Meta<'o> {
    pub(super) args: &'o [String],
    pub(super) env: Vec<String>,
    pub(super) cwd: &'o str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) user: &'o str,
    pub(super) remove_mount_stubs_recursive: bool,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MountText<'o> {
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) input: i32,
    pub(super) dest: &'o str,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) output: i32,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) readonly: bool,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) mount_type: u8,
    #[serde(rename = "TmpfsOpt", skip_serializing_if = "Option::is_none")]
    pub(super) tmpfs: Option<TmpfsOptions>,
    #[serde(rename = "cacheOpt", skip_serializing_if = "Option::is_none")]
    pub(super) cache: Option<CacheOptions>,
    #[serde(rename = "secretOpt", skip_serializing_if = "Option::is_none")]
    pub(super) secret: Option<SecretOptions<'o>>,
}

#[derive(Serialize)]
pub(super) struct TmpfsOptions {
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) size: u64,
}

#[derive(Serialize)]
pub(super) struct CacheOptions {
    #[serde(rename = "ID", skip_serializing_if = "String::is_empty")]
    pub(super) id: String,
}

#[derive(Serialize)]
pub(super) struct SecretOptions<'o> {
    #[serde(rename = "ID")]
    pub(super) id: &'o str,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) uid: u32,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) gid: u32,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) mode: u32,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) optional: bool,
}

#[derive(Serialize)]
pub(super) struct SecretVariable<'o> {
    #[serde(rename = "ID")]
    pub(super) id: &'o str,
    pub(super) name: &'o str,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) optional: bool,
}
