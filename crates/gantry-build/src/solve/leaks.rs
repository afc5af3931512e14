//! Nothing of a secret may be in the image: looked for when all steps are done, whether they ran
//! now or long ago.

use std::collections::BTreeMap;
use std::sync::Arc;

use gantry_model::image::{History, ImageConfig};

use super::Solver;
use crate::cache::{Key, Layer};
use crate::error::{BuildError, StepError};
use crate::graph::{Fields, Mount, NodeId, Operation, RunOperation};
use crate::secrets::SecretValue;
use crate::secrets::leaks::Search;

/// Values by id and request.
type Secrets = BTreeMap<(String, usize), Arc<SecretValue>>;

fn pairs(secrets: &Secrets) -> impl Iterator<Item = (&str, &SecretValue)> {
    secrets
        .iter()
        .map(|((id, _), value)| (id.as_str(), &**value))
}

impl Solver<'_> {
    /// Fails when a secret that a step of `target` may borrow is in one of its new layers or in the
    /// configuration.
    pub(crate) fn search_leaks(
        &self,
        target: NodeId,
        config: &ImageConfig,
        history: &[History],
    ) -> Result<(), BuildError> {
        let Some(search) = &self.search else {
            return Ok(());
        };
        let texts = [serde_json::to_vec(config), serde_json::to_vec(history)];
        for (text, place) in texts.into_iter().zip(["configuration", "history"]) {
            let text = text.expect("a configuration is JSON");
            if let Some(id) = search.in_text(&text) {
                let (id, place) = (id.to_owned(), format!("the {place} of the image"));
                return Err(self.error(target, StepError::Leaked { id, place }));
            }
        }
        for layer in self
            .layers(target)
            .iter()
            .filter(|own| own.created.is_some())
        {
            let searched = self.search_layer(layer, search);
            searched.map_err(|error| self.error(self.maker(target, layer), error))?;
        }
        Ok(())
    }

    /// What nothing of may be in the images; `None` where no needed step borrows anything.
    pub(super) fn search_for(&self, needed: &[NodeId]) -> Result<Option<Search>, BuildError> {
        Ok(Search::new(pairs(&self.lent_secrets(needed)?)))
    }

    /// Fails when a step left a secret that it borrowed in its layer: such a layer is never
    /// recorded, so that no later build, which may not know the secret, gets it from the cache.
    pub(super) fn search_step(
        &self,
        operation: &RunOperation,
        layer: &Layer,
    ) -> Result<(), StepError> {
        let borrows = |mount: &Mount| matches!(mount, Mount::Secret(_));
        match &self.search {
            Some(search) if operation.mounts.iter().any(borrows) => {
                self.search_layer(layer, search)
            }
            _ => Ok(()),
        }
    }

    /// The secrets that any step mounts and the client gave.
    fn lent_secrets(&self, needed: &[NodeId]) -> Result<Secrets, BuildError> {
        let mut secrets = Secrets::new();
        for &node in needed {
            if let Operation::Run(run) = &self.graph.node(node).operation {
                let borrowed = self.borrowed(node, run);
                secrets.extend(borrowed.map_err(|error| self.error(node, error))?);
            }
        }
        Ok(secrets)
    }

    fn borrowed(&self, node: NodeId, operation: &RunOperation) -> Result<Secrets, StepError> {
        let request = self.graph.node(node).label.request;
        let mut secrets = Secrets::new();
        for mount in &operation.mounts {
            if let Mount::Secret(secret) = mount {
                let value = self.origin(node).secrets.value(&secret.id)?;
                secrets.extend(value.map(|value| ((secret.id.clone(), request), value)));
            }
        }
        Ok(secrets)
    }

    /// A layer that was clean of the same secrets before is not read again.
    fn search_layer(&self, layer: &Layer, search: &Search) -> Result<(), StepError> {
        let mut fields = Fields::new("leaks");
        fields.bytes(&search.digest).bytes(layer.diff_id.as_bytes());
        let key = Key(fields.finish());
        if self.cache.is_clean(&key)? {
            return Ok(());
        }
        for folder in self.setting.store.layers().lowers(&[layer.diff_id])? {
            let found = search.in_folder(&folder, &self.stop);
            if let Some(leak) = found.map_err(|source| StepError::io("search", &folder, source))? {
                return Err(StepError::Leaked {
                    id: leak.id,
                    place: format!("{} of its layer", leak.path.display()),
                });
            }
        }
        self.cache.note_clean(&key, layer)
    }

    /// The step that made a layer.
    fn maker(&self, target: NodeId, layer: &Layer) -> NodeId {
        let made = |node: &NodeId| {
            let last = self.layers(*node).last();
            last.is_some_and(|last| last.diff_id == layer.diff_id)
        };
        let needed = self.graph.needed(&[target]);
        needed.into_iter().find(made).unwrap_or(target)
    }
}
