//! A test runner of one thread, with as much of the usual one's command line as cargo uses.
//!
//! For test programs that need a `main` of their own: those that are re-executed as Gantry's
//! long-lived processes, and those that must not have a second thread.

use std::io::Write;
use std::panic::{UnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

/// Runs the tests that the command line asks for, each by its name.
pub fn run<T>(tests: impl IntoIterator<Item = (&'static str, T)>) -> ExitCode
where
    T: FnOnce() + UnwindSafe,
{
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let filters: Vec<&String> = arguments
        .iter()
        .filter(|argument| !argument.starts_with('-') && *argument != "terse")
        .collect();
    let wanted = |name: &str| {
        filters.is_empty()
            || filters.iter().any(|filter| match has("--exact") {
                true => name == filter.as_str(),
                false => name.contains(filter.as_str()),
            })
    };
    let tests: Vec<(&str, T)> = tests
        .into_iter()
        .filter(|(name, _)| wanted(name) && !has("--ignored"))
        .collect();
    if has("--list") {
        tests
            .iter()
            .for_each(|(name, _)| say(&format!("{name}: test")));
        return ExitCode::SUCCESS;
    }
    assert!(
        tests.is_empty() || rustix::process::geteuid().is_root(),
        "these tests need root"
    );
    say(&format!("\nrunning {} tests", tests.len()));
    let count = tests.len();
    let mut failed = 0;
    for (name, test) in tests {
        let start = Instant::now();
        let passed = catch_unwind(test).is_ok();
        let word = if passed { "ok" } else { "FAILED" };
        say(&format!("test {name} ... {word} ({:.2?})", start.elapsed()));
        failed += usize::from(!passed);
    }
    let word = if failed == 0 { "ok" } else { "FAILED" };
    let passed = count - failed;
    say(&format!(
        "\ntest result: {word}. {passed} passed; {failed} failed\n"
    ));
    ExitCode::from(u8::from(failed > 0))
}

/// A test by its name, of what it is given.
pub type Test<H> = (&'static str, fn(&H));

/// The same for tests that are each run in what `set_up` makes; `close` looks at it afterwards.
pub fn run_within<H: 'static>(tests: &[Test<H>], set_up: fn() -> H, close: fn(&H)) -> ExitCode {
    run(tests.iter().map(|&(name, test)| {
        let within = move || {
            let house = set_up();
            test(&house);
            close(&house);
        };
        (name, within)
    }))
}

/// Prints a line.
fn say(line: &str) {
    // Whoever reads along may have stopped.
    writeln!(std::io::stdout(), "{line}").ok();
}
