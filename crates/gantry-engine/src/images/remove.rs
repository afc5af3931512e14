//! Removing names, and images with their last name.

use gantry_model::{Digest, Platform, Reference};
use gantry_store::{CollectPolicy, ImageNames, RepoDigest};

use super::{ImageError, Images};
use crate::roots::{ContainerUse, Uses};

/// How to remove.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RemoveOptions {
    /// Also when a stopped container uses it, or when it has several names.
    pub force: bool,
}

/// What was removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removed {
    /// Names that are gone, as people write them.
    pub untagged: Vec<String>,
    /// The image and then the layers that are gone.
    pub deleted: Vec<Digest>,
    /// Bytes of disk set free.
    pub bytes: u64,
}

/// What a removal comes to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Plan {
    tags: Vec<Reference>,
    digests: Vec<RepoDigest>,
    image: bool,
}

/// Docker's rules: a name goes alone while the image has others; with its last name the image
/// goes, unless a container needs it; an id takes all names of one repository.
///
/// `whole` is the image itself and those that go with it: the other platforms of its index.
fn plan(
    image: &ImageNames,
    whole: &[Digest],
    name: &str,
    uses: &Uses,
    force: bool,
) -> Result<Plan, ImageError> {
    let needs = |used: &&ContainerUse| whole.iter().any(|id| used.needs(id));
    let mut used = uses.known.iter().filter(needs);
    let running = uses.known.iter().filter(needs).find(|used| used.running);
    let short = image.id.short();
    let repositories = || {
        let tags = image.tags.iter().map(Reference::name);
        tags.chain(image.digests.iter().map(|d| d.repository.clone()))
    };
    let first = repositories().next();
    let single =
        image.tags.len() <= 1 && repositories().all(|repository| Some(repository) == first);
    let all = || Plan {
        tags: image.tags.clone(),
        digests: image.digests.clone(),
        // A container that cannot be read may stand on it: then it stays, without a name.
        image: !uses.unknown,
    };

    if is_id(&image.id, name) {
        if let Some(container) = running {
            let container = container.id.short().to_owned();
            return Err(ImageError::UsedByRunning {
                id: short,
                container,
            });
        }
        if !force && let Some(container) = used.next() {
            let container = container.id.short().to_owned();
            return Err(ImageError::UsedByStopped {
                id: short,
                container,
            });
        }
        if !force && !single {
            return Err(ImageError::SeveralNames { id: short });
        }
        return Ok(all());
    }

    let reference: Reference = name.parse()?;
    if single
        && !force
        && let Some(container) = used.next()
    {
        return Err(ImageError::NameUsed {
            name: name.to_owned(),
            container: container.id.short().to_owned(),
            id: short,
        });
    }
    let mut plan = names_of(image, &reference);
    let left = image.tags.len() + image.digests.len() > plan.tags.len() + plan.digests.len();
    // What a running container stands on stays, without a name.
    plan.image = !left && running.is_none() && !uses.unknown;
    Ok(plan)
}

/// The name itself, and with the last tag of a repository the digests there.
fn names_of(image: &ImageNames, reference: &Reference) -> Plan {
    let mut plan = Plan::default();
    if let Some(digest) = reference.digest() {
        let named = |d: &&RepoDigest| d.repository == reference.name() && d.digest == *digest;
        plan.digests = image.digests.iter().filter(named).cloned().collect();
        return plan;
    }
    plan.tags.push(reference.clone());
    let others = image
        .tags
        .iter()
        .any(|t| t != reference && t.name() == reference.name());
    if !others {
        let same = |d: &&RepoDigest| d.repository == reference.name();
        plan.digests = image.digests.iter().filter(same).cloned().collect();
    }
    plan
}

fn is_id(id: &Digest, name: &str) -> bool {
    let hex = name.strip_prefix("sha256:").unwrap_or(name);
    !hex.is_empty() && id.hex().starts_with(&hex.to_ascii_lowercase())
}

