//! Check: verifying every digest and every reference again.

use std::collections::BTreeSet;

use gantry_model::Digest;
use rusqlite::params;

use crate::collect::{CollectPolicy, Roots, Snapshot};
use crate::database::failed;
use crate::error::StoreError;
use crate::store::Store;
use crate::tree;

/// How to check.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CheckOptions {
    /// Only references and the presence of files, without reading all content.
    pub quick: bool,
    /// Remove what is damaged or orphaned, and what cannot work without it.
    pub repair: bool,
}

/// One thing that a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// A blob is not what its name says.
    CorruptBlob {
        /// Which.
        digest: Digest,
    },
    /// A layer no longer gives the tar it was made from, or its files changed.
    CorruptLayer {
        /// Which.
        diff_id: Digest,
        /// What differs first.
        reason: String,
    },
    /// A layer that the database knows is not on the disk.
    MissingLayer {
        /// Which.
        diff_id: Digest,
    },
    /// An image refers to a blob that is not there.
    ImageLacksBlob {
        /// The image.
        image: Digest,
        /// What is missing.
        digest: Digest,
    },
    /// An image refers to a layer that is not there.
    ImageLacksLayer {
        /// The image.
        image: Digest,
        /// What is missing.
        diff_id: Digest,
    },
    /// A tag or digest names an image that is not there.
    DanglingName {
        /// The tag or `repository@digest`.
        name: String,
        /// The image.
        image: Digest,
    },
    /// A build record needs a layer or a blob that is not there.
    StaleRecord {
        /// Kind of the record.
        kind: String,
        /// Its key in hexadecimal.
        key: String,
    },
    /// A root (a container) refers to a layer or image that is not there.
    RootLacks {
        /// What is missing.
        digest: Digest,
    },
    /// Something in the store's folders that nothing knows.
    Orphan {
        /// Where, relative to the root.
        path: String,
    },
    /// What a dead process left behind.
    StaleIngest {
        /// Where, relative to the root.
        path: String,
    },
    /// The database itself is damaged.
    Database {
        /// What SQLite says.
        reason: String,
    },
}

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Blobs read.
    pub blobs: u64,
    /// Layers read.
    pub layers: u64,
    /// Images looked at.
    pub images: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Everything that is not as it should be.
    pub findings: Vec<Finding>,
    /// Whether it was repaired.
    pub repaired: bool,
}

impl Store {
    /// Verifies the whole store.
    ///
    /// A repair removes what is damaged together with everything that cannot work without it
    /// (an image whose layer is damaged, its names, the records), so that pulling or building
    /// again gives a whole one. Roots that lack something are told and left to their owner.
    ///
    /// # Errors
    /// When the store cannot be read at all.
    pub fn check(&self, roots: &Roots, options: CheckOptions) -> Result<CheckReport, StoreError> {
        let mut report = CheckReport::default();
        self.check_database(&mut report)?;
        self.check_ingest(&mut report, options)?;
        let snapshot = Snapshot::read(self)?;
        let blobs = self.check_blobs(&mut report, options)?;
        let layers = self.check_layers(&snapshot, &mut report, options)?;
        references(&snapshot, roots, &blobs, &layers, &mut report);
        self.check_orphans(&snapshot, &mut report)?;
        if options.repair && !report.findings.is_empty() {
            self.repair(&snapshot, &report.findings)?;
            // What the repair set free, and what was garbage before.
            self.collect(roots, &CollectPolicy::default())?;
            report.repaired = true;
        }
        Ok(report)
    }

    fn check_database(&self, report: &mut CheckReport) -> Result<(), StoreError> {
        let said: Vec<String> = self.database().read("check it", |db| {
            db.prepare("PRAGMA integrity_check")?
                .query_map([], |row| row.get(0))?
                .collect()
        })?;
        let faults = said.into_iter().filter(|line| line != "ok");
        report
            .findings
            .extend(faults.map(|reason| Finding::Database { reason }));
        Ok(())
    }

    fn check_ingest(
        &self,
        report: &mut CheckReport,
        options: CheckOptions,
    ) -> Result<(), StoreError> {
        let ingest = self.ingest_unswept()?;
        let stale = if options.repair {
            ingest.sweep()?
        } else {
            ingest.stale()?
        };
        let paths = stale.into_iter().map(|name| format!("ingest/{name}"));
        report
            .findings
            .extend(paths.map(|path| Finding::StaleIngest { path }));
        Ok(())
    }

