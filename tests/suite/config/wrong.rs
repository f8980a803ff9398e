//! What is refused, and how that is told.

use std::fs;
use std::path::{Path, PathBuf};

use tubewarden::config::{Config, Secrets};

use super::{INSTANCE, files, refused};

/// Each file in `bad` has one thing wrong, and beside it the message that tells so.
/// The passwords in these files begin with "hunter2".
#[test]
fn each_wrong_configuration_is_told_with_its_place_and_what_was_expected() {
    let bad = Path::new("tests/suite/config/bad");
    let credentials = bad.join("credentials");
    let env = |name: &str| match name {
        "EMPTY" => Some(String::new()),
        "CREDENTIALS_DIRECTORY" => Some(credentials.display().to_string()),
        _ => None,
    };
    let mut files: Vec<PathBuf> = fs::read_dir(bad).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    assert!(files.len() > 100, "only {} wrong configurations were found", files.len());

    let mut unexpected = Vec::new();
    for file in files {
        let expected = fs::read_to_string(file.with_extension("message")).unwrap_or_default();
        let told = match Config::load(&file, Secrets::Read, &env) {
            Ok(_) => "nothing is wrong".to_owned(),
            Err(errors) => {
                assert!(!format!("{errors:?}").to_lowercase().contains("hunter2"), "{} shows a secret", file.display());
                errors.to_string().replace(&format!("{}/", bad.display()), "")
            }
        };
        assert!(!told.to_lowercase().contains("hunter2"), "{} shows a secret", file.display());
        if told != expected.trim_end() {
            unexpected.push(format!("{}\n  expected {}\n  was told {told}", file.display(), expected.trim_end()));
        }
    }
    assert!(unexpected.is_empty(), "{}", unexpected.join("\n"));
}

#[test]
fn all_that_is_wrong_is_told_at_once_file_by_file_from_the_top() {
    let directory = files(&[
        (
            "config.toml",
            "include = ['more.toml']\n[server]\nlisten = 'here'\ncolour = 'red'\n[[instance]]\nurl = 'ftp://x'\n\
             timeout = '1h'\n[log]\nformat = 'xml'\n",
        ),
        ("more.toml", "[[instance]]\nname = 'more'\nurl = 'https://x'\npassword = 'p'\n[instance.poll]\njobs = 5\n"),
    ]);
    let places: Vec<String> = refused(&directory)
        .iter()
        .map(|line| {
            let mut parts = line.split(": ");
            [parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap()].join(": ")
        })
        .collect();
    assert_eq!(
        places,
        [
            "config.toml: line 3, column 10: server.listen",
            "config.toml: line 4, column 1: server.colour",
            "config.toml: line 5, column 1: instance.name",
            "config.toml: line 6, column 7: instance.url",
            "config.toml: line 7, column 11: instance.timeout",
            "config.toml: line 9, column 10: log.format",
            "more.toml: line 4, column 12: instance.password",
            "more.toml: line 6, column 8: instance.poll.jobs",
        ]
    );
}

#[test]
fn columns_count_characters() {
    let directory = files(&[("config.toml", "log = { \"größe\" = 1, colour = 'red' }\n")]);
    let known = "unknown key; known here: events, format, level";
    assert_eq!(
        refused(&directory),
        [
            format!("config.toml: line 1, column 9: log.\"größe\": {known}"),
            format!("config.toml: line 1, column 22: log.colour: {known}"),
        ]
    );
}

#[test]
fn a_file_that_cannot_be_read_is_named_with_the_reason() {
    let what_next = "name another file with -c, or begin with config.example.toml";

    let directory = files(&[]);
    assert_eq!(
        refused(&directory),
        [format!("config.toml: cannot be read: No such file or directory (os error 2); {what_next}")]
    );

    fs::write(directory.path().join("config.toml"), b"# \xff").unwrap();
    assert_eq!(refused(&directory), [format!("config.toml: is no UTF-8 text; {what_next}")]);

    fs::write(directory.path().join("config.toml"), "#".repeat(1024 * 1024 + 1)).unwrap();
    assert_eq!(
        refused(&directory),
        [format!("config.toml: is longer than 1024 KiB, the most that is read; {what_next}")]
    );
}

#[test]
fn what_is_quoted_is_short_and_harmless() {
    let long = "x".repeat(5000);
    let directory = files(&[(
        "config.toml",
        &format!("[server]\nlisten = \"\\u001b[31m{long}\\u202e\"\n{INSTANCE}\"{long}\" = 1\n"),
    )]);
    for line in refused(&directory) {
        assert!(line.len() < 300, "{line}");
        assert!(!line.contains(['\u{1b}', '\u{202e}']), "{line:?}");
    }
}

#[test]
fn a_path_given_in_another_way_is_still_the_same_file() {
    let directory = files(&[
        ("config.toml", "include = ['a.toml', 'd/../a.toml', 'link.toml']\n"),
        ("a.toml", INSTANCE),
        ("d/b", ""),
    ]);
    std::os::unix::fs::symlink(directory.path().join("a.toml"), directory.path().join("link.toml")).unwrap();
    assert_eq!(
        refused(&directory),
        [
            r#"config.toml: line 1, column 22: include: d/../a.toml is also included by "a.toml"; include each file once"#,
            r#"config.toml: line 1, column 37: include: link.toml is also included by "a.toml"; include each file once"#,
        ]
    );
}
