//! The digest of what an operation does.

use super::{CacheSharing, FileSource, Mount, Network, Operation, RunOperation};

/// The digest of an operation and of everything below it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Definition(pub(crate) [u8; 32]);

impl std::fmt::Debug for Definition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&gantry_model::digest::hex_encode(&self.0[..8]))
    }
}

/// Version of the way keys are made: raised whenever the same definition or content could lead to
/// another result than before.
const VERSION: u64 = 1;

/// Fields on their way into a digest: each with its length, so that no two sequences of fields
/// run together.
#[derive(Debug)]
pub(crate) struct Fields(blake3::Hasher);

impl Fields {
    /// Fields of a kind; kinds never collide.
    pub(crate) fn new(kind: &str) -> Self {
        let mut fields = Self(blake3::Hasher::new());
        fields.number(VERSION).text(kind);
        fields
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.number(bytes.len() as u64);
        self.0.update(bytes);
        self
    }

    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    pub(crate) fn number(&mut self, number: u64) -> &mut Self {
        self.0.update(&number.to_le_bytes());
        self
    }

    pub(crate) fn flag(&mut self, flag: bool) -> &mut Self {
        self.number(u64::from(flag))
    }

    pub(crate) fn optional(&mut self, text: Option<&str>) -> &mut Self {
        match text {
            Some(text) => self.number(1).text(text),
            None => self.number(0),
        }
    }

    pub(crate) fn list<'t>(&mut self, texts: impl ExactSizeIterator<Item = &'t str>) -> &mut Self {
        self.number(texts.len() as u64);
        for text in texts {
            self.text(text);
        }
        self
    }

    pub(crate) fn finish(&self) -> [u8; 32] {
        *self.0.finalize().as_bytes()
    }
}

impl Operation {
    /// The definition over those of the inputs.
    pub(super) fn definition(&self, inputs: &[Definition]) -> Definition {
        let mut fields = Fields::new("definition");
        self.describe(&mut fields);
        fields.number(inputs.len() as u64);
        for input in inputs {
            fields.bytes(&input.0);
        }
        Definition(fields.finish())
    }

    /// What it does, without its inputs.
    pub(crate) fn describe(&self, fields: &mut Fields) {
        match self {
            Self::Scratch => drop(fields.text("scratch")),
            Self::Context(context) => drop(fields.text("context").number(context.0 as u64)),
            Self::Image(image) => {
                fields.text("image").number(image.layers.len() as u64);
                for layer in &image.layers {
                    fields.bytes(layer.as_bytes());
                }
            }
            Self::Http(http) => {
                let checksum = http.checksum.map(|digest| digest.to_string());
                fields.text("http").text(&http.url).text(&http.name);
                fields.optional(checksum.as_deref());
            }
            Self::Git(git) => {
                fields.text("git").text(&git.remote);
                fields
                    .optional(git.reference.as_deref())
                    .optional(git.commit.as_deref());
                fields.flag(git.keep_git_dir).flag(git.submodules);
            }
            Self::Run(run) => describe_run(fields.text("run"), run),
            Self::File(file) => {
                fields.text("file").number(file.sources.len() as u64);
                for source in &file.sources {
                    match source {
                        FileSource::Path(path) => fields.number(0).text(path),
                        FileSource::Exact(path) => fields.number(2).text(path),
                        FileSource::Inline { name, content } => {
                            fields.number(1).text(name).text(content)
                        }
                        FileSource::Fetched {
                            input,
                            path,
                            unpack,
                        } => fields
                            .number(3)
                            .number(*input as u64)
                            .text(path)
                            .flag(*unpack),
                    };
                }
                fields
                    .text(&file.destination)
                    .optional(file.owner.as_deref())
                    .optional(file.mode.as_deref());
                fields
                    .flag(file.unpack)
                    .list(file.exclude.iter().map(String::as_str));
                fields.flag(file.parents).flag(file.link);
            }
            Self::MakeDirectory(directory) => {
                fields
                    .text("directory")
                    .text(&directory.path)
                    .text(&directory.user);
            }
        }
    }
}

