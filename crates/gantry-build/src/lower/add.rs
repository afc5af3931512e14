//! `ADD`: files of the context, of the Dockerfile itself, of a URL or a git repository.

use gantry_dockerfile::Word;
use gantry_dockerfile::ast::{Add, CopySource};

use super::stage::{Place, StageState};
use super::steps::{checked_mode, checked_owner, destination, file_history, file_source, ordered};
use super::{Lowering, Stop};
use crate::graph::{FileOperation, FileSource, GitSource, HttpSource, NodeId, Operation};
use crate::remote::address::{self, Address, GitAddress};

impl Lowering<'_> {
    pub(super) fn add(
        &mut self,
        state: &mut StageState,
        add: &Add,
        place: &Place<'_>,
    ) -> Result<(), Stop> {
        if let Some(checksum) = &add.checksum
            && add.sources.len() != 1
        {
            let message = "checksum can't be specified for multiple sources";
            return Err(place.error_at(checksum.span, message));
        }
        let written = ordered(&add.sources);
        let mut sources = Vec::new();
        let mut fetched = Vec::new();
        for source in written.iter().copied() {
            let remote = match source {
                CopySource::Path(path) => self.remote_source(state, add, path, place)?,
                CopySource::Inline(_) => None,
            };
            match (remote, &add.checksum) {
                (Some((node, path, unpack)), _) => {
                    fetched.push(node);
                    let input = fetched.len() + 1;
                    sources.push(FileSource::Fetched {
                        input,
                        path,
                        unpack,
                    });
                }
                (None, Some(checksum)) => {
                    let message = "checksum requires HTTP(S) or git sources";
                    return Err(place.error_at(checksum.span, message));
                }
                (None, None) => sources.push(file_source(source)),
            }
        }
        let operation = FileOperation {
            sources,
            destination: destination(state, &add.destination),
            owner: checked_owner(add.chown.as_ref(), place)?,
            mode: checked_mode(add.chmod.as_ref(), place)?,
            unpack: add.unpack.unwrap_or(true),
            exclude: add.exclude.iter().map(|word| word.value.clone()).collect(),
            parents: false,
            link: add.link,
        };
        let text = file_history("ADD", &operation, &written, &add.destination.value);
        self.file(state, operation, None, fetched, text, place);
        Ok(())
    }

    /// The node of a source that is not in the context, what is wanted of it, and whether that is
    /// unpacked.
    fn remote_source(
        &mut self,
        state: &StageState,
        add: &Add,
        path: &Word,
        place: &Place<'_>,
    ) -> Result<Option<(NodeId, String, bool)>, Stop> {
        let parsed = Address::parse(&path.value);
        let address = parsed.map_err(|message| place.error_at(path.span, message))?;
        let (operation, name, wanted, unpack) = match address {
            None => return Ok(None),
            Some(Address::Http(url)) => {
                let name = address::file_name(&url);
                let label = address::shown(&url);
                let wanted = format!("/{name}");
                let checksum = match &add.checksum {
                    None => None,
                    Some(word) => Some(word.value.parse().map_err(
                        |error: gantry_model::digest::DigestError| {
                            place.error_at(word.span, error.to_string())
                        },
                    )?),
                };
                let source = HttpSource {
                    url,
                    name,
                    checksum,
                };
                let unpack = add.unpack.unwrap_or(false);
                (Operation::Http(source), label, wanted, unpack)
            }
            Some(Address::Git(git)) => {
                let label = format!("load git source {}", address::shown(&path.value));
                let folder = git.folder.clone();
                (self.git_source(add, git, place)?, label, folder, false)
            }
        };
        let platform = self.settings.target_platform.clone();
        let label = self.label_before(state.index, &name, &platform, place.of());
        let node = self.graph.add(operation, Vec::new(), label);
        Ok(Some((node, wanted, unpack)))
    }

    fn git_source(&self, add: &Add, git: GitAddress, place: &Place<'_>) -> Result<Operation, Stop> {
        let commit = match (&add.checksum, git.commit) {
            (Some(word), Some(commit)) if word.value != commit => {
                let message = format!("checksum mismatch {:?} != {commit:?}", word.value);
                return Err(place.error_at(word.span, message));
            }
            (Some(word), _) => Some(word.value.clone()),
            (None, commit) => commit,
        };
        Ok(Operation::Git(GitSource {
            remote: git.remote,
            reference: git.reference,
            commit,
            keep_git_dir: git.keep_git_dir.or(add.keep_git_dir).unwrap_or(false),
            submodules: git.submodules.unwrap_or(true),
        }))
    }
}
