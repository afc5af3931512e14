//! Where the files and the Dockerfile of a build come from.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::Path;

use gantry_build::{ContextSource, DockerfileSource, Input, NamedContext};
use gantry_http::address::{is_web, small_scheme};

use crate::failure::{CommandError, Failure, plain};
use crate::flags::value::{FlagError, unfit};

/// Largest Dockerfile that is taken from stdin.
const MAX_DOCKERFILE: u64 = 4 << 20;

/// The context and the Dockerfile.
pub(super) fn sources(
    context: &str,
    file: Option<&str>,
) -> Result<(Option<ContextSource>, Option<DockerfileSource>), Failure> {
    let dockerfile = match (context, file) {
        ("-", Some("-")) => {
            return Err(Failure::invalid(
                "invalid argument: can't use stdin for both build context and dockerfile",
            ));
        }
        (_, Some("-")) => Some(from_stdin()?),
        (_, Some(url)) if is_web(url) => Some(DockerfileSource::Remote(url.to_owned())),
        (_, Some(path)) => Some(DockerfileSource::File(path.into())),
        (_, None) => None,
    };
    let context = match context {
        "-" => {
            let failed = CommandError::file("read", Input::STDIN);
            let stdin = std::io::stdin().as_fd().try_clone_to_owned();
            ContextSource::Input(Input::new(Input::STDIN, File::from(stdin.map_err(failed)?)))
        }
        text => files(text).map_err(Failure::invalid)?,
    };
    Ok((Some(context), dockerfile))
}

/// A folder, an archive on this machine, or an address.
fn files(text: &str) -> Result<ContextSource, String> {
    let source = ContextSource::parse(text)?;
    match &source {
        ContextSource::Folder(path) if path.is_file() => {
            let file = File::open(path)
                .map_err(|error| format!("cannot read {text}: {}", plain(&error)))?;
            Ok(ContextSource::Input(Input::new(text, file)))
        }
        _ => Ok(source),
    }
}

/// Whether an agent is needed that nobody names: buildx lends the usual one then.
pub(super) fn is_over_ssh(context: Option<&ContextSource>) -> bool {
    match context {
        Some(ContextSource::Remote(text)) => {
            small_scheme(text).starts_with("ssh://") || !text.contains("://")
        }
        _ => false,
    }
}

/// `--build-context NAME=VALUE`
pub(super) fn named(texts: &[String]) -> Result<BTreeMap<String, NamedContext>, Failure> {
    const FLAG: &str = "--build-context";
    let mut all = BTreeMap::new();
    for text in texts {
        let bad = |reason: String| -> FlagError { unfit(FLAG, text)(reason) };
        let Some((name, value)) = text.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            return Err(bad("invalid context value, expected key=value".to_owned()).into());
        };
        let known = match value.split_once(':') {
            Some(("docker-image", image)) => {
                let image = image.trim_start_matches("//");
                if image.is_empty() {
                    return Err(bad("docker-image: names no image".to_owned()).into());
                }
                NamedContext::Image(image.to_owned())
            }
            Some(("oci-layout", _)) => {
                NamedContext::Layout(value.parse().map_err(unfit(FLAG, text))?)
            }
            Some(("target", target)) => {
                return Err(Failure::unsupported(format!(
                    "{FLAG} {text} is not supported: target {target:?} could only be one of a bake \
                     file; write it down there and use gantry bake, or give its image a name \
                     (gantry build -t) and say docker-image://"
                )));
            }
            _ => {
                let source = files(value).map_err(bad)?;
                if let ContextSource::Folder(path) = &source
                    && !Path::new(path).is_dir()
                {
                    let reason = format!("{value} is neither a folder nor an address");
                    return Err(bad(reason).into());
                }
                NamedContext::Files(source)
            }
        };
        all.insert(name.to_owned(), known);
    }
    Ok(all)
}

/// A Dockerfile alone.
pub(crate) fn from_stdin() -> Result<DockerfileSource, Failure> {
    let mut bytes = Vec::new();
    std::io::stdin()
        .lock()
        .take(MAX_DOCKERFILE + 1)
        .read_to_end(&mut bytes)
        .map_err(CommandError::file("read", "STDIN"))?;
    if bytes.len() as u64 > MAX_DOCKERFILE {
        return Err(Failure::invalid(format!(
            "the Dockerfile at STDIN is larger than {MAX_DOCKERFILE} bytes"
        )));
    }
    Ok(DockerfileSource::Inline {
        name: "Dockerfile".to_owned(),
        bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_are_folders_files_and_addresses() {
        let remote = |text: &str| ContextSource::Remote(text.to_owned());
        for text in [
            "https://x.y/z.git",
            "git@github.com:a/b",
            "github.com/a/b",
            "http://x/y",
        ] {
            let (context, file) = sources(text, Some("a/Dockerfile")).unwrap();
            assert_eq!(context, Some(remote(text)));
            assert_eq!(file, Some(DockerfileSource::File("a/Dockerfile".into())));
        }
        let (context, file) = sources("dir", Some("https://x/Dockerfile")).unwrap();
        assert_eq!(context, Some(ContextSource::Folder("dir".into())));
        let url = "https://x/Dockerfile".to_owned();
        assert_eq!(file, Some(DockerfileSource::Remote(url)));
        assert!(sources("-", Some("-")).is_err());
        assert!(sources("https://x/y.git#--evil", None).is_err());
        assert!(is_over_ssh(Some(&remote("git@h:x"))) && !is_over_ssh(Some(&remote("git://h/x"))));
    }

    #[test]
    fn named_contexts() {
        let texts = [
            "a=docker-image://alpine:3",
            "b=/",
            "c=https://x/y.git#z",
            "d=docker-image:x",
            "e=oci-layout://x:v1",
        ];
        let all = named(&texts.map(str::to_owned)).unwrap();
        let image = |name: &str| NamedContext::Image(name.to_owned());
        assert_eq!((&all["a"], &all["d"]), (&image("alpine:3"), &image("x")));
        let layout = "oci-layout://x:v1".parse().unwrap();
        assert_eq!(all["e"], NamedContext::Layout(layout));
        let folder = ContextSource::Folder("/".into());
        assert_eq!(all["b"], NamedContext::Files(folder));
        for text in [
            "a",
            "=x",
            "a=/nonesuch/folder",
            "a=docker-image://",
            "a=oci-layout://",
            "a=oci-layout://x@sha256:0",
            "a=target:x",
        ] {
            assert!(named(&[text.to_owned()]).is_err(), "{text}");
        }
    }
}
