//! Keeps credentials of a registry.

use std::io::{self, Read, Write};

use clap::Args;
use gantry_registry::Secret;
use gantry_registry::credentials::Kept;

use crate::context::Context;
use crate::failure::{CommandError, Exit, Failure, Outcome};
use crate::stream::terminal::{RawMode, stdin_is_terminal};

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct LoginArgs {
    /// Password or access token
    #[arg(short, long)]
    pub(crate) password: Option<String>,
    /// Take the password or token from STDIN
    #[arg(long)]
    pub(crate) password_stdin: bool,
    /// User name
    #[arg(short, long)]
    pub(crate) username: Option<String>,
    /// The registry.
    pub(crate) operands: Vec<String>,
}

/// Longest password that is read.
const MAX_PASSWORD: u64 = 64 << 10;

pub(crate) fn run(context: &Context, args: LoginArgs) -> Outcome {
    let registry = args.operands.first().map_or("", String::as_str);
    let (user, password) = credentials(context, &args)?;
    match context
        .engine()?
        .images()
        .login(registry, &user, password)?
    {
        Kept::File => {
            let file = context.surroundings().docker_config_file();
            let shown = file
                .map(|path| path.display().to_string())
                .unwrap_or_default();
            context.ui.warning(&format!(
                "Your credentials are stored unencrypted in '{shown}'; a credential helper avoids that."
            ));
        }
        Kept::Helper(_) => {}
    }
    context.ui.line("Login Succeeded")?;
    Ok(Exit::SUCCESS)
}

fn credentials(context: &Context, args: &LoginArgs) -> Result<(String, Secret), Failure> {
    if args.password.is_some() && args.password_stdin {
        return Err(Failure::invalid(
            "--password and --password-stdin are mutually exclusive",
        ));
    }
    if args.password_stdin {
        let user = args.username.clone().filter(|user| !user.is_empty());
        let user =
            user.ok_or_else(|| Failure::invalid("Must provide --username with --password-stdin"))?;
        return Ok((user, from_stdin()?));
    }
    if args.password.is_some() {
        context
            .ui
            .warning("Using --password via the CLI is insecure. Use --password-stdin.");
    }
    let asks = args.username.is_none() || args.password.is_none();
    if asks && !stdin_is_terminal() {
        return Err(Failure::invalid(
            "Cannot perform an interactive login from a non TTY device",
        ));
    }
    let user = match &args.username {
        Some(user) => user.clone(),
        None => ask("Username: ", true)?,
    };
    let password = match &args.password {
        Some(password) => password.clone(),
        None => ask("Password: ", false)?,
    };
    if user.is_empty() || password.is_empty() {
        return Err(Failure::invalid(
            "Error: Username and password are required",
        ));
    }
    Ok((user, Secret::new(password)))
}

fn from_stdin() -> Result<Secret, Failure> {
    let mut text = String::new();
    io::stdin()
        .lock()
        .take(MAX_PASSWORD)
        .read_to_string(&mut text)
        .map_err(CommandError::file("read the password from", "STDIN"))?;
    Ok(Secret::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}

/// Asks at the terminal; what is typed is shown or not.
fn ask(question: &str, shown: bool) -> Result<String, Failure> {
    drop(io::stderr().lock().write_all(question.as_bytes()));
    let raw = RawMode::enter()?;
    let typed = typed(shown);
    drop(raw);
    drop(io::stderr().lock().write_all(b"\n"));
    typed
}

fn typed(shown: bool) -> Result<String, Failure> {
    let mut line = Vec::new();
    for byte in io::stdin().lock().bytes() {
        match byte.map_err(CommandError::file("read", "the terminal"))? {
            b'\r' | b'\n' | 0x04 => break,
            0x03 => return Err(Failure::Said(130)),
            0x08 | 0x7f => {
                if line.pop().is_some() && shown {
                    echo(b"\x08 \x08");
                }
            }
            byte if byte < 0x20 => {}
            byte => {
                line.push(byte);
                if shown {
                    echo(&[byte]);
                }
            }
        }
    }
    String::from_utf8(line).map_err(|_| Failure::invalid("what was typed is not valid UTF-8"))
}

fn echo(bytes: &[u8]) {
    drop(io::stderr().lock().write_all(bytes));
}
