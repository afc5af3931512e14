//! What a Docker with BuildKit says of real Dockerfiles without building them.

use std::fs;

use anyhow::{Context, Result, bail};
use gantry_testkit::dockerfiles::{self, Verdict};
use gantry_testkit::environment::answer;
use serde_json::Value;

use super::Found;
use super::peer::Peer;

/// What BuildKit says where an image is not there and no registry can be asked.
const MISSING: &str = "failed to resolve source metadata for ";

/// Most base images of one file.
const MOST_BASES: usize = 60;

pub(super) fn ask(peer: &Peer) -> Result<Vec<Found>> {
    let found = dockerfiles::all().into_iter().map(|file| {
        fs::write(peer.work().join("Dockerfile"), file.given())?;
        Ok(Found {
            key: file.sha256,
            origin: file.origin,
            result: verdict(peer)?,
        })
    });
    found.collect()
}

fn verdict(peer: &Peer) -> Result<String> {
    let mut verdict = Verdict::default();
    let mut missing = None;
    let mut check = call(peer, "check")?.0;
    for _ in 0..MOST_BASES {
        let message = check["buildError"]["message"].as_str().unwrap_or_default();
        let image = image(message);
        if image.is_none() || image == missing {
            break;
        }
        // Every base is the busybox that Gantry's side is given for it.
        missing = image;
        let name = missing.as_deref().unwrap_or_default();
        if answer(&mut peer.command(&["tag", "busybox", name])).code != 0 {
            break;
        }
        check = call(peer, "check")?.0;
    }
    let error = &check["buildError"];
    let message = error["message"].as_str();
    match message.and_then(image) {
        Some(image) => verdict.unknown("check", &image),
        None => {
            verdict.check(message.map(|message| (line(error), message)));
            for warning in check["warnings"].as_array().into_iter().flatten() {
                let name = text(warning, "ruleName");
                verdict.rule(name, line_of(warning)?);
            }
        }
    }
    let (outline, said) = call(peer, "outline")?;
    match image(&said) {
        Some(image) => verdict.unknown("outline", &image),
        None => {
            verdict.answers("outline", !outline.is_null());
            for argument in outline["args"].as_array().into_iter().flatten() {
                let value = argument["value"].as_str();
                verdict.argument(line_of(argument)?, text(argument, "name"), value);
            }
            for (kind, list) in [("secret", &outline["secrets"]), ("ssh", &outline["ssh"])] {
                for lent in list.as_array().into_iter().flatten() {
                    let required = lent["required"] == Value::Bool(true);
                    verdict.lent(kind, line_of(lent)?, text(lent, "name"), required);
                }
            }
        }
    }
    let (targets, _) = call(peer, "targets")?;
    verdict.answers("targets", !targets.is_null());
    for target in targets["targets"].as_array().into_iter().flatten() {
        let name = target["name"].as_str();
        let platform = target["platform"].as_str();
        verdict.stage(line_of(target)?, name, text(target, "base"), platform);
    }
    Ok(verdict.text().to_owned())
}

/// The document that `--call` prints, or nothing, and what was said beside it.
fn call(peer: &Peer, what: &str) -> Result<(Value, String)> {
    let mut command = peer.command(&["build", "--call"]);
    command.arg(format!("{what},format=json")).arg("-f");
    command.arg(peer.work().join("Dockerfile"));
    let empty = peer.work().join("nothing");
    fs::create_dir_all(&empty)?;
    let answered = answer(command.arg(&empty));
    if answered.stdout.is_empty() && answered.code == 0 {
        bail!("{command:?} says nothing");
    }
    let document = serde_json::from_str(&answered.stdout).unwrap_or(Value::Null);
    Ok((document, answered.stderr))
}

/// The image that a message says was not found.
fn image(message: &str) -> Option<String> {
    let rest = message.split(MISSING).nth(1)?;
    Some(rest.split(": ").next()?.to_owned())
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or("-")
}

/// The first of the lines, each of which is a range of its own.
fn line(value: &Value) -> Option<usize> {
    let line = &value["location"]["ranges"][0]["start"]["line"];
    usize::try_from(line.as_u64()?).ok()
}

fn line_of(value: &Value) -> Result<usize> {
    line(value).with_context(|| format!("{value} is nowhere"))
}
