//! All commands.

use super::command::{Command, Group, command};
use super::usage::Arity;
use crate::commands::buildx::imagetools;
use crate::commands::system::binfmt;
use crate::commands::{
    self, builder, buildx, container, image, manifest, network, registry, system, volume,
};

/// The nouns.
pub(crate) const GROUPS: &[Group] = &[
    Group {
        name: "builder",
        about: "Manage builds",
        hidden: false,
    },
    Group {
        name: "buildx",
        about: "Build images as the buildx plugin spells it",
        hidden: true,
    },
    Group {
        name: "buildx imagetools",
        about: "Commands to work on images in registries",
        hidden: true,
    },
    Group {
        name: "container",
        about: "Manage containers",
        hidden: false,
    },
    Group {
        name: "image",
        about: "Manage images",
        hidden: false,
    },
    Group {
        name: "manifest",
        about: "Manage lists of manifests: images of several platforms",
        hidden: false,
    },
    Group {
        name: "network",
        about: "Manage networks",
        hidden: false,
    },
    Group {
        name: "system",
        about: "Manage this installation",
        hidden: false,
    },
    Group {
        name: "system binfmt",
        about: "Manage emulators for programs of other machines",
        hidden: false,
    },
    Group {
        name: "volume",
        about: "Manage volumes",
        hidden: false,
    },
];

/// The commands people use most, in the order help shows them.
pub(crate) const COMMON: &[&str] = &[
    "run", "exec", "ps", "build", "pull", "push", "images", "login", "logout", "version", "info",
];

use Arity::{AtLeast, AtMost, Between, Exactly};

