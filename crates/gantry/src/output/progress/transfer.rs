//! Shows a pull or a push on stderr: a line for each layer that changes in place on a terminal,
//! a line for each change elsewhere.

use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::screen::{Screen, clip, harmless};
use crate::output::size;
use crate::stream::terminal;

/// Least time between two frames that show nothing but numbers.
const FRAME: Duration = Duration::from_millis(80);
/// Width of the bar between its brackets.
const BAR: usize = 50;

/// How far one layer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    /// Short digest.
    pub(crate) id: String,
    /// What is done with it, in Docker's words: `Downloading`, `Pull complete`.
    pub(crate) phase: String,
    /// Bytes done.
    pub(crate) current: u64,
    /// Bytes in all, where known.
    pub(crate) total: Option<u64>,
}

/// Takes what happens in a transfer; called from several threads.
#[derive(Debug)]
pub(crate) struct TransferDisplay {
    state: Option<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    live: bool,
    items: Vec<Item>,
    screen: Screen,
    drawn: Option<Instant>,
}

impl TransferDisplay {
    /// A display; a quiet one shows nothing.
    pub(crate) fn new(quiet: bool) -> Self {
        let live =
            io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|t| t != "dumb");
        let state = State {
            live,
            items: Vec::new(),
            screen: Screen::default(),
            drawn: None,
        };
        Self {
            state: (!quiet).then(|| Mutex::new(state)),
        }
    }

    /// A line that stays.
    pub(crate) fn line(&self, text: &str) {
        if self.state.is_some() {
            write(format!("{}\n", harmless(text)).as_bytes());
        }
    }

    /// A layer moved on.
    pub(crate) fn item(&self, item: Item) {
        let Some(state) = &self.state else { return };
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = state.update(&item);
        if state.live {
            let now = Instant::now();
            if changed
                || state
                    .drawn
                    .is_none_or(|last| now.duration_since(last) >= FRAME)
            {
                state.drawn = Some(now);
                let frame = state.frame();
                write(&frame);
            }
        } else if changed {
            write(format!("{}: {}\n", item.id, item.phase).as_bytes());
        }
    }

    /// Draws what was held back; nothing is in place any more after this.
    pub(crate) fn finish(&self) {
        let Some(state) = &self.state else { return };
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.live && !state.items.is_empty() {
            let frame = state.frame();
            write(&frame);
        }
        state.items.clear();
        state.screen = Screen::default();
    }
}

impl State {
    /// Keeps the item; says whether its phase changed.
    fn update(&mut self, item: &Item) -> bool {
        match self.items.iter_mut().find(|known| known.id == item.id) {
            Some(known) => {
                let changed = known.phase != item.phase;
                known.clone_from(item);
                changed
            }
            None => {
                self.items.push(item.clone());
                true
            }
        }
    }

    fn frame(&mut self) -> Vec<u8> {
        let (height, width) =
            terminal::size().map_or((24, 80), |(r, c)| (usize::from(r), usize::from(c)));
        let lines = lines(&self.items, width, height);
        self.screen.frame(&lines)
    }
}

/// The lines of the items, no more than fit: what is complete goes first.
fn lines(items: &[Item], width: usize, height: usize) -> Vec<String> {
    let room = height.saturating_sub(2).max(1);
    let mut surplus = items.len().saturating_sub(room);
    let mut shown: Vec<&Item> = items.iter().collect();
    shown.retain(|item| {
        let over = !item.phase.ends_with("ing") && surplus > 0;
        surplus -= usize::from(over);
        !over
    });
    shown.truncate(room);
    shown
        .into_iter()
        .map(|item| clip(&line(item, width), width))
        .collect()
}

fn line(item: &Item, width: usize) -> String {
    let text = format!("{}: {}", item.id, item.phase);
    if !item.phase.ends_with("ing") || item.current == 0 {
        return text;
    }
    match item.total.filter(|total| *total > 0) {
        None => format!("{text} {}", size::long(item.current)),
        Some(total) => {
            let amount = format!("{:>8}/{}", size::long(item.current), size::long(total));
            if width < BAR + text.len() + amount.len() + 6 {
                return format!("{text} {amount}");
            }
            let part = u128::from(item.current.min(total)) * BAR as u128 / u128::from(total);
            let done = usize::try_from(part).unwrap_or(BAR);
            let head = if done < BAR { ">" } else { "" };
            let bar = format!("{}{head}", "=".repeat(done));
            format!("{text} [{bar:BAR$}] {amount}")
        }
    }
}

/// Nobody listening to the progress is no failure of the transfer.
fn write(bytes: &[u8]) {
    drop(io::stderr().lock().write_all(bytes));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(id: &str, phase: &str, current: u64, total: Option<u64>) -> Item {
        Item {
            id: id.into(),
            phase: phase.into(),
            current,
            total,
        }
    }

    #[test]
    fn lines_read_as_dockers() {
        for (item, width, want) in [
            (
                item("a1", "Downloading", 1_200_000, Some(4_800_000)),
                120,
                "a1: Downloading [============>                                     ]    1.2MB/4.8MB",
            ),
            (
                item("a1", "Downloading", 1_200_000, Some(4_800_000)),
                60,
                "a1: Downloading    1.2MB/4.8MB",
            ),
            (
                item("a1", "Extracting", 500, None),
                120,
                "a1: Extracting 500B",
            ),
            (
                item("a1", "Pull complete", 5, Some(5)),
                120,
                "a1: Pull complete",
            ),
            (item("a1", "Waiting", 0, Some(5)), 120, "a1: Waiting"),
        ] {
            assert_eq!(line(&item, width), want);
        }
    }

    #[test]
    fn what_is_complete_makes_room() {
        let items = [
            item("a", "Pull complete", 0, None),
            item("b", "Downloading", 1, Some(2)),
            item("c", "Pull complete", 0, None),
            item("d", "Waiting", 0, None),
        ];
        let shown = lines(&items, 80, 5);
        assert_eq!(shown.len(), 3);
        assert!(shown[0].starts_with("b:"));
        assert_eq!(lines(&items, 80, 3), ["b: Downloading       1B/2B"]);
    }
}
