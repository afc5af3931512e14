//! Shows a build on stderr: live on a terminal, as plain lines elsewhere, or not at all.

use std::io::{self, IsTerminal, Write};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gantry_build::progress::plain::PlainFormatter;
use gantry_build::{Event, Explanation, Progress};
use gantry_model::quantity::counted;
use jiff::Timestamp;

use super::live::{Extent, LiveView};
use super::palette::Palette;
use super::raw::RawFormatter;
use super::screen::{Screen, harmless};
use crate::failure::Failure;
use crate::flags::environment;
use crate::stream::terminal;

/// Time between two frames of the live view.
const FRAME: Duration = Duration::from_millis(100);

/// How a build is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The live view.
    Live,
    /// One line for everything that happens.
    Plain,
    /// A line of JSON for everything that happens.
    Raw,
    /// Only what went wrong.
    Quiet,
}

impl Mode {
    /// What `--progress` says; where it leaves the choice, `BUILDKIT_PROGRESS`.
    pub(crate) fn asked(flag: Option<&str>) -> Option<String> {
        let said = flag.filter(|mode| !matches!(*mode, "" | "auto"));
        let said = said.map(str::to_owned);
        said.or_else(|| environment::caller("BUILDKIT_PROGRESS"))
    }

    /// What `--progress` (or `BUILDKIT_PROGRESS`) and `-q` ask for.
    pub(crate) fn choose(flag: Option<&str>, quiet: bool) -> Result<Self, Failure> {
        if quiet {
            return match flag {
                None | Some("" | "auto" | "quiet") => Ok(Self::Quiet),
                Some(other) => Err(Failure::invalid(format!(
                    "--progress={other} and --quiet cannot be used together: leave one of them out"
                ))),
            };
        }
        let asked = Self::asked(flag);
        let fits =
            io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|t| t != "dumb");
        match asked.as_deref() {
            None | Some("" | "auto") if fits => Ok(Self::Live),
            None | Some("" | "auto" | "plain") => Ok(Self::Plain),
            Some("tty") if fits => Ok(Self::Live),
            Some("tty") => Err(Failure::invalid(
                "--progress=tty needs a terminal at STDERR",
            )),
            Some("quiet" | "none") => Ok(Self::Quiet),
            Some("rawjson") => Ok(Self::Raw),
            Some(other) => Err(Failure::invalid(format!(
                "invalid progress mode {other:?}, the modes are auto, none, plain, quiet, rawjson and tty"
            ))),
        }
    }
}

/// Takes the events of a build and shows them.
#[derive(Debug)]
pub(crate) struct BuildDisplay {
    mode: Mode,
    palette: Option<Palette>,
    /// Whether warnings are shown with their lines.
    detailed: bool,
    start: Instant,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// Also kept for the live view: it repeats the last lines of what failed.
    plain: PlainFormatter,
    live: LiveView,
    raw: RawFormatter,
    screen: Screen,
    /// Each with its lines of the Dockerfile, where there are any.
    warnings: Vec<(String, Option<String>)>,
    advice: Vec<String>,
    explanation: Option<Explanation>,
    over: bool,
}

impl BuildDisplay {
    /// A display of a build that begins now, with colours where they are understood.
    pub(crate) fn new(mode: Mode, palette: Option<Palette>, detailed: bool) -> Self {
        let state = State {
            plain: PlainFormatter::new(),
            live: LiveView::default(),
            raw: RawFormatter::new(Timestamp::now()),
            screen: Screen::default(),
            warnings: Vec::new(),
            advice: Vec::new(),
            explanation: None,
            over: false,
        };
        Self {
            mode,
            palette,
            detailed,
            start: Instant::now(),
            state: Mutex::new(state),
            changed: Condvar::new(),
        }
    }

    /// Runs `work` while the display is kept up to date; `failed` says whether what it gave back
    /// is a failure, whose last lines are then repeated.
    pub(crate) fn show<T>(&self, work: impl FnOnce() -> T, failed: impl FnOnce(&T) -> bool) -> T {
        let result = std::thread::scope(|scope| {
            if !matches!(self.mode, Mode::Quiet | Mode::Raw) {
                scope.spawn(|| self.tick());
            }
            // Dropped on a panic too, or the scope would wait for the ticker for ever.
            let end = End(self);
            let result = work();
            drop(end);
            result
        });
        self.close(failed(&result));
        result
    }

