//! Tests with real containers: they need root, and a process with one thread.

mod exec;
mod filesystem;
mod harness;
mod hostile;
mod isolation;
mod process;
mod terminal;
mod world;

fn main() -> std::process::ExitCode {
    harness::run(&[
        process::TESTS,
        filesystem::TESTS,
        isolation::TESTS,
        hostile::TESTS,
        exec::TESTS,
        terminal::TESTS,
    ])
}
