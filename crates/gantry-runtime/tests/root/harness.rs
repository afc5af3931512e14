//! A test runner with one thread, with as much of the usual one's command line as cargo and
//! nextest use.

use std::io::Write;
use std::panic::catch_unwind;
use std::process::ExitCode;

/// A test and its name.
pub(crate) type Test = (&'static str, fn());

/// Runs the tests that the command line asks for.
pub(crate) fn run(groups: &[&[Test]]) -> ExitCode {
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
    let tests: Vec<&Test> = groups
        .iter()
        .flat_map(|group| group.iter())
        .filter(|(name, _)| wanted(name) && !has("--ignored"))
        .collect();
    if has("--list") {
        tests
            .iter()
            .for_each(|(name, _)| say(&format!("{name}: test")));
        return ExitCode::SUCCESS;
    }
    say(&format!("\nrunning {} tests", tests.len()));
    let mut failed = Vec::new();
    for (name, test) in &tests {
        let passed = catch_unwind(test).is_ok();
        let word = if passed { "ok" } else { "FAILED" };
        say(&format!("test {name} ... {word}"));
        if !passed {
            failed.push(name);
        }
    }
    crate::world::clean();
    let word = if failed.is_empty() { "ok" } else { "FAILED" };
    let passed = tests.len() - failed.len();
    say(&format!(
        "\ntest result: {word}. {passed} passed; {} failed\n",
        failed.len()
    ));
    ExitCode::from(u8::from(!failed.is_empty()))
}

/// Prints a line.
fn say(line: &str) {
    // Whoever reads along may have stopped.
    writeln!(std::io::stdout(), "{line}").ok();
}
