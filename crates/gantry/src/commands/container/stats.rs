//! Shows what containers use, again and again or once.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use clap::Args;
use gantry_engine::containers::{ContainerError, Containers, ListOptions, Sample};
use gantry_engine::events::{EventsError, Reader};
use gantry_model::{ContainerId, ContainerRecord, ContainerState};

use crate::context::Context;
use crate::failure::{Exit, Failure, Outcome};
use crate::output::listing::{self, Format, Row, Shape};
use crate::output::size;

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct StatsArgs {
    /// Show all containers (default shows just running)
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Format output by a Go template: 'table', 'table TEMPLATE', 'json' or 'TEMPLATE'
    #[arg(long)]
    pub(crate) format: Option<String>,
    /// Disable streaming stats and only pull the first result
    #[arg(long)]
    pub(crate) no_stream: bool,
    /// Do not truncate output
    #[arg(long)]
    pub(crate) no_trunc: bool,
    /// The containers.
    pub(crate) operands: Vec<String>,
}

/// Time between two samples: Docker's.
const PERIOD: Duration = Duration::from_secs(1);

const SHAPE: Shape = Shape {
    fields: &[
        ("Container", "CONTAINER"),
        ("ID", "CONTAINER ID"),
        ("Name", "NAME"),
        ("CPUPerc", "CPU %"),
        ("MemUsage", "MEM USAGE / LIMIT"),
        ("MemPerc", "MEM %"),
        ("NetIO", "NET I/O"),
        ("BlockIO", "BLOCK I/O"),
        ("PIDs", "PIDS"),
    ],
    table: &[
        "ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs",
    ],
    raw: "",
};

/// One container, as it was asked for.
struct Watched {
    asked: Option<String>,
    record: ContainerRecord,
    state: ContainerState,
}

type Samples = BTreeMap<ContainerId, Sample>;

pub(crate) fn run(context: &Context, args: StatsArgs) -> Outcome {
    let containers = context.engine()?.containers();
    // All names are looked up before anything is shown.
    for name in &args.operands {
        containers.look(name)?;
    }
    let format = Format::parse(args.format.as_deref());
    let live = !args.no_stream && std::io::stdout().is_terminal();
    let mut reader = context.engine()?.events()?;
    let mut before = sample(&containers, &watched(&containers, &args)?);
    let mut first = true;
    loop {
        wait(context, &mut reader)?;
        let now = watched(&containers, &args)?;
        let samples = sample(&containers, &now);
        let rows: Vec<Row> = now
            .iter()
            .map(|one| row(one, &samples, &before, args.no_trunc))
            .collect();
        let text = listing::render(&SHAPE, &format, &rows)?;
        if live {
            context.ui.frame(&text, std::mem::take(&mut first))?;
        } else {
            context.ui.data(&text)?;
        }
        // Those that were named are gone: nothing is to come.
        if args.no_stream || (now.is_empty() && !args.operands.is_empty()) {
            return Ok(Exit::SUCCESS);
        }
        before = samples;
    }
}

/// The containers to show now: those named, or those there are.
fn watched(containers: &Containers<'_>, args: &StatsArgs) -> Result<Vec<Watched>, Failure> {
    if args.operands.is_empty() {
        let all = containers.list(ListOptions {
            all: args.all,
            ..ListOptions::default()
        })?;
        let watched = |view: gantry_engine::containers::ContainerView| Watched {
            asked: None,
            record: view.record,
            state: view.state,
        };
        return Ok(all.into_iter().map(watched).collect());
    }
    let mut watched = Vec::new();
    for name in &args.operands {
        match containers.look(name) {
            Ok((record, state)) => watched.push(Watched {
                asked: Some(name.clone()),
                record,
                state,
            }),
            Err(ContainerError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(watched)
}

fn sample(containers: &Containers<'_>, watched: &[Watched]) -> Samples {
    let of = |one: &Watched| {
        let sample = containers.sample(&one.record, &one.state)?;
        Some((one.record.id.clone(), sample))
    };
    watched.iter().filter_map(of).collect()
}

/// A container that does not run uses nothing.
fn row(one: &Watched, now: &Samples, before: &Samples, whole: bool) -> Row {
    let id = &one.record.id;
    let sample = now.get(id).copied().unwrap_or_default();
    // One that came up between the two samples is compared with itself.
    let earlier = before.get(id).copied().unwrap_or(sample);
    let shown = if whole { id.as_str() } else { id.short() };
    Row::new([
        (
            "Container",
            one.asked.clone().unwrap_or_else(|| shown.to_owned()),
        ),
        ("ID", shown.to_owned()),
        ("Name", one.record.name.clone()),
        ("CPUPerc", format!("{:.2}%", sample.cpu_percent(&earlier))),
        (
            "MemUsage",
            format!(
                "{} / {}",
                size::binary(sample.memory),
                size::binary(sample.memory_limit)
            ),
        ),
        ("MemPerc", format!("{:.2}%", sample.memory_percent())),
        ("NetIO", both(sample.received, sample.sent)),
        ("BlockIO", both(sample.read, sample.written)),
        ("PIDs", sample.pids.to_string()),
    ])
}

fn both(one: u64, other: u64) -> String {
    format!("{} / {}", size::short(one), size::short(other))
}

/// Waits until the next sample is due. It listens to the journal meanwhile, so that this needs
/// no sleep; what happens there shows in the next table.
fn wait(context: &Context, reader: &mut Reader) -> Result<(), Failure> {
    let due = Instant::now() + PERIOD;
    let root = context.engine()?.run_root();
    let failed = |source| {
        let path = root.to_owned();
        EventsError { path, source }
    };
    while reader.wait(Some(due)).map_err(failed)? {
        drop(reader.read().map_err(failed)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_dockers() {
        let id: ContainerId = "ab".repeat(32).parse().unwrap();
        let mut samples = Samples::new();
        let sample = Sample {
            cpu: 3_000_000,
            system: 1_000_000_000,
            processors: 2,
            memory: 1_572_864,
            memory_limit: 2_087_000_000,
            received: 1_090,
            sent: 126,
            read: 1_234_567,
            written: 0,
            pids: 3,
        };
        samples.insert(id, sample);
        assert_eq!(both(sample.received, sample.sent), "1.09kB / 126B");
        assert_eq!(both(sample.read, sample.written), "1.23MB / 0B");
        assert_eq!(size::binary(sample.memory), "1.5MiB");
        assert_eq!(size::binary(sample.memory_limit), "1.944GiB");
        let none = Sample::default();
        assert_eq!(format!("{:.2}%", sample.cpu_percent(&none)), "0.60%");
    }
}
