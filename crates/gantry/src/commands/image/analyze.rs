//! Shows what the layers of an image hold, and what of it nobody sees.

use clap::Args;
use gantry_engine::images::analyze::{Analysis, Fate};
use gantry_model::quantity::{counted, parse_bytes};
use serde_json::{Value, json};

use super::fetch::platform;
use crate::context::Context;
use crate::failure::{Exit, Failure, Outcome};
use crate::flags::value::{FlagError, wrong};
use crate::output::listing::{self, Format, Row, Shape};
use crate::output::progress::screen::{clip, harmless};
use crate::output::size;

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct AnalyzeArgs {
    /// Compare with the thresholds; the exit code is 1 where one is not met
    #[arg(long)]
    pub(crate) ci: bool,
    /// Format of the output: "table" or "json" (default "table")
    #[arg(long)]
    pub(crate) format: Option<String>,
    /// With --ci: most bytes that are wasted, or "disabled"
    #[arg(long, default_value = "disabled", value_name = "bytes")]
    pub(crate) highest_wasted_bytes: String,
    /// With --ci: most bytes that are wasted for each byte above the first layer, 0 to 1, or "disabled"
    #[arg(long, default_value = "0.1", value_name = "ratio")]
    pub(crate) highest_user_wasted_percent: String,
    /// With --ci: least part of all bytes that is seen, 0 to 1, or "disabled"
    #[arg(long, default_value = "0.9", value_name = "ratio")]
    pub(crate) lowest_efficiency: String,
    /// Platform that the image must be for (e.g. "linux/amd64")
    #[arg(long)]
    pub(crate) platform: Option<String>,
    /// How many files are listed
    #[arg(long, default_value_t = 20)]
    pub(crate) top: usize,
    /// The image.
    pub(crate) operands: Vec<String>,
}

const LAYERS: Shape = Shape {
    fields: &[
        ("Layer", "LAYER"),
        ("Size", "SIZE"),
        ("Files", "FILES"),
        ("Wasted", "WASTED"),
        ("Hides", "HIDES"),
        ("Instruction", "INSTRUCTION"),
    ],
    table: &["Layer", "Size", "Files", "Wasted", "Hides", "Instruction"],
    raw: "",
};

const WASTE: Shape = Shape {
    fields: &[
        ("Wasted", "WASTED"),
        ("Copies", "COPIES"),
        ("Fate", "FATE"),
        ("Path", "PATH"),
    ],
    table: &["Wasted", "Copies", "Fate", "Path"],
    raw: "",
};

const LARGEST: Shape = Shape {
    fields: &[("Size", "SIZE"), ("Layer", "LAYER"), ("Path", "PATH")],
    table: &["Size", "Layer", "Path"],
    raw: "",
};

pub(crate) fn run(context: &Context, args: AnalyzeArgs) -> Outcome {
    let thresholds = Thresholds::parse(&args)?;
    let as_json = match args.format.as_deref() {
        None | Some("" | "table") => false,
        Some("json") => true,
        Some(other) => {
            return Err(Failure::invalid(format!(
                "invalid --format {other:?}, the formats are table and json"
            )));
        }
    };
    let wanted = platform(args.platform.as_deref())?;
    let images = context.engine()?.images();
    let analysis = images.analyze(&args.operands[0], wanted.as_ref(), args.top)?;
    let verdicts = if args.ci {
        thresholds.judge(&analysis)
    } else {
        Vec::new()
    };
    if as_json {
        context
            .ui
            .line(&document(&analysis, &verdicts).to_string())?;
    } else {
        context.ui.data(&text(&analysis, &verdicts)?)?;
    }
    if verdicts.iter().any(|verdict| !verdict.met) {
        return Err(Failure::Said(1));
    }
    Ok(Exit::SUCCESS)
}

/// What an image must keep to; `None` where it does not matter.
#[derive(Debug, PartialEq)]
struct Thresholds {
    efficiency: Option<f64>,
    wasted: Option<u64>,
    user_wasted: Option<f64>,
}

/// What became of a threshold.
struct Verdict {
    rule: &'static str,
    met: bool,
    said: String,
}

impl Thresholds {
    fn parse(args: &AnalyzeArgs) -> Result<Self, FlagError> {
        let ratio = |flag, text: &str| match text {
            "disabled" => Ok(None),
            _ => match text.parse::<f64>() {
                Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(Some(ratio)),
                _ => Err(wrong(flag, text)("it is a number from 0 to 1, or disabled")),
            },
        };
        let bytes = args.highest_wasted_bytes.as_str();
        Ok(Self {
            efficiency: ratio("--lowest-efficiency", &args.lowest_efficiency)?,
            wasted: match bytes {
                "disabled" => None,
                _ => Some(parse_bytes(bytes).map_err(wrong("--highest-wasted-bytes", bytes))?),
            },
            user_wasted: ratio(
                "--highest-user-wasted-percent",
                &args.highest_user_wasted_percent,
            )?,
        })
    }