impl Images<'_> {
    /// Removes a name, and with its last name the image.
    ///
    /// # Errors
    /// [`ImageError::NotFound`], and the conflicts with containers and further names.
    pub fn remove(&self, name: &str, options: RemoveOptions) -> Result<Removed, ImageError> {
        let id = self.id(name)?;
        let store = self.store()?;
        // Its names are all that counts: so a damaged one can be removed, too.
        let image = store.images().names(&id)?;
        // `1234` may be the beginning of an id as well as a name: a name goes first.
        let by_name = name
            .parse()
            .ok()
            .map(|r: Reference| store.images().find(&r))
            .transpose()?;
        let written = match by_name {
            Some(Some(_)) => name.to_owned(),
            _ => id.to_string(),
        };
        let uses = self.engine.container_uses()?;
        let whole = self.whole_of(&image, &written)?;
        let plan = plan(&image, &whole, &written, &uses, options.force)?;
        let mut removed = Removed::default();
        for tag in &plan.tags {
            store.images().untag(tag)?;
            self.tell("untag", &id.to_string(), &id.to_string());
            removed.untagged.push(tag.familiar());
        }
        for digest in &plan.digests {
            store
                .images()
                .remove_digest(&digest.repository, &digest.digest)?;
            if let Ok(name) = digest.repository.parse::<Reference>() {
                removed
                    .untagged
                    .push(name.with_digest(digest.digest).familiar());
            }
        }
        for one in whole {
            let goes = if one == id {
                plan.image
            } else {
                self.is_left_over(&one, &uses, options.force)?
            };
            if goes {
                self.delete(&one, &mut removed)?;
            }
        }
        self.clear(&mut removed)?;
        Ok(removed)
    }

    /// Removes the image of one platform from a name that has several; the image of a name that
    /// has it alone goes as with [`Images::remove`].
    ///
    /// # Errors
    /// As with [`Images::id_for`], and the conflicts with containers.
    pub fn remove_platform(
        &self,
        name: &str,
        platform: &Platform,
        options: RemoveOptions,
    ) -> Result<Removed, ImageError> {
        let id = self.id_for(name, Some(platform))?;
        let index = match self.index(name)? {
            Some(index) if index.members.len() > 1 => index,
            _ => return self.remove(name, options),
        };
        let uses = self.engine.container_uses()?;
        let user = uses.known.iter().find(|used| used.needs(&id));
        if let Some(user) = user.filter(|user| user.running || !options.force) {
            let (id, container) = (id.short(), user.id.short().to_owned());
            return Err(match user.running {
                true => ImageError::UsedByRunning { id, container },
                false => ImageError::UsedByStopped { id, container },
            });
        }
        let images = self.store()?.images();
        let mut removed = Removed::default();
        images.leave_index(&id, &index.digest)?;
        // Whatever else is known by the name of the whole is not that any more.
        if self.is_left_over(&id, &uses, options.force)? {
            self.delete(&id, &mut removed)?;
        }
        self.clear(&mut removed)?;
        Ok(removed)
    }

    /// An image and those that go with its name.
    fn whole_of(&self, image: &ImageNames, name: &str) -> Result<Vec<Digest>, ImageError> {
        let mut whole = vec![image.id];
        let indexes = if is_id(&image.id, name) {
            // The id of a member that has no name of its own means that one.
            let named = !image.tags.is_empty() || !image.digests.is_empty();
            image.indexes.iter().filter(|_| named).copied().collect()
        } else {
            self.index(name)?
                .map(|index| index.digest)
                .into_iter()
                .collect::<Vec<_>>()
        };
        for index in indexes {
            let index = self.store()?.images().index(&index)?;
            for member in index.iter().flat_map(|index| &index.members) {
                if !whole.contains(&member.image) {
                    whole.push(member.image);
                }
            }
        }
        Ok(whole)
    }

    /// Whether an image has no name any more and nobody who needs it.
    fn is_left_over(&self, id: &Digest, uses: &Uses, force: bool) -> Result<bool, ImageError> {
        let names = self.store()?.images().names(id)?;
        let needed = uses
            .known
            .iter()
            .any(|used| used.needs(id) && (used.running || !force));
        let named =
            !names.tags.is_empty() || !names.digests.is_empty() || !names.indexes.is_empty();
        Ok(!named && !needed && !uses.unknown)
    }

    fn delete(&self, id: &Digest, removed: &mut Removed) -> Result<(), ImageError> {
        self.store()?.images().remove(id)?;
        self.tell("delete", &id.to_string(), &id.to_string());
        removed.deleted.push(*id);
        Ok(())
    }

    /// Takes away what nobody needs any more, if anything was deleted.
    fn clear(&self, removed: &mut Removed) -> Result<(), ImageError> {
        if !removed.deleted.is_empty() {
            let store = self.store()?;
            let collected = store.collect(&self.engine.roots()?, &CollectPolicy::default())?;
            removed.deleted.extend(collected.layers);
            removed.bytes = collected.bytes;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::names as image;
    use super::*;
    use crate::roots::ContainerUse;
    use gantry_model::ContainerId;

    fn used(running: bool) -> ContainerUse {
        ContainerUse {
            id: ContainerId::from_random([9; 32]),
            name: "c".to_owned(),
            image_id: Digest::from_bytes([7; 32]),
            mounted_images: vec![],
            layers: Vec::new(),
            image_name: String::new(),
            running,
        }
    }

    fn said(image: &ImageNames, name: &str, uses: &[ContainerUse], force: bool) -> String {
        let uses = Uses {
            known: uses.to_vec(),
            unknown: false,
        };
        match plan(image, &[image.id], name, &uses, force) {
            Ok(plan) => format!("{} {} {}", plan.tags.len(), plan.digests.len(), plan.image),
            Err(error) => error
                .to_string()
                .split(" - ")
                .next()
                .unwrap()
                .replace('"', ""),
        }
    }

    #[test]
    fn names_and_ids_as_docker_removes_them() {
        let one = image(&["a:1"], &["docker.io/library/a"]);
        let two = image(&["a:1", "a:2"], &["docker.io/library/a"]);
        let wide = image(&["a:1", "b:1"], &[]);
        let bare = image(&[], &[]);
        let (idle, busy) = ([used(false)], [used(true)]);
        for (image, name, uses, force, want) in [
            (&one, "a:1", &[][..], false, "1 1 true"),
            (&two, "a:1", &[], false, "1 0 false"),
            (
                &two,
                "0707",
                &[],
                false,
                "conflict: unable to delete 070707070707 (must be forced)",
            ),
            (&two, "0707", &[], true, "2 1 true"),
            (&one, "0707", &[], false, "1 1 true"),
            (&wide, "a:1", &[], false, "1 0 false"),
            (
                &wide,
                "sha256:07",
                &[],
                false,
                "conflict: unable to delete 070707070707 (must be forced)",
            ),
            (&bare, "07", &[], false, "0 0 true"),
            (
                &one,
                "a:1",
                &idle,
                false,
                "conflict: unable to remove repository reference a:1 (must force)",
            ),
            (&one, "a:1", &idle, true, "1 1 true"),
            (&one, "a:1", &busy, true, "1 1 false"),
            (&two, "a:1", &idle, false, "1 0 false"),
            (
                &one,
                "07",
                &idle,
                false,
                "conflict: unable to delete 070707070707 (must be forced)",
            ),
            (
                &one,
                "07",
                &busy,
                true,
                "conflict: unable to delete 070707070707 (cannot be forced)",
            ),
        ] {
            assert_eq!(said(image, name, uses, force), want, "{name} {force}");
        }
    }

    #[test]
    fn what_an_unreadable_container_could_need_stays() {
        let one = image(&["a:1"], &[]);
        let uses = Uses {
            known: Vec::new(),
            unknown: true,
        };
        for name in ["a:1", "07"] {
            let plan = plan(&one, &[one.id], name, &uses, true).unwrap();
            assert_eq!((plan.tags.len(), plan.image), (1, false), "{name}");
        }
    }

    #[test]
    fn a_digest_is_a_name_too() {
        let both = image(&["a:1"], &["docker.io/library/a"]);
        let name = format!("a@{}", both.id);
        assert_eq!(said(&both, &name, &[], false), "0 1 false");
        let only = image(&[], &["docker.io/library/a"]);
        assert_eq!(said(&only, &name, &[], false), "0 1 true");
    }
}
