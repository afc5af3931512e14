//! `docs/rules` says what the rules say of themselves.
//!
//! `GANTRY_WRITE_PAGES=1 cargo test -p gantry-dockerfile --test pages` writes it anew.

#![expect(
    clippy::disallowed_methods,
    reason = "the crate reads no files, its tests read the documents"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use gantry_dockerfile::lint::{Origin, Rule};

#[test]
fn every_rule_has_its_page() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/rules");
    let mut wanted: BTreeMap<String, String> = Rule::ALL
        .into_iter()
        .map(|rule| (format!("{rule}.md"), rule.page()))
        .collect();
    wanted.insert("README.md".to_owned(), index());
    if std::env::var_os("GANTRY_WRITE_PAGES").is_some() {
        std::fs::create_dir_all(&folder).unwrap();
        for (name, text) in &wanted {
            std::fs::write(folder.join(name), text).unwrap();
        }
    }
    let there: BTreeMap<String, String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let text = std::fs::read_to_string(entry.path()).unwrap();
            (entry.file_name().into_string().unwrap(), text)
        })
        .collect();
    let names = |pages: &BTreeMap<String, String>| pages.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&there), names(&wanted));
    for (name, text) in wanted {
        assert_eq!(there[&name], text, "{name}");
    }
}

fn index() -> String {
    let mut out = String::from(
        "# Rules\n\nWhat `gantry build --check` and `gantry build lint` look for. The pages are written from the rules themselves.\n",
    );
    for (title, origin) in [
        ("BuildKit's", Origin::BuildKit),
        ("Gantry's own", Origin::Gantry),
    ] {
        let _ = write!(
            out,
            "\n## {title}\n\n| rule | severity | what |\n| --- | --- | --- |\n"
        );
        for rule in Rule::ALL.into_iter().filter(|rule| rule.origin() == origin) {
            let summary = rule.summary().split(". ").next().unwrap_or_default();
            let _ = writeln!(
                out,
                "| [{rule}]({rule}.md) | {} | {summary} |",
                rule.severity().as_str()
            );
        }
    }
    out
}
