//! A small, strict reader of expositions, for tests that ask what a scraper would
//! see. It knows nothing of how they were written.

use std::collections::{BTreeMap, BTreeSet};

/// The labels of a series, `le` among them.
pub(crate) type Labels = BTreeMap<String, String>;

/// All that an exposition says.
#[derive(Debug, Default)]
pub(crate) struct Exposition {
    /// By name as the comment lines have it.
    pub(crate) types: BTreeMap<String, String>,
    pub(crate) samples: BTreeMap<(String, Labels), f64>,
    pub(crate) ended: bool,
}

impl Exposition {
    /// Reads a text, or says what no scraper should have to read.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut all = Self::default();
        let mut helped = BTreeSet::new();
        assert!(text.ends_with('\n'), "the last line is cut off");
        for line in text.lines() {
            let problem = |what: &str| format!("{what}: {line}");
            if all.ended {
                return Err(problem("a line after the end"));
            }
            if line == "# EOF" {
                all.ended = true;
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').ok_or_else(|| problem("no type"))?;
                if all.types.insert(name.to_owned(), kind.to_owned()).is_some() {
                    return Err(problem("a family in two pieces"));
                }
            } else if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, _) = rest.split_once(' ').ok_or_else(|| problem("no help"))?;
                if !helped.insert(name.to_owned()) {
                    return Err(problem("helped twice"));
                }
            } else if !line.starts_with("# UNIT ") {
                let (series, value) = sample(line).ok_or_else(|| problem("no sample"))?;
                if all.samples.insert(series, value).is_some() {
                    return Err(problem("a series twice"));
                }
            }
        }
        Ok(all)
    }

    pub(crate) fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a Labels, f64)> {
        self.samples.iter().filter(move |((of, _), _)| of == name).map(|((_, labels), value)| (labels, *value))
    }
}

fn sample(line: &str) -> Option<((String, Labels), f64)> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = Labels::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, value) = rest.split_once("=\"")?;
            let (value, after) = quoted(value)?;
            if !is_name(label) || labels.insert(label.to_owned(), value).is_some() {
                return None;
            }
            match after.split_at_checked(1)? {
                (",", more) => rest = more,
                ("}", more) => {
                    rest = more;
                    break;
                }
                _ => return None,
            }
        }
    }
    let value = match rest.strip_prefix(' ')? {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        number => number.parse().ok()?,
    };
    is_name(name).then(|| ((name.to_owned(), labels), value))
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A value up to its closing quote, and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match chars.next()?.1 {
                'n' => '\n',
                c @ ('\\' | '"') => c,
                _ => return None,
            }),
            c => value.push(c),
        }
    }
    None
}
