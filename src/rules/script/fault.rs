//! Why a run failed, as one safe line with file, line and column.

use std::time::Duration;

use rhai::{EvalAltResult, Position};

use crate::core::text::clean;

const LONGEST: usize = 500;

pub(super) fn too_late(timeout: Duration) -> String {
    format!("has not ended within {timeout:?} (`script.timeout`)")
}

pub(super) fn tell(file: &str, mut error: EvalAltResult) -> String {
    let mut position = error.position();
    while let EvalAltResult::ErrorInFunctionCall(_, _, inner, _) = error {
        error = *inner;
        if !error.position().is_none() {
            position = error.position();
        }
    }
    let place = match (position.line(), position.position()) {
        (Some(line), Some(column)) => format!(": line {line}, column {column}"),
        (Some(line), None) => format!(": line {line}"),
        _ => String::new(),
    };
    clean(&format!("{file}{place}: {}", text(error)), LONGEST)
}

fn text(mut error: EvalAltResult) -> String {
    error.set_position(Position::NONE);
    match error {
        EvalAltResult::ErrorRuntime(thrown, _) | EvalAltResult::ErrorTerminated(thrown, _) => thrown.to_string(),
        EvalAltResult::ErrorTooManyOperations(_) => {
            "takes more operations than a script may; look for a loop without an end".to_owned()
        }
        EvalAltResult::ErrorStackOverflow(_) => {
            "has too many calls within each other; look for a function that calls itself without an end".to_owned()
        }
        EvalAltResult::ErrorDataTooLarge(what, _) => {
            format!("a value is larger than a script may have ({})", what.to_lowercase())
        }
        EvalAltResult::ErrorFunctionNotFound(call, _) => {
            format!("there is no {}", call.replace("&str | ImmutableString | String", "string"))
        }
        other => other.to_string(),
    }
}
