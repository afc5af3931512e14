//! What a builder makes of real Dockerfiles.

use anyhow::{Result, bail};
use gantry_testkit::dockerfiles::buildable;
use gantry_testkit::environment::answer;

use super::Found;
use super::listed::List;
use super::peer::Peer;

pub(super) fn ask(peer: &Peer, list: &List) -> Result<Vec<Found>> {
    let mut all = Vec::new();
    for real in buildable() {
        for image in &real.images {
            let tagged = answer(&mut peer.command(&["tag", "busybox", image]));
            if tagged.code != 0 {
                bail!("{image}: {}", tagged.stderr);
            }
        }
        let (key, origin) = (real.file.sha256.clone(), real.file.origin.clone());
        let built = list.ask(&key, || peer.built(&real.file.given(), &[], &real.context));
        let result = match built {
            // Why is a long story of paths and addresses of the one machine.
            Ok(result) if result.starts_with("failed") => "failed\n".to_owned(),
            Ok(result) => result,
            // Docker cannot save an image without layers.
            Err(error) if format!("{error:#}").contains("empty export") => "empty\n".to_owned(),
            Err(error) => return Err(error),
        };
        all.push(Found {
            key,
            origin,
            result,
        });
    }
    Ok(all)
}