    /// The blobs that are there and whole.
    fn check_blobs(
        &self,
        report: &mut CheckReport,
        options: CheckOptions,
    ) -> Result<BTreeSet<Digest>, StoreError> {
        let mut whole = BTreeSet::new();
        for digest in self.blobs().list()? {
            report.blobs += 1;
            let verified = if options.quick {
                Ok(0)
            } else {
                self.blobs().verify(&digest)
            };
            match verified {
                Ok(size) => {
                    report.bytes += size;
                    whole.insert(digest);
                }
                // Collected by another command meanwhile.
                Err(StoreError::NoBlob { .. }) => {}
                Err(StoreError::DamagedBlob { .. }) => {
                    report.findings.push(Finding::CorruptBlob { digest });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(whole)
    }

    /// The layers that are there and whole.
    fn check_layers(
        &self,
        snapshot: &Snapshot,
        report: &mut CheckReport,
        options: CheckOptions,
    ) -> Result<BTreeSet<Digest>, StoreError> {
        let mut whole = BTreeSet::new();
        for diff_id in snapshot.layers.keys() {
            report.layers += 1;
            let present = self.layers().contains(diff_id)? && self.layers().tree(diff_id).is_dir();
            if !present {
                report
                    .findings
                    .push(Finding::MissingLayer { diff_id: *diff_id });
                continue;
            }
            let verified = match options.quick {
                true => Ok(0),
                false => self.layers().verify(diff_id)?,
            };
            match verified {
                Ok(size) => {
                    report.bytes += size;
                    whole.insert(*diff_id);
                }
                Err(reason) => {
                    report.findings.push(Finding::CorruptLayer {
                        diff_id: *diff_id,
                        reason,
                    });
                }
            }
        }
        Ok(whole)
    }

    fn check_orphans(
        &self,
        snapshot: &Snapshot,
        report: &mut CheckReport,
    ) -> Result<(), StoreError> {
        // Under the lock: between its rename and its row a layer would look like an orphan.
        let _lock = self.lock_exclusive()?;
        let entries = tree::sorted_entries(self.layers_directory()?)
            .map_err(|errno| StoreError::io("list", self.root().join("layers"), errno))?;
        for entry in entries {
            let name = entry.name.to_string_lossy().into_owned();
            let known = match Digest::from_hex(&name) {
                Ok(id) => snapshot.layers.contains_key(&id) || self.layers().contains(&id)?,
                Err(_) => false,
            };
            if !known {
                report.findings.push(Finding::Orphan {
                    path: format!("layers/{name}"),
                });
            }
        }
        Ok(())
    }

    fn repair(&self, snapshot: &Snapshot, findings: &[Finding]) -> Result<(), StoreError> {
        let _lock = self.lock_exclusive()?;
        let mut layers = BTreeSet::new();
        let mut images = BTreeSet::new();
        for finding in findings {
            match finding {
                Finding::CorruptLayer { diff_id, .. } | Finding::MissingLayer { diff_id } => {
                    layers.insert(*diff_id);
                }
                Finding::CorruptBlob { digest } => {
                    self.blobs().remove(digest)?;
                    let lost = snapshot
                        .images
                        .iter()
                        .filter(|(id, row)| *id == digest || row.blobs.contains(digest));
                    images.extend(lost.map(|(id, _)| *id));
                }
                Finding::ImageLacksBlob { image, .. } | Finding::ImageLacksLayer { image, .. } => {
                    images.insert(*image);
                }
                _ => {}
            }
        }
        // What is a patch of one that goes is of no use without it.
        let patches = snapshot.layers.iter().filter(|(_, row)| {
            row.patch_of
                .as_ref()
                .is_some_and(|whole| layers.contains(whole))
        });
        let patches: Vec<Digest> = patches.map(|(diff_id, _)| *diff_id).collect();
        layers.extend(patches);
        // Also those that a living command holds: a damaged layer serves nobody.
        for diff_id in &layers {
            drop(
                self.ingest()?
                    .take(self.layers_directory()?, &diff_id.hex())?,
            );
        }
        let broken = snapshot
            .images
            .iter()
            .filter(|(_, row)| row.layers.iter().any(|l| layers.contains(l)));
        images.extend(broken.map(|(id, _)| *id));
        self.database().write("repair", |transaction| {
            let run = || -> rusqlite::Result<()> {
                for id in &images {
                    crate::images::delete(transaction, id)?;
                }
                for id in &layers {
                    transaction.execute(
                        "DELETE FROM layers WHERE diff_id = ?1",
                        params![id.as_bytes()],
                    )?;
                }
                for table in ["tags", "repo_digests"] {
                    let statement =
                        format!("DELETE FROM {table} WHERE image NOT IN (SELECT id FROM images)");
                    transaction.execute(&statement, [])?;
                }
                Ok(())
            };
            run().map_err(failed("repair"))
        })
    }
}

/// Whatever refers to something that is not there, or not whole.
fn references(
    snapshot: &Snapshot,
    roots: &Roots,
    blobs: &BTreeSet<Digest>,
    layers: &BTreeSet<Digest>,
    report: &mut CheckReport,
) {
    let findings = &mut report.findings;
    for (id, image) in &snapshot.images {
        report.images += 1;
        let needed = std::iter::once(id).chain(&image.blobs);
        for digest in needed.filter(|digest| !blobs.contains(digest)) {
            findings.push(Finding::ImageLacksBlob {
                image: *id,
                digest: *digest,
            });
        }
        for diff_id in image.layers.iter().filter(|layer| !layers.contains(layer)) {
            findings.push(Finding::ImageLacksLayer {
                image: *id,
                diff_id: *diff_id,
            });
        }
    }
    for (name, image) in snapshot
        .names
        .iter()
        .filter(|(_, id)| !snapshot.images.contains_key(id))
    {
        findings.push(Finding::DanglingName {
            name: name.clone(),
            image: *image,
        });
    }
    for ((kind, key), record) in &snapshot.records {
        let whole = record.layers.iter().all(|layer| layers.contains(layer))
            && record.blobs.iter().all(|blob| blobs.contains(blob));
        if !whole {
            let key = gantry_model::digest::hex_encode(key);
            findings.push(Finding::StaleRecord {
                kind: kind.clone(),
                key,
            });
        }
    }
    let lacking = roots
        .layers
        .difference(layers)
        .chain(roots.blobs.difference(blobs));
    let images = roots
        .images
        .iter()
        .filter(|id| !snapshot.images.contains_key(*id));
    findings.extend(
        lacking
            .chain(images)
            .map(|digest| Finding::RootLacks { digest: *digest }),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NewImage;

    #[test]
    fn damage_is_found_named_and_repaired() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        let store = Store::open(&root).unwrap();
        let draft = store.layers().draft().unwrap();
        std::fs::write(draft.upper().join("file"), "content").unwrap();
        let diff_id = draft.commit().unwrap().diff_id;
        let config =
            format!(r#"{{"os":"linux","rootfs":{{"type":"layers","diff_ids":["{diff_id}"]}}}}"#);
        let tags = vec!["x:1".parse().unwrap()];
        let new = NewImage {
            config: config.as_bytes(),
            tags,
            ..NewImage::default()
        };
        let id = store.images().put(&new).unwrap();
        let check = |options| store.check(&Roots::default(), options).unwrap();
        let full = CheckOptions::default();
        assert_eq!(check(full).findings, []);
        std::fs::write(store.layers().tree(&diff_id).join("file"), "CONTENT").unwrap();
        std::fs::create_dir(root.join("layers").join("0".repeat(64))).unwrap();
        let found = check(full).findings;
        assert!(
            matches!(found[0], Finding::CorruptLayer { .. }),
            "{found:?}"
        );
        assert!(
            found.contains(&Finding::ImageLacksLayer { image: id, diff_id }),
            "{found:?}"
        );
        assert!(
            found.iter().any(|f| matches!(f, Finding::Orphan { .. })),
            "{found:?}"
        );
        assert!(
            check(CheckOptions {
                repair: true,
                ..full
            })
            .repaired
        );
        drop(store);
        let store = Store::open(&root).unwrap();
        assert_eq!(store.check(&Roots::default(), full).unwrap().findings, []);
        assert!(!store.images().contains(&id).unwrap());
    }
}
