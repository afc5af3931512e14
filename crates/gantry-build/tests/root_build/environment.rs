//! A store of its own with a busybox image in it, and a context folder.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::Mutex;

use gantry_build::base::PullStatus;
use gantry_build::progress::plain::PlainFormatter;
use gantry_build::{
    BaseImage, BaseImageError, BaseImages, BaseSource, BuildError, BuildRequest, Builder,
    Cancellation, DeviceError, Devices, Event, Explanation, Outcome, Outside, Progress, PullPolicy,
    Reporter, RunNetwork, build, export,
};
use gantry_model::image::{History, ImageConfig, RootFs};
use gantry_model::{Digest, Platform, Reference};
use gantry_store::{NewImage, Store};
use oci_spec::runtime::Spec;

pub(crate) struct Environment {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) store: Store,
    images: BTreeMap<String, Digest>,
}

impl BaseImages for Environment {
    fn resolve(
        &self,
        source: &BaseSource,
        _platform: &Platform,
        _policy: PullPolicy,
        _status: &(dyn Fn(PullStatus) + Sync),
    ) -> Result<BaseImage, BaseImageError> {
        let name = match source {
            BaseSource::Named(reference) => reference.familiar(),
            BaseSource::Layout(layout) => layout.to_string(),
        };
        let missing = || gantry_store::StoreError::NoImage { name: name.clone() };
        let id = self
            .images
            .get(&name)
            .ok_or_else(missing)
            .map_err(BaseImageError::new)?;
        let config = self
            .store
            .images()
            .config(id)
            .map_err(BaseImageError::new)?;
        Ok(BaseImage {
            id: *id,
            manifest: None,
            config,
        })
    }
}

/// What a build said.
#[derive(Default)]
pub(crate) struct Said {
    formatter: Mutex<(PlainFormatter, Vec<u8>)>,
    warnings: Mutex<Vec<String>>,
    explanation: Mutex<Option<Explanation>>,
}

impl Progress for Said {
    fn event(&self, event: Event<'_>) {
        if let Event::Warning { message, .. } = event {
            self.warnings.lock().unwrap().push(message.to_owned());
        }
        if let Event::Explained { explanation } = event {
            *self.explanation.lock().unwrap() = Some(explanation.clone());
        }
        let mut guard = self.formatter.lock().unwrap();
        let (formatter, out) = &mut *guard;
        formatter.event(event, out);
    }
}

impl Said {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.formatter.lock().unwrap().1).into_owned()
    }

    pub(crate) fn explanation(&self) -> Explanation {
        self.explanation.lock().unwrap().clone().unwrap()
    }

    pub(crate) fn warnings(&self) -> Vec<String> {
        self.warnings.lock().unwrap().clone()
    }
}

impl Environment {
    pub(crate) fn new() -> Self {
        assert!(rustix::process::geteuid().is_root(), "this test needs root");
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("context")).unwrap();
        let store = Store::open(&folder.path().join("root")).unwrap();
        let mut environment = Self {
            folder,
            store,
            images: BTreeMap::new(),
        };
        environment.add_busybox();
        environment
    }

    fn add_busybox(&mut self) {
        let draft = self.store.layers().draft().unwrap();
        let root = draft.upper();
        for directory in ["etc", "root", "tmp", "usr", "usr/lib", "home"] {
            fs::create_dir(root.join(directory)).unwrap();
        }
        fs::set_permissions(root.join("tmp"), Permissions::from_mode(0o1777)).unwrap();
        gantry_testkit::fixture::install_busybox(&root.join("bin"));
        fs::write(
            root.join("etc/passwd"),
            "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/home:/bin/sh\n",
        )
        .unwrap();
        fs::write(
            root.join("etc/group"),
            "root:x:0:\nnogroup:x:65534:\nextra:x:77:nobody\n",
        )
        .unwrap();
        let layer = draft.commit().unwrap();
        let config = ImageConfig {
            architecture: Platform::host().architecture,
            os: "linux".into(),
            rootfs: RootFs {
                diff_ids: vec![layer.diff_id],
                ..RootFs::default()
            },
            history: vec![History {
                created_by: "busybox".into(),
                created: Some("2020-01-01T00:00:00Z".into()),
                ..History::default()
            }],
            ..ImageConfig::default()
        };
        self.add_image("busybox:latest", &config);
    }

    pub(crate) fn add_image(&mut self, name: &str, config: &ImageConfig) {
        let bytes = serde_json::to_vec(config).unwrap();
        let id = self
            .store
            .images()
            .put(&NewImage {
                config: &bytes,
                ..NewImage::default()
            })
            .unwrap();
        self.images.insert(name.to_owned(), id);
    }

    /// Lets go of what the builds so far hold, as the end of a process does.
    pub(crate) fn reopen(&mut self) {
        self.store = Store::open(&self.folder.path().join("root")).unwrap();
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join("context").join(path)
    }

    pub(crate) fn write(&self, path: &str, content: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub(crate) fn request(&self, dockerfile: &str) -> BuildRequest {
        let mut request = BuildRequest::new(self.path(""));
        request.dockerfile = Some(gantry_build::DockerfileSource::Inline {
            name: "Dockerfile".into(),
            bytes: dockerfile.as_bytes().to_vec(),
        });
        request.network = RunNetwork::None;
        request
    }

    pub(crate) fn builder(&self) -> Builder<'_> {
        Builder {
            store: self.store.clone(),
            bases: self,
            outside: Outside {
                environment: std::env::vars()
                    .filter(|(name, _)| name == "PATH")
                    .collect(),
                authorities: None,
            },
            root: self.folder.path().join("root"),
            run_root: self.folder.path().join("run"),
            devices: Arc::new(NoDevices),
            confinement: gantry_runtime::Confinement::default(),
            processes: None,
            parallelism: None,
            borrowed: None,
            explain: true,
            housekeeping: None,
            failure_shell: None,
            named: false,
            unrecorded: false,
            cancellation: Cancellation::new().unwrap(),
        }
    }

    pub(crate) fn build_request(
        &self,
        request: &BuildRequest,
    ) -> (Result<BuildResult, BuildError>, Said) {
        self.build_with(&self.builder(), request, &[])
    }

    /// One build, whose image gets these names.
    pub(crate) fn build_with(
        &self,
        builder: &Builder<'_>,
        request: &BuildRequest,
        tags: &[Reference],
    ) -> (Result<BuildResult, BuildError>, Said) {
        let said = Said::default();
        let reporter = Reporter::new(&said);
        let requests = std::slice::from_ref(request);
        let result = build(builder, requests, &reporter)
            .and_then(|outcome| self.export(&outcome, tags, &reporter));
        (result, said)
    }

    /// The image of a build with one target for one platform.
    fn export(
        &self,
        outcome: &Outcome,
        tags: &[Reference],
        reporter: &Reporter<'_>,
    ) -> Result<BuildResult, BuildError> {
        let target = &outcome.targets[0];
        let image = &target.images[0];
        Ok(BuildResult {
            image_id: export::image(&self.store, target, image, tags, reporter)?,
            layers: image.layers().to_vec(),
            executed: outcome.executed,
            cached: outcome.cached,
        })
    }

    /// Every layer must be what its tar, and so its digest, says.
    pub(crate) fn verify(&self, result: &BuildResult) {
        for layer in &result.layers {
            let verified = self.store.layers().verify(layer).unwrap();
            assert_eq!(verified.err(), None, "{layer}");
        }
    }

    /// A build that must succeed.
    pub(crate) fn build(&self, dockerfile: &str) -> Built<'_> {
        let (result, said) = self.build_request(&self.request(dockerfile));
        match result {
            Ok(result) => {
                self.verify(&result);
                Built {
                    environment: self,
                    result,
                    said,
                }
            }
            Err(error) => panic!(
                "{}\n{}\n{}",
                said.text(),
                error.rendered().unwrap_or_default(),
                explain(&error)
            ),
        }
    }

    /// A build that must fail; the message with its causes, and the lines shown.
    pub(crate) fn fail(&self, dockerfile: &str) -> (String, String) {
        let (result, _) = self.build_request(&self.request(dockerfile));
        let error = result.expect_err("the build must fail");
        (
            explain(&error),
            error.rendered().unwrap_or_default().to_owned(),
        )
    }
}