    /// Why the steps ran or did not, once that was told.
    pub(crate) fn explanation(&self) -> Option<Explanation> {
        self.lock().explanation.take()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tick(&self) {
        let mut state = self.lock();
        while !state.over {
            let (next, _) = self
                .changed
                .wait_timeout(state, FRAME)
                .unwrap_or_else(PoisonError::into_inner);
            state = next;
            let now = self.start.elapsed();
            match self.mode {
                Mode::Live => self.draw(&mut state, now),
                Mode::Plain => {
                    let mut out = Vec::new();
                    state.plain.tick(now, &mut out);
                    write(&out);
                }
                Mode::Quiet | Mode::Raw => {}
            }
        }
    }

    fn draw(&self, state: &mut State, now: Duration) {
        let (height, width) = terminal::size().map_or((24, 80), |(rows, columns)| {
            (usize::from(rows), usize::from(columns))
        });
        let lines = state.live.lines(
            now,
            Extent {
                width,
                height,
                palette: self.palette.as_ref(),
            },
        );
        write(&state.screen.frame(&lines));
    }

    fn close(&self, failed: bool) {
        // Whoever reads documents has them all.
        if self.mode == Mode::Raw {
            return;
        }
        let mut state = self.lock();
        if self.mode == Mode::Live {
            let now = self.start.elapsed();
            state.live.finish(now);
            self.draw(&mut state, now);
        }
        let mut summary = Vec::new();
        if failed {
            state.plain.failure_summary(&mut summary);
        }
        let (count, remarks) = match self.mode {
            Mode::Quiet => Default::default(),
            _ => self.remarks(&state),
        };
        if self.mode != Mode::Live {
            let text = [&summary[..], count.as_bytes(), remarks.as_bytes()].concat();
            return write(&text);
        }
        // What a step says must not change what was said before.
        let count = match &self.palette {
            Some(palette) if !count.is_empty() => {
                format!(
                    "\n\x1b[{}m{}\x1b[0m\n",
                    palette.warning,
                    count.trim_matches('\n')
                )
            }
            _ => count,
        };
        let text = [
            harmless_lines(&summary),
            count,
            harmless_lines(remarks.as_bytes()),
        ];
        write(text.concat().as_bytes());
    }
}

impl BuildDisplay {
    /// How many warnings there are, and what they and the advice say, as they stand at the end.
    fn remarks(&self, state: &State) -> (String, String) {
        let (mut count, mut out) = (String::new(), String::new());
        if !state.warnings.is_empty() {
            let more = if self.detailed {
                ""
            } else {
                " (use --debug to expand)"
            };
            count = format!(
                "\n {} found{more}:\n",
                counted(state.warnings.len(), "warning")
            );
        }
        for (message, rendered) in &state.warnings {
            out.push_str(&format!(" - {message}\n"));
            if let (true, Some(rendered)) = (self.detailed, rendered) {
                out.push_str(rendered);
                out.push('\n');
            }
        }
        for message in &state.advice {
            out.push_str(&format!("\n {message}\n"));
        }
        (count, out)
    }
}

fn harmless_lines(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let lines = text.split('\n').map(harmless);
    lines.collect::<Vec<_>>().join("\n")
}

/// Ends the ticker when the work is over, however it ends.
struct End<'a>(&'a BuildDisplay);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.lock().over = true;
        self.0.changed.notify_all();
    }
}

impl Progress for BuildDisplay {
    fn event(&self, event: Event<'_>) {
        let mut state = self.lock();
        if self.mode == Mode::Raw
            && let Some(line) = state.raw.line(event)
        {
            return write(line.as_bytes());
        }
        match event {
            Event::Warning { message, rendered } => {
                let rendered = rendered.map(str::to_owned);
                return state.warnings.push((message.to_owned(), rendered));
            }
            Event::Advice { message } => return state.advice.push(message.to_owned()),
            Event::Explained { explanation } => {
                state.explanation = Some(explanation.clone());
                return;
            }
            _ => {}
        }
        let mut out = Vec::new();
        state.plain.event(event, &mut out);
        match self.mode {
            Mode::Plain => write(&out),
            Mode::Live => state.live.event(event),
            Mode::Quiet | Mode::Raw => {}
        }
    }
}

/// Nobody listening to the progress is no failure of the build.
fn write(bytes: &[u8]) {
    if !bytes.is_empty() {
        drop(io::stderr().lock().write_all(bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_chosen() {
        for with_quiet in [None, Some("auto"), Some("quiet")] {
            assert_eq!(Mode::choose(with_quiet, true).unwrap(), Mode::Quiet);
        }
        assert!(Mode::choose(Some("plain"), true).is_err());
        assert_eq!(Mode::choose(Some("plain"), false).unwrap(), Mode::Plain);
        assert_eq!(Mode::choose(Some("quiet"), false).unwrap(), Mode::Quiet);
        assert_eq!(Mode::choose(Some("rawjson"), false).unwrap(), Mode::Raw);
        assert!(Mode::choose(Some("x"), false).is_err());
    }

    #[test]
    fn the_work_is_done_and_its_result_given_back() {
        let display = BuildDisplay::new(Mode::Plain, None, false);
        assert_eq!(display.show(|| 7, |_| false), 7);
    }
}
