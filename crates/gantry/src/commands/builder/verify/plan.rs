//! From what an image says of its build, and from flags, to the request that builds it again.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use gantry_build::outcome::Material;
use gantry_build::provenance::Recipe;
use gantry_build::{BuildRequest, ContextSource, DockerfileSource};
use gantry_engine::images::compare::is_squash;
use gantry_model::image::{History, ImageConfig};

use super::VerifyArgs;
use crate::commands::builder::build::{BuildArgs, request};
use crate::failure::Failure;
use crate::flags::build::BuildFlags;
use crate::flags::environment::Lookup;

const EPOCH: &str = "SOURCE_DATE_EPOCH";

/// How an image is built again.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) request: BuildRequest,
    /// What the image says of its build, where it says something.
    pub(super) recipe: Option<Recipe>,
    /// The time of the build, where it was fixed: seconds since 1970.
    pub(super) epoch: Option<i64>,
    /// Whether it is squashed.
    pub(super) squash: bool,
    /// What people should know beforehand.
    pub(super) notes: Vec<String>,
}

pub(super) fn plan(
    args: &VerifyArgs,
    image: &ImageConfig,
    recipe: Option<Recipe>,
    proxies: BTreeMap<String, String>,
    lookup: Lookup<'_>,
) -> Result<Plan, Failure> {
    let told = recipe.clone().unwrap_or_default();
    let mut notes = Vec::new();
    if recipe.is_none() {
        notes.push(
            "the image says nothing of its build (it has no provenance): the flags alone count, \
             and base images are those that their names mean now"
                .to_owned(),
        );
    }
    let mut given = args.operands.get(1).cloned();
    let by_provenance = given.is_none();
    if by_provenance {
        given = told.context.as_ref().map(address);
        // Whoever made the image does not say which folder of this machine is read.
        if let Some(place) = given
            .take_if(|text| !matches!(ContextSource::parse(text), Ok(ContextSource::Remote(_))))
        {
            return Err(Failure::invalid(format!(
                "the image was built from {place:?}, which is no address: name the context behind \
                 the image (gantry build verify {name} PATH)",
                name = args.operands[0]
            )));
        }
    }
    let Some(context) = given else {
        return Err(Failure::invalid(format!(
            "nobody says where the context of {name} is: name it behind the image \
             (gantry build verify {name} PATH)",
            name = args.operands[0]
        )));
    };
    let mut request = request::translate(
        &words(args, &told, context, &mut notes)?,
        proxies,
        &|name| {
            // The time is the image's, not the caller's.
            lookup(name).filter(|_| name != EPOCH)
        },
    )?;
    request.no_cache = true;
    request.platforms = vec![image.platform()];
    if by_provenance && args.flags.ssh.is_empty() {
        // Whoever wrote the provenance is lent nothing.
        request.ssh.clear();
    }
    let epoch = epoch(&request, &told, image);
    if let Some(epoch) = epoch {
        request
            .build_args
            .insert(EPOCH.to_owned(), epoch.to_string());
    }
    if args.file.is_none() {
        dockerfile(&mut request, &told, &mut notes)?;
    }
    let lent = |id: &&String| !request.secrets.contains_key(*id);
    for id in told.secrets.iter().filter(lent) {
        notes.push(format!(
            "the build had a secret {id}: lend it by --secret id={id},src=FILE if a step needs it"
        ));
    }
    if recipe.is_some() && !told.complete {
        notes.push(
            "the provenance is a short one: build arguments and labels are not in it, give them by \
             --build-arg and --label"
                .to_owned(),
        );
    }
    let merged = |entry: &History| entry.created_by.is_empty() && is_squash(&entry.comment);
    Ok(Plan {
        request,
        recipe,
        epoch,
        squash: image.history.last().is_some_and(merged),
        notes,
    })
}