    fn judge(&self, analysis: &Analysis) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        let mut judge = |rule, met, said| verdicts.push(Verdict { rule, met, said });
        if let Some(least) = self.efficiency {
            let is = analysis.efficiency();
            judge(
                "lowest-efficiency",
                is >= least,
                format!("{is:.4}, at least {least}"),
            );
        }
        if let Some(most) = self.wasted {
            let is = analysis.wasted;
            judge(
                "highest-wasted-bytes",
                is <= most,
                format!("{is}, at most {most}"),
            );
        }
        if let Some(most) = self.user_wasted {
            let is = analysis.user_wasted();
            let said = format!("{is:.4}, at most {most}");
            judge("highest-user-wasted-percent", is <= most, said);
        }
        verdicts
    }
}

fn text(analysis: &Analysis, verdicts: &[Verdict]) -> Result<String, Failure> {
    let layers = analysis.layers.iter().enumerate().map(|(number, layer)| {
        let instruction = layer.instruction.replace(['\t', '\n'], " ");
        Row::new([
            ("Layer", (number + 1).to_string()),
            ("Size", size::short(layer.size)),
            ("Files", layer.files.to_string()),
            ("Wasted", size::short(layer.wasted)),
            ("Hides", size::short(layer.hides)),
            ("Instruction", clip(&harmless(&instruction), 70)),
        ])
    });
    let waste = analysis.waste.iter().map(|waste| {
        let fate = match waste.fate {
            Fate::Overwritten => "overwritten",
            Fate::Deleted => "deleted",
        };
        Row::new([
            ("Wasted", size::short(waste.bytes)),
            ("Copies", waste.copies.to_string()),
            ("Fate", format!("{fate} by {}", waste.by + 1)),
            ("Path", harmless(&waste.path)),
        ])
    });
    let largest = analysis.largest.iter().map(|file| {
        Row::new([
            ("Size", size::short(file.bytes)),
            ("Layer", (file.layer + 1).to_string()),
            ("Path", harmless(&file.path)),
        ])
    });
    let table = |shape: &Shape, rows: Vec<Row>| listing::render(shape, &Format::Table, &rows);
    let mut text = table(&LAYERS, layers.collect())?;
    if !analysis.waste.is_empty() {
        text.push_str("\nFiles that nobody sees:\n");
        text.push_str(&table(&WASTE, waste.collect())?);
    }
    text.push_str("\nLargest files:\n");
    text.push_str(&table(&LARGEST, largest.collect())?);
    text.push_str(&format!(
        "\nTotal size: {}\nWasted: {} in {}\nEfficiency: {:.2} %\n",
        size::long(analysis.size()),
        size::long(analysis.wasted),
        counted(analysis.wasted_files, "file"),
        analysis.efficiency() * 100.0,
    ));
    for verdict in verdicts {
        let word = if verdict.met { "PASS" } else { "FAIL" };
        text.push_str(&format!("{word}: {} ({})\n", verdict.rule, verdict.said));
    }
    Ok(text)
}

fn document(analysis: &Analysis, verdicts: &[Verdict]) -> Value {
    let layer = |layer: &gantry_engine::images::analyze::AnalyzedLayer| {
        json!({
            "digestId": layer.diff_id.to_string(),
            "command": layer.instruction,
            "sizeBytes": layer.size,
            "files": layer.files,
            "wastedBytes": layer.wasted,
            "hidesBytes": layer.hides,
        })
    };
    let waste = |waste: &gantry_engine::images::analyze::Waste| {
        json!({
            "file": waste.path,
            "sizeBytes": waste.bytes,
            "count": waste.copies,
            "deleted": waste.fate == Fate::Deleted,
            "byLayer": waste.by,
        })
    };
    let large = |file: &gantry_engine::images::analyze::LargeFile| json!({"file": file.path, "sizeBytes": file.bytes, "layer": file.layer});
    let verdict = |verdict: &Verdict| json!({"rule": verdict.rule, "passed": verdict.met, "measured": verdict.said});
    json!({
        "image": {
            "id": analysis.id.to_string(),
            "sizeBytes": analysis.size(),
            "userSizeBytes": analysis.user_size(),
            "inefficientBytes": analysis.wasted,
            "inefficientFiles": analysis.wasted_files,
            "efficiencyScore": analysis.efficiency(),
            "userWastedPercent": analysis.user_wasted(),
            "fileReference": analysis.waste.iter().map(waste).collect::<Vec<_>>(),
            "largestFiles": analysis.largest.iter().map(large).collect::<Vec<_>>(),
        },
        "layer": analysis.layers.iter().map(layer).collect::<Vec<_>>(),
        "rules": verdicts.iter().map(verdict).collect::<Vec<_>>(),
    })
}
