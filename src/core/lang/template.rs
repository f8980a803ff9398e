//! Templates of what webhooks send, in the language of Jinja: strict, bounded, and tried
//! on samples. Nothing is escaped by itself: JSON is made by `tojson`, which also writes
//! `<`, `>`, `&` and `'` as `\u003c` and the like, and JSON readers turn them back.

use std::sync::Arc;

use minijinja::value::{Kwargs, Serde};
use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior, context};
use serde_json::Value;

use super::fields::{Trial, emptied, hostile, missing_in, name_of, null_before, whole};
use super::{Mistake, Place};
use crate::core::near::nearest;

/// So many steps, or 64 bytes each that are made, has one rendering.
const FUEL: u64 = 500_000;
/// A longer body is not sent.
const LONGEST_BODY: usize = 1 << 20;

const NAME: &str = "body";

const FILTERS: [&str; 47] = [
    "abs",
    "attr",
    "batch",
    "bool",
    "capitalize",
    "chain",
    "count",
    "default",
    "dictsort",
    "escape",
    "first",
    "float",
    "format",
    "groupby",
    "indent",
    "int",
    "items",
    "join",
    "last",
    "length",
    "lines",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "pprint",
    "reject",
    "rejectattr",
    "replace",
    "reverse",
    "round",
    "safe",
    "select",
    "selectattr",
    "slice",
    "sort",
    "split",
    "string",
    "sum",
    "title",
    "tojson",
    "trim",
    "unique",
    "upper",
    "urlencode",
    "zip",
];
const TESTS: [&str; 18] = [
    "defined",
    "undefined",
    "none",
    "true",
    "false",
    "boolean",
    "number",
    "integer",
    "float",
    "string",
    "sequence",
    "mapping",
    "iterable",
    "in",
    "startingwith",
    "endingwith",
    "odd",
    "even",
];

/// A compiled template.
#[derive(Debug, Clone)]
pub struct Template {
    text: Arc<str>,
    env: Arc<Environment<'static>>,
    is_batch: bool,
    is_json: bool,
}

impl Template {
    /// Compiles a template and tries it. It sees `event`, or `events` if several are
    /// delivered at once.
    pub fn parse(text: &str, trial: &Trial, is_batch: bool) -> Result<Self, Mistake> {
        let mut env = Environment::new();
        env.set_undefined_behavior(UndefinedBehavior::Strict);
        env.set_auto_escape_callback(|_| AutoEscape::None);
        env.set_fuel(Some(FUEL));
        // So that errors say which field, and where.
        env.set_debug(true);
        // It would show all that a template can see.
        env.remove_global("debug");
        env.add_filter("tojson", to_json);
        env.add_filter("urlencode", url_encode);
        env.add_template_owned(NAME, text.to_owned()).map_err(|error| explain(&error, text, &[]))?;
        let template = Self { text: text.into(), env: Arc::new(env), is_batch, is_json: false };
        template.check_names(trial)?;
        for sample in trial.samples() {
            for events in template.tries(&sample.event) {
                template.fill(&events)?;
            }
            // Where less is known other branches are met. That they can't be filled then
            // is known only when it happens, but what nobody knows is a mistake.
            for events in template.tries(&emptied(&sample.event)) {
                if let Err(error) = template.render_whole(&events)
                    && matches!(
                        error.kind(),
                        ErrorKind::UnknownFilter | ErrorKind::UnknownFunction | ErrorKind::UnknownTest
                    )
                {
                    return Err(explain(&error, text, &events));
                }
            }
        }
        Ok(template)
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it makes of the samples, each with its event type: whoever says that this is
    /// JSON can be held to it.
    pub fn sample_outputs(&self, trial: &Trial) -> Result<Vec<(&'static str, String)>, Mistake> {
        let tries = trial.samples().flat_map(|sample| {
            let tries = self.tries(&sample.event).into_iter();
            tries.map(|events| Ok((sample.kind.as_str(), self.fill(&events)?)))
        });
        tries.collect()
    }

    /// The same of samples whose texts hold what would end a text of JSON.
    pub fn hostile_outputs(&self, trial: &Trial) -> Result<Vec<(&'static str, String)>, Mistake> {
        let tries = trial.samples().flat_map(|sample| {
            let tries = self.tries(&hostile(&sample.event)).into_iter();
            // In other branches it may lack what it never asks for otherwise.
            tries.filter_map(|events| Some(Ok((sample.kind.as_str(), self.fill(&events).ok()?))))
        });
        tries.collect()
    }

    /// From now on it is an error if what it makes is no JSON.
    pub fn of_json(self) -> Self {
        Self { is_json: true, ..self }
    }

    /// The body of a delivery. An error is one safe line.
    pub fn render(&self, events: &[Value]) -> Result<String, String> {
        let events: Vec<_> = events.iter().map(whole).collect();
        let text = self.fill(&events).map_err(|mistake| mistake.to_string())?;
        match self.is_json.then(|| serde_json::from_str::<serde::de::IgnoredAny>(&text)) {
            Some(Err(error)) => Err(format!("it is no JSON: {error}; write values as {{{{ … | tojson }}}}")),
            _ => Ok(text),
        }
    }

    fn fill(&self, events: &[Value]) -> Result<String, Mistake> {
        let body = self.render_whole(events).map_err(|error| explain(&error, &self.text, events))?;
        if body.len() > LONGEST_BODY {
            return Err(Mistake::new(None, &format!("it makes a body of {} bytes; 1 MiB is the most", body.len())));
        }
        Ok(body)
    }

    fn render_whole(&self, events: &[Value]) -> Result<String, minijinja::Error> {
        let template = self.env.get_template(NAME)?;
        if self.is_batch {
            template.render(context! { events => Serde(events) })
        } else {
            template.render(context! { event => Serde(events.first()) })
        }
    }

    /// The deliveries that an event is tried in.
    fn tries(&self, event: &Value) -> Vec<Vec<Value>> {
        let most = if self.is_batch { 2 } else { 1 };
        (1..=most).map(|count| vec![event.clone(); count]).collect()
    }

    /// Holds all names that the template takes from outside against what there is, in
    /// each branch of it.
    fn check_names(&self, trial: &Trial) -> Result<(), Mistake> {
        let template = self.env.get_template(NAME).map_err(|error| explain(&error, &self.text, &[]))?;
        let names = template.undeclared_variables(true);
        let mut places: Vec<_> = names.iter().map(|name| (self.text.find(name.as_str()), name.as_str())).collect();
        places.sort_unstable();
        for (place, name) in places {
            let mut keys = name.split('.');
            let (variable, path): (_, Vec<_>) = (keys.next().unwrap_or_default(), keys.collect());
            let is_known = variable == self.variable() || self.env.globals().any(|(name, _)| name == variable);
            let problem = match variable {
                "event" if !self.is_batch => trial.misses(&path),
                _ if is_known => None,
                _ => Some(self.no_variable(variable)),
            };
            if let Some(problem) = problem {
                return Err(Mistake::new(place.and_then(|offset| Place::of(&self.text, offset)), &problem));
            }
        }
        Ok(())
    }

    fn variable(&self) -> &'static str {
        if self.is_batch { "events" } else { "event" }
    }

