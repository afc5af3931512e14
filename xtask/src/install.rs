//! Puts the release binary, its completions and its man pages in place.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{cargo, say};

pub(crate) fn run(args: &[String]) -> Result<()> {
    let prefix = match args {
        [] => Path::new("/usr/local"),
        [prefix] if !prefix.starts_with('-') => Path::new(prefix),
        _ => {
            bail!("install takes one folder, or none for /usr/local: cargo xtask install [PREFIX]")
        }
    };
    let built = cargo::release_binary()?;
    let binary = prefix.join("bin/gantry");
    place(&binary, &fs::read(&built)?, 0o755)?;
    for (shell, path) in [
        ("bash", "share/bash-completion/completions/gantry"),
        ("zsh", "share/zsh/site-functions/_gantry"),
        ("fish", "share/fish/vendor_completions.d/gantry.fish"),
    ] {
        let script = cargo::output(Command::new(&built).args(["completion", shell]))?;
        place(&prefix.join(path), script.as_bytes(), 0o644)?;
    }
    let pages = prefix.join("share/man/man1");
    fs::create_dir_all(&pages)?;
    cargo::run(Command::new(&built).arg("man").arg(&pages))?;
    say(&format!("installed {}", binary.display()));
    say(&format!(
        "for docker's name as well: ln -s gantry {}",
        prefix.join("bin/docker").display()
    ));
    Ok(())
}

/// Writes a file aside and renames it, so that a running binary is replaced, not overwritten.
fn place(path: &Path, content: &[u8], mode: u32) -> Result<()> {
    let folder = path.parent().context("a file lies in a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let aside = path.with_extension("new");
    fs::write(&aside, content).with_context(|| format!("cannot write {}", aside.display()))?;
    fs::set_permissions(&aside, fs::Permissions::from_mode(mode))?;
    fs::rename(&aside, path).with_context(|| format!("cannot replace {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_file_in_use_is_replaced() {
        let folder = std::env::temp_dir().join(format!("gantry-install-{}", std::process::id()));
        let path = folder.join("bin/program");
        place(&path, b"one", 0o755).unwrap();
        symlink("program", folder.join("bin/alias")).unwrap();
        place(&path, b"two", 0o755).unwrap();
        assert_eq!(fs::read(folder.join("bin/alias")).unwrap(), b"two");
        fs::remove_dir_all(folder).unwrap();
    }
}
