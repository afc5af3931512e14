//! Mounts of the document: the standard ones, the container's files, the user's.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use gantry_model::mount::{Propagation, ReadOnlyBelow};
use gantry_model::record::{ResolvedMount, ResolvedMountKind, VolumeMount};
use gantry_runtime::defaults::SHARED_MEMORY;
use oci_spec::runtime::Mount;

/// The runtime's option for a part of a source.
const SUBPATH: &str = "x-gantry.subpath=";
/// The runtime's option for a source in the mount namespace of another process.
const NAMESPACE: &str = "x-gantry.namespace=";

/// The folders of images that are mounted, base first, by the places they are mounted at.
pub(crate) type ImageFolders = BTreeMap<String, Vec<PathBuf>>;

/// What decides on the mounts.
#[derive(Debug)]
pub(crate) struct MountFacts<'a> {
    /// The user's and the volumes.
    pub(crate) mounts: &'a [ResolvedMount],
    /// Files of the container's folder that are mounted over the image's: target and source.
    pub(crate) files: Vec<(&'static str, PathBuf)>,
    /// Size of `/dev/shm`.
    pub(crate) shm_size: Option<u64>,
    /// Whether it has the host's IPC namespace (and `/dev/shm`).
    pub(crate) host_ipc: bool,
    /// Process of another container whose `/dev/shm` it has, with its IPC namespace.
    pub(crate) ipc_of: Option<u32>,
    /// Where the files of mounted images are.
    pub(crate) images: &'a ImageFolders,
    /// Whether it has no `/dev/shm` at all.
    pub(crate) no_shm: bool,
    /// Whether it has a network namespace of its own.
    pub(crate) own_network: bool,
    /// Whether kernel file systems stay writable.
    pub(crate) privileged: bool,
    /// Whether the root file system is read-only.
    pub(crate) read_only: bool,
}

/// All mounts, in mounting order.
pub(crate) fn decide(facts: &MountFacts<'_>) -> Vec<Mount> {
    let overridden: BTreeSet<&str> = facts.mounts.iter().map(|m| m.target.as_str()).collect();
    let mut all: Vec<Mount> = standard(facts)
        .into_iter()
        .filter(|mount| {
            !mount
                .destination()
                .to_str()
                .is_some_and(|path| overridden.contains(path))
        })
        .collect();
    for (target, source) in &facts.files {
        if !overridden.contains(target) {
            all.push(mount(target, "bind", source, &["rbind", "rprivate"]));
        }
    }
    if facts.read_only {
        for mount in &mut all {
            let stays = ["/proc", "/dev/pts", "/dev/shm", "/dev/mqueue", "/dev"];
            if !stays
                .iter()
                .any(|path| mount.destination() == Path::new(path))
            {
                add_option(mount, "ro");
            }
        }
    }
    // Parents before what lies below them; otherwise in the order given.
    let mut own: Vec<&ResolvedMount> = facts.mounts.iter().collect();
    own.sort_by_key(|mount| {
        mount
            .target
            .split('/')
            .filter(|part| !part.is_empty())
            .count()
    });
    all.extend(own.into_iter().map(|mount| resolved(mount, facts.images)));
    all
}

fn mount(target: &str, kind: &str, source: &Path, options: &[&str]) -> Mount {
    let mut mount = Mount::default();
    mount.set_destination(PathBuf::from(target));
    mount.set_typ(Some(kind.to_owned()));
    mount.set_source(Some(source.to_owned()));
    mount.set_options(Some(
        options.iter().map(|option| (*option).to_owned()).collect(),
    ));
    mount
}

fn add_option(mount: &mut Mount, option: &str) {
    let mut options = mount.options().clone().unwrap_or_default();
    if !options.iter().any(|seen| seen == option) {
        options.push(option.to_owned());
    }
    mount.set_options(Some(options));
}

