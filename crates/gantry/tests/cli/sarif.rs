//! What the linter writes as SARIF, held to the specification (OASIS, 2.1.0): which members an
//! object must and may have, and what they are. Objects of the schema take no others.

use gantry_testkit::TestEnv;
use serde_json::Value;

/// A kind of object: what it must have, and what it has here.
struct Kind {
    section: &'static str,
    required: &'static [&'static str],
    members: &'static [(&'static str, Type)],
}

#[derive(Clone, Copy)]
enum Type {
    Text,
    /// RFC 3986; a reference may be relative.
    Uri,
    UriReference,
    /// A number from this one on.
    From(i64),
    OneOf(&'static [&'static str]),
    Object(&'static Kind),
    /// At least so many, none twice.
    Array(usize, &'static Kind),
}

use Type::{Array, From, Object, OneOf, Text, Uri, UriReference};

const LEVEL: Type = OneOf(&["none", "note", "warning", "error"]);

const LOG: Kind = Kind {
    section: "3.13",
    required: &["version", "runs"],
    members: &[
        ("version", OneOf(&["2.1.0"])),
        ("$schema", Uri),
        ("runs", Array(0, &RUN)),
    ],
};
const RUN: Kind = Kind {
    section: "3.14",
    required: &["tool"],
    members: &[
        ("tool", Object(&TOOL)),
        (
            "columnKind",
            OneOf(&["utf16CodeUnits", "unicodeCodePoints"]),
        ),
        ("results", Array(0, &RESULT)),
    ],
};
const TOOL: Kind = Kind {
    section: "3.18",
    required: &["driver"],
    members: &[("driver", Object(&DRIVER))],
};
const DRIVER: Kind = Kind {
    section: "3.19",
    required: &["name"],
    members: &[
        ("name", Text),
        ("version", Text),
        ("rules", Array(0, &RULE)),
    ],
};
const RULE: Kind = Kind {
    section: "3.49",
    required: &["id"],
    members: &[
        ("id", Text),
        ("shortDescription", Object(&MULTIFORMAT)),
        ("help", Object(&MULTIFORMAT)),
        ("helpUri", Uri),
        ("defaultConfiguration", Object(&CONFIGURATION)),
    ],
};
const MULTIFORMAT: Kind = Kind {
    section: "3.12",
    required: &["text"],
    members: &[("text", Text), ("markdown", Text)],
};
const CONFIGURATION: Kind = Kind {
    section: "3.50",
    required: &[],
    members: &[("level", LEVEL)],
};
const RESULT: Kind = Kind {
    section: "3.27",
    required: &["message"],
    members: &[
        ("ruleId", Text),
        ("ruleIndex", From(-1)),
        ("level", LEVEL),
        ("message", Object(&MESSAGE)),
        ("locations", Array(0, &LOCATION)),
        ("fixes", Array(0, &FIX)),
    ],
};
/// A message has a text or the id of one; here it is the text.
const MESSAGE: Kind = Kind {
    section: "3.11",
    required: &["text"],
    members: &[("text", Text)],
};
const LOCATION: Kind = Kind {
    section: "3.28",
    required: &[],
    members: &[("physicalLocation", Object(&PHYSICAL))],
};
const PHYSICAL: Kind = Kind {
    section: "3.29",
    required: &["artifactLocation"],
    members: &[
        ("artifactLocation", Object(&ARTIFACT)),
        ("region", Object(&REGION)),
    ],
};
const ARTIFACT: Kind = Kind {
    section: "3.4",
    required: &["uri"],
    members: &[("uri", UriReference)],
};
const REGION: Kind = Kind {
    section: "3.30",
    required: &["startLine"],
    members: &[
        ("startLine", From(1)),
        ("startColumn", From(1)),
        ("endLine", From(1)),
        ("endColumn", From(1)),
    ],
};
const FIX: Kind = Kind {
    section: "3.55",
    required: &["artifactChanges"],
    members: &[
        ("description", Object(&MESSAGE)),
        ("artifactChanges", Array(1, &CHANGE)),
    ],
};
const CHANGE: Kind = Kind {
    section: "3.56",
    required: &["artifactLocation", "replacements"],
    members: &[
        ("artifactLocation", Object(&ARTIFACT)),
        ("replacements", Array(1, &REPLACEMENT)),
    ],
};
const REPLACEMENT: Kind = Kind {
    section: "3.57",
    required: &["deletedRegion"],
    members: &[
        ("deletedRegion", Object(&REGION)),
        ("insertedContent", Object(&CONTENT)),
    ],
};
const CONTENT: Kind = Kind {
    section: "3.3",
    required: &[],
    members: &[("text", Text)],
};

fn hold_to(kind: &Kind, value: &Value) {
    let section = kind.section;
    let object = value.as_object();
    let object = object.unwrap_or_else(|| panic!("{section}: no object: {value}"));
    for name in kind.required {
        assert!(object.contains_key(*name), "{section}: no {name}: {value}");
    }
    for (name, value) in object {
        let known = kind.members.iter().find(|(known, _)| known == name);
        let (_, kind) = known.unwrap_or_else(|| panic!("{section}: {name} is unknown"));
        hold(&format!("{section} {name}"), *kind, value);
    }
    if kind.section == REGION.section {
        let place = |line: &str, column: &str| (value[line].as_u64(), value[column].as_u64());
        let (start, end) = (
            place("startLine", "startColumn"),
            place("endLine", "endColumn"),
        );
        assert!(start <= end, "{value}");
    }
}

fn hold(place: &str, kind: Type, value: &Value) {
    let text = || {
        value
            .as_str()
            .unwrap_or_else(|| panic!("{place}: no text: {value}"))
    };
    let is_reference = |text: &str| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-._~:/?#[]@!$&'()*+,;=%".contains(c);
        !text.is_empty() && text.chars().all(allowed)
    };
    match kind {
        Text => assert!(!text().is_empty() || place.starts_with("3.3 "), "{place}"),
        Uri => assert!(
            is_reference(text()) && text().contains("://"),
            "{place}: {value}"
        ),
        UriReference => assert!(is_reference(text()), "{place}: {value}"),
        From(least) => assert!(value.as_i64() >= Some(least), "{place}: {value}"),
        OneOf(words) => assert!(words.contains(&text()), "{place}: {value}"),
        Object(kind) => hold_to(kind, value),
        Array(least, kind) => {
            let items = value.as_array();
            let items = items.unwrap_or_else(|| panic!("{place}: no array: {value}"));
            assert!(items.len() >= least, "{place}: {value}");
            for (number, item) in items.iter().enumerate() {
                assert!(!items[..number].contains(item), "{place}: twice {item}");
                hold_to(kind, item);
            }
        }
    }
}

