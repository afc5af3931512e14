//! The client against a real registry and against servers that mean harm.

#![expect(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

mod hostile;
mod real;
