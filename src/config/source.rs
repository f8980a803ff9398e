//! The text of one configuration file, and where in it something stands. No file is
//! read past its bound.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::error::{ConfigError, Position};

/// Far more than a configuration for a thousand instances.
const MOST_BYTES: u64 = 1024 * 1024;

pub(super) struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    /// The error goes on after the file's name.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        Ok(Self { path: path.to_owned(), text: read_text(path, MOST_BYTES)? })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The directory that relative paths in this file are relative to.
    pub(super) fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    pub(super) fn error(&self, place: &Range<usize>, key: &str, problem: String) -> ConfigError {
        ConfigError {
            file: self.path.clone(),
            position: Some(self.position(place.start)),
            key: key.to_owned(),
            problem,
        }
    }

    pub(super) fn position(&self, offset: usize) -> Position {
        let before = self.text.get(..offset).unwrap_or(&self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Position { line: before.matches('\n').count() + 1, column: before[line_start..].chars().count() + 1 }
    }
}

/// The whole of a text file. The error goes on after the file's name.
pub(super) fn read_text(path: &Path, most_bytes: u64) -> Result<String, String> {
    let cannot = |error: io::Error| format!("cannot be read: {error}");
    let mut bytes = Vec::new();
    File::open(path).map_err(cannot)?.take(most_bytes + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() as u64 > most_bytes {
        return Err(format!("is longer than {} KiB, the most that is read", most_bytes / 1024));
    }
    // The error of the conversion is dropped on purpose: it holds the bytes.
    String::from_utf8(bytes).map_err(|_| "is no UTF-8 text".to_owned())
}
