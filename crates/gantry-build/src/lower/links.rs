//! Names that stand for what other subjects of the same graph make.

use gantry_model::image::{History, ImageConfig};

use super::stage::StageState;
use super::{Lowered, Lowering, Named, Subject};
use crate::error::BuildError;
use crate::graph::NodeId;

/// What another subject makes, as far as a Dockerfile can build on it.
#[derive(Debug, Clone)]
pub(super) struct Linked {
    /// Its root file system.
    pub(super) rootfs: NodeId,
    config: ImageConfig,
    history: Vec<History>,
}

impl Linked {
    pub(super) fn of(lowered: &Lowered) -> Self {
        Self {
            rootfs: lowered.target,
            config: lowered.config.clone(),
            history: lowered.history.clone(),
        }
    }
}

/// The numbers of the subjects, each behind those that it links to.
pub(super) fn order(subjects: &[Subject<'_>]) -> Result<Vec<usize>, BuildError> {
    let mut order = Vec::with_capacity(subjects.len());
    while order.len() < subjects.len() {
        let before = order.len();
        for (number, subject) in subjects.iter().enumerate() {
            let ready = links(subject).all(|link| order.contains(&link));
            if !order.contains(&number) && ready {
                order.push(number);
            }
        }
        if order.len() == before {
            let stuck = subjects.iter().enumerate();
            let stuck = stuck.filter(|(number, _)| !order.contains(number));
            let names = stuck.filter_map(|(_, subject)| subject.settings.title.clone());
            return Err(BuildError::Argument {
                name: "build context",
                value: names.collect::<Vec<_>>().join(", "),
                wanted: "a target that does not depend on itself",
            });
        }
    }
    Ok(order)
}

/// The subjects that the names of a subject stand for.
pub(super) fn links(subject: &Subject<'_>) -> impl Iterator<Item = usize> {
    let named = subject.settings.named.values();
    named.filter_map(|named| match named {
        Named::Target(subject) => Some(*subject),
        _ => None,
    })
}

impl Lowering<'_> {
    /// What the subject of that number makes; it was lowered before.
    pub(super) fn linked(&self, subject: usize) -> &Linked {
        self.linked
            .get(&subject)
            .expect("subjects are lowered behind those that they link to")
    }

    /// A stage on what another subject makes.
    pub(super) fn linked_state(&mut self, index: usize, subject: usize) -> StageState {
        let Linked {
            rootfs,
            config,
            history,
        } = self.linked(subject).clone();
        let config = ImageConfig { history, ..config };
        let name = self.bases[index].written.clone();
        let environment = super::stage::environment(&config);
        self.environments.insert(name, environment);
        let platform = self.platform(index).clone();
        Self::begin(index, platform, config, rootfs)
    }
}
