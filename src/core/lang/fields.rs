//! Which fields events have, so that a misspelt one is told before anything runs. What
//! expressions, templates and scripts see of an event is always whole: what an event of
//! its kind can have, and this one hasn't, is null.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use rhai::{AST, ASTFlags, ASTNode, Expr, Position};
use serde_json::Value;

use crate::core::event::{EventKind, Origin};
use crate::core::glob::Globs;
use crate::core::near::nearest;
use crate::core::samples::sample;

/// A sample of each kind, whole.
static SAMPLES: LazyLock<Vec<Sample>> = LazyLock::new(|| {
    let origin = Origin { name: "main".to_owned(), url: "https://peertube.example.com".to_owned() };
    let whole = |kind| {
        let mut event = sample(kind, &origin).to_json();
        add_subject(&mut event);
        Sample { kind, event }
    };
    EventKind::ALL.into_iter().map(whole).collect()
});

#[derive(Debug)]
pub(super) struct Sample {
    pub(super) kind: EventKind,
    pub(super) event: Value,
}

/// The events that something is tried on when it is read.
#[derive(Debug, Clone)]
pub struct Trial {
    samples: Vec<&'static Sample>,
    is_open: bool,
}

impl Trial {
    /// A sample of each kind that `on` matches.
    pub fn of(on: &Globs) -> Self {
        let is_known = |sample: &&Sample| sample.kind != EventKind::Custom && sample.kind.can_match(on);
        // Of what scripts tell nothing is known beforehand: then a field that no sample
        // has is no mistake.
        Self { samples: SAMPLES.iter().filter(is_known).collect(), is_open: EventKind::Custom.can_match(on) }
    }

    pub(super) fn samples(&self) -> impl Iterator<Item = &'static Sample> {
        self.samples.iter().copied()
    }

    /// What is wrong with a field that none of the events has.
    pub(super) fn misses(&self, path: &[&str]) -> Option<String> {
        let lacking: Option<Vec<usize>> = self.samples().map(|sample| lacks(&sample.event, path)).collect();
        // Told by the events that have most of it.
        let at = *lacking.as_ref()?.iter().max().filter(|_| !self.is_open)?;
        let whose = match self.samples.as_slice() {
            [sample] => format!("in {} event there is no", with_article(sample.kind.as_str())),
            _ => "no event that \"on\" matches has".to_owned(),
        };
        Some(no_field(&whose, path, at, self.samples().map(|sample| &sample.event)))
    }
}

/// What is wrong with a field that this event doesn't have.
pub(super) fn missing_in(event: &Value, path: &[&str]) -> Option<String> {
    let at = lacks(event, path)?;
    let whose = format!("in {} there is no", name_of(event));
    let is_elsewhere = SAMPLES.iter().any(|sample| lacks(&sample.event, path).is_none());
    if is_elsewhere {
        return Some(format!(
            "{whose} {}; ask for event.type before it, or let \"on\" match less",
            path[..=at].join(".")
        ));
    }
    Some(no_field(&whose, path, at, [event]))
}

/// What is wrong with a field of something that is null in this event.
pub(super) fn null_before(event: &Value, path: &[&str]) -> Option<String> {
    let mut here = event;
    for (at, key) in path.iter().enumerate() {
        if here.is_null() {
            let parent = path[..at].join(".");
            return Some(format!("in {} {parent} is null and has no {key}", name_of(event)));
        }
        here = here.get(*key)?;
    }
    None
}

/// `a job.failed event`.
pub(super) fn name_of(event: &Value) -> String {
    let kind = event.get("type").and_then(Value::as_str).and_then(EventKind::parse);
    kind.map_or_else(|| "this event".to_owned(), |kind| format!("{} event", with_article(kind.as_str())))
}

/// The event with all that one of its kind can have.
pub fn whole(event: &Value) -> Value {
    let mut event = event.clone();
    add_subject(&mut event);
    let kind = event.get("type").and_then(Value::as_str).and_then(EventKind::parse);
    if let Some(sample) = SAMPLES.iter().find(|sample| Some(sample.kind) == kind) {
        complete(&mut event, &sample.event);
    }
    event
}

/// The event as if nothing was known of what it tells.
pub(super) fn emptied(event: &Value) -> Value {
    let mut event = event.clone();
    let data = event.get_mut("data").and_then(Value::as_object_mut).into_iter().flatten();
    data.filter(|(key, _)| *key != "instance").for_each(|(_, value)| *value = Value::Null);
    event
}

/// The event as a stranger might have it: whatever text is theirs holds a quotation mark.
pub(super) fn hostile(event: &Value) -> Value {
    /// What is a number, a time or a word of ours under any name.
    const SAFE: [&str; 9] = ["uuid", "url", "instance", "rule", "schedule", "privacy", "state", "type", "job_id"];
    fn spoil(value: &mut Value) {
        match value {
            Value::String(text) => text.push('"'),
            Value::Array(items) => items.iter_mut().for_each(spoil),
            Value::Object(fields) => {
                let theirs = |key: &str| !key.ends_with("_at") && !SAFE.contains(&key);
                fields.iter_mut().filter(|(key, _)| theirs(key)).for_each(|(_, value)| spoil(value));
            }
            _ => {}
        }
    }
    let mut event = event.clone();
    event.get_mut("data").into_iter().for_each(spoil);
    event
}

