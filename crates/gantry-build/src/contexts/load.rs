//! Contexts that are not folders of this machine: brought into the store before they are opened.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::os::fd::{IntoRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use gantry_model::Digest;
use gantry_sys::path::Directory;
use rustix::event::{PollFd, PollFlags, poll};

use crate::error::{BuildError, StepError};
use crate::graph::{GitSource, HttpSource};
use crate::remote::Behalf;
use crate::remote::address::{self, Address, GitAddress};
use crate::remote::archive::{is_archive, read_head};
use crate::report::Reporter;
use crate::request::{ContextSource, Input};
use crate::setting::Setting;
use crate::stop::Stop;

/// Most bytes of a Dockerfile that comes alone.
const LARGEST: u64 = 8 << 20;

/// What became of a context.
#[derive(Debug, Clone)]
pub(super) enum Loaded {
    /// The folder with its files.
    Folder(PathBuf),
    /// It was a Dockerfile alone; nothing can be copied but what is in this folder, if anything.
    Dockerfile(Vec<u8>, Option<PathBuf>),
}

/// What is needed to load one.
pub(super) struct Loading<'l> {
    pub(super) setting: &'l Setting,
    pub(super) reporter: &'l Reporter<'l>,
    /// Number of the request.
    pub(super) request: usize,
    pub(super) fresh: bool,
    /// What it is called, where it has a name.
    pub(super) name: Option<&'l str>,
    pub(super) keep_git_dir: bool,
}

