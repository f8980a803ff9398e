//! Reading one table of a configuration file. Each key has to be asked for: what is
//! left over when a table has been read is an unknown key, told with the nearest of
//! those that were asked for.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::error::ConfigError;
use super::source::Source;
use super::value::quoted;
use crate::core::near::nearest;

/// Reads a whole file. `None` if it is no TOML; all that is wrong is added to `errors`.
pub(super) fn read<T>(
    source: &Source,
    errors: &mut Vec<ConfigError>,
    read: impl FnOnce(&mut Section<'_, '_>) -> T,
) -> Option<T> {
    let entries = match DeTable::parse(source.text()) {
        Ok(table) => table.into_inner(),
        Err(error) => {
            // Only its message: the whole error quotes the line.
            let problem = format!("this is no TOML: {}", error.message());
            errors.push(source.error(&error.span().unwrap_or_default(), "", problem));
            return None;
        }
    };
    let already = errors.len();
    let table = Table { key: String::new(), place: 0..0, entries };
    let mut root = Section { source, errors, table, known: Vec::new() };
    let value = read(&mut root);
    root.finish();
    errors[already..].sort_by_key(|error| error.position);
    Some(value)
}

/// A table that is being read.
pub(super) struct Section<'s, 'e> {
    source: &'s Source,
    errors: &'e mut Vec<ConfigError>,
    table: Table<'s>,
    known: Vec<&'static str>,
}

/// A table as it is written.
pub(super) struct Table<'s> {
    key: String,
    place: Range<usize>,
    entries: DeTable<'s>,
}

/// A value as it is written.
pub(super) struct Item<'s> {
    pub(super) key: String,
    pub(super) place: Range<usize>,
    pub(super) value: DeValue<'s>,
}

/// What is wrong with a value, and where if not at its start.
pub(super) struct Problem {
    pub(super) place: Option<Range<usize>>,
    pub(super) text: String,
}

impl From<String> for Problem {
    fn from(text: String) -> Self {
        Self { place: None, text }
    }
}

