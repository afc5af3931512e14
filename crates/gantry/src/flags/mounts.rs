//! `-v`, `--mount` and `--tmpfs`; paths relative to the caller's folder become absolute here.

use std::io;
use std::path::PathBuf;

use gantry_model::mount::MountSpec;

use super::value::{FlagError, wrong};

/// The caller's working folder, asked for where it counts: one that was deleted is no reason to
/// run nothing.
pub(crate) type Folder<'a> = &'a dyn Fn() -> io::Result<PathBuf>;

/// That a path is relative to a folder that cannot be told.
fn lost(flag: &'static str, value: &str) -> impl FnOnce(io::Error) -> FlagError {
    let refused = wrong(flag, value);
    move |error| refused(format!("cannot find the working folder: {error}"))
}

/// The mounts of all three flags, in Docker's order.
pub(crate) fn mounts(
    volumes: &[String],
    mounts: &[String],
    tmpfs: &[String],
    folder: Folder<'_>,
) -> Result<Vec<MountSpec>, FlagError> {
    let mut all = Vec::new();
    for text in volumes {
        let spelt = absolute_volume(text, folder).map_err(lost("-v, --volume", text))?;
        all.push(MountSpec::parse_volume(&spelt).map_err(wrong("-v, --volume", text))?);
    }
    for text in mounts {
        let spelt = absolute_mount(text, folder).map_err(lost("--mount", text))?;
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
                late: false,
            });
        }
    }
    Ok(all)
}

/// `./data:/data` as an absolute path; a name that does not start with a dot is a volume's.
fn absolute_volume(text: &str, folder: Folder<'_>) -> io::Result<String> {
    match text.split_once(':') {
        Some((source, rest)) if is_relative(source) => {
            Ok(format!("{}:{rest}", folder()?.join(source).display()))
        }
        _ => Ok(text.to_owned()),
    }
}

fn is_relative(source: &str) -> bool {
    matches!(source, "." | "..") || source.starts_with("./") || source.starts_with("../")
}

/// The same for the `source` field of `--mount`.
fn absolute_mount(text: &str, folder: Folder<'_>) -> io::Result<String> {
    let field = |field: &str| {
        for key in ["source=", "src="] {
            if let Some(path) = field.strip_prefix(key).filter(|path| is_relative(path)) {
                return Ok(format!("{key}{}", folder()?.join(path).display()));
            }
        }
        Ok(field.to_owned())
    };
    let fields: io::Result<Vec<String>> = text.split(',').map(field).collect();
    Ok(fields?.join(","))
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
            &|| Ok("/home/me".into()),
        )
        .unwrap();
        let sources: Vec<String> = all.iter().take(5).map(source).collect();
        assert_eq!(
            sources,
            ["/home/me/data", "/home", "/etc", "/home/me/x", "/y"]
        );
        assert!(all[1].read_only);
    }

    const ROOT: fn() -> io::Result<PathBuf> = || Ok("/".into());

    #[test]
    fn a_folder_that_is_gone_counts_only_where_it_is_needed() {
        let gone: fn() -> io::Result<PathBuf> = || Err(io::ErrorKind::NotFound.into());
        assert_eq!(mounts(&["/a:/x".into()], &[], &[], &gone).unwrap().len(), 1);
        for (volume, mount) in [("./a:/x", None), ("/a:/x", Some("type=bind,src=..,dst=/y"))] {
            let mount: Vec<String> = mount.map(str::to_owned).into_iter().collect();
            let error = mounts(&[volume.into()], &mount, &[], &gone).unwrap_err();
            assert!(error.to_string().contains("working folder"), "{error}");
        }
    }

    #[test]
    fn one_target_is_mounted_once() {
        let error = mounts(&["/a:/x".into()], &[], &["/x".into()], &ROOT).unwrap_err();
        assert!(
            error.to_string().contains("duplicate mount point"),
            "{error}"
        );
        let error = mounts(&["rel/path:/x".into()], &[], &[], &ROOT).unwrap_err();
        assert!(error.to_string().contains("local volume name"), "{error}");
    }
}