/// The commands.
#[rustfmt::skip]
pub(crate) static COMMANDS: &[Command] = &[
    command!(["container run", "run"], "[OPTIONS] IMAGE [COMMAND] [ARG...]", "Create and run a new container from an image", AtLeast(1), Run, container::run::RunArgs),
    command!(["container create", "create"], "[OPTIONS] IMAGE [COMMAND] [ARG...]", "Create a new container", AtLeast(1), Plain, container::create::CreateArgs),
    command!(["container start", "start"], "[OPTIONS] CONTAINER [CONTAINER...]", "Start one or more stopped containers", AtLeast(1), Start, container::start::StartArgs),
    command!(["container stop", "stop"], "[OPTIONS] CONTAINER [CONTAINER...]", "Stop one or more running containers", AtLeast(1), Plain, container::stop::StopArgs),
    command!(["container restart", "restart"], "[OPTIONS] CONTAINER [CONTAINER...]", "Restart one or more containers", AtLeast(1), Plain, container::restart::RestartArgs),
    command!(["container kill", "kill"], "[OPTIONS] CONTAINER [CONTAINER...]", "Kill one or more running containers", AtLeast(1), Plain, container::kill::KillArgs),
    command!(["container rm", "container remove", "rm"], "[OPTIONS] CONTAINER [CONTAINER...]", "Remove one or more containers", AtLeast(1), Plain, container::rm::RmArgs),
    command!(["container ls", "container list", "container ps", "ps"], "[OPTIONS]", "List containers", Exactly(0), Plain, container::ls::LsArgs),
    command!(["container logs", "logs"], "[OPTIONS] CONTAINER", "Fetch the logs of a container", Exactly(1), Plain, container::logs::LogsArgs),
    command!(["container exec", "exec"], "[OPTIONS] CONTAINER COMMAND [ARG...]", "Execute a command in a running container", AtLeast(2), Start, container::exec::ExecArgs),
    command!(["container attach", "attach"], "[OPTIONS] CONTAINER", "Attach local standard input, output, and error streams to a running container", Exactly(1), Plain, container::attach::AttachArgs),
    command!(["container wait", "wait"], "CONTAINER [CONTAINER...]", "Block until one or more containers stop, then print their exit codes", AtLeast(1), Plain, container::wait::WaitArgs),
    command!(["container cp", "cp"], "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|- | SRC_PATH|- CONTAINER:DEST_PATH", "Copy files/folders between a container and the local filesystem", Exactly(2), Plain, container::cp::CpArgs),
    command!(["container debug", "debug"], "[OPTIONS] CONTAINER [COMMAND] [ARG...]", "Run a shell with tools in a container that has none", AtLeast(1), Start, container::debug::DebugArgs),
    command!(["container diff", "diff"], "CONTAINER", "Inspect changes to files or directories on a container's filesystem", Exactly(1), Plain, container::diff::DiffArgs),
    command!(["container export", "export"], "[OPTIONS] CONTAINER", "Export a container's filesystem as a tar archive", Exactly(1), Plain, container::export::ExportArgs),
    command!(["container commit", "commit"], "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]", "Create a new image from a container's changes", Between(1, 2), Plain, container::commit::CommitArgs),
    command!(["container rename", "rename"], "CONTAINER NEW_NAME", "Rename a container", Exactly(2), Plain, container::rename::RenameArgs),
    command!(["container pause", "pause"], "CONTAINER [CONTAINER...]", "Pause all processes within one or more containers", AtLeast(1), Plain, container::pause::PauseArgs),
    command!(["container unpause", "unpause"], "CONTAINER [CONTAINER...]", "Unpause all processes within one or more containers", AtLeast(1), Plain, container::unpause::UnpauseArgs),
    command!(["container stats", "stats"], "[OPTIONS] [CONTAINER...]", "Display a live stream of container(s) resource usage statistics", AtLeast(0), Plain, container::stats::StatsArgs),
    command!(["container update", "update"], "[OPTIONS] CONTAINER [CONTAINER...]", "Update configuration of one or more containers", AtLeast(1), Plain, container::update::UpdateArgs),
    command!(["container top", "top"], "CONTAINER [ps OPTIONS]", "Display the running processes of a container", AtLeast(1), Plain, container::top::TopArgs),
    command!(["container port", "port"], "CONTAINER [PRIVATE_PORT[/PROTO]]", "List port mappings or a specific mapping for the container", Between(1, 2), Plain, container::port::PortArgs),
    command!(["container prune"], "[OPTIONS]", "Remove all stopped containers", Exactly(0), Plain, container::prune::PruneArgs),
    command!(["container inspect"], "[OPTIONS] CONTAINER [CONTAINER...]", "Display detailed information on one or more containers", AtLeast(1), Plain, container::inspect::InspectArgs),
    command!(["image build", "build", "builder build", "buildx build", "buildx b"], "[OPTIONS] PATH | URL | -", "Build an image from a Dockerfile", Exactly(1), Plain, builder::build::BuildArgs),
    command!(["builder lint", "build lint"], "[OPTIONS] [FILE|DIRECTORY|-...]", "Tell what could be better in Dockerfiles, and mend what can be", AtLeast(0), Plain, builder::lint::LintArgs),
    command!(["builder verify", "build verify"], "[OPTIONS] IMAGE [PATH | URL | -]", "Build an image again and show what differs", Between(1, 2), Plain, builder::verify::VerifyArgs),
    command!(["builder du", "buildx du"], "[OPTIONS]", "Show what the build cache takes", Exactly(0), Plain, builder::du::DuArgs),
    command!(["bake", "builder bake", "buildx bake", "buildx f"], "[OPTIONS] [TARGET...]", "Build the targets of a file", AtLeast(0), Plain, builder::bake::BakeArgs),
    command!(["builder prune", "buildx prune"], "[OPTIONS]", "Remove build cache", Exactly(0), Plain, builder::prune::PruneArgs),
    command!(["image ls", "image list", "images"], "[OPTIONS] [REPOSITORY[:TAG]]", "List images", AtMost(1), Plain, image::ls::LsArgs),
    command!(["image analyze"], "[OPTIONS] IMAGE", "Show what each layer of an image adds, and what of it nobody sees", Exactly(1), Plain, image::analyze::AnalyzeArgs),
    command!(["image history", "history"], "[OPTIONS] IMAGE", "Show the history of an image", Exactly(1), Plain, image::history::HistoryArgs),
    command!(["image squash"], "[OPTIONS] IMAGE", "Make one layer of the layers of an image", Exactly(1), Plain, image::squash::SquashArgs),
    command!(["image tag", "tag"], "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]", "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE", Exactly(2), Plain, image::tag::TagArgs),
    command!(["image rm", "image remove", "rmi"], "[OPTIONS] IMAGE [IMAGE...]", "Remove one or more images", AtLeast(1), Plain, image::rm::RmArgs),
    command!(["image pull", "pull"], "[OPTIONS] NAME[:TAG|@DIGEST]", "Download an image from a registry", Exactly(1), Plain, image::pull::PullArgs),
    command!(["image push", "push"], "[OPTIONS] NAME[:TAG]", "Upload an image to a registry", Exactly(1), Plain, image::push::PushArgs),
    command!(["image save", "save"], "[OPTIONS] IMAGE [IMAGE...]", "Save one or more images to a tar archive (streamed to STDOUT by default)", AtLeast(1), Plain, image::save::SaveArgs),
    command!(["image load", "load"], "[OPTIONS]", "Load an image from a tar archive or STDIN", Exactly(0), Plain, image::load::LoadArgs),
    command!(["image import", "import"], "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]", "Import the contents from a tarball to create a filesystem image", Between(1, 2), Plain, image::import::ImportArgs),
    command!(["image prune"], "[OPTIONS]", "Remove unused images", Exactly(0), Plain, image::prune::PruneArgs),
    command!(["image inspect"], "[OPTIONS] IMAGE [IMAGE...]", "Display detailed information on one or more images", AtLeast(1), Plain, image::inspect::InspectArgs),
    command!(["manifest create"], "[OPTIONS] MANIFEST_LIST MANIFEST [MANIFEST...]", "Create a local manifest list for annotating and pushing to a registry", AtLeast(2), Plain, manifest::create::CreateArgs),
    command!(["manifest annotate"], "[OPTIONS] MANIFEST_LIST MANIFEST", "Add additional information to a local image manifest", Exactly(2), Plain, manifest::annotate::AnnotateArgs),
    command!(["manifest inspect"], "[OPTIONS] [MANIFEST_LIST] MANIFEST", "Display an image manifest, or manifest list", Between(1, 2), Plain, manifest::inspect::InspectArgs),
    command!(["manifest push"], "[OPTIONS] MANIFEST_LIST", "Push a manifest list to a repository", Exactly(1), Plain, manifest::push::PushArgs),
    command!(["manifest rm"], "MANIFEST_LIST [MANIFEST_LIST...]", "Delete one or more manifest lists from local storage", AtLeast(1), Plain, manifest::rm::RmArgs),
    command!(["buildx imagetools create"], "[OPTIONS] [SOURCE...]", "Create a new image based on source images", AtLeast(0), Plain, imagetools::create::CreateArgs),
    command!(["buildx imagetools inspect"], "[OPTIONS] NAME", "Show details of an image in the registry", Exactly(1), Plain, imagetools::inspect::InspectArgs),
    command!(["buildx ls"], "[OPTIONS]", "List builder instances", Exactly(0), Plain, buildx::ls::LsArgs),
    command!(["buildx inspect"], "[OPTIONS] [NAME]", "Inspect current builder instance", AtMost(1), Plain, buildx::inspect::InspectArgs),
    command!(["buildx version"], "", "Show buildx version information", Exactly(0), Plain, buildx::version::VersionArgs),
    command!(["volume create"], "[OPTIONS] [VOLUME]", "Create a volume", AtMost(1), Plain, volume::create::CreateArgs),
    command!(["volume ls", "volume list"], "[OPTIONS]", "List volumes", Exactly(0), Plain, volume::ls::LsArgs),
    command!(["volume inspect"], "[OPTIONS] VOLUME [VOLUME...]", "Display detailed information on one or more volumes", AtLeast(1), Plain, volume::inspect::InspectArgs),
    command!(["volume rm", "volume remove"], "[OPTIONS] VOLUME [VOLUME...]", "Remove one or more volumes that no container uses", AtLeast(1), Plain, volume::rm::RmArgs),
    command!(["volume prune"], "[OPTIONS]", "Remove unused local volumes", Exactly(0), Plain, volume::prune::PruneArgs),
    command!(["network ls", "network list"], "[OPTIONS]", "List networks", Exactly(0), Plain, network::ls::LsArgs),
    command!(["network inspect"], "[OPTIONS] NETWORK [NETWORK...]", "Display detailed information on one or more networks", AtLeast(1), Plain, network::inspect::InspectArgs),
    command!(["system boot"], "[OPTIONS]", "Start the containers that have to run after a boot", Exactly(0), Plain, system::boot::BootArgs),
    command!(["system df"], "[OPTIONS]", "Show disk usage", Exactly(0), Plain, system::df::DfArgs),
    command!(["system events", "events"], "[OPTIONS]", "Get real time events of this installation", Exactly(0), Plain, system::events::EventsArgs),
    command!(["system check"], "[OPTIONS]", "Verify every digest and reference in the store", Exactly(0), Plain, system::check::CheckArgs),
    command!(["system prune"], "[OPTIONS]", "Remove unused data", Exactly(0), Plain, system::prune::PruneArgs),
    command!(["system binfmt ls", "system binfmt list"], "[OPTIONS]", "List how programs of other machines are run", Exactly(0), Plain, binfmt::ls::LsArgs),
    command!(["system binfmt install"], "[ARCHITECTURE...]", "Register the emulators of this host", AtLeast(0), Plain, binfmt::install::InstallArgs),
    command!(["system binfmt uninstall"], "[ARCHITECTURE...]", "Take registered emulators away", AtLeast(0), Plain, binfmt::uninstall::UninstallArgs),
    command!(["system info", "info"], "[OPTIONS]", "Display system-wide information", Exactly(0), Plain, system::info::InfoArgs),
    command!(["inspect"], "[OPTIONS] NAME|ID [NAME|ID...]", "Return low-level information on containers, images, networks and volumes", AtLeast(1), Plain, system::inspect::InspectArgs),
    command!(["version"], "[OPTIONS]", "Show the version information", Exactly(0), Plain, system::version::VersionArgs),
    command!(["completion"], "[OPTIONS] bash|zsh|fish|powershell", "Write the completion script of a shell", Exactly(1), Plain, system::completion::CompletionArgs),
    Command { hidden: true, ..command!(["man"], "FOLDER", "Write the manual pages", Exactly(1), Plain, system::man::ManArgs) },
    command!(["runtime"], "[OPTIONS] COMMAND", "Be the OCI runtime of dockerd, containerd or podman", AtLeast(0), Plain, commands::runtime::RuntimeArgs),
    command!(["login"], "[OPTIONS] [SERVER]", "Authenticate to a registry", AtMost(1), Plain, registry::login::LoginArgs),
    command!(["logout"], "[SERVER]", "Log out from a registry", AtMost(1), Plain, registry::logout::LogoutArgs),
];
