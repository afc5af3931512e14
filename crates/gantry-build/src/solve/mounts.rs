//! Cache mounts: which ones the steps use, and what an imported cache has of them.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::sync::PoisonError;

use super::Solver;
use super::step::diff_ids;
use crate::cache_mounts::{CacheMounts, UsedCacheMount};
use crate::collect::mounts;
use crate::error::StepError;
use crate::graph::{CacheMount, Mount, NodeId, Operation};
use crate::ops::run;

impl Solver<'_> {
    /// Notes the folder that a step has for a cache mount. One that is not there yet is filled with
    /// the files that a cache from elsewhere has for it.
    pub(super) fn mount(
        &self,
        id: NodeId,
        mount: &CacheMount,
        name: &str,
        folder: &Path,
    ) -> Result<(), StepError> {
        let known = || {
            self.cache_folders
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        known()
            .entry(name.to_owned())
            .or_insert_with(|| folder.to_owned());
        let Some(borrowed) = self.borrowed else {
            return Ok(());
        };
        // One after the other: who wants the same one then finds it.
        let _turn = self.filling.lock().unwrap_or_else(PoisonError::into_inner);
        if folder.exists() {
            return Ok(());
        }
        // In the store nobody takes it for a cache, and a collection finds what was left.
        let draft = self.setting.store.layers().draft()?;
        let upper = draft.upper();
        fs::set_permissions(upper, Permissions::from_mode(mount.mode))
            .and_then(|()| chown(upper, Some(mount.uid), Some(mount.gid)))
            .map_err(|source| StepError::io("prepare", upper, source))?;
        match borrowed.fill(name, upper) {
            Ok(Some(bytes)) => {
                mounts::settle(upper, folder)
                    .map_err(|source| StepError::io("prepare the cache", folder, source))?;
                if let Some(vertex) = self.vertex(id) {
                    let text = format!("importing cache mount {}", mount.id);
                    self.reporter.bytes(vertex, &text, bytes, Some(bytes), true);
                }
            }
            Ok(None) => {}
            Err(error) => {
                let text = format!(
                    "the cache mount {} begins anew, since the imported one is of no use: {error}",
                    mount.id
                );
                self.reporter.warning(&text, None);
            }
        }
        Ok(())
    }

    /// The cache mounts of all steps that were looked up or ran, in the order of their names.
    pub(crate) fn cache_mounts(mut self) -> CacheMounts {
        let folders = self
            .cache_folders
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let root = mounts::root(&self.setting.root);
        let mut used = BTreeMap::new();
        for (number, account) in self.accounts.iter().enumerate() {
            let id = NodeId(number);
            let Operation::Run(operation) = &self.graph.node(id).operation else {
                continue;
            };
            if account.get().is_none() {
                continue;
            }
            let count = self.graph.node(id).inputs.len();
            let inputs: Vec<_> = (0..count)
                .map(|number| diff_ids(self.input(id, number)))
                .collect();
            for mount in &operation.mounts {
                let Mount::Cache(cache) = mount else { continue };
                let name = run::cache_name(cache, &inputs);
                let folder = folders.get(&name);
                let folder = folder.map_or_else(|| root.join(&name), Clone::clone);
                used.entry(name.clone()).or_insert_with(|| UsedCacheMount {
                    name,
                    id: cache.id.clone(),
                    sharing: cache.sharing.word(),
                    uid: cache.uid,
                    gid: cache.gid,
                    mode: cache.mode,
                    folder,
                });
            }
        }
        drop(folders);
        CacheMounts {
            used: used.into_values().collect(),
            search: self.search.take(),
        }
    }
}
