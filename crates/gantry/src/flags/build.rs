//! What everything that builds is told: where it looks, and what its steps may have.

use clap::Args;

/// The flags, as they are written.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct BuildFlags {
    /// Add a host-to-IP mapping for RUN (host:ip; "host-gateway" is this machine)
    #[arg(long, value_delimiter = ',')]
    pub(crate) add_host: Vec<String>,
    /// Allow RUN what it may not do otherwise ("network.host", "security.insecure",
    /// "device[=NAME[,alias=NAME]]")
    #[arg(long)]
    pub(crate) allow: Vec<String>,
    /// Further context (NAME=FOLDER|ARCHIVE|URL|GIT, NAME=docker-image://IMAGE,
    /// NAME=oci-layout://FOLDER)
    #[arg(long)]
    pub(crate) build_context: Vec<String>,
    /// Certificate authorities for RUN, ADD and contexts ("host", or a file in PEM)
    #[arg(long, value_name = "host|file")]
    pub(crate) ca_certificates: Option<String>,
    /// Network of RUN ("default", "none", "host")
    #[arg(long)]
    pub(crate) network: Option<String>,
    /// Kind of progress output ("auto", "plain", "tty", "quiet", "rawjson", "none") (default
    /// "auto")
    #[arg(long)]
    pub(crate) progress: Option<String>,
    /// Secret for RUN --mount=type=secret (id=NAME[,src=FILE|,env=VARIABLE])
    #[arg(long)]
    pub(crate) secret: Vec<String>,
    /// SSH agent for RUN --mount=type=ssh (default|NAME[=SOCKET])
    #[arg(long)]
    pub(crate) ssh: Vec<String>,
}