#[test]
fn all_that_is_found_is_told_as_the_specification_has_it() {
    let env = TestEnv::new(crate::GANTRY);
    let many = "from busybox as X\nRUN apk add curl && cd /x\nMAINTAINER me\nUSER root\nADD a b\n\
                EXPOSE 80/TCP\nENV a b\nRUN apt-get install -y x\nCMD httpd -f\nCMD [\"sh\", \"-c\", \"httpd\"]\n";
    env.write("ctx/a b/Dockerfile", many);
    env.write("ctx/broken.Dockerfile", "FROM scratch\nRUNN x\n");
    env.write("ctx/fine.Dockerfile", "FROM scratch\n");
    let words = ["build", "lint", "--severity=info", "--format=sarif"];
    let files = [
        "ctx/a b/Dockerfile",
        "ctx/broken.Dockerfile",
        "ctx/fine.Dockerfile",
    ];
    let found = env.gantry(words.iter().chain(&files));
    let log: Value = serde_json::from_str(&found.stdout).unwrap();
    hold_to(&LOG, &log);
    let results = log["runs"][0]["results"].as_array().unwrap();
    let has = |what: &dyn Fn(&Value) -> bool| results.iter().any(what);
    assert!(has(&|result| result["fixes"].is_array()), "{log}");
    for level in ["note", "warning", "error"] {
        assert!(has(&|result| result["level"] == level), "{level}: {log}");
    }
    let stdin = env.gantry_with_input(["build", "lint", "--format=sarif", "-"], many.as_bytes());
    hold_to(&LOG, &serde_json::from_str(&stdin.stdout).unwrap());
    let nothing = env.gantry(["build", "lint", "--format=sarif", "ctx/fine.Dockerfile"]);
    hold_to(&LOG, &serde_json::from_str(&nothing.ok()).unwrap());
}
