//! Times of whole commands, in pairs.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::say;

/// One side of a comparison: makes a fresh command for each run.
pub(crate) struct Side<'a> {
    pub(crate) name: &'a str,
    pub(crate) command: &'a dyn Fn() -> Command,
    /// What has to be undone or prepared before each run, outside the time.
    pub(crate) before: &'a dyn Fn() -> Result<()>,
}

/// Nothing to prepare.
pub(crate) fn nothing() -> Result<()> {
    Ok(())
}

/// The most that a figure may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target(pub(crate) f64);

impl Target {
    /// The verdict on a ratio, to follow it in its line.
    pub(crate) fn of_ratio(self, ratio: f64) -> String {
        let said = if self.0 < 0.7 {
            format!("1/{:.0}", 1.0 / self.0)
        } else {
            format!("{:.2}", self.0)
        };
        self.verdict(ratio, &said)
    }

    /// The verdict on a figure with this unit.
    pub(crate) fn of(self, figure: f64, unit: &str) -> String {
        self.verdict(figure, &format!("{} {unit}", self.0))
    }

    fn verdict(self, figure: f64, said: &str) -> String {
        let verdict = if figure <= self.0 { "met" } else { "MISSED" };
        format!("; target {said}: {verdict}")
    }
}

/// Runs both sides in turn and prints medians, the ratio A/B, and whether it is as it should be.
pub(crate) fn compare(
    title: &str,
    runs: usize,
    ours: &Side<'_>,
    theirs: &Side<'_>,
    target: Option<Target>,
) -> Result<()> {
    time(ours)?;
    time(theirs)?;
    let mut pairs = Vec::with_capacity(runs);
    for _ in 0..runs {
        pairs.push((time(ours)?, time(theirs)?));
    }
    let column = |pick: fn(&(Duration, Duration)) -> f64| median(pairs.iter().map(pick).collect());
    let a = column(|pair| pair.0.as_secs_f64());
    let b = column(|pair| pair.1.as_secs_f64());
    let ratio = column(|pair| pair.0.as_secs_f64() / pair.1.as_secs_f64());
    say(&format!(
        "{title}: {} {}, {} {}, ratio {ratio:.3} (1/{:.1}), {runs} pairs{}",
        ours.name,
        milliseconds(a),
        theirs.name,
        milliseconds(b),
        1.0 / ratio,
        target.map_or_else(String::new, |target| target.of_ratio(ratio))
    ));
    Ok(())
}

/// Runs one side alone and prints its median.
pub(crate) fn alone(title: &str, runs: usize, side: &Side<'_>) -> Result<()> {
    time(side)?;
    let mut times = Vec::with_capacity(runs);
    for _ in 0..runs {
        times.push(time(side)?.as_secs_f64());
    }
    say(&format!(
        "{title}: {} {}, {runs} runs",
        side.name,
        milliseconds(median(times))
    ));
    Ok(())
}

fn time(side: &Side<'_>) -> Result<Duration> {
    (side.before)()?;
    let mut command = (side.command)();
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let start = Instant::now();
    let child = command
        .spawn()
        .with_context(|| format!("cannot run {}", side.name))?;
    let output = child.wait_with_output()?;
    let taken = start.elapsed();
    if !output.status.success() {
        bail!(
            "{} ended with {}: {}",
            side.name,
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(taken)
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        values[middle]
    } else {
        f64::midpoint(values[middle - 1], values[middle])
    }
}

pub(crate) fn milliseconds(seconds: f64) -> String {
    format!("{:.1} ms", seconds * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_met_or_missed() {
        assert_eq!(Target(0.05).of_ratio(0.04), "; target 1/20: met");
        assert_eq!(Target(1.5).of_ratio(1.6), "; target 1.50: MISSED");
        assert_eq!(Target(20.0).of(19.0, "ms"), "; target 20 ms: met");
    }

    #[test]
    fn the_median_is_the_middle() {
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!((median(vec![4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < f64::EPSILON);
    }
}