    fn no_variable(&self, name: &str) -> String {
        match (name, self.is_batch) {
            ("event", true) => {
                "in a batch there is no event; write {% for event in events %} … {% endfor %}".to_owned()
            }
            ("events", false) => "there is no events without \"batch\"; write event".to_owned(),
            _ => match nearest(name, [self.variable()]) {
                Some(near) => format!("there is no variable or function {name}; did you mean {near}?"),
                None => format!("there is no variable or function {name}; there is {}", self.variable()),
            },
        }
    }
}

impl PartialEq for Template {
    fn eq(&self, other: &Self) -> bool {
        (&self.text, self.is_batch, self.is_json) == (&other.text, other.is_batch, other.is_json)
    }
}

/// As minijinja's own, but for what is undefined: that makes null of it, and a misspelt
/// field would never be told.
fn to_json(
    value: &minijinja::Value,
    indent: Option<minijinja::Value>,
    args: Kwargs,
) -> Result<minijinja::Value, minijinja::Error> {
    be_defined(value)?;
    minijinja::filters::tojson(value, indent, args)
}

/// Likewise, of which minijinja makes nothing.
fn url_encode(value: &minijinja::Value) -> Result<String, minijinja::Error> {
    be_defined(value)?;
    minijinja::filters::urlencode(value)
}

fn be_defined(value: &minijinja::Value) -> Result<(), minijinja::Error> {
    if !value.is_undefined() {
        return Ok(());
    }
    // A conversion that fails says what was undefined.
    i64::try_from(value.clone())?;
    Err(ErrorKind::UndefinedError.into())
}

/// What minijinja says is wrong, in words for who wrote the template.
fn explain(error: &minijinja::Error, text: &str, events: &[Value]) -> Mistake {
    let place = match error.range() {
        Some(range) => Place::of(text, range.start),
        None => Place::new(text, error.line(), None),
    };
    let detail = error.detail().unwrap_or_default();
    let named = |list: &[&'static str], what: &str| {
        // `filter tojsn is unknown`, `now is unknown`.
        let name = detail.split_whitespace().rev().nth(2).unwrap_or_default();
        match nearest(name, list.iter().copied()) {
            Some(near) => format!("there is no {what} {name}; did you mean {near}?"),
            None => format!("there is no {what} {name}"),
        }
    };
    let problem = match error.kind() {
        ErrorKind::SyntaxError => detail.to_owned(),
        ErrorKind::UnknownFilter => named(&FILTERS, "filter"),
        ErrorKind::UnknownTest => named(&TESTS, "test"),
        ErrorKind::UnknownFunction => named(&["dict", "namespace", "range"], "function"),
        ErrorKind::OutOfFuel => "it takes too long, or makes too much".to_owned(),
        kind if kind == ErrorKind::UndefinedError || detail.contains("` is undefined") => undefined(detail, events),
        kind => {
            let what = if detail.is_empty() { kind.to_string() } else { detail.to_owned() };
            match events.first() {
                Some(event) => format!("for {}: {what}", name_of(event)),
                None => what,
            }
        }
    };
    Mistake::new(place, &problem)
}

/// From `` `event.data.vidoe` is undefined``, whatever the event is called there.
fn undefined(detail: &str, events: &[Value]) -> String {
    let written = detail.split('`').nth(1).unwrap_or_default();
    let dotted = written.replace("['", ".").replace("']", "");
    let path: Vec<&str> = dotted.split('.').skip(1).collect();
    let missing = events.iter().find_map(|event| missing_in(event, &path).or_else(|| null_before(event, &path)));
    missing.unwrap_or_else(|| {
        let what = if written.is_empty() { "something" } else { written };
        match events.first() {
            Some(event) => format!("for {}: {what} is undefined", name_of(event)),
            None => format!("{what} is undefined"),
        }
    })
}