impl Loading<'_> {
    pub(super) fn load(
        &self,
        source: &ContextSource,
        title: impl Fn(&str) -> String,
    ) -> Result<Loaded, BuildError> {
        match source {
            ContextSource::Folder(path) | ContextSource::Fetched(path) => {
                Ok(Loaded::Folder(path.clone()))
            }
            ContextSource::Input(input) => {
                let step = "[internal] load remote build context".to_owned();
                self.told(step, title, |_| self.input(input.file(), &input.name))
            }
            ContextSource::Remote(text) => {
                let step = match (self.name, Address::of_context(text)) {
                    (Some(name), _) => format!("[context {name}] {}", address::shown(text)),
                    (None, Ok(Some(Address::Git(_)))) => {
                        format!("[internal] load git source {}", address::shown(text))
                    }
                    (None, _) => "[internal] load remote build context".to_owned(),
                };
                self.told(step, title, |on| self.remote(text, on))
            }
        }
    }

    /// Brings a context into the store as a vertex of the build.
    fn told(
        &self,
        step: String,
        title: impl Fn(&str) -> String,
        bring: impl FnOnce(&Behalf<'_>) -> Result<Loaded, StepError>,
    ) -> Result<Loaded, BuildError> {
        let vertex = self.reporter.begin(&title(&step));
        let origin = &self.setting.origins[self.request];
        let on = Behalf {
            secrets: &origin.secrets,
            agent: origin.ssh.get("default").map(PathBuf::as_path),
            anew: self.fresh,
            reporter: self.reporter,
            vertex: Some(vertex),
        };
        match bring(&on) {
            Ok(loaded) => {
                self.reporter.done(vertex);
                Ok(loaded)
            }
            Err(StepError::Canceled) => {
                self.reporter.canceled(vertex);
                Err(BuildError::Canceled)
            }
            Err(source) => {
                self.reporter.failed(vertex, &source.to_string());
                Err(BuildError::Step {
                    step,
                    source: Box::new(source),
                    rendered: String::new(),
                })
            }
        }
    }

    fn remote(&self, text: &str, on: &Behalf<'_>) -> Result<Loaded, StepError> {
        let wrong = |reason| StepError::Fetch {
            address: address::shown(text),
            reason,
            kind: gantry_model::FaultKind::Invalid,
            hints: Vec::new(),
        };
        match Address::of_context(text).map_err(wrong)? {
            Some(Address::Git(git)) => self.repository(git, on),
            Some(Address::Http(url)) => self.file(url, on),
            None => Err(wrong("it is the address of nothing".to_owned())),
        }
    }

    /// A folder with all files of a layer.
    fn folder_of(&self, layer: &Digest) -> Result<PathBuf, StepError> {
        let layers = self.setting.store.layers();
        if let [tree] = &layers.trees(layer)?[..] {
            return Ok(tree.clone());
        }
        // A copy has made the same layer, as a patch. What shows it as a whole is open as long as
        // this process runs.
        let open = OwnedFd::from(layers.open(layer)?).into_raw_fd();
        Ok(format!("/proc/{}/fd/{open}", std::process::id()).into())
    }

    fn repository(&self, git: GitAddress, on: &Behalf<'_>) -> Result<Loaded, StepError> {
        let source = GitSource {
            remote: git.remote,
            reference: git.reference,
            commit: git.commit,
            keep_git_dir: git.keep_git_dir.unwrap_or(self.keep_git_dir),
            submodules: git.submodules.unwrap_or(true),
        };
        let layer = self.setting.remote.repository(&source, on)?;
        self.setting.lease.layer(&layer)?;
        let tree = self.folder_of(&layer)?;
        // No link of the repository may lead out of it.
        let folder = git.folder.trim_start_matches('/');
        Directory::open(&tree)
            .and_then(|top| top.directory_beneath(folder))
            .map_err(|_| StepError::NotFound {
                path: git.folder.clone(),
                ignored: false,
                similar: None,
            })?;
        Ok(Loaded::Folder(tree.join(folder)))
    }

    fn file(&self, url: String, on: &Behalf<'_>) -> Result<Loaded, StepError> {
        let name = match self.name {
            Some(_) => address::file_name(&url),
            None => "context".to_owned(),
        };
        let shown = address::shown(&url);
        let source = HttpSource {
            url,
            name: name.clone(),
            checksum: None,
        };
        let layer = self.setting.remote.file(&source, on)?;
        let tree = self.folder_of(&layer)?;
        let path = tree.join(&name);
        let failed = |source| StepError::io("read", &path, source);
        let mut file = File::open(&path).map_err(failed)?;
        let head = read_head(&mut file).map_err(failed)?;
        if is_archive(&head) {
            let reader = Cursor::new(head).chain(file);
            let layer = self.setting.remote.unpacked(&layer, reader, &shown, on)?;
            self.setting.lease.layer(&layer)?;
            return Ok(Loaded::Folder(self.folder_of(&layer)?));
        }
        if self.name.is_some() {
            return Ok(Loaded::Folder(tree));
        }
        let bytes = self.dockerfile(Cursor::new(head).chain(file), &shown)?;
        Ok(Loaded::Dockerfile(bytes, Some(tree)))
    }

    fn input(&self, file: &File, name: &str) -> Result<Loaded, StepError> {
        let mut watched = Watched {
            file,
            stop: self.setting.remote.stop(),
        };
        let head = read_head(&mut watched).map_err(|source| self.broken(name, source))?;
        let archive = is_archive(&head);
        let reader = Cursor::new(head).chain(watched);
        if archive {
            let layer = self.setting.remote.unpack(reader, name)?;
            self.setting.remote.note(layer)?;
            return Ok(Loaded::Folder(self.folder_of(&layer)?));
        }
        let bytes = self.dockerfile(reader, name)?;
        if name != Input::STDIN {
            let folder = Path::new(name).parent().unwrap_or(Path::new(""));
            let folder = match folder.as_os_str().is_empty() {
                true => Path::new("."),
                false => folder,
            };
            self.reporter.advice(&format!(
                "{name} is read as a Dockerfile that has no context: with the files beside it the \
                 build is gantry build -f {name} {}",
                folder.display()
            ));
        }
        Ok(Loaded::Dockerfile(bytes, None))
    }

    fn dockerfile(&self, reader: impl Read, name: &str) -> Result<Vec<u8>, StepError> {
        let mut bytes = Vec::new();
        reader
            .take(LARGEST + 1)
            .read_to_end(&mut bytes)
            .map_err(|source| self.broken(name, source))?;
        if bytes.len() as u64 > LARGEST {
            return Err(StepError::Archive {
                path: PathBuf::from(name),
                reason: format!(
                    "it is no archive, and larger than the {LARGEST} bytes of a Dockerfile"
                ),
            });
        }
        Ok(bytes)
    }

    fn broken(&self, name: &str, source: io::Error) -> StepError {
        if self.setting.remote.stop().is_stopped() {
            return StepError::Canceled;
        }
        StepError::io("read", Path::new(name), source)
    }
}

/// An open file that is read until the build is stopped.
struct Watched<'w> {
    file: &'w File,
    stop: &'w Stop,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let [client, failure] = self.stop.descriptors();
        let mut fds = [
            PollFd::new(self.file, PollFlags::IN),
            PollFd::from_borrowed_fd(client, PollFlags::IN),
            PollFd::from_borrowed_fd(failure, PollFlags::IN),
        ];
        poll(&mut fds, None)?;
        if fds[1..].iter().any(|fd| !fd.revents().is_empty()) {
            return Err(io::Error::other("the build was canceled"));
        }
        let mut file = self.file;
        file.read(buffer)
    }
}
