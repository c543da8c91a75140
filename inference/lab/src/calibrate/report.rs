//! What a calibration found, as JSON and as Markdown tables.

use std::fmt::Write as _;

use mythic_interface::state::SAMPLED_POSITIONS;
use serde::{Deserialize, Serialize};

use super::stats::Rate;
use super::thresholds::{Frozen, MARGIN, MAX_TAU1_PPM};
use super::transcript::Findings;

/// Marks in a document between which a report is put.
pub const BEGIN: &str = "<!-- begin: mythic calibrate -->";
/// The other one.
pub const END: &str = "<!-- end: mythic calibrate -->";

/// Something that must not move a bit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Identity {
    /// What was varied.
    pub name: String,
    pub jobs: usize,
    /// Compared positions: four ids and logits, and the log-sum-exp over the vocabulary.
    pub positions: Rate,
}

/// Something that was not done, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    pub what: String,
    pub why: String,
}

/// How a kind of answer fared. Rates count jobs found false.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    pub name: String,
    pub honest: bool,
    pub jobs: usize,
    /// Further jobs where the cheat made exactly the honest answer and commitment: no harm done, nothing to find.
    pub harmless: usize,
    /// Positions that an exact profile finds false.
    pub positions: Rate,
    /// Mean and largest e, parts per million.
    pub mean_error_ppm: f64,
    pub max_error_ppm: u32,
    pub replay: Rate,
    pub exact: Rate,
    pub exact_sampled: Rate,
    pub calibrated: Rate,
    pub naive: Rate,
    pub gonka: Rate,
    pub difr: Rate,
}

/// How one answer of a test job fared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRow {
    /// Of the row it counts in.
    pub name: String,
    /// Index of the prompt in the committed set.
    pub job: usize,
    pub positions: usize,
    /// Of them, those that an exact profile finds false.
    pub differing: usize,
    /// Largest e, parts per million.
    pub max_error_ppm: u32,
    /// Which rules find it false; none where a cheat made exactly the honest answer.
    pub found: Option<Findings>,
}

/// Whether fewer than 1e-9 honest jobs are found guilty.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    /// Exact profile: positions that differed, over everything compared.
    pub exact: Rate,
    /// Calibrated profile: honest test jobs of foreign arithmetic.
    pub foreign_jobs: u64,
    /// Of them, the largest bound of guilt by an unlucky sample.
    pub worst_unlucky: f64,
    /// The same, averaged.
    pub mean_unlucky: f64,
}

/// A whole calibration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub model: String,
    /// Of the file, hex.
    pub sha256: String,
    pub file_bytes: u64,
    pub profile: String,
    /// Whether the profile promises equal bits.
    pub exact: bool,
    pub device: String,
    pub processor: Option<String>,
    pub threads: usize,
    pub calibration_jobs: usize,
    pub test_jobs: usize,
    pub max_tokens: u32,
    /// Of the part that was run now; a resumed calibration took longer.
    pub seconds: f64,
    pub identity: Vec<Identity>,
    pub rows: Vec<Row>,
    /// What the rows count.
    pub jobs: Vec<JobRow>,
    pub frozen: Frozen,
    pub claim: Claim,
    pub skipped: Vec<Skipped>,
}

impl Report {
    /// Whether nothing honest of this profile moved, and every cheat was found by its exact rule.
    pub fn holds(&self) -> bool {
        self.claim.exact.hits == 0
            && self
                .rows
                .iter()
                .filter(|row| !row.honest)
                .all(|row| row.exact.hits == row.exact.of)
    }

    /// `error_ppm` and `miss_ppm` for the model's account; `None` where no thresholds are sound.
    pub fn proposal(&self) -> Option<(u32, u32)> {
        if self.exact {
            return Some((0, 0));
        }
        self.frozen
            .fits()
            .then_some((self.frozen.tau1_ppm, self.frozen.tau3_ppm))
    }

    /// The report for people.
    pub fn markdown(&self) -> String {
        let mut out = String::new();
        self.head(&mut out);
        self.honest(&mut out);
        self.thresholds(&mut out);
        self.cheats(&mut out);
        self.claims(&mut out);
        if !self.skipped.is_empty() {
            out.push_str("\nNot done:\n");
            for skipped in &self.skipped {
                let _ = writeln!(out, "- {}: {}", skipped.what, skipped.why);
            }
        }
        out
    }