fn describe_run(fields: &mut Fields, run: &RunOperation) {
    // Destructured, so that a new field cannot be forgotten. Proxies are left out on
    // purpose; what is declared is a part of the environment.
    let RunOperation {
        arguments,
        shell: _,
        environment,
        by_age: _,
        declared: _,
        directory,
        user,
        network,
        insecure,
        confinement,
        shm_size,
        ulimits,
        devices,
        script,
        mounts,
        extra_hosts,
        proxies: _,
        platform: _,
        foreign: _,
    } = run;
    fields.list(arguments.iter().map(String::as_str));
    fields.number(environment.len() as u64);
    for (name, value) in environment {
        fields.text(name).text(value);
    }
    fields.text(directory).text(user);
    fields.number(match network {
        Network::Bridge => 0,
        Network::None => 1,
        Network::Host => 2,
    });
    fields.optional(script.as_ref().map(|script| script.name.as_str()));
    fields.optional(script.as_ref().map(|script| script.content.as_str()));
    fields.number(mounts.len() as u64);
    for mount in mounts {
        describe_mount(fields, mount);
    }
    fields.number(extra_hosts.len() as u64);
    for (name, address) in extra_hosts {
        fields.text(name).text(&address.to_string());
    }
    // Only where it is so: what was built before has the definition that it had.
    if *insecure {
        fields.text("insecure");
    }
    if !confinement.is_empty() {
        fields.text("confinement");
        fields.list(confinement.iter().map(String::as_str));
    }
    if let Some(size) = shm_size {
        fields.text("shm").number(*size);
    }
    if !devices.is_empty() {
        fields.text("devices").number(devices.len() as u64);
        for device in devices {
            fields.text(&device.name).flag(device.required);
        }
    }
    if !ulimits.is_empty() {
        let texts: Vec<String> = ulimits.iter().map(ToString::to_string).collect();
        fields.text("ulimits");
        fields.list(texts.iter().map(String::as_str));
    }
}

fn describe_mount(fields: &mut Fields, mount: &Mount) {
    match mount {
        Mount::Tmpfs {
            target,
            size,
            read_only,
        } => {
            fields
                .number(0)
                .text(target)
                .number(size.unwrap_or_default())
                .flag(*read_only);
        }
        Mount::Cache(cache) => {
            // Caches that begin with nothing are encoded as they always were.
            fields
                .number(if cache.start.is_some() { 5 } else { 1 })
                .text(&cache.id)
                .text(&cache.target)
                .flag(cache.read_only);
            fields.number(match cache.sharing {
                CacheSharing::Shared => 0,
                CacheSharing::Private => 1,
                CacheSharing::Locked => 2,
            });
            fields
                .number(u64::from(cache.mode))
                .number(u64::from(cache.uid))
                .number(u64::from(cache.gid));
            if let Some(start) = &cache.start {
                fields.number(start.input as u64).text(&start.source);
            }
        }
        Mount::Bind(bind) => {
            fields
                .number(2)
                .number(bind.input as u64)
                .text(&bind.source)
                .text(&bind.target)
                .flag(bind.read_write);
        }
        Mount::Secret(secret) => {
            fields.number(3).text(&secret.id);
            fields.optional(secret.target.as_deref());
            fields.optional(secret.env.as_deref()).flag(secret.required);
            fields
                .number(u64::from(secret.mode))
                .number(u64::from(secret.uid))
                .number(u64::from(secret.gid));
        }
        Mount::Ssh(ssh) => {
            fields.number(4).text(&ssh.id).text(&ssh.target);
            fields
                .flag(ssh.required)
                .number(u64::from(ssh.mode))
                .number(u64::from(ssh.uid))
                .number(u64::from(ssh.gid));
        }
    }
}
