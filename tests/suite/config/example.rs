//! `config.example.toml` is true: it is read, it shows every key, and the defaults
//! that it states are the defaults.

use std::fs;

use tubewarden::config::Secrets;

use super::{files, load, loaded, refused};

const RULES: &str = "# e.g. [[rule]]\n";

/// All but rules and schedules, of which none is there by default.
fn example() -> String {
    let (before, _) = whole().split_once(RULES).map(|(before, after)| (before.to_owned(), after.to_owned())).unwrap();
    before
}

fn whole() -> String {
    fs::read_to_string("config.example.toml").unwrap()
}

/// The rules and schedules that it shows, as they would be written.
fn rules() -> String {
    let whole = whole();
    let (_, rules) = whole.split_once(RULES).unwrap();
    let lines = rules.lines().map(|line| line.strip_prefix("# e.g. ").unwrap_or(line));
    format!("[[rule]]\n{}", lines.collect::<Vec<_>>().join("\n"))
}

/// The line without what comments out a key: `#key` is a default, `# e.g. key` has none.
fn key_line(line: &str) -> &str {
    let line = line.strip_prefix("# e.g. ").unwrap_or(line);
    line.strip_prefix('#').filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase())).unwrap_or(line)
}

#[test]
fn the_defaults_that_it_states_are_the_defaults() {
    let shipped = example();
    let uncommented: Vec<&str> =
        shipped.lines().map(|line| if line.starts_with("# e.g.") { line } else { key_line(line) }).collect();
    let defaults = uncommented.iter().zip(shipped.lines()).filter(|(after, before)| *after != before).count();
    assert!(defaults >= 18, "only {defaults} defaults are stated");

    let (shipped, uncommented) = (loaded(&shipped), loaded(&uncommented.join("\n")));
    assert_eq!(format!("{shipped:#?}"), format!("{uncommented:#?}"));
    let bare = loaded("[[instance]]\nname = 'main'\nurl = 'https://peertube.example.com'\n");
    assert_eq!(format!("{shipped:#?}"), format!("{bare:#?}"));
}

#[test]
fn what_it_shows_as_an_example_is_right_too() {
    let examples = |wanted: fn(&str) -> bool| -> String {
        let example = example();
        let lines = example.lines().map(|line| if wanted(line) { key_line(line) } else { line });
        lines.collect::<Vec<_>>().join("\n")
    };
    let inline = examples(|line| line.starts_with("# e.g. ") && !line.contains("_file") && !line.contains("cron"));
    let of_files = examples(|line| {
        ["include", "username", "password_file", "totp_secret_file"]
            .iter()
            .any(|key| line.starts_with(&format!("# e.g. {key} =")))
    });
    for text in [inline, of_files] {
        load(&files(&[("config.toml", &text)]), Secrets::Skip).unwrap();
    }
    let cron = examples(|line| line.starts_with("# e.g. jobs = { cron"));
    let cron: Vec<&str> = cron.lines().filter(|line| line.starts_with("jobs =")).collect();
    loaded(&format!("[poll]\n{}\n[[instance]]\nname = 'main'\nurl = 'https://x'\n", cron.join("\n")));
}

/// Which keys there are is asked of the configuration itself: an unknown key is told
/// with all that are known in its place.
#[test]
fn every_key_that_there_is_stands_in_it() {
    let example = whole();
    let mut seen = 0;
    for place in ["", "server", "state", "log", "poll", "jobs", "videos", "[instance]", "instance.poll"] {
        let header = match place {
            "" => String::new(),
            "instance.poll" => "[[instance]]\n[instance.poll]\n".to_owned(),
            place => format!("[{place}]\n"),
        };
        let told = refused(&files(&[("config.toml", &format!("{header}zzzzzzzzzzzz = 1\n"))]));
        let known = told.iter().find_map(|line| line.split_once("unknown key; known here: ")).unwrap().1;
        let header = if place.is_empty() { "" } else { header.lines().last().unwrap() };
        let section: Vec<&str> = example
            .lines()
            .skip_while(|line| !header.is_empty() && *line != header)
            .skip(usize::from(!header.is_empty()))
            .take_while(|line| place.is_empty() || !line.starts_with('['))
            .map(key_line)
            .collect();
        for key in known.split(", ") {
            let shown = section.iter().any(|line| {
                line.starts_with(&format!("{key} = "))
                    || (place.is_empty() && [format!("[{key}]"), format!("[[{key}]]")].contains(&line.to_string()))
                    || (place == "[instance]" && key == "poll")
            });
            assert!(shown, "{key} of [{place}] is not in config.example.toml");
            seen += 1;
        }
    }
    assert!(seen > 30, "only {seen} keys were asked for");
}

#[test]
fn the_rules_and_schedules_that_it_shows_are_right() {
    let text = format!("[[instance]]\nname = 'main'\nurl = 'https://x'\n{}", rules());
    let files = files(&[("config.toml", &text), ("rules/retranscode.rhai", "log.info(\"again\");")]);
    let config = load(&files, Secrets::Skip).unwrap();
    assert_eq!((config.rules.len(), config.schedules.len()), (3, 1));
}

#[test]
fn every_key_of_rules_and_schedules_stands_in_it() {
    let shown = rules();
    let mut seen = 0;
    for (header, prefix) in [
        ("[[rule]]", ""),
        ("[[schedule]]", ""),
        ("[[rule]]\n[rule.webhook]", "webhook."),
        ("[[rule]]\n[rule.exec]", "exec."),
        ("[[rule]]\n[rule.script]", "script."),
    ] {
        let told = refused(&files(&[("config.toml", &format!("{header}\nzzzzzzzzzzzz = 1\n"))]));
        let known = told.iter().find_map(|line| line.split_once("unknown key; known here: ")).unwrap().1;
        for key in known.split(", ") {
            let stands = shown.lines().map(|line| line.rsplit("e.g. ").next().unwrap()).any(|line| {
                [format!("{prefix}{key} = "), format!("{prefix}{key}.")].iter().any(|start| line.starts_with(start))
            });
            assert!(stands, "{prefix}{key} is not in config.example.toml");
            seen += 1;
        }
    }
    assert!(seen > 40, "only {seen} keys were asked for");
}
