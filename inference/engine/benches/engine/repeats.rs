//! Prompts whose answers repeat what came before, more or less.

use super::TEXT;

const SOURCE: &str = include_str!("../../src/durations.rs");

/// People of a text, of whom some are written as JSON already.
const PEOPLE: [(&str, &str, &str, u32); 8] = [
    ("Tobias Finch", "clockmaker", "Rope Walk", 1850),
    ("Mara Holt", "baker", "Mill Lane", 1857),
    ("Edwin Crane", "ferryman", "Harbour Street", 1864),
    ("Agnes Bell", "schoolteacher", "Chapel Hill", 1871),
    ("Piotr Nowak", "carpenter", "Saw Yard", 1878),
    ("Lena Voss", "doctor", "Fountain Square", 1885),
    ("Samuel Okoro", "printer", "Type Alley", 1892),
    ("Ines Duarte", "net maker", "Long Quay", 1899),
];
const WRITTEN: usize = 2;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Repeats {
    /// A file that is given back with a name changed.
    Code,
    /// Facts of a text as JSON.
    Extraction,
    /// A story that goes on.
    Prose,
}

impl Repeats {
    pub const ALL: [Self; 3] = [Self::Code, Self::Extraction, Self::Prose];

    pub fn name(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::Extraction => "extraction",
            Self::Prose => "prose",
        }
    }

    /// What the model goes on with.
    pub fn prompt(self) -> String {
        match self {
            Self::Code => {
                let lines = |count| SOURCE.split_inclusive('\n').take(count);
                let (file, begun): (String, String) = (lines(28).collect(), lines(2).collect());
                format!(
                    "Rename `Durations` to `Delays` and give the whole file.\n\n```rust\n{file}```\n\nHere it is:\n\n```rust\n{begun}"
                )
            }
            Self::Extraction => {
                let told = PEOPLE.iter().map(|(name, trade, street, born)| {
                    format!("{name}, {trade}, lives in {street} and was born in {born}.\n")
                });
                let written = PEOPLE.iter().take(WRITTEN).map(|(name, trade, street, born)| {
                    format!("{{\"name\": \"{name}\", \"trade\": \"{trade}\", \"street\": \"{street}\", \"born\": {born}}}\n")
                });
                let (told, written): (String, String) = (told.collect(), written.collect());
                format!(
                    "The people of the street:\n{told}\nThe same as JSON, one a line:\n{written}"
                )
            }
            Self::Prose => TEXT.chars().take(2_200).collect(),
        }
    }
}
