//! Shows what a container wrote.

mod filter;

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};

use clap::Args;
use gantry_engine::containers::{LogLine, LogOptions, LogReader};
use gantry_supervisor::log::Stream;
use jiff::Timestamp;

use crate::context::Context;
use crate::failure::{Exit, Failure, Outcome, written};
use crate::output::time;
use filter::Filter;

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct LogsArgs {
    /// Show the extra details a log driver keeps
    #[arg(long)]
    pub(crate) details: bool,
    /// Go on with what is written from now on
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Show only lines that match a regular expression
    #[arg(long, value_name = "regex")]
    pub(crate) grep: Option<String>,
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
    let now = Timestamp::now();
    let options = LogOptions {
        follow: args.follow,
        tail: tail(args.tail.as_deref()),
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
    let mut view = View {
        stamped: args.timestamps,
        detailed: args.details,
        filter: args.grep.as_deref().map(Filter::new).transpose()?,
    };
    view.copy(reader, &mut out, &mut err)?;
    out.flush().and_then(|()| err.flush()).map_err(written)?;
    Ok(Exit::SUCCESS)
}

/// How lines are shown, and which.
struct View {
    stamped: bool,
    detailed: bool,
    filter: Option<Filter>,
}

impl View {
    /// Copies every line to where it came from; the order between both is kept.
    fn copy(
        &mut self,
        mut reader: LogReader,
        out: &mut impl Write,
        err: &mut impl Write,
    ) -> Result<(), Failure> {
        let mut last = None;
        while let Some(line) = reader.next_line()? {
            let lines = match &mut self.filter {
                Some(filter) => filter.pass(line),
                None => vec![line],
            };
            for line in lines {
                let is_error = line.stream == Stream::Stderr;
                if last.is_some_and(|last| last != is_error) {
                    out.flush().and_then(|()| err.flush()).map_err(written)?;
                }
                last = Some(is_error);
                let to: &mut dyn Write = if is_error { &mut *err } else { &mut *out };
                self.write_line(to, &line).map_err(written)?;
            }
        }
        let rest = self.filter.as_mut().map(Filter::rest).unwrap_or_default();
        for line in rest {
            let to: &mut dyn Write = match line.stream {
                Stream::Stdout => &mut *out,
                Stream::Stderr => &mut *err,
            };
            self.write_line(to, &line).map_err(written)?;
        }
        Ok(())
    }

    fn write_line(&self, to: &mut dyn Write, line: &LogLine) -> io::Result<()> {
        if !self.stamped && !self.detailed {
            return to.write_all(line.text.as_bytes());
        }
        // In one write, so that two followers of one terminal do not mix.
        let mut text = String::new();
        if self.stamped {
            text.push_str(&stamp(&line.time));
            text.push(' ');
        }
        if self.detailed {
            text.push_str(&details(&line.attributes));
            text.push(' ');
        }
        text.push_str(&line.text);
        to.write_all(text.as_bytes())
    }
}

/// A time with all of its nine digits, as Docker shows it.
fn stamp(time: &str) -> String {
    match time.strip_suffix('Z') {
        Some(plain) => {
            let (whole, fraction) = plain.split_once('.').unwrap_or((plain, ""));
            format!("{whole}.{fraction:0<9}Z")
        }
        None => time.to_owned(),
    }
}

/// `name=value` pairs as Docker writes them: as in a form of a web page.
fn details(attributes: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = attributes
        .iter()
        .map(|(name, value)| format!("{}={}", form_encode(name), form_encode(value)))
        .collect();
    pairs.join(",")
}

fn form_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte));
            }
            b' ' => out.push('+'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// How many lines; what is no number means all, as with Docker.
fn tail(text: Option<&str>) -> Option<u64> {
    text?.parse().ok()
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
    fn details_and_times_are_dockers() {
        let attributes = [("tag", "a/b c>&2"), ("FOO", "bar")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        assert_eq!(details(&attributes), "FOO=bar,tag=a%2Fb+c%3E%262");
        assert_eq!(
            stamp("2026-01-01T00:00:00Z"),
            "2026-01-01T00:00:00.000000000Z"
        );
        assert_eq!(
            stamp("2026-01-01T00:00:00.25Z"),
            "2026-01-01T00:00:00.250000000Z"
        );
    }

    #[test]
    fn tails_parse() {
        for (text, want) in [("all", None), ("-1", None), ("x", None), ("0", Some(0))] {
            assert_eq!(tail(Some(text)), want, "{text}");
        }
        assert!(point("since", Some("yesterday"), Timestamp::now()).is_err());
    }
}