impl<'s> Section<'s, '_> {
    /// The file that this table stands in.
    pub(super) fn source(&self) -> &'s Source {
        self.source
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.table.entries.contains_key(key)
    }

    pub(super) fn take(&mut self, key: &'static str) -> Option<Item<'s>> {
        self.known.push(key);
        let value = self.table.entries.remove(key)?;
        let place = value.span();
        Some(Item { key: self.path_of(key), place, value: value.into_inner() })
    }

    /// All that was not asked for yet, of a table whose keys are not ours.
    pub(super) fn rest<T>(&mut self, parse: impl Fn(&str, &Item<'s>) -> Result<T, Problem>) -> Vec<T> {
        let entries = std::mem::take(&mut self.table.entries).into_iter();
        let items = entries.map(|(name, value)| {
            let (key, place) = (self.path_of(name.get_ref()), value.span());
            (name.into_inner(), Item { key, place, value: value.into_inner() })
        });
        let items: Vec<_> = items.collect();
        items.iter().filter_map(|(name, item)| self.parse(item, |item| parse(name, item))).collect()
    }

    /// The value of a key, or `None` if it is absent or wrong.
    pub(super) fn get<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&Item<'s>) -> Result<T, Problem>,
    ) -> Option<T> {
        let item = self.take(key)?;
        self.parse(&item, parse)
    }

    /// The value of a key that must be there; `example` is how to write it.
    pub(super) fn require<T>(
        &mut self,
        key: &'static str,
        example: &str,
        parse: impl FnOnce(&Item<'s>) -> Result<T, Problem>,
    ) -> Option<T> {
        if !self.has(key) {
            let place = self.table.place.clone();
            self.report(&place, &self.path_of(key), format!("is missing; write it like {key} = {example}"));
        }
        self.get(key, parse)
    }

    pub(super) fn parse<'i, T>(
        &mut self,
        item: &'i Item<'s>,
        parse: impl FnOnce(&'i Item<'s>) -> Result<T, Problem>,
    ) -> Option<T> {
        match parse(item) {
            Ok(value) => Some(value),
            Err(Problem { place, text }) => {
                self.report(&place.unwrap_or(item.place.clone()), &item.key, text);
                None
            }
        }
    }

    /// Reads the table under a key, an empty one if it is absent.
    pub(super) fn table<T>(&mut self, key: &'static str, read: impl FnOnce(&mut Section<'s, '_>) -> T) -> T {
        let (path, place) = (self.path_of(key), self.table.place.clone());
        let item = self.take(key);
        let given = item.and_then(|item| self.table_of(item, &format!("[{key}]")));
        self.open(given.unwrap_or(Table { key: path, place, entries: DeTable::new() }), read)
    }

    /// Reads each table of the list under a key.
    pub(super) fn tables<T>(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(&mut Section<'s, '_>) -> Option<T>,
    ) -> Vec<T> {
        let header = format!("[[{key}]]");
        let Some(Item { key, place, value }) = self.take(key) else { return Vec::new() };
        let DeValue::Array(values) = value else {
            let found = type_name(&value);
            self.report(&place, &key, format!("{found} stands here; write {header}, in double brackets"));
            return Vec::new();
        };
        values
            .into_iter()
            .filter_map(|value| {
                let item = Item { key: key.clone(), place: value.span(), value: value.into_inner() };
                let table = self.table_of(item, &header)?;
                self.open(table, &mut read)
            })
            .collect()
    }

    /// An item as a table; `header` is how to write it.
    pub(super) fn table_of(&mut self, item: Item<'s>, header: &str) -> Option<Table<'s>> {
        let Item { key, place, value } = item;
        match value {
            DeValue::Table(entries) => Some(Table { key, place, entries }),
            other => {
                self.report(&place, &key, format!("{} stands here; write a table, {header}", type_name(&other)));
                None
            }
        }
    }

    /// Reads a table that stands below this one.
    pub(super) fn open<T>(&mut self, table: Table<'s>, read: impl FnOnce(&mut Section<'s, '_>) -> T) -> T {
        let mut section = Section { source: self.source, errors: self.errors, table, known: Vec::new() };
        let value = read(&mut section);
        section.finish();
        value
    }

    /// Tells of a key that would be known elsewhere, rather than as unknown.
    pub(super) fn refuse(&mut self, key: &str, problem: &str) {
        if let Some((key, _)) = self.table.entries.remove_entry(key) {
            self.report(&key.span(), &self.path_of(key.get_ref()), problem.to_owned());
        }
    }

    pub(super) fn report(&mut self, place: &Range<usize>, key: &str, problem: String) {
        self.errors.push(self.source.error(place, key, problem));
    }

    /// Whether nothing wrong was told so far.
    pub(super) fn is_clean(&self) -> bool {
        self.errors.is_empty()
    }

    /// Tells what is wrong with the table as a whole.
    pub(super) fn report_itself(&mut self, problem: String) {
        self.report(&self.table.place.clone(), &self.table.key.clone(), problem);
    }

    fn finish(mut self) {
        self.known.sort_unstable();
        for key in std::mem::take(&mut self.table.entries).into_iter().map(|(key, _)| key) {
            let problem = match nearest(key.get_ref(), self.known.iter().copied()) {
                Some(near) => format!("unknown key; did you mean {near:?}?"),
                None => format!("unknown key; known here: {}", self.known.join(", ")),
            };
            self.report(&key.span(), &self.path_of(key.get_ref()), problem);
        }
    }

    fn path_of(&self, key: &str) -> String {
        let bare =
            (1..=64).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
        let key = if bare { key.to_owned() } else { quoted(key) };
        if self.table.key.is_empty() { key } else { format!("{}.{key}", self.table.key) }
    }
}

impl Item<'_> {
    pub(super) fn string(&self) -> Result<&str, Problem> {
        self.value.as_str().ok_or_else(|| self.wrong_type("a string"))
    }

    pub(super) fn boolean(&self) -> Result<bool, Problem> {
        self.value.as_bool().ok_or_else(|| self.wrong_type("true or false"))
    }

    /// An integer between two others, both included.
    pub(super) fn integer(&self, least: u32, most: u32) -> Result<u32, Problem> {
        let wrong = || format!("is out of range; write an integer from {least} to {most}");
        let number = self.value.as_integer().ok_or_else(|| self.wrong_type("an integer"))?;
        let number = u32::from_str_radix(number.as_str(), number.radix()).map_err(|_| wrong())?;
        if (least..=most).contains(&number) { Ok(number) } else { Err(wrong().into()) }
    }

    /// A list of strings, each with its place.
    pub(super) fn strings(&self) -> Result<Vec<(&str, Range<usize>)>, Problem> {
        let list = self.value.as_array().ok_or_else(|| self.wrong_type("a list of strings"))?;
        list.iter()
            .map(|item| {
                let wrong = || format!("{} stands in the list; write strings only", type_name(item.get_ref()));
                let text = item.get_ref().as_str();
                Ok((text.ok_or_else(|| Problem { place: Some(item.span()), text: wrong() })?, item.span()))
            })
            .collect()
    }

    /// Says what stands there by its type alone: the value may be a secret.
    fn wrong_type(&self, expected: &str) -> Problem {
        format!("{} stands here; write {expected}", type_name(&self.value)).into()
    }
}

fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