/// The words of a build that does the same: the image's, and behind them the caller's.
fn words(
    args: &VerifyArgs,
    told: &Recipe,
    context: String,
    notes: &mut Vec<String>,
) -> Result<BuildArgs, Failure> {
    let pairs = |kind: &str, mine: &[String]| -> Vec<String> {
        let told = told
            .with(kind)
            .map(|(name, value)| format!("{name}={value}"));
        told.chain(mine.iter().cloned()).collect()
    };
    let plain = |name: &str| told.arguments.get(name).cloned();
    let network = match (&args.flags.network, plain("force-network-mode")) {
        (None, Some(network)) if network == "host" => {
            return Err(Failure::invalid(
                "the image was built with the network of its machine: say --network=host if its \
                 steps may have that of this one",
            ));
        }
        (mine, told) => mine.clone().or(told),
    };
    let hosts = plain("add-hosts").unwrap_or_default();
    let hosts = hosts.split(',').filter(|host| !host.is_empty());
    Ok(BuildArgs {
        flags: BuildFlags {
            add_host: hosts
                .map(str::to_owned)
                .chain(args.flags.add_host.clone())
                .collect(),
            build_context: contexts(args, told, notes)?,
            network,
            ..args.flags.clone()
        },
        build_arg: pairs("build-arg", &args.build_arg),
        file: args.file.clone(),
        limits: args.limits.clone(),
        label: pairs("label", &args.label),
        target: args.target.clone().or_else(|| plain("target")),
        operands: vec![context],
        ..BuildArgs::default()
    })
}

/// The further contexts: those that can be had by their address, and the caller's.
fn contexts(
    args: &VerifyArgs,
    told: &Recipe,
    notes: &mut Vec<String>,
) -> Result<Vec<String>, Failure> {
    let mine = |name: &str| {
        let named = |text: &&String| text.split_once('=').is_some_and(|(known, _)| known == name);
        args.flags.build_context.iter().any(|text| named(&text))
    };
    let mut all = Vec::new();
    for (name, value) in told.with("context").filter(|(name, _)| !mine(name)) {
        let kind = value.split_once(':').map(|(kind, _)| kind);
        match kind {
            Some("docker-image" | "https" | "http" | "git" | "ssh") => {
                if !args.flags.secret.is_empty() || !args.flags.ssh.is_empty() {
                    return Err(Failure::invalid(format!(
                        "the image says that {name} stood for {value}: say so by \
                         --build-context {name}={value} if that may have the secrets"
                    )));
                }
                notes.push(format!(
                    "{name} is {value}, as the image says: its steps ran on what that is"
                ));
                all.push(format!("{name}={value}"));
            }
            _ => {
                let place = match kind {
                    Some("oci-layout") => "oci-layout://FOLDER",
                    _ => "FOLDER",
                };
                return Err(Failure::invalid(format!(
                    "the build had a further context {name} ({value}): name it by \
                     --build-context {name}={place}"
                )));
            }
        }
    }
    all.extend(args.flags.build_context.iter().cloned());
    Ok(all)
}

/// The address of a context, of a repository at the commit that was built.
fn address(context: &Material) -> String {
    // Passwords are not told, only that there was one.
    let plain = context.uri.replacen(":xxxxx@", "@", 1);
    let plain = plain.replacen("://xxxxx@", "://", 1);
    let Some(("sha1", commit)) = context.digest.as_ref().map(|(a, b)| (a.as_str(), b)) else {
        return plain;
    };
    let (place, fragment) = plain.split_once('#').unwrap_or((&plain, ""));
    let Some((place, query)) = place.split_once('?') else {
        let folder = fragment.split_once(':').map(|(_, folder)| folder);
        let folder = folder
            .map(|folder| format!(":{folder}"))
            .unwrap_or_default();
        return format!("{place}#{commit}{folder}");
    };
    let names = ["ref", "tag", "branch", "commit", "checksum"];
    let stays = |field: &&str| {
        let name = field.split('=').next().unwrap_or_default();
        !names.contains(&name)
    };
    let fields = query.split('&').filter(stays);
    let fields: Vec<String> = fields
        .map(str::to_owned)
        .chain([format!("ref={commit}")])
        .collect();
    format!("{place}?{}", fields.join("&"))
}

