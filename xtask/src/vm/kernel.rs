//! Debian's cloud kernel and its modules.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::archive::Archive;
use crate::cargo;

/// A kernel unpacked from Debian's package.
pub(super) struct Kernel {
    pub(super) image: PathBuf,
    pub(super) modules: PathBuf,
}

impl Kernel {
    /// Downloads and unpacks the package once; later runs find it in the cache.
    pub(super) fn fetched() -> Result<Self> {
        let folder = gantry_testkit::cache::kept("kernel", |folder| {
            fetch_kernel(folder).expect("the kernel's package can be fetched");
        });
        let boot = fs::read_dir(folder.join("boot"))?.flatten();
        let image = boot
            .map(|entry| entry.path())
            .find(|path| {
                path.file_name()
                    .is_some_and(|n| n.to_string_lossy().starts_with("vmlinuz"))
            })
            .context("the package has no kernel image")?;
        let modules = fs::read_dir(folder.join("lib/modules"))?
            .flatten()
            .next()
            .context("the package has no modules")?
            .path();
        Ok(Self { image, modules })
    }

    /// What the package was unpacked to.
    pub(super) fn root(&self) -> Result<&Path> {
        let root = self.modules.ancestors().nth(3);
        root.context("modules lie below lib/modules")
    }

    /// Puts modules with all that they need into an archive, and in `modules/order` the order of
    /// loading.
    pub(super) fn add_modules(
        &self,
        archive: &mut Archive<fs::File>,
        modules: &[&str],
    ) -> Result<()> {
        let mut order = Vec::new();
        for module in modules {
            self.load_order(module, &mut order)?;
        }
        let mut list = String::new();
        for path in &order {
            let name = path
                .file_name()
                .context("a module has a name")?
                .to_string_lossy();
            archive.add(&format!("modules/{name}"), 0o100_644, &fs::read(path)?)?;
            list.push_str(&name);
            list.push('\n');
        }
        archive.add("modules/order", 0o100_644, list.as_bytes())
    }

    /// The files of a module and of all it needs, in the order of loading.
    fn load_order(&self, module: &str, order: &mut Vec<PathBuf>) -> Result<()> {
        let name = format!("{module}.ko");
        let Some(path) = find(&self.modules, &name)? else {
            return Ok(()); // built in, or not there in this version
        };
        if order.contains(&path) {
            return Ok(());
        }
        for needed in needed_modules(&fs::read(&path)?) {
            self.load_order(&needed, order)?;
        }
        order.push(path);
        Ok(())
    }
}

/// The `depends=` field of a module's information section.
fn needed_modules(module: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let Some(at) = module.windows(KEY.len()).position(|window| window == KEY) else {
        return Vec::new();
    };
    let rest = &module[at + KEY.len()..];
    let end = rest.iter().position(|b| *b == 0).unwrap_or(rest.len());
    let text = String::from_utf8_lossy(&rest[..end]);
    text.split(',')
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

fn find(folder: &Path, name: &str) -> Result<Option<PathBuf>> {
    let dashed = name.replace('_', "-");
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            if let Some(found) = find(&entry.path(), name)? {
                return Ok(Some(found));
            }
        } else if entry.file_name().to_string_lossy() == name
            || entry.file_name().to_string_lossy() == dashed
        {
            return Ok(Some(entry.path()));
        }
    }
    Ok(None)
}

fn fetch_kernel(folder: &Path) -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let depends =
        cargo::output(Command::new("apt-cache").args(["depends", "linux-image-cloud-amd64"]))?;
    let package = depends
        .lines()
        .find_map(|line| line.trim().strip_prefix("Depends: "))
        .context("apt knows no cloud kernel: run apt-get update")?;
    cargo::run(
        Command::new("apt-get")
            .args(["-qq", "download", package])
            .current_dir(scratch.path()),
    )?;
    let archive = fs::read_dir(scratch.path())?
        .flatten()
        .next()
        .context("nothing was downloaded")?
        .path();
    cargo::run(
        Command::new("dpkg-deb")
            .arg("--extract")
            .arg(archive)
            .arg(folder),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_modules_needs_are_read() {
        assert_eq!(
            needed_modules(b"x\0depends=llc,stp\0name=bridge\0"),
            ["llc", "stp"]
        );
        assert!(needed_modules(b"x\0depends=\0").is_empty());
        assert!(needed_modules(b"none").is_empty());
    }
}
