//! Becoming another program.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;

/// A program with its arguments and environment, ready to be executed without any further
/// preparation.
#[derive(Debug, Clone)]
pub struct Program {
    path: CString,
    arguments: Vec<CString>,
    environment: Vec<CString>,
}

impl Program {
    /// Prepares a program; its path is looked up from the working directory at the time it is
    /// executed. A zero byte in any of the strings is refused.
    pub fn new<S: AsRef<OsStr>>(
        path: &OsStr,
        arguments: impl IntoIterator<Item = S>,
        environment: impl IntoIterator<Item = S>,
    ) -> io::Result<Program> {
        Ok(Program {
            path: c_string(path)?,
            arguments: c_strings(arguments)?,
            environment: c_strings(environment)?,
        })
    }

    /// Prepares a program with this process's own environment.
    pub fn inheriting<S: AsRef<OsStr>>(
        path: &OsStr,
        arguments: impl IntoIterator<Item = S>,
    ) -> io::Result<Program> {
        let own = std::env::vars_os().map(|(mut line, value)| {
            line.push("=");
            line.push(value);
            line
        });
        Ok(Program {
            path: c_string(path)?,
            arguments: c_strings(arguments)?,
            environment: c_strings(own)?,
        })
    }

    /// Sets another path, everything else staying.
    pub fn set_path(&mut self, path: &OsStr) -> io::Result<()> {
        self.path = c_string(path)?;
        Ok(())
    }

    /// Becomes the program. Returns only when that failed.
    pub fn execute(&self) -> io::Error {
        let (arguments, environment) = self.pointers();
        // SAFETY: the path is a C string; both lists end with a null pointer and their strings
        // live in `self`.
        unsafe { libc::execve(self.path.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
        io::Error::last_os_error()
    }

    /// Becomes the program in an open file, whatever the path says. Returns only when that failed.
    pub fn execute_file(&self, file: BorrowedFd<'_>) -> io::Error {
        let (arguments, environment) = self.pointers();
        io::Error::from_raw_os_error(execute_file(file.as_raw_fd(), &arguments, &environment))
    }

    pub(super) fn pointers(&self) -> (Vec<*const libc::c_char>, Vec<*const libc::c_char>) {
        let list = |strings: &[CString]| {
            strings
                .iter()
                .map(|string| string.as_ptr())
                .chain([std::ptr::null()])
                .collect()
        };
        (list(&self.arguments), list(&self.environment))
    }
}

/// `execveat` on an open file, without allocating. Returns the errno. Both lists must come from
/// [`Program::pointers`] of a program that is still there.
pub(super) fn execute_file(
    file: libc::c_int,
    arguments: &[*const libc::c_char],
    environment: &[*const libc::c_char],
) -> libc::c_int {
    // SAFETY: the lists end with a null pointer and point to C strings that live across the call,
    // as the callers in this module see to.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            file,
            c"".as_ptr(),
            arguments.as_ptr(),
            environment.as_ptr(),
            libc::AT_EMPTY_PATH,
        );
        *libc::__errno_location()
    }
}

fn c_string(text: &OsStr) -> io::Result<CString> {
    CString::new(text.as_bytes()).map_err(|_| io::ErrorKind::InvalidInput.into())
}

fn c_strings<S: AsRef<OsStr>>(texts: impl IntoIterator<Item = S>) -> io::Result<Vec<CString>> {
    texts
        .into_iter()
        .map(|text| c_string(text.as_ref()))
        .collect()
}
