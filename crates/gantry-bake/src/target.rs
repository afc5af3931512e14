//! A build target: what `docker build` would be told for it.

pub(crate) mod decode;
mod entry;
mod outputs;
pub(crate) mod overrides;
pub(crate) mod schema;
mod show;

use std::collections::BTreeMap;

pub(crate) use entry::Entry;
pub use entry::{Attest, CacheEntry, Output, Secret, Ssh};

/// Texts by name; those that are null are left to the Dockerfile.
pub type Texts = BTreeMap<String, Option<String>>;

/// A target (Bake reference, "Target"). What is `None` was not said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target {
    /// For people.
    pub description: String,
    /// Targets whose attributes this one begins with; empty once they are taken over.
    pub inherits: Vec<String>,
    /// `[TYPE[PLATFORM]:]KEY=VALUE`
    pub annotations: Option<Vec<String>>,
    /// Attestations.
    pub attest: Option<Vec<Attest>>,
    /// Folder or URL of the context; `cwd://…` is in the folder of the command.
    pub context: Option<String>,
    /// Named contexts.
    pub contexts: BTreeMap<String, String>,
    /// The Dockerfile, relative to the context.
    pub dockerfile: Option<String>,
    /// The text of the Dockerfile.
    pub dockerfile_inline: Option<String>,
    /// Build arguments.
    pub args: Texts,
    /// Labels of the image.
    pub labels: Texts,
    /// Names of the image.
    pub tags: Option<Vec<String>>,
    /// Where cache is taken from.
    pub cache_from: Option<Vec<CacheEntry>>,
    /// Where cache is left.
    pub cache_to: Option<Vec<CacheEntry>>,
    /// The stage to build.
    pub target: Option<String>,
    /// Secrets for `RUN`.
    pub secrets: Option<Vec<Secret>>,
    /// SSH agents for `RUN`.
    pub ssh: Option<Vec<Ssh>>,
    /// Platforms to build for.
    pub platforms: Option<Vec<String>>,
    /// What is made of the result.
    pub outputs: Option<Vec<Output>>,
    /// Whether base images are looked for again.
    pub pull: Option<bool>,
    /// Whether every step is run again.
    pub no_cache: Option<bool>,
    /// Network of `RUN` steps.
    pub network: Option<String>,
    /// Stages whose steps are run again.
    pub no_cache_filter: Option<Vec<String>>,
    /// Size of `/dev/shm` in `RUN` steps.
    pub shm_size: Option<String>,
    /// Limits of `RUN` steps.
    pub ulimits: Option<Vec<String>>,
    /// What is asked of the front end instead of a build.
    pub call: Option<String>,
    /// What `RUN` steps may do beyond the usual.
    pub entitlements: Option<Vec<String>>,
    /// Further lines of `/etc/hosts` in `RUN` steps.
    pub extra_hosts: Texts,
    /// Whether it is only built because another target's context names it.
    pub linked: bool,
    /// What `--set` said of it and of the targets that it inherits from, and nothing else.
    pub set: Option<Box<Target>>,
}

impl Target {
    /// Takes over what `other` says: lists that add up are continued, everything else is replaced.
    pub(crate) fn merge(&mut self, other: Self) {
        replace(&mut self.context, other.context);
        replace(&mut self.dockerfile, other.dockerfile);
        replace(&mut self.dockerfile_inline, other.dockerfile_inline);
        replace(&mut self.tags, other.tags);
        replace(&mut self.target, other.target);
        replace(&mut self.call, other.call);
        replace(&mut self.platforms, other.platforms);
        replace(&mut self.cache_to, other.cache_to);
        replace(&mut self.outputs, other.outputs);
        replace(&mut self.pull, other.pull);
        replace(&mut self.no_cache, other.no_cache);
        replace(&mut self.network, other.network);
        replace(&mut self.shm_size, other.shm_size);
        append(&mut self.annotations, other.annotations);
        append(&mut self.attest, other.attest);
        append(&mut self.secrets, other.secrets);
        append(&mut self.ssh, other.ssh);
        append(&mut self.cache_from, other.cache_from);
        append(&mut self.no_cache_filter, other.no_cache_filter);
        append(&mut self.ulimits, other.ulimits);
        append(&mut self.entitlements, other.entitlements);
        extend(&mut self.args, other.args);
        extend(&mut self.labels, other.labels);
        extend(&mut self.extra_hosts, other.extra_hosts);
        self.contexts.extend(other.contexts);
        if let Some(set) = other.set {
            self.set.get_or_insert_default().merge(*set);
        }
        self.inherits.extend(other.inherits);
        if !other.description.is_empty() {
            self.description = other.description;
        }
    }

    /// Takes away what is there twice or empty.
    pub(crate) fn normalize(&mut self) {
        for texts in [
            &mut self.annotations,
            &mut self.tags,
            &mut self.platforms,
            &mut self.no_cache_filter,
            &mut self.ulimits,
        ] {
            each_once(texts);
            if let Some(texts) = texts {
                texts.retain(|text| !text.is_empty());
            }
        }
        each_once(&mut self.cache_from);
        each_once(&mut self.cache_to);
        each_once(&mut self.outputs);
        each_once(&mut self.secrets);
        each_once(&mut self.ssh);
        if let Some(attest) = &mut self.attest {
            *attest = entry::last_of_each_type(std::mem::take(attest));
        }
        if self.network.as_deref() == Some("host") {
            append(
                &mut self.entitlements,
                Some(vec!["network.host".to_owned()]),
            );
        }
        each_once(&mut self.entitlements);
        self.contexts.retain(|_, context| !context.is_empty());
    }
}

/// The entries that texts spell.
pub(crate) fn parse_entries<T: Entry>(texts: &[String]) -> Result<Vec<T>, String> {
    let mut all = Vec::new();
    for text in texts.iter().filter(|text| !text.is_empty()) {
        all.extend(T::parse(text)?);
    }
    Ok(all)
}

fn replace<T>(old: &mut Option<T>, new: Option<T>) {
    if new.is_some() {
        *old = new;
    }
}

fn append<T>(old: &mut Option<Vec<T>>, new: Option<Vec<T>>) {
    if let Some(new) = new {
        old.get_or_insert_default().extend(new);
    }
}

fn extend(old: &mut Texts, new: Texts) {
    old.extend(new.into_iter().filter(|(_, text)| text.is_some()));
}

fn each_once<T: PartialEq>(items: &mut Option<Vec<T>>) {
    if let Some(items) = items {
        let mut kept: Vec<T> = Vec::with_capacity(items.len());
        for item in std::mem::take(items) {
            if !kept.contains(&item) {
                kept.push(item);
            }
        }
        *items = kept;
    }
}
