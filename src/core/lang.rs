//! The languages that the configuration is written in: expressions that select events,
//! templates that write them, and scripts. All is compiled and tried on samples before
//! anything runs, and what runs has no way out and cannot go on for ever.

pub mod engine;
mod explain;
pub mod fields;
pub mod script;
mod template;
#[cfg(test)]
mod tests;
mod when;

use std::fmt;

pub use fields::Trial;
pub use template::Template;
pub use when::When;

use super::text::clean;

/// A longer problem is cut.
const LONGEST: usize = 500;

/// What is wrong with a text in one of the languages: one safe line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Where in the text, from 1; `None` if it is all of it.
    pub place: Option<Place>,
    pub problem: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub line: usize,
    /// Counted in characters.
    pub column: usize,
    /// The text has no other line.
    pub is_only_line: bool,
}

impl Mistake {
    pub fn new(place: Option<Place>, problem: &str) -> Self {
        Self { place, problem: clean(problem, LONGEST) }
    }
}

impl Place {
    /// `None` for what stands nowhere.
    pub fn new(text: &str, line: Option<usize>, column: Option<usize>) -> Option<Self> {
        let is_only_line = !text.trim_end().contains('\n');
        Some(Self { line: line?, column: column.unwrap_or(1), is_only_line })
    }

    /// Of a byte of the text.
    pub fn of(text: &str, offset: usize) -> Option<Self> {
        let before = text.get(..offset)?;
        let line = before.rsplit('\n').next().unwrap_or_default();
        Self::new(text, Some(before.matches('\n').count() + 1), Some(line.chars().count() + 1))
    }
}

impl std::error::Error for Mistake {}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            None => {}
            Some(Place { column, is_only_line: true, .. }) => write!(f, "at character {column}: ")?,
            Some(Place { line, column, .. }) => write!(f, "at line {line}, character {column} of it: ")?,
        }
        f.write_str(&self.problem)
    }
}
