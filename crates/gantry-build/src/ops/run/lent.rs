//! What is lent to a step: files of other root file systems, secrets, agents.

use std::path::{Path, PathBuf};

use gantry_model::Digest;
use gantry_store::LayerDraft;

use super::super::view;
use crate::error::StepError;
use crate::graph::{BindMount, Mount, RunOperation, SecretMount, SshMount};
use crate::run_step::place::{Agent, Owner, PrivateFile, View};
use crate::setting::{Origin, Setting};

/// What the helper lays out for a step, and what the builder keeps for it as long as it runs.
#[derive(Debug, Default)]
pub(super) struct Lent {
    pub(super) views: Vec<View>,
    pub(super) files: Vec<PrivateFile>,
    pub(super) agents: Vec<Agent>,
    /// Variables, `NAME=value`.
    pub(super) environment: Vec<String>,
    /// Where each mount of the operation is laid out; `None` for those of other kinds, and for
    /// those that the client gave nothing for.
    pub(super) sources: Vec<Option<PathBuf>>,
    /// What steps write into bind mounts, thrown away in the end.
    scratches: Vec<LayerDraft>,
}

/// Prepares all that `operation` borrows; `inputs` are the layers of the step's inputs.
pub(super) fn prepare(
    setting: &Setting,
    origin: &Origin,
    operation: &RunOperation,
    inputs: &[Vec<Digest>],
    folder: &Path,
) -> Result<Lent, StepError> {
    let mut lent = Lent::default();
    for (number, mount) in operation.mounts.iter().enumerate() {
        let at = folder.join(number.to_string());
        let laid = match mount {
            Mount::Tmpfs { .. } | Mount::Cache(_) => None,
            Mount::Bind(bind) => {
                let layers = inputs.get(bind.input).map_or(&[][..], Vec::as_slice);
                lent.bind(setting, bind, layers, at.clone())?;
                Some(at)
            }
            Mount::Secret(secret) => lent.secret(origin, secret, at)?,
            Mount::Ssh(ssh) => lent.agent(origin, ssh, at)?,
        };
        lent.sources.push(laid);
    }
    Ok(lent)
}

impl Lent {
    fn bind(
        &mut self,
        setting: &Setting,
        bind: &BindMount,
        layers: &[Digest],
        at: PathBuf,
    ) -> Result<(), StepError> {
        let empty = setting.empty();
        std::fs::create_dir_all(&empty)
            .map_err(|source| StepError::io("create", &empty, source))?;
        let root = view::open(&setting.store, layers, &empty)?;
        let there = bind.source == "/"
            || root.is_some_and(|root| {
                root.open_in_root(&bind.source, rustix::fs::OFlags::PATH, 0)
                    .is_ok()
            });
        if !there {
            return Err(StepError::NotFound {
                path: bind.source.clone(),
                ignored: false,
                similar: None,
            });
        }
        let mut lowers = view::top_first(setting.store.layers().lowers(layers)?);
        lowers.push(empty);
        let upper = if bind.read_write {
            let draft = setting.store.layers().draft()?;
            let folders = (draft.upper().to_owned(), draft.work().to_owned());
            self.scratches.push(draft);
            Some(folders)
        } else {
            None
        };
        self.views.push(View {
            lowers,
            upper,
            source: bind.source.clone(),
            at,
        });
        Ok(())
    }

    fn secret(
        &mut self,
        origin: &Origin,
        secret: &SecretMount,
        at: PathBuf,
    ) -> Result<Option<PathBuf>, StepError> {
        let Some(value) = origin.secrets.value(&secret.id)? else {
            return missing(secret.required, "secret", &secret.id, || {
                origin.spelling.secret(&secret.id)
            });
        };
        if let Some(name) = &secret.env {
            let text = std::str::from_utf8(value.expose()).ok();
            let text = text.filter(|text| !text.contains('\0'));
            let text = text.ok_or_else(|| StepError::Secret {
                id: secret.id.clone(),
                source: std::io::Error::new(
                    std::io::ErrorKind::InvalidData,
                    "it is not text, so that it cannot be a variable",
                ),
            })?;
            self.environment.push(format!("{name}={text}"));
        }
        if secret.target.is_none() {
            return Ok(None);
        }
        self.files.push(PrivateFile {
            content: (*value).clone(),
            owner: Owner {
                mode: secret.mode,
                uid: secret.uid,
                gid: secret.gid,
            },
            at: at.clone(),
        });
        Ok(Some(at))
    }

    fn agent(
        &mut self,
        origin: &Origin,
        ssh: &SshMount,
        at: PathBuf,
    ) -> Result<Option<PathBuf>, StepError> {
        // The variable tells of the first mount, also where its agent is not there, as BuildKit's.
        let is_told = |variable: &String| variable.starts_with("SSH_AUTH_SOCK=");
        if !self.environment.iter().any(is_told) {
            self.environment
                .push(format!("SSH_AUTH_SOCK={}", ssh.target));
        }
        let Some(socket) = origin.ssh.get(&ssh.id) else {
            return missing(ssh.required, "ssh agent", &ssh.id, || {
                origin.spelling.agent(&ssh.id)
            });
        };
        self.agents.push(Agent {
            socket: socket.clone(),
            owner: Owner {
                mode: ssh.mode,
                uid: ssh.uid,
                gid: ssh.gid,
            },
            at: at.clone(),
        });
        Ok(Some(at))
    }
}

/// What the client did not give fails the step only where that says so.
fn missing(
    required: bool,
    what: &'static str,
    id: &str,
    hint: impl FnOnce() -> String,
) -> Result<Option<PathBuf>, StepError> {
    if !required {
        return Ok(None);
    }
    Err(StepError::NotLent {
        what,
        id: id.to_owned(),
        hint: hint(),
    })
}
