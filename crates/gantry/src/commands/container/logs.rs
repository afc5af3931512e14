//! Shows what a container wrote.

use std::io::{self, BufWriter, Write};

use clap::Args;
use gantry_engine::containers::{LogLine, LogOptions, LogReader};
use gantry_supervisor::log::Stream;
use jiff::Timestamp;

use crate::context::Context;
use crate::failure::{Exit, Failure, Outcome, written};
use crate::output::time;

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct LogsArgs {
    /// Show the extra details a log driver keeps
    #[arg(long)]
    pub(crate) details: bool,
    /// Go on with what is written from now on
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Show what was written since a time (e.g. "2013-01-02T13:23:37Z") or a duration ago ("42m")
    #[arg(long)]
    pub(crate) since: Option<String>,
    /// Number of lines to show from the end (default "all")
    #[arg(short = 'n', long)]
    pub(crate) tail: Option<String>,
    /// Show the time of each line
    #[arg(short, long)]
    pub(crate) timestamps: bool,
    /// Show what was written before a time, or a duration ago
    #[arg(long)]
    pub(crate) until: Option<String>,
    /// The container.
    pub(crate) operands: Vec<String>,
}

pub(crate) fn run(context: &Context, args: LogsArgs) -> Outcome {
    if args.details {
        return Err(Failure::unsupported(
            "flag --details is not supported: the log driver keeps no further details",
        ));
    }
    let now = Timestamp::now();
    let options = LogOptions {
        follow: args.follow,
        tail: tail(args.tail.as_deref())?,
        since: point("since", args.since.as_deref(), now)?,
        until: point("until", args.until.as_deref(), now)?,
    };
    let reader = context
        .engine()?
        .containers()
        .logs(&args.operands[0], options)?;
    // Whoever follows wants each line as it comes; elsewhere writes are gathered.
    let capacity = if args.follow { 0 } else { 64 * 1024 };
    let mut out = BufWriter::with_capacity(capacity, io::stdout().lock());
    let mut err = BufWriter::with_capacity(capacity, io::stderr().lock());
    copy(reader, args.timestamps, &mut out, &mut err)?;
    out.flush().and_then(|()| err.flush()).map_err(written)?;
    Ok(Exit::SUCCESS)
}

/// Copies every line to where it came from; the order between both is kept.
fn copy(
    mut reader: LogReader,
    stamped: bool,
    out: &mut impl Write,
    err: &mut impl Write,
) -> Result<(), Failure> {
    let mut last = None;
    while let Some(line) = reader.next_line()? {
        let is_error = line.stream == Stream::Stderr;
        if last.is_some_and(|last| last != is_error) {
            out.flush().and_then(|()| err.flush()).map_err(written)?;
        }
        last = Some(is_error);
        let to: &mut dyn Write = if is_error { &mut *err } else { &mut *out };
        write_line(to, &line, stamped).map_err(written)?;
    }
    Ok(())
}

fn write_line(to: &mut dyn Write, line: &LogLine, stamped: bool) -> io::Result<()> {
    if stamped {
        // In one write, so that two followers of one terminal do not mix.
        return to.write_all(format!("{} {}", line.time, line.text).as_bytes());
    }
    to.write_all(line.text.as_bytes())
}

fn tail(text: Option<&str>) -> Result<Option<u64>, Failure> {
    match text {
        None | Some("all" | "") => Ok(None),
        Some(number) if number.starts_with('-') && number[1..].parse::<u64>().is_ok() => Ok(None),
        Some(number) => number.parse().map(Some).map_err(|_| {
            Failure::invalid(format!(
                "invalid value for --tail: {number:?}, expected a number or all"
            ))
        }),
    }
}

fn point(flag: &str, text: Option<&str>, now: Timestamp) -> Result<Option<Timestamp>, Failure> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    match time::point(text, now) {
        Some(time) => Ok(Some(time)),
        None => Err(Failure::invalid(format!(
            "invalid value for {flag:?}: failed to parse {text:?} as a time or a duration"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_parse() {
        assert_eq!(tail(Some("all")).unwrap(), None);
        assert_eq!(tail(Some("-1")).unwrap(), None);
        assert_eq!(tail(Some("0")).unwrap(), Some(0));
        assert!(tail(Some("x")).is_err());
        assert!(point("since", Some("yesterday"), Timestamp::now()).is_err());
    }
}