/// The time that the build was given: by whoever asks, by the provenance, else as the image shows
/// it.
fn epoch(request: &BuildRequest, told: &Recipe, image: &ImageConfig) -> Option<i64> {
    if let Some(text) = request
        .build_args
        .get(EPOCH)
        .map(String::as_str)
        .or(told.epoch())
    {
        return text.parse().ok();
    }
    let created = image.created.as_deref()?;
    let last = image
        .history
        .last()
        .and_then(|entry| entry.created.as_deref());
    let time: jiff::Timestamp = created.parse().ok()?;
    // A clock hardly ever stands at the beginning of a second.
    let whole = time.subsec_nanosecond() == 0 && last.is_none_or(|last| last == created);
    (told.timeless || whole).then(|| time.as_second())
}

/// The Dockerfile that the provenance names, as it is in the context; where it is not there the
/// one in the provenance.
fn dockerfile(
    request: &mut BuildRequest,
    told: &Recipe,
    notes: &mut Vec<String>,
) -> Result<(), Failure> {
    let written = told.path.as_deref().unwrap_or("Dockerfile");
    let inside = Path::new(written)
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    if !inside {
        return Err(Failure::invalid(format!(
            "the image was built from a Dockerfile outside of its context ({written}): name it by \
             --file"
        )));
    }
    let Some(ContextSource::Folder(folder)) = &request.context else {
        if written != "Dockerfile" {
            request.dockerfile = Some(DockerfileSource::File(written.into()));
        }
        return Ok(());
    };
    let path = folder.join(written);
    match (std::fs::read(&path), &told.dockerfile) {
        (Ok(now), Some(then)) => {
            if let Some(line) = first_line(then, &now) {
                notes.push(format!(
                    "{} is not the Dockerfile that the image was built from: line {line} is the \
                     first that differs",
                    path.display()
                ));
            }
            request.dockerfile = Some(DockerfileSource::File(path));
        }
        (Ok(_), None) => request.dockerfile = Some(DockerfileSource::File(path)),
        (Err(_), Some(then)) if folder.is_dir() => {
            notes.push(format!(
                "{} is not there: the Dockerfile is taken from the provenance",
                path.display()
            ));
            request.dockerfile = Some(DockerfileSource::Inline {
                name: written.to_owned(),
                bytes: then.clone(),
            });
        }
        // The build says what is missing.
        (Err(_), _) if told.path.is_some() => {
            request.dockerfile = Some(DockerfileSource::File(path));
        }
        (Err(_), _) => {}
    }
    Ok(())
}

