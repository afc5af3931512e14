//! The mounts of a `RUN`.

use gantry_dockerfile::ast::{self, MountSpec};

use super::named::Origin;
use super::stage::{Place, StageState};
use super::steps::absolute;
use super::{Lowering, Stop};
use crate::graph::{
    BindMount, CacheMount, CacheSharing, CacheStart, ContextId, Mount, NodeId, SecretMount,
    SshMount,
};
use crate::tree::clean;

impl Lowering<'_> {
    /// The mounts of a step, targets made absolute; what they show is added to its `inputs`.
    pub(super) fn mounts(
        &mut self,
        state: &StageState,
        written: &[ast::Mount],
        inputs: &mut Vec<NodeId>,
        place: &Place<'_>,
    ) -> Result<Vec<Mount>, Stop> {
        let directory = absolute(&state.config.config.working_dir, "/");
        let target = |path: &str| clean(&absolute(path, &directory));
        let below_root = |path: &str, mount: &ast::Mount| match target(path) {
            path if path == "/" => Err(place.error_at(
                mount.text.span,
                "invalid mount target \"/\": it is the root file system",
            )),
            path => Ok(path),
        };
        let mut mounts = Vec::new();
        let mut agents = 0;
        for mount in written {
            mounts.push(match &mount.spec {
                MountSpec::Tmpfs(tmpfs) => Mount::Tmpfs {
                    target: below_root(&tmpfs.target, mount)?,
                    size: tmpfs.size.filter(|size| *size > 0),
                    read_only: tmpfs.read_only,
                },
                MountSpec::Cache(cache) => {
                    let target = below_root(&cache.target, mount)?;
                    let start = self.start_of(state, mount, cache, inputs, place)?;
                    cache_mount(cache, target, start)
                }
                MountSpec::Bind(bind) => {
                    let (node, source) = self.bound(
                        state,
                        mount,
                        bind.from.as_deref(),
                        bind.source.as_deref(),
                        place,
                    )?;
                    inputs.push(node);
                    Mount::Bind(BindMount {
                        input: inputs.len() - 1,
                        source,
                        target: below_root(&bind.target, mount)?,
                        read_write: bind.read_write,
                    })
                }
                MountSpec::Secret(secret) => secret_mount(secret, target),
                MountSpec::Ssh(ssh) => {
                    let usual = format!("/run/buildkit/ssh_agent.{agents}");
                    agents += 1;
                    Mount::Ssh(SshMount {
                        id: ssh.id.clone().unwrap_or_else(|| "default".to_owned()),
                        target: ssh.target.as_deref().map_or(usual, target),
                        required: ssh.required,
                        mode: ssh.mode.unwrap_or(0o600),
                        uid: ssh.uid.unwrap_or(0),
                        gid: ssh.gid.unwrap_or(0),
                    })
                }
            });
        }
        Ok(mounts)
    }

    /// What a cache begins with.
    fn start_of(
        &mut self,
        state: &StageState,
        mount: &ast::Mount,
        cache: &ast::CacheMount,
        inputs: &mut Vec<NodeId>,
        place: &Place<'_>,
    ) -> Result<Option<CacheStart>, Stop> {
        let refused = |message| Err(place.unsupported(mount.text.span, message));
        if cache.from.is_none() {
            return match cache.source {
                Some(_) => {
                    refused("RUN --mount=type=cache with source but no from is not supported")
                }
                None => Ok(None),
            };
        }
        if cache.mode.is_some() || cache.uid.is_some() || cache.gid.is_some() {
            return refused(
                "RUN --mount=type=cache with from and mode, uid or gid is not supported: the \
                 folder has those of its source",
            );
        }
        let (from, source) = (cache.from.as_deref(), cache.source.as_deref());
        let (node, source) = self.bound(state, mount, from, source, place)?;
        inputs.push(node);
        Ok(Some(CacheStart {
            input: inputs.len() - 1,
            source,
        }))
    }

    /// Files of a context, to be shown.
    fn bound_files(
        &mut self,
        state: &StageState,
        context: ContextId,
        source: &str,
        name: &str,
        place: &Place<'_>,
    ) -> NodeId {
        let platform = &self.settings.target_platform;
        let label = self.label_before(state.index, name, platform, place.of());
        self.rootfs_of(context, source, label)
    }

    /// What a mount shows of `from`, of the build context without, and where in it.
    fn bound(
        &mut self,
        state: &StageState,
        mount: &ast::Mount,
        from: Option<&str>,
        source: Option<&str>,
        place: &Place<'_>,
    ) -> Result<(NodeId, String), Stop> {
        let source = clean(source.unwrap_or("/"));
        if let Some(from) = from {
            let span = mount.text.span;
            let node = match self.origin(state, from, span, place)? {
                Origin::Files(context) => {
                    let name = format!("[context {from}] bind {source}");
                    self.bound_files(state, context, &source, &name, place)
                }
                origin => self.origin_node(state, origin, span, place)?,
            };
            return Ok((node, source));
        }
        let name = format!("[internal] bind {source} of the build context");
        let context = self.settings.context;
        let node = self.bound_files(state, context, &source, &name, place);
        Ok((node, source))
    }
}

fn cache_mount(cache: &ast::CacheMount, target: String, start: Option<CacheStart>) -> Mount {
    Mount::Cache(CacheMount {
        id: cache.id.clone().unwrap_or_else(|| target.clone()),
        target,
        read_only: cache.read_only,
        sharing: match cache.sharing {
            ast::CacheSharing::Shared => CacheSharing::Shared,
            ast::CacheSharing::Private => CacheSharing::Private,
            ast::CacheSharing::Locked => CacheSharing::Locked,
        },
        mode: cache.mode.unwrap_or(0o755),
        uid: cache.uid.unwrap_or(0),
        gid: cache.gid.unwrap_or(0),
        start,
    })
}

fn secret_mount(secret: &ast::SecretMount, target: impl Fn(&str) -> String) -> Mount {
    let usual = || {
        secret
            .env
            .is_none()
            .then(|| format!("/run/secrets/{}", secret.id))
    };
    Mount::Secret(SecretMount {
        id: secret.id.clone(),
        target: secret.target.as_deref().map(target).or_else(usual),
        env: secret.env.clone(),
        required: secret.required,
        mode: secret.mode.unwrap_or(0o400),
        uid: secret.uid.unwrap_or(0),
        gid: secret.gid.unwrap_or(0),
    })
}