fn standard(facts: &MountFacts<'_>) -> Vec<Mount> {
    let host = |path: &str| {
        mount(
            path,
            "bind",
            Path::new(path),
            &["rbind", "nosuid", "noexec", "nodev"],
        )
    };
    let quiet = ["nosuid", "noexec", "nodev"];
    let kernel: &[&str] = if facts.privileged { &[] } else { &["ro"] };
    let mut all = vec![
        mount("/proc", "proc", Path::new("proc"), &quiet),
        mount(
            "/dev",
            "tmpfs",
            Path::new("tmpfs"),
            &["nosuid", "strictatime", "mode=755", "size=65536k"],
        ),
        mount(
            "/dev/pts",
            "devpts",
            Path::new("devpts"),
            &[
                "nosuid",
                "noexec",
                "newinstance",
                "ptmxmode=0666",
                "mode=0620",
                "gid=5",
            ],
        ),
    ];
    // A sysfs shows the network namespace it is mounted from: with the host's there is only
    // the host's own to show.
    let sys = [&quiet[..], kernel].concat();
    all.push(if facts.own_network {
        mount("/sys", "sysfs", Path::new("sysfs"), &sys)
    } else {
        mount(
            "/sys",
            "bind",
            Path::new("/sys"),
            &[&["rbind"], &sys[..]].concat(),
        )
    });
    let cgroup = [&quiet[..], &["relatime"], kernel].concat();
    all.push(mount(
        "/sys/fs/cgroup",
        "cgroup",
        Path::new("cgroup"),
        &cgroup,
    ));
    if facts.host_ipc {
        all.push(host("/dev/mqueue"));
    } else {
        all.push(mount("/dev/mqueue", "mqueue", Path::new("mqueue"), &quiet));
    }
    if facts.host_ipc {
        all.push(host("/dev/shm"));
    } else if let Some(pid) = facts.ipc_of {
        let mut shared = host("/dev/shm");
        add_option(&mut shared, &format!("{NAMESPACE}/proc/{pid}/ns/mnt"));
        all.push(shared);
    } else if !facts.no_shm {
        let size = format!("size={}", facts.shm_size.unwrap_or(SHARED_MEMORY));
        let options = ["nosuid", "noexec", "nodev", "mode=1777", &size];
        all.push(mount("/dev/shm", "tmpfs", Path::new("shm"), &options));
    }
    all
}

fn resolved(wanted: &ResolvedMount, images: &ImageFolders) -> Mount {
    let read_only = if wanted.read_only { "ro" } else { "rw" };
    match &wanted.kind {
        ResolvedMountKind::Bind {
            source,
            propagation,
            non_recursive,
            read_only_below,
            // What it changes depends on the container's user (`userns`).
            owners: _,
        } => {
            let bind = if *non_recursive { "bind" } else { "rbind" };
            let propagation = propagation_option(*propagation);
            let mut mount = mount(
                &wanted.target,
                "bind",
                Path::new(source),
                &[bind, propagation],
            );
            if wanted.read_only {
                add_option(&mut mount, "ro");
                if !*non_recursive && *read_only_below != ReadOnlyBelow::Writable {
                    // What is mounted below the source must not stay writable.
                    add_option(&mut mount, "rro");
                }
            }
            mount
        }
        ResolvedMountKind::Volume {
            source,
            mounted,
            subpath,
            ..
        } => {
            let mut mount = match mounted {
                None => mount(
                    &wanted.target,
                    "bind",
                    Path::new(source),
                    &["rbind", "rprivate"],
                ),
                Some(volume) => mounted_volume(&wanted.target, volume),
            };
            if let Some(subpath) = subpath {
                add_option(&mut mount, &format!("{SUBPATH}{subpath}"));
            }
            if wanted.read_only {
                add_option(&mut mount, "ro");
            }
            mount
        }
        ResolvedMountKind::Image { subpath, .. } => {
            let folders = images.get(&wanted.target).map_or(&[][..], Vec::as_slice);
            image(&wanted.target, folders, subpath.as_deref())
        }
        ResolvedMountKind::Tmpfs {
            size,
            mode,
            options,
        } => {
            let mut all: Vec<String> = ["noexec", "nosuid", "nodev"].map(str::to_owned).into();
            for option in options {
                let opposite = match option.as_str() {
                    "exec" => "noexec",
                    "suid" => "nosuid",
                    "dev" => "nodev",
                    _ => "",
                };
                all.retain(|seen| seen != opposite && seen != option);
                all.push(option.clone());
            }
            all.extend(size.map(|size| format!("size={size}")));
            all.extend(mode.map(|mode| format!("mode={mode:o}")));
            all.push(read_only.to_owned());
            let options: Vec<&str> = all.iter().map(String::as_str).collect();
            mount(&wanted.target, "tmpfs", Path::new("tmpfs"), &options)
        }
    }
}