    fn head(&self, out: &mut String) {
        let processor = self.processor.as_deref().unwrap_or("unknown processor");
        let _ = writeln!(
            out,
            "{} ({} bytes, SHA-256 `{}…`), profile `{}`, on {} threads of {processor}, {}. {} jobs to calibrate, {} to test, up to {} tokens each; {:.0} s.",
            self.model,
            self.file_bytes,
            self.sha256.get(..16).unwrap_or(&self.sha256),
            self.profile,
            self.threads,
            self.device,
            self.calibration_jobs,
            self.test_jobs,
            self.max_tokens,
            self.seconds
        );
    }

    fn honest(&self, out: &mut String) {
        out.push_str("\n**Honest, this profile**: positions of which any bit differs.\n\n");
        let rows: Vec<_> = self
            .identity
            .iter()
            .map(|i| vec![i.name.clone(), i.jobs.to_string(), i.positions.to_string()])
            .collect();
        table(out, &["varied", "jobs", "positions that differ"], &rows);
        out.push_str(
            "\n**Honest, any arithmetic**: honest test jobs that tolerant rules find false.\n\n",
        );
        self.tolerant(out, true);
    }

    fn cheats(&self, out: &mut String) {
        out.push_str("\n**Cheats**: test jobs that the protocol's rules find false.\n\n");
        let rows: Vec<_> = self
            .rows_where(false)
            .map(|row| {
                vec![
                    row.name.clone(),
                    row.jobs.to_string(),
                    row.harmless.to_string(),
                    row.positions.to_string(),
                    percent(row.mean_error_ppm),
                    percent(f64::from(row.max_error_ppm)),
                    row.replay.to_string(),
                    row.exact.to_string(),
                    row.exact_sampled.to_string(),
                ]
            })
            .collect();
        let heads = [
            "cheat",
            "jobs",
            "harmless",
            "false positions",
            "mean e",
            "largest e",
            "replay",
            "exact",
            "exact, sample only",
        ];
        table(out, &heads, &rows);
        out.push_str(
            "\n**Rules that let any honest engine serve**: the same jobs under the frozen limits.\n\n",
        );
        self.tolerant(out, false);
    }

    /// What the rules say that honest engines of other arithmetic can pass.
    fn tolerant(&self, out: &mut String, honest: bool) {
        let rows: Vec<_> = self
            .rows_where(honest)
            .map(|row| {
                let mut cells = vec![row.name.clone()];
                if honest {
                    cells.extend([
                        row.jobs.to_string(),
                        percent(row.mean_error_ppm),
                        percent(f64::from(row.max_error_ppm)),
                    ]);
                }
                let rates = [row.calibrated, row.naive, row.gonka, row.difr];
                cells.extend(rates.map(|rate| rate.to_string()));
                cells
            })
            .collect();
        let mut heads = vec![if honest { "engine" } else { "cheat" }];
        if honest {
            heads.extend(["jobs", "mean e", "largest e"]);
        }
        heads.extend(["calibrated", "1 % maximum", "Gonka", "Token-DiFR"]);
        table(out, &heads, &rows);
    }

