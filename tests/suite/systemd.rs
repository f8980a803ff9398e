//! The unit as systemd reads it: without a complaint, and as shut in as it is said to be.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::tools;

const UNIT: &str = include_str!("../../systemd/tubewarden.service");
const COMMANDS: &str = include_str!("../../systemd/commands.conf.example");
const PROGRAM: &str = "/usr/local/bin/tubewarden";
/// As systemd rates it: 0 is nothing exposed, 10 all.
const EXPOSED_AT_MOST: f64 = 1.1;

/// The unit with the program that was built in the place of the one installed, since
/// systemd looks for it.
fn unit() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    assert!(UNIT.contains(PROGRAM));
    let built = UNIT.replace(PROGRAM, env!("CARGO_BIN_EXE_tubewarden"));
    fs::write(directory.path().join("tubewarden.service"), built).unwrap();
    directory
}

/// What systemd-analyze says of it, complaints first.
fn analyzed(tool: &Path, args: &[&str], directory: &TempDir) -> (String, String) {
    let unit = directory.path().join("tubewarden.service");
    let done = Command::new(tool).args(args).arg(unit).env("SYSTEMD_PAGER", "").output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(done.status.success(), "{}", text(&done.stderr));
    (text(&done.stderr), text(&done.stdout))
}

#[test]
fn systemd_understands_every_line_of_the_unit() {
    let Some(tool) = tools::require("systemd-analyze") else { return };
    let directory = unit();
    assert_eq!(analyzed(&tool, &["verify"], &directory), (String::new(), String::new()));
}

#[test]
fn systemd_understands_every_line_of_the_example_for_commands() {
    let Some(tool) = tools::require("systemd-analyze") else { return };
    let directory = unit();
    let drop_in = directory.path().join("tubewarden.service.d");
    fs::create_dir(&drop_in).unwrap();
    let is_directive = |line: &str| line.strip_prefix('#').is_some_and(|rest| rest.starts_with(char::is_alphabetic));
    let lines = COMMANDS.lines().map(|line| if is_directive(line) { &line[1..] } else { line });
    let all: Vec<&str> = lines.collect();
    assert!(all.iter().filter(|line| line.contains('=') && !line.starts_with('#')).count() > 5);
    fs::write(drop_in.join("commands.conf"), all.join("\n")).unwrap();
    assert_eq!(analyzed(&tool, &["verify"], &directory), (String::new(), String::new()));
}

#[test]
fn the_service_is_shut_in_as_far_as_it_goes() {
    let Some(tool) = tools::require("systemd-analyze") else { return };
    let (complaints, rated) = analyzed(&tool, &["security", "--offline=true", "--no-pager"], &unit());
    assert_eq!(complaints, "");
    let overall = rated.lines().find_map(|line| line.split_once("Overall exposure level for tubewarden.service: "));
    let (_, figure) = overall.unwrap_or_else(|| panic!("{rated}"));
    let exposed: f64 = figure.split(' ').next().unwrap().parse().unwrap();
    assert!(exposed <= EXPOSED_AT_MOST, "{rated}");
}

#[test]
fn each_directive_says_why() {
    let service = UNIT.split_once("[Service]\n").unwrap().1.split_once("\n[Install]").unwrap().0;
    let lines: Vec<&str> = service.lines().filter(|line| !line.is_empty() && !line.starts_with("ExecStart=")).collect();
    let unsaid: Vec<&&str> = lines
        .windows(2)
        .filter(|pair| !pair[0].starts_with('#') && !pair[1].starts_with('#'))
        .map(|pair| &pair[1])
        .collect();
    assert!(unsaid.is_empty(), "{unsaid:?}");
    assert!(lines.len() > 80 && lines[0].starts_with('#'));
}
