//! Where the runtime says what went wrong: to the person, and in the file that its caller reads.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

use serde_json::json;

use super::words::Words;
use crate::failure::Failure;
use crate::output::ui::Ui;

/// The log of one call.
#[derive(Debug, Default)]
pub(crate) struct Log {
    file: Option<PathBuf>,
    json: bool,
}

impl Log {
    /// The log that the global options ask for.
    pub(super) fn of(words: &Words) -> Result<Log, Failure> {
        let json = match words.value("log-format") {
            None | Some("text") => false,
            Some("json") => true,
            Some(other) => {
                return Err(Failure::invalid(format!(
                    "--log-format: {other:?} is neither text nor json"
                )));
            }
        };
        Ok(Log {
            file: words.path("log"),
            json,
        })
    }

    /// Says that the call failed.
    pub(super) fn failure(&self, ui: &Ui, failure: &Failure) {
        let message = match failure {
            Failure::Fault(report) => {
                let parts = std::iter::once(&report.message).chain(&report.causes);
                let message: Vec<&str> = parts.map(String::as_str).collect();
                for hint in &report.hints {
                    self.record("info", hint);
                }
                message.join(": ")
            }
            Failure::Usage(usage) => usage.message.clone(),
            Failure::Said(_) | Failure::BrokenPipe => return,
        };
        self.say(ui, "error", &message);
    }

    /// Says that something works, though not as people may expect.
    pub(super) fn warning(&self, ui: &Ui, message: &str) {
        self.say(ui, "warning", message);
    }

    fn say(&self, ui: &Ui, level: &str, message: &str) {
        match &self.file {
            Some(_) => {
                self.record(level, message);
                ui.status(message);
            }
            None if self.json => ui.status(&self.line(level, message)),
            None => ui.status(&format!("{}: {message}", super::NAME)),
        }
    }

    /// Writes to the file, if there is one.
    fn record(&self, level: &str, message: &str) {
        let Some(file) = &self.file else {
            return;
        };
        let line = self.line(level, message) + "\n";
        let opened = OpenOptions::new().append(true).create(true).open(file);
        // There is no other place to say that the log cannot be written.
        opened
            .and_then(|mut file| file.write_all(line.as_bytes()))
            .ok();
    }

    fn line(&self, level: &str, message: &str) -> String {
        let time = jiff::Timestamp::now()
            .round(jiff::Unit::Second)
            .unwrap_or_else(|_| jiff::Timestamp::now());
        match self.json {
            true => json!({ "level": level, "msg": message, "time": time.to_string() }).to_string(),
            false => format!("time=\"{time}\" level={level} msg={message:?}"),
        }
    }
}
