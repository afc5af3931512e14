//! Asks before something is removed that cannot be brought back.

use std::io::{BufRead, Write};

use crate::failure::{CommandError, Failure};

/// Shows `warning` and asks; anything but `y` or `yes` means no.
pub(crate) fn confirm(warning: &str) -> Result<bool, Failure> {
    let question = format!("WARNING! {warning}\nAre you sure you want to continue? [y/N] ");
    drop(std::io::stderr().lock().write_all(question.as_bytes()));
    let mut answer = String::new();
    let read = CommandError::file("read", "the answer from STDIN");
    std::io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(read)?;
    Ok(matches!(
        answer.trim().to_ascii_lowercase().as_str(),
        "y" | "yes"
    ))
}
