//! Shows what the build cache takes.

use clap::Args;
use gantry_build::{CacheRow, Survey};
use jiff::Timestamp;

use super::cache::{self, CacheFilters};
use crate::context::Context;
use crate::failure::{Exit, Outcome};
use crate::output::listing::{self, Format, Row, Shape};
use crate::output::size;

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct DuArgs {
    /// Filter by conditions (e.g. "type=exec.cachemount")
    #[arg(long, value_name = "filter")]
    pub(crate) filter: Vec<String>,
    /// Format output by a Go template: 'table', 'table TEMPLATE', 'json', 'pretty' or 'TEMPLATE'
    #[arg(long)]
    pub(crate) format: Option<String>,
    /// Show everything of each row
    #[arg(long)]
    pub(crate) verbose: bool,
}

/// The fields of a row.
const SHAPE: Shape = Shape {
    fields: &[
        ("ID", "ID"),
        ("Parents", "PARENTS"),
        ("CreatedAt", "CREATED AT"),
        ("Mutable", "MUTABLE"),
        ("Reclaimable", "RECLAIMABLE"),
        ("Shared", "SHARED"),
        ("Size", "SIZE"),
        ("Description", "DESCRIPTION"),
        ("UsageCount", "USAGE COUNT"),
        ("LastUsedAt", "LAST ACCESSED"),
        ("Type", "TYPE"),
    ],
    table: &["ID", "Reclaimable", "Size", "LastUsedAt"],
    raw: "",
};

pub(crate) fn run(context: &Context, args: DuArgs) -> Outcome {
    let filters = CacheFilters::parse(&args.filter)?;
    let engine = context.engine()?;
    let now = Timestamp::now();
    let mut survey = cache::of(engine)?.survey(&cache::roots(engine)?)?;
    let filtered = !args.filter.is_empty();
    survey.rows.retain(|row| filters.fits(row, now));
    survey.rows.sort_by(|one, other| {
        (other.size, other.last_used, &one.id).cmp(&(one.size, one.last_used, &other.id))
    });
    let format = match (args.verbose, args.format.as_deref()) {
        (true, _) | (false, Some("pretty")) => None,
        (false, format) => Some(Format::parse(format)),
    };
    let text = match format {
        None => {
            let rows = survey.rows.iter();
            let each: Vec<String> = rows.map(|row| cache::paragraph(row, now)).collect();
            format!("{}\n{}", each.join("\n"), sums(&survey, filtered))
        }
        Some(Format::Table) => {
            let rows: Vec<Row> = survey.rows.iter().map(|row| marked(row, now)).collect();
            let table = listing::render(&SHAPE, &Format::Table, &rows)?;
            format!("{table}{}", sums(&survey, filtered))
        }
        Some(format) => {
            let rows: Vec<Row> = survey.rows.iter().map(|row| plain(row, now)).collect();
            listing::render(&SHAPE, &format, &rows)?
        }
    };
    context.ui.data(&text)?;
    Ok(Exit::SUCCESS)
}

fn plain(row: &CacheRow, now: Timestamp) -> Row {
    Row::new([
        ("ID", row.id.clone()),
        ("Parents", row.parents.join(",")),
        ("CreatedAt", cache::date(row.created)),
        ("Mutable", row.mutable.to_string()),
        ("Reclaimable", (!row.in_use).to_string()),
        ("Shared", row.shared.to_string()),
        ("Size", size::long(row.size)),
        ("Description", row.description.clone()),
        ("UsageCount", row.uses.to_string()),
        ("LastUsedAt", cache::ago(row.last_used, now)),
        ("Type", row.kind.name().to_owned()),
    ])
}

/// A star behind the ID of what changes, and behind the size of what is shared.
fn marked(row: &CacheRow, now: Timestamp) -> Row {
    let mark = |text: String, marked: bool| text + if marked { "*" } else { "" };
    plain(row, now)
        .with("ID", mark(row.id.clone(), row.mutable))
        .with("Size", mark(size::long(row.size), row.shared))
}

/// The sums, which tell of the whole cache and not of what a filter left.
fn sums(survey: &Survey, filtered: bool) -> String {
    if filtered {
        return String::new();
    }
    let mut text = String::new();
    if survey.shared > 0 {
        text.push_str(&format!(
            "Shared:\t\t{}\nPrivate:\t{}\n",
            size::long(survey.shared),
            size::long(survey.used)
        ));
    }
    text.push_str(&format!(
        "Reclaimable:\t{}\nTotal:\t\t{}\n",
        size::long(survey.reclaimable),
        size::long(survey.used + survey.shared)
    ));
    text
}
