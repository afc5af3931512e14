//! Copies files and folders in and out of containers.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use clap::Args;
use gantry_engine::containers::CopyOptions;

use crate::context::Context;
use crate::failure::{Exit, Failure, Outcome};
use crate::output::{sink, size};

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct CpArgs {
    /// Give what is copied in to the container's user
    #[arg(short, long)]
    pub(crate) archive: bool,
    /// Always follow a symbolic link in SRC_PATH
    #[arg(short = 'L', long)]
    pub(crate) follow_link: bool,
    /// Show no progress; there is none without a terminal
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Source and destination.
    pub(crate) operands: Vec<String>,
}

/// One end of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End<'a> {
    Local(&'a str),
    Stream,
    Container(&'a str, &'a str),
}

/// A path with a colon is a container's, unless it can only be a local one.
fn end(word: &str) -> End<'_> {
    if word == "-" {
        return End::Stream;
    }
    match word.split_once(':') {
        Some((name, path)) if !word.starts_with(['/', '.']) => End::Container(name, path),
        _ => End::Local(word),
    }
}

pub(crate) fn run(context: &Context, args: CpArgs) -> Outcome {
    let [source, destination] = args.operands.as_slice() else {
        return Err(Failure::invalid("a source and a destination are needed"));
    };
    let options = CopyOptions {
        archive: args.archive,
        follow_link: args.follow_link,
    };
    let containers = context.engine()?.containers();
    match (end(source), end(destination)) {
        (End::Container(..), End::Container(..)) => {
            return Err(Failure::invalid(
                "copying between containers is not supported",
            ));
        }
        (End::Container(name, path), End::Stream) => {
            if sink::stdout_is_terminal() {
                return Err(Failure::invalid(
                    "cowardly refusing to write an archive to a terminal, redirect it",
                ));
            }
            sink::to_stdout(|out| Ok(containers.archive_out(name, path, options, out)?))?;
        }
        (End::Container(name, path), End::Local(local)) => {
            let mut meter = Meter::new(args.quiet, "from");
            containers.copy_out(name, path, local, options, &mut |bytes| meter.add(bytes))?;
            meter.finish(context, local);
        }
        (End::Stream, End::Container(name, path)) => {
            containers.archive_in(&mut io::stdin().lock(), name, path, options)?;
        }
        (End::Local(local), End::Container(name, path)) => {
            let mut meter = Meter::new(args.quiet, "to");
            containers.copy_in(local, name, path, options, &mut |bytes| meter.add(bytes))?;
            meter.finish(context, destination);
        }
        (End::Local(_) | End::Stream, End::Local(_) | End::Stream) => {
            return Err(Failure::invalid(
                "must specify at least one container source",
            ));
        }
    }
    Ok(Exit::SUCCESS)
}

/// Least time between two lines of progress.
const FRAME: Duration = Duration::from_millis(80);
/// What Docker counts for the end of an archive.
const TRAILER: u64 = 1024;

/// Shows on a terminal how much was copied.
struct Meter {
    live: bool,
    direction: &'static str,
    copied: u64,
    drawn: Instant,
}

impl Meter {
    fn new(quiet: bool, direction: &'static str) -> Self {
        Self {
            live: !quiet && io::stderr().is_terminal(),
            direction,
            copied: 0,
            drawn: Instant::now(),
        }
    }

    fn add(&mut self, bytes: u64) {
        self.copied += bytes;
        if self.live && self.drawn.elapsed() >= FRAME {
            self.drawn = Instant::now();
            let (direction, size) = (self.direction, size::long(self.copied));
            // Nobody listening is no failure.
            drop(write!(
                io::stderr(),
                "\r\x1b[KCopying {direction} container - {size}"
            ));
        }
    }

    fn finish(self, context: &Context, destination: &str) {
        if self.live {
            drop(write!(io::stderr(), "\r\x1b[K"));
            let size = size::short(self.copied + TRAILER);
            context
                .ui
                .status(&format!("Successfully copied {size} to {destination}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_told_apart() {
        for (word, want) in [
            ("-", End::Stream),
            ("c:/x", End::Container("c", "/x")),
            ("c:", End::Container("c", "")),
            ("c:-", End::Container("c", "-")),
            ("x", End::Local("x")),
            ("./a:b", End::Local("./a:b")),
            ("/a:b", End::Local("/a:b")),
            ("../a:b", End::Local("../a:b")),
            ("c:a:b", End::Container("c", "a:b")),
        ] {
            assert_eq!(end(word), want, "{word}");
        }
    }
}