    fn rows_where(&self, honest: bool) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |row| row.honest == honest)
    }

    fn thresholds(&self, out: &mut String) {
        let f = &self.frozen;
        let _ = writeln!(
            out,
            "\n**Frozen before the test**, from {} honest jobs of every arithmetic above, each limit × {MARGIN}: τ₁ {} ppm needed, {} ppm set ({}); τ₃ {} ppm; Gonka distance {:.5}; Token-DiFR mean margin {:.4}, margins cut off at {:.3}.",
            f.jobs,
            f.tau1_needed_ppm,
            f.tau1_ppm,
            if f.fits() {
                "within the protocol's limit".to_owned()
            } else {
                format!("cut to the protocol's {MAX_TAU1_PPM}: this noise does not fit")
            },
            f.tau3_ppm,
            f.gonka,
            f.difr,
            f.difr_clip
        );
    }

    fn claims(&self, out: &mut String) {
        let c = &self.claim;
        let _ = writeln!(
            out,
            "\n**Fewer than 1e-9 false verdicts a job?** Exact profile: {} of {} positions differed{}. Counting alone would bound that at {:.1e} a position; the claim rests on the arithmetic being the same bits by construction, of which this is a check.",
            c.exact.hits,
            c.exact.of,
            if c.exact.hits == 0 {
                ", so no honest job can be found guilty"
            } else {
                ": **the profile is not exact on this machine**"
            },
            c.exact.bounds().1
        );
        if c.foreign_jobs == 0 {
            out.push_str(
                "Calibrated profile: no foreign arithmetic was measured, so nothing is claimed.\n",
            );
        } else {
            let _ = writeln!(
                out,
                "Calibrated profile: over the draw of {SAMPLED_POSITIONS} positions, the worst of {} honest test jobs is found guilty with chance ≤ {:.1e} (mean {:.1e}); as many jobs say nothing of the {:.1} % that may be worse. **1e-9 cannot be claimed**: counting would take 3e9 jobs, and a requester chooses the prompt.",
                c.foreign_jobs,
                c.worst_unlucky,
                c.mean_unlucky,
                100.0
                    * Rate {
                        hits: 0,
                        of: c.foreign_jobs
                    }
                    .bounds()
                    .1
            );
        }
        let _ = match self.proposal() {
            Some((error, miss)) if self.exact => writeln!(
                out,
                "\nProposed for the model's account: `error_ppm` {error}, `miss_ppm` {miss} (an exact profile compares bits)."
            ),
            Some((error, miss)) => writeln!(
                out,
                "\nProposed for the model's account: `error_ppm` {error}, `miss_ppm` {miss}."
            ),
            None => writeln!(
                out,
                "\nProposed for the model's account: none. No threshold that the protocol allows clears honest jobs, so its disputes should stay void."
            ),
        };
    }
}

fn percent(ppm: f64) -> String {
    format!("{:.2} %", ppm / 1e4)
}

fn table(out: &mut String, heads: &[&str], rows: &[Vec<String>]) {
    let widths: Vec<usize> = heads
        .iter()
        .enumerate()
        .map(|(i, head)| {
            let cells = rows.iter().filter_map(|row| row.get(i));
            let widths = cells.map(|cell| cell.chars().count());
            widths.chain([head.chars().count()]).max().unwrap_or(0)
        })
        .collect();
    let mut line = |cells: &mut dyn Iterator<Item = &str>| {
        for (cell, width) in cells.zip(&widths) {
            let _ = write!(out, "| {cell:<width$} ");
        }
        out.push_str("|\n");
    };
    line(&mut heads.iter().copied());
    let rules: Vec<String> = widths.iter().map(|w| "-".repeat(*w)).collect();
    line(&mut rules.iter().map(String::as_str));
    for row in rows {
        line(&mut row.iter().map(String::as_str));
    }
}

/// `document` with `text` between the marks; `None` where it has no marks.
pub fn insert(document: &str, text: &str) -> Option<String> {
    let begin = document.find(BEGIN)? + BEGIN.len();
    let end = begin + document.get(begin..)?.find(END)?;
    let (head, tail) = (document.get(..begin)?, document.get(end..)?);
    Some(format!("{head}\n{text}{tail}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_replaces_what_is_between_the_marks_and_nothing_else() {
        let document = format!("# A\n{BEGIN}\nold\n{END}\nb\n");
        let want = format!("# A\n{BEGIN}\nnew\n{END}\nb\n");
        assert_eq!(insert(&document, "new\n"), Some(want.clone()));
        assert_eq!(insert(&want, "new\n"), Some(want));
        assert_eq!(insert("no marks", "new"), None);
    }

    #[test]
    fn tables_align() {
        let mut out = String::new();
        table(&mut out, &["a", "long"], &[vec!["τ₁ %".into(), "1".into()]]);
        assert_eq!(out, "| a    | long |\n| ---- | ---- |\n| τ₁ % | 1    |\n");
    }
}
