//! The cache within its bounds: what there is, what goes, what stays.

use gantry_build::{BuildCache, BuildRequest, Builder, CacheKind, Housekeeping, Keep};
use gantry_store::{Roots, Store};

use crate::Test;
use crate::environment::Environment;

pub(crate) const TESTS: &[Test] = &[
    ("root_collect_rows_and_prune", rows_and_prune),
    ("root_collect_bounds_hold_while_building", bounds),
    (
        "root_collect_single_stages_without_the_cache",
        single_stages,
    ),
];

/// A cache with a handle of its own: what a build held is not held by it.
fn cache(environment: &Environment) -> BuildCache {
    let root = environment.folder.path().join("root");
    BuildCache::new(Store::open(&root).unwrap(), &root)
}

fn rows_and_prune() {
    let mut environment = Environment::new();
    environment.write("a", &"x".repeat(20_000));
    let text = "FROM busybox AS one\nCOPY a /a\nRUN --mount=type=cache,target=/c echo x > /c/f\n\
        FROM busybox\nCOPY --from=one /a /b\n";
    environment.build(text);
    let survey = cache(&environment).survey(&Roots::default()).unwrap();
    // This very process still holds what the build made.
    let regular = |row: &&gantry_build::CacheRow| row.kind == CacheKind::Regular;
    assert!(survey.rows.iter().filter(regular).all(|row| row.in_use));
    environment.reopen();
    let cache = cache(&environment);
    let survey = cache.survey(&Roots::default()).unwrap();
    let names: Vec<(&str, bool, usize)> = survey
        .rows
        .iter()
        .filter(regular)
        .map(|row| (row.description.as_str(), row.shared, row.parents.len()))
        .collect();
    let mut sorted = names.clone();
    sorted.sort_unstable();
    assert_eq!(
        sorted,
        [
            ("[one 2/3] COPY a /a", false, 0),
            (
                "[one 3/3] RUN --mount=type=cache,target=/c echo x > /c/f",
                false,
                1
            ),
            ("[stage-1 2/2] COPY --from=one /a /b", true, 1),
        ]
    );
    // Each layer is in one row, and in the sums once.
    let sizes: u64 = survey.rows.iter().map(|row| row.size).sum();
    assert_eq!(survey.used + survey.shared, sizes);
    // What is known of files that were written a moment ago may not be worth a note.
    let kinds: Vec<&str> = survey
        .rows
        .iter()
        .map(|row| row.kind.name())
        .filter(|kind| *kind != CacheKind::Local.name())
        .collect();
    assert_eq!(
        kinds,
        [
            "regular",
            "regular",
            "regular",
            // What explains builds, and what copies made last.
            "internal",
            "internal",
            "exec.cachemount"
        ]
    );
    assert!(survey.used >= 20_000 && survey.reclaimable == survey.used);
    let copy = |row: &gantry_build::CacheRow| row.description.contains("COPY a");
    let pruned = cache
        .prune(&Roots::default(), &copy, Keep::default())
        .unwrap();
    assert_eq!(pruned.rows.len(), 1);
    assert!(pruned.bytes >= 20_000, "{}", pruned.bytes);
    // What is left leads nowhere wrong.
    assert_eq!(environment.build(text).result.executed, 1);
    environment.reopen();
    let all = cache
        .prune(&Roots::default(), &|_| true, Keep::default())
        .unwrap();
    assert!(all.rows.len() >= 5, "{:?}", all.rows);
    assert_eq!(cache.survey(&Roots::default()).unwrap().rows, []);
    assert_eq!(environment.build(text).result.executed, 3);
}

fn bounds() {
    let mut environment = Environment::new();
    let dockerfile = |number: i64| format!("FROM busybox\nCOPY f{number} /f\n");
    let roots = || Some(Roots::default());
    let size = 300_000;
    let housekeeping = Housekeeping {
        keep: Keep {
            max_used: 1_000_000,
            ..Keep::default()
        },
        roots: &roots,
    };
    for number in 0..6_i64 {
        let letter = char::from(b'a' + u8::try_from(number).unwrap());
        environment.write(&format!("f{number}"), &letter.to_string().repeat(size));
        let builder = Builder {
            housekeeping: Some(housekeeping),
            ..environment.builder()
        };
        let request: BuildRequest = environment.request(&dockerfile(number));
        let (built, _) = environment.build_with(&builder, &request, &[]);
        let id = built.unwrap().image_id;
        drop(builder);
        environment.reopen();
        for kind in ["build-entry", "build-worked-on"] {
            for mut record in environment.store.records().list(kind).unwrap() {
                // The builds of this test follow each other within a second.
                record.last_used = record.last_used.min(number + 1);
                environment.store.records().put(&[record]).unwrap();
            }
        }
        environment.reopen();
        // Only the cache keeps its layer.
        environment.store.images().remove(&id).unwrap();
        let used = cache(&environment).survey(&Roots::default()).unwrap().used;
        assert!(used <= 1_000_000 + 50_000, "{number}: {used}");
    }
    // The last ones are there, the first one went.
    for (number, executed) in [(5, 0), (4, 0), (0, 1)] {
        let built = environment.build(&dockerfile(number));
        assert_eq!(built.result.executed, executed, "{number}");
    }
}

fn single_stages() {
    let environment = Environment::new();
    let text = "FROM busybox AS one\nRUN true\nFROM one AS two\nRUN :\n";
    environment.build(text);
    let mut request = environment.request(text);
    for (stages, executed) in [(vec!["two"], 1), (vec!["ONE", "1"], 2), (vec!["other"], 0)] {
        request.no_cache_stages = stages.iter().map(|stage| (*stage).to_owned()).collect();
        let (built, said) = environment.build_request(&request);
        assert_eq!(built.unwrap().executed, executed, "{stages:?}");
        assert_eq!(said.warnings().len(), usize::from(executed == 0));
    }
}
