//! `when`: a Rhai expression over `event` that says whether a rule wants it. What is
//! parsed gives a boolean on a sample of each kind of event that it may see.

use std::cell::Cell;
use std::fmt;
use std::sync::{Arc, LazyLock};

use rhai::{AST, Dynamic, Engine, EvalAltResult, OptimizationLevel, ParseError, Position, Scope};
use serde_json::Value;

use super::engine::{Limits, engine, to_dynamic};
use super::explain::{explain, explain_parse, kind_of_value};
use super::fields::{Trial, emptied, misspelt, name_of, whole};
use super::{Mistake, Place};

thread_local! {
    /// Of the evaluation that goes on in this thread.
    static STEPS: Cell<u64> = const { Cell::new(0) };
}

static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
    let mut engine = engine(Limits::EXPRESSION);
    // What is simplified away would not be tried.
    engine.set_optimization_level(OptimizationLevel::None);
    // Rhai forgets the operations of a closure that a function of its own calls.
    engine.on_progress(|_| {
        let steps = STEPS.get() + 1;
        STEPS.set(steps);
        (steps > Limits::EXPRESSION.operations).then_some(Dynamic::UNIT)
    });
    engine
});

/// A compiled expression.
#[derive(Clone)]
pub struct When {
    text: Arc<str>,
    ast: Arc<AST>,
}

impl When {
    /// Compiles an expression and tries it.
    pub fn parse(text: &str, trial: &Trial) -> Result<Self, Mistake> {
        let wrong = |found| mistake(text, found);
        if text.trim().is_empty() {
            return Err(wrong((Position::NONE, "it is empty; write what has to be true of the event".to_owned())));
        }
        let ast = compile(text).map_err(|error| wrong(explain_parse(&error)))?;
        if let Some(misspelt) = misspelt(&ast, "event", trial) {
            return Err(wrong(misspelt));
        }
        let when = Self { text: text.into(), ast: Arc::new(ast) };
        for sample in trial.samples() {
            match when.eval(&sample.event) {
                Ok(value) if value.is_bool() => {}
                Ok(value) => return Err(wrong((Position::NONE, no_boolean(&sample.event, &value)))),
                Err(error) => return Err(wrong(explain(&error, &when.ast, &sample.event))),
            }
            // Where less is known other branches are met. What they throw on is no match.
            if let Ok(value) = when.eval(&emptied(&sample.event))
                && !(value.is_bool() || value.is_unit())
            {
                return Err(wrong((Position::NONE, no_boolean(&sample.event, &value))));
            }
        }
        Ok(when)
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it is true of an event; null is not. An error, one safe line, is to be
    /// counted and taken for no match.
    pub fn matches(&self, event: &Value) -> Result<bool, String> {
        let event = whole(event);
        match self.eval(&event) {
            Ok(value) if value.is_unit() => Ok(false),
            Ok(value) => value.as_bool().map_err(|_| (Position::NONE, no_boolean(&event, &value))),
            Err(error) => Err(explain(&error, &self.ast, &event)),
        }
        .map_err(|found| mistake(&self.text, found).to_string())
    }

    fn eval(&self, event: &Value) -> Result<Dynamic, Box<EvalAltResult>> {
        STEPS.set(0);
        ENGINE.eval_ast_with_scope(&mut scope(event), &self.ast)
    }
}

impl PartialEq for When {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl fmt::Debug for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("When").field(&self.text).finish()
    }
}

fn compile(text: &str) -> Result<AST, ParseError> {
    ENGINE.compile_expression_with_scope(&scope(&Value::Null), text)
}

fn scope(event: &Value) -> Scope<'static> {
    let mut scope = Scope::new();
    scope.push_dynamic("event", to_dynamic(event));
    scope
}

fn no_boolean(event: &Value, value: &Dynamic) -> String {
    let (event, value) = (name_of(event), kind_of_value(value.type_name()));
    format!("it gives {value} for {event}, and has to give true or false; compare it with something")
}

fn mistake(text: &str, (position, problem): (Position, String)) -> Mistake {
    Mistake::new(Place::new(text, position.line(), position.position()), &problem)
}
