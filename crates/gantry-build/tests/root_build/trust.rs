//! Nothing is taken from a cache that is not what was put there: it is named and made again.

use std::fs;
use std::os::unix::fs::FileExt;

use gantry_build::explain::Reason;

use crate::Test;
use crate::environment::Environment;

pub(crate) const TESTS: &[Test] = &[
    ("root_trust_flipped_bytes_of_layers", flipped_layers),
    ("root_trust_flipped_bytes_of_records", flipped_records),
    ("root_trust_touched_but_whole_layers", touched_layers),
];

const TEXT: &str = "FROM busybox\nCOPY a /a\nRUN echo made > /made\nRUN cat /a /made > /both\n";

fn flip(path: &std::path::Path) {
    let before = fs::metadata(path).unwrap();
    let file = fs::File::options()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 0).unwrap();
    byte[0] ^= 1;
    file.write_all_at(&byte, 0).unwrap();
    // As a disk would do it, as far as a test can.
    file.set_modified(before.modified().unwrap()).unwrap();
}

fn flipped_layers() {
    let environment = Environment::new();
    environment.write("a", "right\n");
    let mut last = environment.build(TEXT);
    // What runs again gives a layer with other times, so that what follows it runs as well.
    for (number, name, step, executed) in [
        (1, "a", "[2/4] COPY a /a", 1),
        (2, "made", "[3/4] RUN echo made > /made", 2),
        (3, "both", "[4/4] RUN cat /a /made > /both", 1),
    ] {
        let tree = environment.store.layers().tree(&last.result.layers[number]);
        flip(&tree.join(name));
        let again = environment.build(TEXT);
        assert_eq!(
            again.result.executed,
            executed,
            "{name}: {}",
            again.said.text()
        );
        let warnings = again.said.warnings();
        assert!(
            warnings
                .iter()
                .any(|warning| warning.contains(step) && warning.contains("damaged")),
            "{name}: {warnings:?}"
        );
        let reasons = &again.said.explanation().steps[number].reasons;
        assert!(
            matches!(&reasons[..], [Reason::Damaged { .. }]),
            "{reasons:?}"
        );
        let tree = environment.store.layers().tree(&again.result.layers[3]);
        assert_eq!(fs::read(tree.join("both")).unwrap(), b"right\nmade\n");
        let quiet = environment.build(TEXT);
        assert_eq!((quiet.result.executed, quiet.said.warnings().len()), (0, 0));
        assert_eq!(quiet.result.image_id, again.result.image_id);
        last = again;
    }
}

fn flipped_records() {
    let environment = Environment::new();
    environment.write("a", "right\n");
    environment.build(TEXT);
    let records = environment.store.records();
    let steps = records.list("build-entry").unwrap();
    assert_eq!(steps.len(), 3);
    // The key of the last step is another one whenever the step below it has run again.
    let last = |step: &&gantry_store::Record| step.value.windows(4).any(|part| part == b"cat ");
    for step in steps.iter().filter(|step| !last(step)) {
        for at in [0, 40, 300] {
            let now = records.list("build-entry").unwrap();
            let mut flipped = now.into_iter().find(|now| now.key == step.key).unwrap();
            let at = at.min(flipped.value.len() - 1);
            flipped.value[at] ^= 1;
            records.put(&[flipped]).unwrap();
            let again = environment.build(TEXT);
            assert!(again.result.executed > 0, "{}", again.said.text());
            assert_eq!(
                again.said.warnings().len(),
                1,
                "{:?}",
                again.said.warnings()
            );
        }
    }
    // A record that was given another step's value.
    let copies =
        |step: &gantry_store::Record| step.value.windows(8).any(|part| part == b"COPY a /");
    let (mut copy, others): (Vec<_>, Vec<_>) = records
        .list("build-entry")
        .unwrap()
        .into_iter()
        .partition(copies);
    let mut swapped = copy.remove(0);
    swapped.value.clone_from(&others[0].value);
    swapped.layers.clone_from(&others[0].layers);
    records.put(&[swapped]).unwrap();
    assert!(environment.build(TEXT).result.executed > 0);
    // What was noted for explanations is worth nothing but an explanation.
    for mut noted in records.list("build-worked-on").unwrap() {
        noted.value.truncate(5);
        records.put(&[noted]).unwrap();
    }
    environment.write("a", "other\n");
    let changed = environment.build(TEXT);
    assert_eq!(
        changed.said.explanation().steps[1].reasons,
        [Reason::Unknown]
    );
}

fn touched_layers() {
    let environment = Environment::new();
    environment.write("a", "right\n");
    let first = environment.build(TEXT);
    let tree = environment.store.layers().tree(&first.result.layers[1]);
    let file = tree.join("a");
    let modified = fs::metadata(&file).unwrap().modified().unwrap();
    fs::write(&file, "right\n").unwrap();
    fs::File::options()
        .write(true)
        .open(&file)
        .unwrap()
        .set_modified(modified)
        .unwrap();
    for _ in 0..2 {
        let again = environment.build(TEXT);
        assert_eq!((again.result.executed, again.said.warnings().len()), (0, 0));
    }
}
