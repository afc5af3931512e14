//! Changes the limits and the restart policy of containers.

use clap::Args;
use gantry_engine::containers::Changes;
use gantry_model::container::Resources;
use gantry_model::quantity::{parse_bytes, parse_nano_cpus};

use crate::commands::each::each;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::flags::value::wrong;

/// The words behind the command.
#[derive(Debug, Clone, Default, PartialEq, Args)]
pub(crate) struct UpdateArgs {
    /// Block IO (relative weight), between 10 and 1000, or 0 to disable (default 0)
    #[arg(long, value_name = "uint16")]
    pub(crate) blkio_weight: Option<u16>,
    /// Limit CPU CFS (Completely Fair Scheduler) period
    #[arg(long, value_name = "int")]
    pub(crate) cpu_period: Option<u64>,
    /// Limit CPU CFS (Completely Fair Scheduler) quota
    #[arg(long, value_name = "int", allow_hyphen_values = true)]
    pub(crate) cpu_quota: Option<i64>,
    /// Limit the CPU real-time period in microseconds
    #[arg(long, value_name = "int")]
    pub(crate) cpu_rt_period: Option<u64>,
    /// Limit the CPU real-time runtime in microseconds
    #[arg(long, value_name = "int", allow_hyphen_values = true)]
    pub(crate) cpu_rt_runtime: Option<i64>,
    /// CPU shares (relative weight)
    #[arg(short = 'c', long, value_name = "int")]
    pub(crate) cpu_shares: Option<u64>,
    /// Number of CPUs
    #[arg(long, value_name = "decimal")]
    pub(crate) cpus: Option<String>,
    /// CPUs in which to allow execution (0-3, 0,1)
    #[arg(long, value_name = "string")]
    pub(crate) cpuset_cpus: Option<String>,
    /// MEMs in which to allow execution (0-3, 0,1)
    #[arg(long, value_name = "string")]
    pub(crate) cpuset_mems: Option<String>,
    /// Memory limit
    #[arg(short, long, value_name = "bytes")]
    pub(crate) memory: Option<String>,
    /// Memory soft limit
    #[arg(long, value_name = "bytes")]
    pub(crate) memory_reservation: Option<String>,
    /// Swap limit equal to memory plus swap: -1 to enable unlimited swap
    #[arg(long, value_name = "bytes", allow_hyphen_values = true)]
    pub(crate) memory_swap: Option<String>,
    /// Tune container pids limit (set -1 for unlimited)
    #[arg(long, value_name = "int", allow_hyphen_values = true)]
    pub(crate) pids_limit: Option<i64>,
    /// Restart policy to apply when a container exits
    #[arg(long, value_name = "string")]
    pub(crate) restart: Option<String>,
    /// The containers.
    pub(crate) operands: Vec<String>,
}

pub(crate) fn run(context: &Context, args: UpdateArgs) -> Outcome {
    let bare = UpdateArgs {
        operands: args.operands.clone(),
        ..UpdateArgs::default()
    };
    if args == bare {
        return Err(Failure::invalid(
            "you must provide one or more flags when using this command",
        ));
    }
    let changes = changes(&args)?;
    let containers = context.engine()?.containers();
    each(context, &args.operands, |name| {
        containers.update(name, &changes)?;
        context.ui.line(name)
    })
}

fn changes(args: &UpdateArgs) -> Result<Changes, Failure> {
    let bytes = |flag, text: &Option<String>| match text.as_deref() {
        Some(text) => parse_bytes(text).map(Some).map_err(wrong(flag, text)),
        None => Ok(None),
    };
    let memory_swap = match args.memory_swap.as_deref() {
        Some("-1") => Some(-1),
        _ => bytes("--memory-swap", &args.memory_swap)?.and_then(|size| i64::try_from(size).ok()),
    };
    let nano_cpus = match args.cpus.as_deref() {
        Some(text) => Some(parse_nano_cpus(text).map_err(wrong("--cpus", text))?),
        None => None,
    };
    let restart = match args.restart.as_deref() {
        Some(text) => Some(text.parse().map_err(wrong("--restart", text))?),
        None => None,
    };
    let resources = Resources {
        memory: bytes("-m, --memory", &args.memory)?.filter(|n| *n > 0),
        memory_reservation: bytes("--memory-reservation", &args.memory_reservation)?
            .filter(|n| *n > 0),
        memory_swap: memory_swap.filter(|n| *n != 0),
        nano_cpus: nano_cpus.filter(|n| *n > 0),
        cpu_shares: args.cpu_shares.filter(|n| *n > 0),
        cpu_period: args.cpu_period.filter(|n| *n > 0),
        cpu_quota: args.cpu_quota.filter(|n| *n != 0),
        cpu_rt_period: args.cpu_rt_period.filter(|n| *n > 0),
        cpu_rt_runtime: args.cpu_rt_runtime.filter(|n| *n != 0),
        cpuset_cpus: args.cpuset_cpus.clone().filter(|set| !set.is_empty()),
        cpuset_mems: args.cpuset_mems.clone().filter(|set| !set.is_empty()),
        pids_limit: args.pids_limit,
        blkio_weight: args.blkio_weight.filter(|n| *n > 0),
        ..Resources::default()
    };
    Ok(Changes { resources, restart })
}
