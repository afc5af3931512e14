//! Rows of the build cache, as lists of them show and filter them.

use gantry_build::{BuildCache, CacheRow, Housekeeping, Keep};
use gantry_engine::Engine;
use gantry_engine::system::SystemError;
use gantry_store::Roots;
use jiff::Timestamp;
use regex::Regex;

use crate::failure::Failure;
use crate::flags::value::wrong;
use crate::output::{size, time};

/// The build cache of an installation.
pub(crate) fn of(engine: &Engine) -> Result<BuildCache, Failure> {
    Ok(BuildCache::new(engine.store()?.clone(), engine.root()))
}

/// What containers need.
pub(crate) fn roots(engine: &Engine) -> Result<Roots, Failure> {
    Ok(engine.roots().map_err(SystemError::from)?)
}

/// The bounds that builds keep to, unless the configuration wants none.
pub(crate) fn housekeeping<'a>(
    engine: &Engine,
    roots: &'a (dyn Fn() -> Option<Roots> + Sync),
) -> Option<Housekeeping<'a>> {
    let config = &engine.config().builder;
    let keep = Keep {
        reserved: 0,
        max_used: config.cache_size,
        min_free: config.min_free,
    };
    config.gc.then_some(Housekeeping { keep, roots })
}

/// A point in time as documents of the cache say it: `2026-11-21 18:08:59 +0000 UTC`.
pub(crate) fn date(seconds: i64) -> String {
    let time = Timestamp::from_second(seconds).unwrap_or_default();
    format!("{} +0000 UTC", time.strftime("%Y-%m-%d %H:%M:%S"))
}

/// How long ago that was: `3 seconds ago`.
pub(crate) fn ago(seconds: i64, now: Timestamp) -> String {
    let time = Timestamp::from_second(seconds).unwrap_or_default();
    time::ago(&time.to_string(), now)
}

/// The columns of a list, tabs between them: ID, whether it can go, size, last use.
pub(crate) fn columns(row: &CacheRow, now: Timestamp) -> String {
    let mark = |marked: bool| if marked { "*" } else { "" };
    format!(
        "{}{}\t{}\t{}{}\t{}\n",
        row.id,
        mark(row.mutable),
        !row.in_use,
        size::long(row.size),
        mark(row.shared),
        ago(row.last_used, now),
    )
}

/// A row as a paragraph.
pub(crate) fn paragraph(row: &CacheRow, now: Timestamp) -> String {
    let mut lines = vec![("ID:", row.id.clone())];
    match &row.parents[..] {
        [] => {}
        [parent] => lines.push(("Parent:", parent.clone())),
        parents => lines.push(("Parents:", parents.join(", "))),
    }
    lines.extend([
        ("Created at:", date(row.created)),
        ("Mutable:", row.mutable.to_string()),
        ("Reclaimable:", (!row.in_use).to_string()),
        ("Shared:", row.shared.to_string()),
        ("Size:", size::long(row.size)),
        ("Description:", row.description.clone()),
        ("Usage count:", row.uses.to_string()),
        ("Last used:", ago(row.last_used, now)),
        ("Type:", row.kind.name().to_owned()),
    ]);
    let lines = lines.into_iter();
    lines
        .map(|(name, value)| format!("{name:14}{value}\n"))
        .collect()
}

/// One condition of `--filter`.
#[derive(Debug)]
enum Condition {
    /// A text of a row.
    Text(Field, Comparison),
    /// Something that is so or not.
    Truth(Fact, bool),
    /// Not used for so many seconds.
    Unused(u64),
}

#[derive(Debug, Clone, Copy)]
enum Field {
    Id,
    Parents,
    Kind,
    Description,
}

#[derive(Debug, Clone, Copy)]
enum Fact {
    InUse,
    Mutable,
    Shared,
}

#[derive(Debug)]
enum Comparison {
    Is(String),
    IsNot(String),
    Matches(Regex),
}

/// The conditions of `--filter`; a row must fit all of them.
#[derive(Debug)]
pub(crate) struct CacheFilters(Vec<Condition>);

const KNOWN: &str = "until, unused-for, id, parents, type, description, inuse, mutable, immutable, \
                     shared, private";

