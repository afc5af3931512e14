//! What is wrong with a target, in the words that it is written in: a build knows flags, a target has
//! attributes.

use gantry_bake::Baked;

use crate::failure::Failure;

/// Flags of `build`, and the attributes of targets that stand for them.
const ATTRIBUTES: [(&str, &str); 19] = [
    ("--add-host", "extra-hosts"),
    ("--allow", "entitlements"),
    ("--annotation", "annotations"),
    ("--attest", "attest"),
    ("--build-arg", "args"),
    ("--build-context", "contexts"),
    ("--cache-from", "cache-from"),
    ("--cache-to", "cache-to"),
    ("--call", "call"),
    ("--label", "labels"),
    ("--network", "network"),
    ("--output", "output"),
    ("--platform", "platforms"),
    ("--secret", "secret"),
    ("--shm-size", "shm-size"),
    ("--ssh", "ssh"),
    ("-t, --tag", "tags"),
    ("--target", "target"),
    ("--ulimit", "ulimits"),
];

/// For `map_err` on what is done for a target: says which it is, and where it is defined.
pub(super) fn of_target(baked: &Baked, name: &str) -> impl Fn(Failure) -> Failure {
    let place = baked.places.get(name);
    let place = place.map(|place| format!("{place}: ")).unwrap_or_default();
    let place = format!("{place}target {name}");
    move |failure| failure.reworded(attributes).at(&place)
}

/// A text with attributes in the place of flags.
fn attributes(text: &str) -> String {
    let mut said = text.to_owned();
    for (flag, attribute) in ATTRIBUTES {
        said = said.replace(&format!("{flag:?} flag"), attribute);
        // No other flag begins with these words.
        for end in [" ", "="] {
            said = said.replace(&format!("{flag}{end}"), &format!("{attribute}{end}"));
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use clap::Args;

    use super::*;
    use crate::commands::builder::build::BuildArgs;

    #[test]
    fn flags_become_attributes() {
        for (flags, want) in [
            (
                "invalid argument \"A\" for \"-t, --tag\" flag: no",
                "invalid argument \"A\" for tags: no",
            ),
            (
                "--allow x is not supported",
                "entitlements x is not supported",
            ),
            ("choose --call=check", "choose call=check"),
            ("--cache-to-nowhere", "--cache-to-nowhere"),
        ] {
            assert_eq!(attributes(flags), want);
        }
    }

    #[test]
    fn all_are_flags_of_a_build() {
        let build = BuildArgs::augment_args(clap::Command::new("build"));
        for (flag, _) in ATTRIBUTES {
            let long = flag.rsplit("--").next();
            let mut known = build.get_arguments().filter_map(clap::Arg::get_long);
            assert!(known.any(|known| Some(known) == long), "{flag}");
        }
    }
}