/// A field of a variable, as it is written in Rhai: `event.data.video?.name`.
#[derive(Debug)]
pub(super) struct Written {
    keys: Vec<(String, Position)>,
}

impl Written {
    pub(super) fn path(&self) -> Vec<&str> {
        self.keys.iter().map(|(key, _)| key.as_str()).collect()
    }

    /// The path up to the key that stands there.
    pub(super) fn path_to(&self, position: Position) -> Option<Vec<&str>> {
        let at = self.keys.iter().position(|(_, here)| *here == position)?;
        Some(self.path()[..=at].to_vec())
    }

    /// Where the last key of a path stands.
    fn position_of(&self, length: usize) -> Position {
        self.keys.get(length.saturating_sub(1)).map_or(Position::NONE, |(_, position)| *position)
    }
}

/// All that is written of one variable.
pub(super) fn written(ast: &AST, variable: &str) -> Vec<Written> {
    let mut all = Vec::new();
    ast.walk(&mut |nodes: &[ASTNode<'_>]| {
        if let Some(ASTNode::Expr(expr @ (Expr::Dot(pair, ..) | Expr::Index(pair, ..)))) = nodes.last()
            && let Expr::Variable(named, ..) = &pair.lhs
            && named.1 == variable
        {
            let mut keys = Vec::new();
            take_next(expr, &mut keys);
            all.push(Written { keys });
        }
        true
    });
    all
}

/// The first field written of a variable that none of the events has, and where.
pub fn misspelt(ast: &AST, variable: &str, trial: &Trial) -> Option<(Position, String)> {
    written(ast, variable).iter().find_map(|written| {
        let path = written.path();
        let text = trial.misses(&path)?;
        let longest = trial.samples().filter_map(|sample| lacks(&sample.event, &path)).max()?;
        Some((written.position_of(longest + 1), text))
    })
}

/// The keys behind a dot or within brackets, as far as they are fixed.
fn take_next(expr: &Expr, keys: &mut Vec<(String, Position)>) {
    let (pair, flags, is_index) = match expr {
        Expr::Dot(pair, flags, _) => (pair, flags, false),
        Expr::Index(pair, flags, _) => (pair, flags, true),
        _ => return,
    };
    let ends = flags.contains(ASTFlags::BREAK);
    let (key, next) = match &pair.rhs {
        chain @ (Expr::Dot(further, ..) | Expr::Index(further, ..)) if !ends => (&further.lhs, Some(chain)),
        key => (key, None),
    };
    match key {
        Expr::Property(property, position) if !is_index => keys.push((property.2.to_string(), *position)),
        Expr::StringConstant(text, position) if is_index => keys.push((text.to_string(), *position)),
        _ => return,
    }
    next.into_iter().for_each(|next| take_next(next, keys));
}

/// The place in the path of the first key that the event lacks.
fn lacks(event: &Value, path: &[&str]) -> Option<usize> {
    let mut here = event;
    for (at, key) in path.iter().enumerate() {
        // What a text or a number has of its own is another matter.
        let Value::Object(fields) = here else { return None };
        let Some(value) = fields.get(*key) else { return Some(at) };
        here = value;
    }
    None
}

fn no_field<'a>(whose: &str, path: &[&str], at: usize, events: impl IntoIterator<Item = &'a Value>) -> String {
    let parent = &path[..at];
    let at_parent = |event: &'a Value| parent.iter().try_fold(event, |here, key| here.get(*key));
    let fields = events.into_iter().filter_map(at_parent).filter_map(Value::as_object);
    let known: BTreeSet<&str> = fields.flat_map(|fields| fields.keys().map(String::as_str)).collect();
    let full = |key: &str| parent.iter().copied().chain([key]).collect::<Vec<_>>().join(".");
    let wrong = full(path[at]);
    match nearest(path[at], known.iter().copied()) {
        Some(near) => format!("{whose} {wrong}; did you mean {}?", full(near)),
        None if known.is_empty() => format!("{whose} {wrong}"),
        None => {
            let known: Vec<_> = known.into_iter().map(full).collect();
            format!("{whose} {wrong}; there is {}", known.join(", "))
        }
    }
}

fn add_subject(event: &mut Value) {
    if let Some(fields) = event.as_object_mut() {
        fields.entry("subject").or_insert(Value::Null);
    }
}

fn complete(event: &mut Value, sample: &Value) {
    if let (Value::Object(event), Value::Object(sample)) = (event, sample) {
        for (key, value) in sample {
            complete(event.entry(key.as_str()).or_insert(Value::Null), value);
        }
    }
}

fn with_article(kind: &str) -> String {
    let article = if kind.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {kind}")
}