/// A volume whose options name a folder or a device.
fn mounted_volume(target: &str, volume: &VolumeMount) -> Mount {
    let device = Path::new(&volume.device);
    let words: Vec<&str> = volume.options.iter().map(String::as_str).collect();
    if volume.kind == "none" {
        let mut mount = mount(target, "bind", device, &["rbind", "rprivate"]);
        for word in words {
            if !matches!(word, "bind" | "rbind" | "rw") {
                add_option(&mut mount, word);
            }
        }
        return mount;
    }
    mount(target, &volume.kind, device, &words)
}

/// The files of an image, read-only: its only layer as it is, several as an overlay.
fn image(target: &str, folders: &[PathBuf], subpath: Option<&str>) -> Mount {
    let mut mount = match folders {
        [only] => mount(target, "bind", only, &["bind", "rprivate"]),
        several => {
            let escape = |path: &PathBuf| {
                let text = path.to_string_lossy().into_owned();
                text.replace('\\', "\\\\").replace(':', "\\:")
            };
            let lowers: Vec<String> = several.iter().rev().map(escape).collect();
            let lowers = format!("lowerdir={}", lowers.join(":"));
            mount(target, "overlay", Path::new("overlay"), &[&lowers])
        }
    };
    if let Some(subpath) = subpath {
        add_option(&mut mount, &format!("{SUBPATH}{subpath}"));
    }
    for option in ["ro", "nosuid", "nodev"] {
        add_option(&mut mount, option);
    }
    mount
}

fn propagation_option(propagation: Propagation) -> &'static str {
    match propagation {
        Propagation::Rprivate => "rprivate",
        Propagation::Private => "private",
        Propagation::Rshared => "rshared",
        Propagation::Shared => "shared",
        Propagation::Rslave => "rslave",
        Propagation::Slave => "slave",
    }
}

#[cfg(test)]
mod tests {
    use gantry_model::mount::MountOwners;

    use super::*;

    static NO_IMAGES: ImageFolders = ImageFolders::new();

