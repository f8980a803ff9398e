//! Texts of users in the languages of rules: refused in a few words, or tried on events
//! of strangers, where they end within their limits.
//!
//! An input is text. Its first letter says what the text is: `w` an expression, `t` a
//! template, `j` one of JSON, `b` and `k` the same of a batch, `s` a script, `p` a call of
//! the API. The rest of the first line are the types of events. What comes after a line
//! `===` are texts of a stranger, a line each.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use serde_json::Value;
use tubewarden::core::call::{Allow, Path};
use tubewarden::core::event::{EventKind, Origin};
use tubewarden::core::glob::Globs;
use tubewarden::core::lang::script::Script;
use tubewarden::core::lang::{Mistake, Template, Trial, When};
use tubewarden::core::samples::sample;

/// The longest body that is sent.
const LONGEST_BODY: usize = 1 << 20;
/// A mistake is one line of so many characters, and where it is.
const LONGEST_MISTAKE: usize = 600;

fuzz_target!(|text: &str| -> Corpus {
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    let (text, strange) = rest.split_once("\n===\n").unwrap_or((rest, ""));
    let (Some(what), types) = (first.chars().next(), first.get(1..).unwrap_or_default()) else {
        return Corpus::Reject;
    };
    let on = Globs::new(types.split(',').map(str::trim).filter(|glob| !glob.is_empty()));
    match what {
        'w' => when(text, &on, strange),
        't' => template(text, &on, strange, false, false),
        'j' => template(text, &on, strange, false, true),
        'b' => template(text, &on, strange, true, false),
        'k' => template(text, &on, strange, true, true),
        's' => script(text),
        'p' => call(text),
        _ => return Corpus::Reject,
    }
    Corpus::Keep
});

fn when(text: &str, on: &Globs, strange: &str) {
    let when = match When::parse(text, &Trial::of(on)) {
        Ok(when) => when,
        Err(mistake) => return is_told(&mistake),
    };
    for event in events(on, strange) {
        let (first, second) = (when.matches(&event), when.matches(&event));
        assert_eq!(first, second, "the same event, another answer");
        if let Err(error) = first {
            is_line(&error);
        }
    }
}

fn template(text: &str, on: &Globs, strange: &str, is_batch: bool, is_json: bool) {
    let trial = Trial::of(on);
    let template = match Template::parse(text, &trial, is_batch) {
        Ok(template) => template,
        Err(mistake) => return is_told(&mistake),
    };
    if is_json {
        // As the configuration does, which takes only what gives JSON of each.
        let outputs = template.sample_outputs(&trial).and_then(|mut all| {
            all.extend(template.hostile_outputs(&trial)?);
            Ok(all)
        });
        if outputs.is_err() {
            return;
        }
    }
    let template = if is_json { template.of_json() } else { template };
    let events = events(on, strange);
    let deliveries: Vec<&[Value]> = if is_batch { vec![&events] } else { events.chunks(1).collect() };
    for events in deliveries {
        let body = match template.render(events) {
            Ok(body) => body,
            Err(error) => {
                is_line(&error);
                continue;
            }
        };
        assert!(body.len() <= LONGEST_BODY, "a body of {} bytes", body.len());
        if is_json {
            let read = serde_json::from_str::<serde::de::IgnoredAny>(&body);
            assert!(read.is_ok(), "what claims to be JSON is none: {body:?}");
        }
    }
}

/// Whether it would run is another matter: that takes threads and a clock.
fn script(text: &str) {
    for is_batch in [false, true] {
        if let Err(error) = Script::compile("fuzz.rhai", text, is_batch) {
            assert!(error.line > 0 && error.column > 0);
        }
    }
}

/// Paths and permissions of calls: what is allowed is never another place than it says.
fn call(text: &str) {
    for line in text.lines() {
        if let Ok(path) = Path::parse(line) {
            for segment in path.segments() {
                assert!(!segment.is_empty() && segment != "." && segment != "..", "{line:?}");
                assert!(!segment.contains(['/', '\\', '%', '?', '#']), "{line:?}");
            }
            assert!(path.to_string().starts_with("/api/v1/"));
        }
        // What may be written and holds no asterisk allows exactly itself.
        if let Ok(allow) = Allow::parse(line)
            && let Some((_, path)) = line.split_once(' ')
            && let Ok(path) = Path::parse(path)
        {
            use tubewarden::core::call::Method;
            let methods = [Method::Post, Method::Put, Method::Delete];
            assert_eq!(methods.into_iter().filter(|method| allow.allows(*method, &path)).count(), 1, "{line:?}");
            assert!(!allow.allows(Method::Get, &path));
        }
    }
}

/// A sample of each kind, as it is and with the texts of a stranger in all its fields;
/// and one whose form nobody expects.
fn events(on: &Globs, strange: &str) -> Vec<Value> {
    let origin = Origin { name: "main".to_owned(), url: "https://peertube.example.com".to_owned() };
    let kinds = EventKind::ALL.into_iter().filter(|kind| kind.can_match(on));
    let samples = kinds.map(|kind| sample(kind, &origin).to_json());
    let mut texts = strange.lines().chain([""]).cycle();
    let mut events = Vec::new();
    for event in samples {
        let mut other = event.clone();
        if let Some(data) = other.get_mut("data") {
            spoil(data, &mut texts);
        }
        events.extend([event, other]);
    }
    if let Ok(odd) = serde_json::from_str(strange) {
        events.push(odd);
    }
    events
}

fn spoil<'a>(value: &mut Value, texts: &mut impl Iterator<Item = &'a str>) {
    match value {
        Value::String(text) => texts.next().unwrap_or_default().clone_into(text),
        Value::Array(items) => items.iter_mut().for_each(|item| spoil(item, texts)),
        Value::Object(fields) => fields.values_mut().for_each(|value| spoil(value, texts)),
        _ => {}
    }
}

fn is_told(mistake: &Mistake) {
    is_line(&mistake.to_string());
    assert!(mistake.place.is_none_or(|place| place.line > 0 && place.column > 0));
}

fn is_line(text: &str) {
    assert!(text.chars().count() <= LONGEST_MISTAKE, "{} characters", text.chars().count());
    assert!(!text.contains(char::is_control), "{text:?}");
}
