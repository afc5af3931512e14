//! Tests with real containers: they need root, and a process with one thread.

mod exec;
mod filesystem;
mod hostile;
mod isolation;
mod process;
mod terminal;
mod world;

/// A test and its name.
type Test = (&'static str, fn());

fn main() -> std::process::ExitCode {
    let tests = [
        process::TESTS,
        filesystem::TESTS,
        isolation::TESTS,
        hostile::TESTS,
        exec::TESTS,
        terminal::TESTS,
    ];
    let outcome = gantry_testkit::runner::run(tests.concat());
    world::clean();
    outcome
}