pub(crate) fn explain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

/// What a build made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BuildResult {
    pub(crate) image_id: Digest,
    pub(crate) layers: Vec<Digest>,
    pub(crate) executed: usize,
    pub(crate) cached: usize,
}

/// A finished build.
pub(crate) struct Built<'e> {
    environment: &'e Environment,
    pub(crate) result: BuildResult,
    pub(crate) said: Said,
}

impl Built<'_> {
    pub(crate) fn config(&self) -> ImageConfig {
        self.environment
            .store
            .images()
            .config(&self.result.image_id)
            .unwrap()
    }

    /// The entries of a layer, the base image's not counted: `755 0:0 d dir`, `644 0:0 f file=content`.
    pub(crate) fn layer(&self, number: usize) -> Vec<String> {
        let root = self
            .environment
            .store
            .layers()
            .tree(&self.result.layers[number]);
        let mut lines = Vec::new();
        list(&root, &root, &mut lines);
        lines
    }

    /// The last layer.
    pub(crate) fn last(&self) -> Vec<String> {
        self.layer(self.result.layers.len() - 1)
    }

    /// Modification time of a path in a layer, in seconds.
    pub(crate) fn time(&self, number: usize, path: &str) -> i64 {
        let root = self
            .environment
            .store
            .layers()
            .tree(&self.result.layers[number]);
        fs::symlink_metadata(root.join(path)).unwrap().mtime()
    }
}

pub(crate) fn list(top: &Path, directory: &Path, lines: &mut Vec<String>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    entries.sort();
    for path in entries {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let kind = match metadata.mode() & 0o170_000 {
            0o040_000 => "d".to_owned(),
            0o120_000 => format!("l->{}", fs::read_link(&path).unwrap().display()),
            0o100_000 if metadata.len() < 100 => format!(
                "f={}",
                String::from_utf8_lossy(&fs::read(&path).unwrap()).trim_end()
            ),
            0o100_000 => format!("f:{}", metadata.len()),
            0o010_000 => "p".to_owned(),
            0o020_000 if metadata.rdev() == 0 => "whiteout".to_owned(),
            other => format!("{other:o}"),
        };
        let name = path.strip_prefix(top).unwrap().display();
        lines.push(format!(
            "{:o} {}:{} {name} {kind}",
            metadata.mode() & 0o7777,
            metadata.uid(),
            metadata.gid()
        ));
        if metadata.is_dir() {
            list(top, &path, lines);
        }
    }
}

/// A machine without devices.
struct NoDevices;

impl Devices for NoDevices {
    fn find(&self, _name: &str) -> Result<Vec<String>, DeviceError> {
        Ok(Vec::new())
    }

    fn is_free(&self, _device: &str) -> Result<bool, DeviceError> {
        Ok(false)
    }

    fn add(&self, _devices: &[String], _document: &mut Spec) -> Result<(), DeviceError> {
        Ok(())
    }
}
