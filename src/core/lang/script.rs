//! Scripts, compiled. Whatever a script names must exist when it is loaded: variables,
//! functions, and what the objects of the interface can do.

mod names;

use std::fmt;

use std::sync::Arc;

use rhai::{AST, Engine, OptimizationLevel, Position, Scope};

use super::engine::{self, Limits};
pub use names::{FUNCTIONS, OBJECTS};

/// Two thousand videos, as `api.pages` may give them, with some 70 fields each.
const MOST_FIELDS: usize = 200_000;

/// A script's own limit, far beyond what a person writes.
const LONGEST: usize = 256 << 10;

/// A script that compiled. Cheap to clone.
#[derive(Clone)]
pub struct Script {
    name: String,
    text: Arc<str>,
    is_batch: bool,
    ast: AST,
}

/// What is wrong with a script, and where. Lines and columns count from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {text}")]
pub struct ScriptError {
    pub line: usize,
    pub column: usize,
    pub text: String,
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Of the same text.
impl PartialEq for Script {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.text, self.is_batch) == (&other.name, &other.text, other.is_batch)
    }
}

impl Script {
    /// `name` is the file, as errors tell it. With `is_batch` the script is given
    /// `events`, without it `event`.
    pub fn compile(name: &str, text: &str, is_batch: bool) -> Result<Self, ScriptError> {
        if text.len() > LONGEST {
            return Err(at(Position::new(1, 1), format!("is longer than {LONGEST} bytes")));
        }
        let engine = engine();
        let given = if is_batch { "events" } else { "event" };
        let mut scope = Scope::new();
        for variable in OBJECTS.iter().map(|(object, _)| *object).chain([given, "instance"]) {
            scope.push(variable, ());
        }
        let ast = engine.compile_with_scope(&scope, text).map_err(|error| {
            let text = match error.err_type() {
                rhai::ParseErrorType::VariableUndefined(variable) => undefined(variable, is_batch),
                other => other.to_string(),
            };
            at(error.position(), text)
        })?;
        names::check(&engine, &ast).map_err(|(position, text)| at(position, text))?;
        Ok(Self { name: name.to_owned(), text: text.into(), is_batch, ast })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn ast(&self) -> &AST {
        &self.ast
    }
}

/// The engine that scripts are compiled and run by, with all limits but that of time.
pub(crate) fn engine() -> Engine {
    let mut engine = engine::engine(Limits::SCRIPT);
    // A script runs as it was written, so that calls are found where they stand.
    engine.set_optimization_level(OptimizationLevel::None).set_max_map_size(MOST_FIELDS);
    engine
}

fn undefined(variable: &str, is_batch: bool) -> String {
    let hint = match (variable, is_batch) {
        ("event", true) => "; a rule with `batch` gives its script `events`",
        ("events", false) => "; without `batch` a script is given `event`",
        _ => "",
    };
    format!("there is no variable {variable}{hint}")
}

fn at(position: Position, text: String) -> ScriptError {
    ScriptError { line: position.line().unwrap_or(1), column: position.position().unwrap_or(1), text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_right_compiles() {
        for right in [
            "",
            "let reply = api.get(`/api/v1/videos/${event.data.video.uuid}`); if reply.status == 200 { emit(\"custom.a\", #{ a: reply.body.name }); }",
            "fn again(uuid) { api.post(\"/api/v1/videos/\" + uuid + \"/transcoding\", #{}) } again(event.data.video.uuid);",
            "let url = \"mine\"; print(url.len()); let x = url.sub_string(1);",
            "for time in 0..3 { time.to_float() }",
            "[1, 2].map(|log| log.to_string()).len(); [1].map(|x| log.info(x))",
            "let f = |x| x + time.now(); f.call(1)",
            "let o = #{ greet: || 1 }; o.greet()",
            "store.set(\"n\", (store.get(\"n\") ?? 0) + 1); print(type_of(instance.version))",
            "try { throw 1 } catch (log) { log.to_string() }",
        ] {
            assert_eq!(Script::compile("test.rhai", right, false).err(), None, "{right}");
        }
        assert!(Script::compile("test.rhai", "events.len()", true).is_ok());
    }

    #[test]
    fn nesting_without_end_is_refused_and_not_followed() {
        for text in [
            "(".repeat(100_000),
            "[".repeat(100_000),
            "#{a:".repeat(50_000),
            "if true {".repeat(20_000),
            "!".repeat(100_000),
        ] {
            assert!(Script::compile("test.rhai", &text, false).is_err());
        }
    }
}
