//! Damaged files are refused or taken, and never the end of the process. What the fixes write can
//! be read, has nothing left to mend, and differs where they say so only.

use std::sync::atomic::{AtomicUsize, Ordering};

use gantry_dockerfile::lint::{self, Settings, Surroundings};
use gantry_dockerfile::{Diagnostic, SourceFile, fix, parse};
use gantry_testkit::dockerfiles;

use crate::{Everything, examined};

/// How far apart the ends of the shortened files are, and the most of them that a file has.
const STEP: usize = 97;
const MOST_ENDS: usize = 100;
/// How many files with other bytes are made of each.
const FLIPPED: u64 = 6;
/// More rounds than fixes need that make room for others.
const ROUNDS: usize = 20;

/// Numbers that look random and are the same in every run (xorshift64*).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(high).expect("31 bits are a size") % bound
    }
}

/// Different for most contents.
fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().map(|byte| u64::from(*byte)).sum()
}

/// Bytes that mean something in a Dockerfile, and others.
const BYTES: &[u8] = b"\\\n\r\t \"'$`{}[]<>#=,:-/&|;()\0\xff\xc3aF0";

fn flipped(bytes: &[u8], seed: u64) -> Vec<u8> {
    let mut numbers = Numbers(seed);
    let mut bytes = bytes.to_vec();
    for _ in 0..3 {
        let at = numbers.below(bytes.len());
        bytes[at] = BYTES[numbers.below(BYTES.len())];
    }
    bytes
}

/// Does everything with a file that is done without building it.
fn look(bytes: Vec<u8>) {
    let Ok(examination) = examined(bytes) else {
        return;
    };
    let source = &examination.source;
    drop(examination.targets());
    drop(examination.outline(&Everything));
    let check = examination.check(&Everything);
    let Ok(file) = &examination.parsed else {
        assert!(check.error.is_some(), "{}", source.text());
        return;
    };
    for complaint in check.warnings.iter().chain(&check.advice) {
        let (first, last) = lint::lines(file, source, complaint);
        assert!(
            first <= last && last <= source.line_count(),
            "{complaint:?}"
        );
        assert!(!source.excerpt("x", first, last).is_empty());
    }
    mend(source.text());
}

fn complaints(text: &str) -> Option<(usize, Vec<Diagnostic>)> {
    let source = SourceFile::new("Dockerfile", text);
    let file = parse(&source).ok()?;
    let surroundings = Surroundings::of(&[]);
    let found = lint::check(&file, &source, &surroundings, &Settings::default());
    Some((file.stages.len(), found))
}

fn mend(text: &str) {
    let (stages, mut found) = complaints(text).expect("it was parsed before");
    let mut text = text.to_owned();
    for _ in 0..ROUNDS {
        let (next, made) = fix::apply(&text, &found);
        if made == 0 {
            let left: Vec<_> = found.iter().filter(|one| one.fix.is_some()).collect();
            assert!(left.is_empty(), "{left:?}\n{text}");
            return;
        }
        keeps_other_lines(&text, &next, &found);
        let again = complaints(&next);
        let again = again.unwrap_or_else(|| panic!("mended, it cannot be read:\n{next}"));
        assert_eq!(again.0, stages, "{next}");
        (text, found) = (next, again.1);
    }
    panic!("fixes make room for fixes without end in:\n{text}");
}

/// The lines that no edit touches are all there, in their order.
fn keeps_other_lines(before: &str, after: &str, found: &[Diagnostic]) {
    let edits = || {
        found
            .iter()
            .filter_map(|one| one.fix.as_ref())
            .flat_map(|fix| &fix.edits)
    };
    let mut left = after.split_inclusive('\n');
    let mut at = 0;
    for line in before.split_inclusive('\n') {
        let (start, end) = (at, at + line.len());
        at = end;
        if edits().any(|edit| edit.span.start <= end && edit.span.end >= start) {
            continue;
        }
        assert!(
            left.any(|other| other == line),
            "{line:?} is gone from:\n{after}"
        );
    }
}

/// Tells which file it was when a test fails.
struct Named<'a>(&'a str, String);

impl Drop for Named<'_> {
    #[expect(clippy::print_stderr, reason = "where the failure itself is told")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("in {} {}", self.0, self.1);
        }
    }
}

/// Looks at each variant of each file, on all processors.
fn look_at(variants: impl Fn(&[u8]) -> Vec<(String, Vec<u8>)> + Sync) {
    let files = dockerfiles::all();
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            for (name, bytes) in variants(&file.bytes) {
                let _named = Named(&file.origin, name);
                look(bytes);
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
}

#[test]
fn shortened_files_are_read_to_their_end() {
    look_at(|bytes| {
        let step = STEP.max(bytes.len() / MOST_ENDS);
        let ends = (0..bytes.len()).step_by(step);
        ends.map(|end| (format!("up to {end}"), bytes[..end].to_vec()))
            .collect()
    });
}

#[test]
fn files_with_other_bytes_are_looked_at_or_refused() {
    look_at(|bytes| {
        let rounds = if bytes.is_empty() { 0 } else { FLIPPED };
        let seeds = (1..=rounds).map(|round| round + FLIPPED * sum(bytes));
        seeds
            .map(|seed| (format!("with seed {seed}"), flipped(bytes, seed)))
            .collect()
    });
}

#[test]
fn whole_files_are_mended() {
    look_at(|bytes| vec![("whole".to_owned(), bytes.to_vec())]);
}
