//! Any text as a configuration: every mistake is told with its place, and what loads is
//! the same each time and shows no secret.
#![no_main]

use std::cell::RefCell;
use std::fs;
use std::path::{Component, Path};

use libfuzzer_sys::{Corpus, fuzz_target};
use tempfile::TempDir;
use toml::Value;
use tubewarden::config::{Config, ConfigErrors, Secrets};

/// Stands in all that the environment gives, and may be seen nowhere.
const MARK: &str = "MARKOFASECRET";
const LONGEST_ERROR: usize = 2_000;

thread_local! {
    /// The only directory that a configuration finds anything in.
    static DIRECTORY: RefCell<Option<TempDir>> = const { RefCell::new(None) };
}

fuzz_target!(|text: &str| -> Corpus {
    // Files elsewhere, devices among them, are not for trying.
    if text.parse::<toml::Table>().is_ok_and(|table| leads_away("", &Value::Table(table))) {
        return Corpus::Reject;
    }
    DIRECTORY.with_borrow_mut(|directory| {
        let directory = directory.get_or_insert_with(files);
        let file = directory.path().join("config.toml");
        fs::write(&file, text).expect("a temporary file");
        [Secrets::Read, Secrets::Skip].into_iter().for_each(|secrets| load(&file, secrets, text));
    });
    Corpus::Keep
});

/// What a configuration may name.
fn files() -> TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let password = format!("{MARK}-0123456789\n");
    let more = "[[instance]]\nname = \"more\"\nurl = \"https://more.example.com\"\n";
    for (name, text) in [("password", password.as_str()), ("more.toml", more), ("a.rhai", "log.info(\"a\");")] {
        fs::write(directory.path().join(name), text).expect("a temporary file");
    }
    directory
}

fn load(file: &Path, secrets: Secrets, text: &str) {
    let read = || Config::load(file, secrets, &variable);
    let (first, second) = (read(), read());
    match (first, second) {
        (Ok(first), Ok(second)) => {
            let (shown, again) = (format!("{first:?}"), format!("{second:?}"));
            // In the text it is no secret.
            assert!(text.contains(MARK) || !shown.contains(MARK), "a secret is shown");
            assert_eq!(shown, again);
            assert!(first.server == second.server && first.state == second.state && first.log == second.log);
            assert!(first.videos == second.videos && first.instances == second.instances);
            assert!(first.rules == second.rules && first.schedules == second.schedules);
            assert!(!first.instances.is_empty());
        }
        (Err(first), Err(second)) => {
            assert_eq!(first, second);
            is_told(&first, file, text);
        }
        (first, second) => panic!("loads one time and not the other: {first:?} {second:?}"),
    }
}

/// Each mistake is one short line, with where it is.
fn is_told(errors: &ConfigErrors, file: &Path, text: &str) {
    assert!(errors.iter().count() > 0);
    for error in errors.iter() {
        let said = error.to_string();
        assert!(!said.contains(char::is_control), "{said:?}");
        assert!(said.chars().count() <= LONGEST_ERROR, "{} characters", said.chars().count());
        assert!(text.contains(MARK) || !said.contains(MARK), "a secret is shown");
        let directory = file.parent().unwrap_or(file).display().to_string();
        let rest = said.strip_prefix(&directory).and_then(|rest| rest.split_once(": ")).map(|(_, rest)| rest);
        let rest = rest.unwrap_or_else(|| panic!("it names no file: {said}"));
        let is_whole_file = ["instance: ", "is longer than "].iter().any(|start| rest.starts_with(start));
        assert!(is_whole_file || rest.starts_with("line "), "it says not where: {said}");
    }
}

/// The environment has each variable that is asked for, of the form that its name says.
fn variable(name: &str) -> Option<String> {
    match name {
        "CREDENTIALS_DIRECTORY" | "NONE" => None,
        "EMPTY" => Some(String::new()),
        "URL" => Some(format!("https://{MARK}.example.com/{MARK}")),
        "TOTP" => Some(format!("{MARK}{MARK}ABCDEF")),
        "KEY" => Some(format!("whsec_{MARK}{MARK}ABCDEFGHIJKLMNOPQRSTUVWXYZ==")),
        "HASH" => Some(format!("$2b$10${MARK}{}", "a".repeat(53 - MARK.len()))),
        _ => Some(format!("{MARK}-0123456789")),
    }
}

/// Whether a text may name something outside the directory. A command's is not opened.
fn leads_away(key: &str, value: &Value) -> bool {
    match value {
        Value::String(text) if key != "command" => {
            Path::new(text).components().any(|part| matches!(part, Component::RootDir | Component::ParentDir))
        }
        Value::Array(items) => items.iter().any(|item| leads_away(key, item)),
        Value::Table(table) => table.iter().any(|(key, value)| leads_away(key, value)),
        _ => false,
    }
}
