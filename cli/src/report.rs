//! What a command found: aligned lines for people, or one JSON object for scripts, from the same facts.

use crate::{
    say, terminal,
    units::{print_table, sol},
};
use anyhow::Result;
use serde_json::{Map, Value};

/// Facts in the order in which they are shown.
#[derive(Debug, Default)]
pub struct Report {
    lines: Vec<(String, String)>,
    json: Map<String, Value>,
}

impl Report {
    /// Adds a fact under its JSON name, which people read with spaces. What is not known is null, for people `-`.
    pub fn add(&mut self, name: &str, value: impl Into<Value>) -> &mut Self {
        let value = value.into();
        self.lines
            .push((name.replace('_', " "), crate::units::cell(&value)));
        self.json.insert(name.to_owned(), value);
        self
    }

    /// Adds a fact that people read in other words than scripts.
    pub fn say(
        &mut self,
        name: &str,
        text: impl Into<String>,
        value: impl Into<Value>,
    ) -> &mut Self {
        self.lines.push((name.replace('_', " "), text.into()));
        self.json.insert(name.to_owned(), value.into());
        self
    }

    /// Adds an amount: SOL for people, `NAME_lamports` for scripts; `None` is not known.
    pub fn lamports(&mut self, name: &str, lamports: impl Into<Option<u64>>) -> &mut Self {
        let lamports = lamports.into();
        self.lines.push((
            name.replace('_', " "),
            lamports.map_or_else(|| "-".into(), sol),
        ));
        self.json
            .insert(format!("{name}_lamports"), lamports.into());
        self
    }

    /// The facts for scripts.
    pub fn into_json(self) -> Value {
        Value::Object(self.json)
    }

    /// Prints it.
    pub fn print(&self, json: bool) -> Result<()> {
        if json {
            return terminal::json(&self.json);
        }
        let width = self
            .lines
            .iter()
            .map(|(name, _)| name.chars().count())
            .max()
            .unwrap_or(0);
        for (name, text) in &self.lines {
            say!("{name:<width$}  {}", terminal::on_one_line(text));
        }
        Ok(())
    }
}

/// Prints a list endpoint's rows: a table of some of their fields, or JSON lines.
pub fn print_rows(rows: &[Value], columns: &[(&str, &str)], none: &str, json: bool) -> Result<()> {
    if json {
        return rows.iter().try_for_each(terminal::json_line);
    }
    if rows.is_empty() {
        say!("{none}");
        return Ok(());
    }
    let headers: Vec<&str> = columns.iter().map(|(header, _)| *header).collect();
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            columns
                .iter()
                .map(|(_, field)| crate::units::cell(&row[field]))
                .collect()
        })
        .collect();
    print_table(&headers, &cells);
    Ok(())
}
