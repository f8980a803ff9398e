//! Which files a configuration includes. No file is read twice.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use wildmatch::WildMatch;

use super::section::Section;
use super::source::Source;
use super::value::quoted;

/// The files that `include` names, in its order, those of a pattern by name.
pub(super) fn included(root: &mut Section<'_, '_>) -> Vec<Source> {
    let main = root.source();
    let mut seen = BTreeMap::from([(identity(main.path()), "the file that includes it".to_owned())]);
    let mut sources = Vec::new();
    let Some(item) = root.take("include") else { return sources };
    let Some(patterns) = root.parse(&item, |item| item.strings()) else { return sources };
    for (pattern, place) in patterns {
        let found = expand(main.directory(), pattern).unwrap_or_else(|problem| {
            root.report(&place, &item.key, problem);
            Vec::new()
        });
        for path in found {
            match seen.get(&identity(&path)) {
                Some(before) => {
                    let problem = format!("{} is also {before}; include each file once", path.display());
                    root.report(&place, &item.key, problem);
                }
                None => {
                    seen.insert(identity(&path), format!("included by {}", quoted(pattern)));
                    match Source::read(&path) {
                        Ok(source) => sources.push(source),
                        Err(problem) => root.report(&place, &item.key, format!("{} {problem}", path.display())),
                    }
                }
            }
        }
    }
    sources
}

/// One name for each file, however it was come by.
fn identity(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

/// A plain path must be there; a pattern, with `*` or `?` in any part of the path,
/// may match nothing. Hidden files match only a pattern that begins with a dot.
fn expand(directory: &Path, pattern: &str) -> Result<Vec<PathBuf>, String> {
    if pattern.is_empty() {
        return Err("an empty path stands in the list; write the name of a file".to_owned());
    }
    let mut paths = vec![directory.to_owned()];
    for component in Path::new(pattern).components() {
        match component {
            Component::Normal(name) if is_wild(name.to_str()) => {
                let mut matching = Vec::new();
                for directory in paths.iter().filter(|path| is_directory(path)) {
                    matching.extend(
                        entries(directory, &name.to_string_lossy())
                            .map_err(|error| format!("cannot list {}: {error}", directory.display()))?,
                    );
                }
                matching.sort();
                paths = matching;
            }
            plain => paths.iter_mut().for_each(|path| path.push(plain)),
        }
    }
    if is_wild(Some(pattern)) {
        paths.retain(|path| path.is_file());
    }
    Ok(paths)
}

fn is_wild(text: Option<&str>) -> bool {
    text.is_some_and(|text| text.contains(['*', '?']))
}

fn entries(directory: &Path, pattern: &str) -> io::Result<Vec<PathBuf>> {
    let matcher = WildMatch::new(pattern);
    let mut paths = Vec::new();
    for entry in fs::read_dir(or_here(directory))? {
        let name = entry?.file_name();
        let text = name.to_string_lossy();
        if matcher.matches(&text) && text.starts_with('.') == pattern.starts_with('.') {
            paths.push(directory.join(&name));
        }
    }
    Ok(paths)
}

fn is_directory(path: &Path) -> bool {
    or_here(path).is_dir()
}

/// An empty path means the working directory, but can't be opened.
fn or_here(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}
