//! `-v`, `--mount` and `--tmpfs`; paths relative to the caller's folder become absolute here.

use std::path::Path;

use gantry_model::mount::MountSpec;

use super::value::{FlagError, wrong};

/// The mounts of all three flags, in Docker's order.
pub(crate) fn mounts(
    volumes: &[String],
    mounts: &[String],
    tmpfs: &[String],
    folder: &Path,
) -> Result<Vec<MountSpec>, FlagError> {
    let mut all = Vec::new();
    for text in volumes {
        let spelt = absolute_volume(text, folder);
        all.push(MountSpec::parse_volume(&spelt).map_err(wrong("-v, --volume", text))?);
    }
    for text in mounts {
        let spelt = absolute_mount(text, folder);
        all.push(MountSpec::parse_mount(&spelt).map_err(wrong("--mount", text))?);
    }
    for text in tmpfs {
        all.push(MountSpec::parse_tmpfs(text).map_err(wrong("--tmpfs", text))?);
    }
    for (at, mount) in all.iter().enumerate() {
        if all[..at]
            .iter()
            .any(|earlier| earlier.target == mount.target)
        {
            return Err(FlagError {
                flag: "-v, --volume",
                value: mount.target.clone(),
                reason: "duplicate mount point".to_owned(),
            });
        }
    }
    Ok(all)
}

/// `./data:/data` as an absolute path; a name that does not start with a dot is a volume's.
fn absolute_volume(text: &str, folder: &Path) -> String {
    match text.split_once(':') {
        Some((source, rest)) if is_relative(source) => {
            format!("{}:{rest}", folder.join(source).display())
        }
        _ => text.to_owned(),
    }
}

fn is_relative(source: &str) -> bool {
    matches!(source, "." | "..") || source.starts_with("./") || source.starts_with("../")
}

/// The same for the `source` field of `--mount`.
fn absolute_mount(text: &str, folder: &Path) -> String {
    let field = |field: &str| {
        for key in ["source=", "src="] {
            if let Some(path) = field.strip_prefix(key).filter(|path| is_relative(path)) {
                return format!("{key}{}", folder.join(path).display());
            }
        }
        field.to_owned()
    };
    text.split(',').map(field).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_model::mount::MountSource;

    fn source(spec: &MountSpec) -> String {
        match &spec.source {
            MountSource::Bind { path, .. } => path.clone(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn relative_paths_are_the_callers() {
        let all = mounts(
            &["./data:/a".into(), "..:/b:ro".into(), "/etc:/c".into()],
            &[
                "type=bind,src=./x,dst=/d".into(),
                "type=bind,source=/y,dst=/e".into(),
            ],
            &["/f:size=1m".into()],
            Path::new("/home/me"),
        )
        .unwrap();
        let sources: Vec<String> = all.iter().take(5).map(source).collect();
        assert_eq!(
            sources,
            ["/home/me/data", "/home", "/etc", "/home/me/x", "/y"]
        );
        assert!(all[1].read_only);
    }

    #[test]
    fn one_target_is_mounted_once() {
        let error = mounts(&["/a:/x".into()], &[], &["/x".into()], Path::new("/")).unwrap_err();
        assert!(
            error.to_string().contains("duplicate mount point"),
            "{error}"
        );
        let error = mounts(&["rel/path:/x".into()], &[], &[], Path::new("/")).unwrap_err();
        assert!(error.to_string().contains("local volume name"), "{error}");
    }
}
