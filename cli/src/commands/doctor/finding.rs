//! What a check found, and how a run of checks ends.

use crate::{
    exit::{self, Exit},
    say, terminal,
};
use anyhow::Result;
use serde_json::json;

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Good,
    /// Nothing is wrong, but it is well to know.
    Note,
    /// It could not be found out.
    Unknown,
    Bad,
}

impl Verdict {
    pub fn of(good: bool) -> Self {
        if good { Self::Good } else { Self::Bad }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Note => "note",
            Self::Unknown => "?",
            Self::Bad => "FAIL",
        }
    }
}

#[derive(Debug)]
pub struct Finding {
    what: &'static str,
    verdict: Verdict,
    detail: String,
    fix: Option<String>,
}

impl Finding {
    pub fn new(what: &'static str, verdict: Verdict, detail: impl Into<String>) -> Self {
        Self {
            what,
            verdict,
            detail: detail.into(),
            fix: None,
        }
    }

    pub fn good(what: &'static str, detail: impl Into<String>) -> Self {
        Self::new(what, Verdict::Good, detail)
    }

    pub fn bad(what: &'static str, detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::new(what, Verdict::Bad, detail).fix(fix)
    }

    pub fn unknown(what: &'static str, detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::new(what, Verdict::Unknown, detail).fix(fix)
    }

    /// What to do about it.
    pub fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    #[cfg(test)]
    pub fn told(&self) -> (&'static str, Verdict, String) {
        let fix = self.fix.as_deref().unwrap_or_default();
        (self.what, self.verdict, format!("{} {fix}", self.detail))
    }
}

/// Prints what was found. Fails if anything is wrong, with another code if it is only that something could not be found out.
pub fn tell(findings: &[Finding], json: bool) -> Result<()> {
    for finding in findings {
        let (what, word) = (finding.what, finding.verdict.word());
        let (detail, fix) = (&finding.detail, &finding.fix);
        if json {
            let line = json!({"check": what, "result": word, "detail": detail, "fix": fix});
            terminal::json_line(&line)?;
            continue;
        }
        say!("{word:<4}  {what:<10}  {}", terminal::on_one_line(detail));
        if let Some(fix) = fix {
            say!("{:<4}  {:<10}  -> {}", "", "", terminal::on_one_line(fix));
        }
    }
    let count = |verdict| {
        let found = findings.iter().filter(|found| found.verdict == verdict);
        found.count()
    };
    let (failed, unknown) = (count(Verdict::Bad), count(Verdict::Unknown));
    let (code, what, count) = match (failed, unknown) {
        (0, 0) => return Ok(()),
        (0, unknown) => (exit::CANNOT_SAY, "could not be made", unknown),
        (failed, _) => (exit::CHECK_FAILED, "failed", failed),
    };
    Err(Exit::error(
        code,
        format!("{count} of {} checks {what}", findings.len()),
    ))
}