/// The number of the first line that differs, from 1 on.
fn first_line(first: &[u8], second: &[u8]) -> Option<usize> {
    let lines = |text: &[u8]| -> Vec<Vec<u8>> {
        text.split(|byte| *byte == b'\n')
            .map(<[u8]>::to_vec)
            .collect()
    };
    let (ours, theirs) = (lines(first), lines(second));
    if ours == theirs {
        return None;
    }
    let same = ours.iter().zip(&theirs).take_while(|(a, b)| a == b).count();
    Some(same + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_are_taken_at_their_commit() {
        let of = |uri: &str| {
            address(&Material {
                uri: uri.to_owned(),
                digest: Some(("sha1".to_owned(), "c0".to_owned())),
            })
        };
        for (uri, want) in [
            ("https://x/y.git", "https://x/y.git#c0"),
            ("https://x/y.git#main:sub", "https://x/y.git#c0:sub"),
            ("https://a:xxxxx@x/y.git#main", "https://a@x/y.git#c0"),
            ("https://xxxxx@x/y.git#main", "https://x/y.git#c0"),
            (
                "https://x/y.git?branch=b&subdir=s",
                "https://x/y.git?subdir=s&ref=c0",
            ),
        ] {
            assert_eq!(of(uri), want);
        }
    }

    fn planned(told: Option<Recipe>, change: impl FnOnce(&mut VerifyArgs)) -> Result<Plan, String> {
        let mut args = VerifyArgs {
            operands: vec!["i".to_owned(), "/nonesuch".to_owned()],
            ..VerifyArgs::default()
        };
        change(&mut args);
        let image = ImageConfig {
            created: Some("2024-01-01T00:00:00.5Z".to_owned()),
            ..ImageConfig::default()
        };
        let lookup = |name: &str| (name == EPOCH).then(|| "5".to_owned());
        plan(&args, &image, told, BTreeMap::new(), &lookup)
            .map_err(|failure| failure.message().to_owned())
    }

    fn recipe(arguments: &[(&str, &str)]) -> Option<Recipe> {
        let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Some(Recipe {
            arguments: arguments.iter().map(pair).collect(),
            complete: true,
            ..Recipe::default()
        })
    }

    #[test]
    fn flags_come_on_top_of_what_the_image_says() {
        let told = recipe(&[
            ("build-arg:A", "1"),
            ("build-arg:B", "2"),
            ("label:l", "v"),
            ("target", "t"),
            ("build-arg:SOURCE_DATE_EPOCH", "7"),
            ("add-hosts", "db=1.2.3.4"),
            ("force-network-mode", "none"),
        ]);
        let plan = planned(told, |args| args.build_arg = vec!["A=9".to_owned()]).unwrap();
        let request = plan.request;
        assert_eq!(
            (&*request.build_args["A"], &*request.build_args["B"]),
            ("9", "2")
        );
        assert_eq!((plan.epoch, &*request.build_args[EPOCH]), (Some(7), "7"));
        assert_eq!(request.target.as_deref(), Some("t"));
        assert_eq!(request.labels["l"], "v");
        assert_eq!(request.extra_hosts.len(), 1);
        assert_eq!(request.network, gantry_build::RunNetwork::None);
        assert!(request.no_cache && plan.notes.is_empty());
        // Without provenance the caller's environment has no say in the time.
        let plan = planned(None, |_| {}).unwrap();
        assert_eq!(plan.epoch, None);
        assert!(plan.notes[0].contains("no provenance"));
    }

    #[test]
    fn what_is_missing_is_asked_for() {
        for (told, want) in [
            (
                recipe(&[("context:x", "local:x")]),
                "--build-context x=FOLDER",
            ),
            (
                recipe(&[("context:y", "oci-layout:y@sha256:0")]),
                "--build-context y=oci-layout://FOLDER",
            ),
            (recipe(&[("force-network-mode", "host")]), "--network=host"),
        ] {
            let said = planned(told, |_| {}).unwrap_err();
            assert!(said.contains(want), "{said}");
        }
        let said = planned(recipe(&[]), |args| args.operands.truncate(1)).unwrap_err();
        assert!(said.contains("gantry build verify i PATH"), "{said}");
        // Folders of this machine are chosen by who runs it.
        for place in ["/", ".", "-", "x://y"] {
            let folder = Recipe {
                context: Some(Material {
                    uri: place.to_owned(),
                    digest: None,
                }),
                ..Recipe::default()
            };
            let said = planned(Some(folder), |args| args.operands.truncate(1)).unwrap_err();
            assert!(said.contains("no address"), "{said}");
        }
        // Nor does an image lend itself secrets.
        let base = recipe(&[("context:b", "docker-image://evil:1")]);
        assert!(planned(base.clone(), |_| {}).is_ok());
        let said =
            planned(base, |args| args.flags.secret.push("id=a,env=A".to_owned())).unwrap_err();
        assert!(
            said.contains("--build-context b=docker-image://evil:1"),
            "{said}"
        );
        let outside = Recipe {
            path: Some("../x".to_owned()),
            ..Recipe::default()
        };
        let said = planned(Some(outside), |_| {}).unwrap_err();
        assert!(said.contains("--file"), "{said}");
    }

    #[test]
    fn lines_are_counted() {
        assert_eq!(first_line(b"a\nb\n", b"a\nb\n"), None);
        assert_eq!(first_line(b"a\nb\n", b"a\nc\n"), Some(2));
        assert_eq!(first_line(b"a\n", b"a\nc\n"), Some(2));
    }
}