impl CacheFilters {
    /// Reads `NAME=VALUE`, `NAME==VALUE`, `NAME!=VALUE` and `NAME~=EXPRESSION`.
    pub(crate) fn parse(flags: &[String]) -> Result<Self, Failure> {
        let flags = flags.iter().filter(|flag| !flag.is_empty());
        flags
            .map(|flag| condition(flag))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether a row fits.
    pub(crate) fn fits(&self, row: &CacheRow, now: Timestamp) -> bool {
        self.0.iter().all(|condition| condition.fits(row, now))
    }
}

fn condition(flag: &str) -> Result<Condition, Failure> {
    let invalid = |why: &str| Failure::invalid(format!("invalid filter '{flag}', {why}"));
    // Without a comparison it is none of a filter's forms: that much the flag itself knows.
    let no_filter = || wrong("--filter", flag)("bad format of filter (expected name=value)");
    let end = flag.find(['=', '!', '~']).unwrap_or(flag.len());
    let (name, rest) = flag.split_at(end);
    let comparison = |value: &str| -> Result<Comparison, Failure> {
        if let Some(value) = value.strip_prefix("!=") {
            return Ok(Comparison::IsNot(value.to_owned()));
        }
        if let Some(value) = value.strip_prefix("~=") {
            let regex = Regex::new(value);
            return regex
                .map(Comparison::Matches)
                .map_err(|_| invalid("it is no regular expression"));
        }
        let value = value.strip_prefix("==").or_else(|| value.strip_prefix('='));
        let value = value.ok_or_else(|| invalid("expected name=value"))?;
        Ok(Comparison::Is(value.to_owned()))
    };
    let truth = |fact: Fact, means: bool| match rest {
        "" | "=true" | "==true" | "=1" => Ok(Condition::Truth(fact, means)),
        "=false" | "==false" | "=0" | "!=true" => Ok(Condition::Truth(fact, !means)),
        _ => Err(invalid("expected true or false")),
    };
    match name.trim().to_lowercase().as_str() {
        "id" => Ok(Condition::Text(Field::Id, comparison(rest)?)),
        "parents" | "parent" => Ok(Condition::Text(Field::Parents, comparison(rest)?)),
        "type" => Ok(Condition::Text(Field::Kind, comparison(rest)?)),
        "description" => Ok(Condition::Text(Field::Description, comparison(rest)?)),
        "inuse" => truth(Fact::InUse, true),
        "mutable" => truth(Fact::Mutable, true),
        "immutable" => truth(Fact::Mutable, false),
        "shared" => truth(Fact::Shared, true),
        "private" => truth(Fact::Shared, false),
        "until" | "unused-for" => match comparison(rest)? {
            Comparison::Is(text) => time::go_duration(&text)
                .map(|age| Condition::Unused(age.as_secs()))
                .ok_or_else(|| invalid("expected a duration")),
            _ => Err(invalid("expected a duration")),
        },
        _ if rest.is_empty() => Err(no_filter().into()),
        _ => Err(invalid(&format!("the filters are: {KNOWN}"))),
    }
}

impl Condition {
    fn fits(&self, row: &CacheRow, now: Timestamp) -> bool {
        match self {
            Self::Text(field, comparison) => match field {
                Field::Id => comparison.fits(&row.id),
                Field::Parents => match comparison {
                    Comparison::IsNot(_) => row.parents.iter().all(|id| comparison.fits(id)),
                    _ => row.parents.iter().any(|id| comparison.fits(id)),
                },
                Field::Kind => comparison.fits(row.kind.name()),
                Field::Description => comparison.fits(&row.description),
            },
            Self::Truth(fact, means) => {
                let is = match fact {
                    Fact::InUse => row.in_use,
                    Fact::Mutable => row.mutable,
                    Fact::Shared => row.shared,
                };
                is == *means
            }
            Self::Unused(seconds) => {
                row.last_used <= now.as_second().saturating_sub_unsigned(*seconds)
            }
        }
    }
}

impl Comparison {
    fn fits(&self, text: &str) -> bool {
        match self {
            Self::Is(value) => text == value,
            Self::IsNot(value) => text != value,
            Self::Matches(regex) => regex.is_match(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use gantry_build::CacheKind;

    use super::*;

    #[test]
    fn the_forms_of_a_filter() {
        let row = CacheRow {
            id: "abc".into(),
            parents: vec!["def".into()],
            kind: CacheKind::Regular,
            description: "[2/3] RUN make".into(),
            created: 100,
            last_used: 1000,
            uses: 1,
            size: 5,
            shared: true,
            in_use: false,
            mutable: false,
        };
        let now = Timestamp::from_second(4600).unwrap();
        let fits = |flag: &str| {
            let filters = CacheFilters::parse(&[flag.to_owned()])?;
            Ok::<bool, Failure>(filters.fits(&row, now))
        };
        for (flag, want) in [
            ("id=abc", true),
            ("id==ab", false),
            ("id!=ab", true),
            ("parents=def", true),
            ("parents!=def", false),
            ("type=regular", true),
            ("type!=exec.cachemount", true),
            ("description~=RUN m", true),
            ("description~=^RUN", false),
            ("inuse", false),
            ("inuse=false", true),
            ("immutable", true),
            ("mutable=true", false),
            ("shared", true),
            ("private", false),
            ("until=1h", true),
            ("until=2h", false),
            ("unused-for=30m", true),
        ] {
            assert_eq!(fits(flag).unwrap(), want, "{flag}");
        }
        for flag in [
            "x=1",
            "id",
            "until=soon",
            "shared=perhaps",
            "id~=(",
            "until!=1h",
        ] {
            assert!(fits(flag).is_err(), "{flag}");
        }
        assert!(
            CacheFilters::parse(&[String::new()])
                .unwrap()
                .fits(&row, now)
        );
    }
}