    fn facts(mounts: &[ResolvedMount]) -> MountFacts<'_> {
        MountFacts {
            mounts,
            files: vec![("/etc/hosts", PathBuf::from("/c/hosts"))],
            shm_size: None,
            host_ipc: false,
            ipc_of: None,
            images: &NO_IMAGES,
            no_shm: false,
            own_network: true,
            privileged: false,
            read_only: false,
        }
    }

    fn lines(facts: &MountFacts<'_>) -> Vec<String> {
        decide(facts)
            .iter()
            .map(|mount| {
                format!(
                    "{} {} {} {}",
                    mount.destination().display(),
                    mount.typ().as_deref().unwrap_or(""),
                    mount.source().as_deref().unwrap_or(Path::new("")).display(),
                    mount.options().clone().unwrap_or_default().join(",")
                )
            })
            .collect()
    }

    #[test]
    fn the_standard_ones_are_dockers() {
        assert_eq!(
            lines(&facts(&[])),
            [
                "/proc proc proc nosuid,noexec,nodev",
                "/dev tmpfs tmpfs nosuid,strictatime,mode=755,size=65536k",
                "/dev/pts devpts devpts nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5",
                "/sys sysfs sysfs nosuid,noexec,nodev,ro",
                "/sys/fs/cgroup cgroup cgroup nosuid,noexec,nodev,relatime,ro",
                "/dev/mqueue mqueue mqueue nosuid,noexec,nodev",
                "/dev/shm tmpfs shm nosuid,noexec,nodev,mode=1777,size=67108864",
                "/etc/hosts bind /c/hosts rbind,rprivate",
            ]
        );
    }

    #[test]
    fn own_mounts_override_and_nest() {
        let mounts = [
            ResolvedMount {
                target: "/data/deep".into(),
                read_only: true,
                kind: ResolvedMountKind::Bind {
                    source: "/host".into(),
                    propagation: Propagation::Rslave,
                    non_recursive: false,
                    read_only_below: ReadOnlyBelow::Enabled,
                    owners: MountOwners::Host,
                },
            },
            ResolvedMount {
                target: "/data".into(),
                read_only: false,
                kind: ResolvedMountKind::Volume {
                    name: "v".into(),
                    source: "/v/_data".into(),
                    anonymous: false,
                    mounted: None,
                    subpath: None,
                },
            },
            ResolvedMount {
                target: "/dev/shm".into(),
                read_only: false,
                kind: ResolvedMountKind::Tmpfs {
                    size: Some(1024),
                    mode: Some(0o700),
                    options: vec!["exec".into()],
                },
            },
        ];
        let mut facts = facts(&mounts);
        facts.read_only = true;
        let lines = lines(&facts);
        let own = &lines[lines.len() - 3..];
        assert_eq!(
            own,
            [
                "/data bind /v/_data rbind,rprivate",
                "/data/deep bind /host rbind,rslave,ro,rro",
                "/dev/shm tmpfs tmpfs nosuid,nodev,exec,size=1024,mode=700,rw",
            ]
        );
        assert_eq!(
            lines
                .iter()
                .filter(|line| line.starts_with("/dev/shm"))
                .count(),
            1
        );
        assert!(lines.contains(&"/etc/hosts bind /c/hosts rbind,rprivate,ro".to_owned()));
    }

    #[test]
    fn volumes_with_options_and_images_are_mounted() {
        let volume =
            |kind: &str, options: &[&str], subpath: Option<&str>| ResolvedMountKind::Volume {
                name: "v".into(),
                source: "/v/_data".into(),
                anonymous: false,
                mounted: (!kind.is_empty()).then(|| VolumeMount {
                    kind: kind.into(),
                    device: "/srv".into(),
                    options: options.iter().map(ToString::to_string).collect(),
                }),
                subpath: subpath.map(str::to_owned),
            };
        let image = ResolvedMountKind::Image {
            image: "i".into(),
            image_id: format!("sha256:{}", "f".repeat(64)).parse().unwrap(),
            layers: Vec::new(),
            subpath: Some("bin".into()),
        };
        let kinds = [
            volume("none", &["bind", "ro"], None),
            volume("ext4", &["noatime"], None),
            volume("", &[], Some("a/b")),
            image.clone(),
            image,
        ];
        let mounts: Vec<ResolvedMount> = kinds
            .into_iter()
            .enumerate()
            .map(|(number, kind)| ResolvedMount {
                target: format!("/m{number}"),
                read_only: false,
                kind,
            })
            .collect();
        let folders = |names: &[&str]| names.iter().map(PathBuf::from).collect();
        let images = [
            ("/m3".to_owned(), folders(&["/layers/a"])),
            ("/m4".to_owned(), folders(&["/layers/a", "/layers:b"])),
        ]
        .into();
        let mut facts = facts(&mounts);
        facts.images = &images;
        let lines = lines(&facts);
        assert_eq!(
            lines[lines.len() - 5..],
            [
                "/m0 bind /srv rbind,rprivate,ro",
                "/m1 ext4 /srv noatime",
                "/m2 bind /v/_data rbind,rprivate,x-gantry.subpath=a/b",
                "/m3 bind /layers/a bind,rprivate,x-gantry.subpath=bin,ro,nosuid,nodev",
                "/m4 overlay overlay lowerdir=/layers\\:b:/layers/a,x-gantry.subpath=bin,ro,nosuid,nodev",
            ]
        );
    }

    #[test]
    fn host_namespaces_show_the_hosts_own() {
        let mut facts = facts(&[]);
        facts.own_network = false;
        facts.host_ipc = true;
        let lines = lines(&facts);
        assert!(lines.contains(&"/sys bind /sys rbind,nosuid,noexec,nodev,ro".to_owned()));
        assert!(lines.contains(&"/dev/shm bind /dev/shm rbind,nosuid,noexec,nodev".to_owned()));
    }
}
