//! What Rhai says is wrong, in words for who wrote the expression: one line, in lower
//! case, with what to write instead where that is known.

use rhai::{AST, EvalAltResult, LexError, ParseError, ParseErrorType, Position};
use serde_json::Value;

use super::fields::{missing_in, name_of, written};
use crate::core::near::nearest;

/// What users want most, to name the nearest.
const FUNCTIONS: [&str; 42] = [
    "abs",
    "all",
    "ceiling",
    "chars",
    "contains",
    "crop",
    "ends_with",
    "filter",
    "find",
    "floor",
    "get",
    "index_of",
    "is_empty",
    "join",
    "keys",
    "len",
    "make_lower",
    "make_upper",
    "map",
    "max",
    "min",
    "pad",
    "parse_float",
    "parse_int",
    "pop",
    "push",
    "reduce",
    "remove",
    "replace",
    "reverse",
    "round",
    "some",
    "sort",
    "split",
    "starts_with",
    "sub_string",
    "to_float",
    "to_int",
    "to_lower",
    "to_upper",
    "trim",
    "type_of",
];

/// What users of other languages write, and what is written here.
const INSTEAD: [(&str, &str); 14] = [
    ("=", "=="),
    ("===", "=="),
    ("!==", "!="),
    ("and", "&&"),
    ("or", "||"),
    ("not", "!"),
    ("is", "=="),
    ("null", "()"),
    ("nil", "()"),
    ("None", "()"),
    ("none", "()"),
    ("undefined", "()"),
    ("~", "+"),
    ("<>", "!="),
];

/// Where and what is wrong with a text that is no expression.
pub(super) fn explain_parse(error: &ParseError) -> (Position, String) {
    let problem = match error.err_type() {
        ParseErrorType::UnexpectedEOF => "the expression is incomplete".to_owned(),
        ParseErrorType::VariableUndefined(name) => {
            instead(name).unwrap_or_else(|| match nearest(name, ["event", "true", "false"]) {
                Some(near) => format!("there is no variable {name}; did you mean {near}?"),
                None => format!("there is no variable {name}; there is event, and text stands in double quotes"),
            })
        }
        ParseErrorType::Reserved(word) => {
            instead(word).unwrap_or_else(|| format!("{word} cannot be used in an expression"))
        }
        ParseErrorType::UnknownOperator(operator) => {
            instead(operator).unwrap_or_else(|| format!("there is no operator {operator}"))
        }
        ParseErrorType::BadInput(LexError::UnexpectedInput(input)) => match instead(input) {
            Some(instead) => instead,
            // A sentence about an operator of another language.
            None if input.starts_with('\'') => {
                let operator = input.split('\'').nth(1).unwrap_or_default();
                instead(operator).unwrap_or_else(|| format!("there is no operator {operator}"))
            }
            None => format!("{input} is not expected here"),
        },
        ParseErrorType::BadInput(LexError::ImproperSymbol(word, _)) => format!("{word} is not allowed here"),
        ParseErrorType::BadInput(LexError::MalformedChar(text)) => {
            format!("text stands in double quotes: write \"{text}\"")
        }
        ParseErrorType::BadInput(LexError::UnterminatedString) => {
            "a text begins here and does not end; it ends with a double quote".to_owned()
        }
        other => lower_first(&other.to_string()),
    };
    (error.position(), problem)
}

/// Where and what went wrong when an expression was evaluated for an event.
pub(super) fn explain(error: &EvalAltResult, ast: &AST, event: &Value) -> (Position, String) {
    let mut error = error;
    while let EvalAltResult::ErrorInFunctionCall(_, _, inner, _) = error {
        error = inner;
    }
    let position = error.position();
    let written = written(ast, "event");
    let path = written.iter().find_map(|written| written.path_to(position));
    let problem = match error {
        EvalAltResult::ErrorPropertyNotFound(name, _) => {
            let missing = path.as_deref().and_then(|path| missing_in(event, path));
            missing.unwrap_or_else(|| format!("there is no field {name}"))
        }
        EvalAltResult::ErrorDotExpr(text, _) => match path.as_deref() {
            Some([parent @ .., name]) => {
                let of = text.rsplit('\'').nth(1).unwrap_or_default();
                let parent = parent.join(".");
                let hint = if of == "()" { "; write ?. before it where it may be null" } else { "" };
                format!("in {} {parent} is {} and has no {name}{hint}", name_of(event), kind_of_value(of))
            }
            _ => lower_first(text),
        },
        EvalAltResult::ErrorFunctionNotFound(signature, _) => {
            format!("for {}: {}", name_of(event), no_function(signature))
        }
        EvalAltResult::ErrorMismatchDataType(expected, found, _) => {
            let (expected, found) = (kind_of_value(expected), kind_of_value(found));
            format!("for {}: {expected} is needed here, and this is {found}", name_of(event))
        }
        EvalAltResult::ErrorTooManyOperations(_) | EvalAltResult::ErrorTerminated(..) => "it takes too long".to_owned(),
        other => {
            let text = other.to_string();
            // The position is told apart.
            let text = text.rfind(" (line ").map_or(text.as_str(), |end| &text[..end]);
            let text = text.strip_prefix("Runtime error: ").unwrap_or(text);
            format!("for {}: {}", name_of(event), lower_first(text))
        }
    };
    (position, problem)
}

/// Rhai's name of a type, in words.
pub(super) fn kind_of_value(name: &str) -> String {
    match name {
        "()" => "null",
        "i64" => "an integer",
        "f64" => "a number",
        "bool" => "true or false",
        "map" => "a map",
        "array" => "a list",
        "char" => "a character",
        "Fn" => "a function",
        name if name.contains("tring") => "text",
        name => name,
    }
    .to_owned()
}

/// `contians (&str | ImmutableString | String, i64)`, in words.
fn no_function(signature: &str) -> String {
    let (name, arguments) = signature.split_once(" (").unwrap_or((signature, ""));
    let arguments = arguments.strip_suffix(')').unwrap_or(arguments);
    let kinds: Vec<_> = arguments.split(", ").filter(|kind| !kind.is_empty()).map(kind_of_value).collect();
    let kinds = if kinds.is_empty() { String::new() } else { format!(" for {}", kinds.join(" and ")) };
    let is_operator = !name.starts_with(|c: char| c.is_alphabetic() || c == '_');
    if is_operator || FUNCTIONS.contains(&name) {
        return format!("there is no {name}{kinds}");
    }
    match nearest(name, FUNCTIONS) {
        Some(near) => format!("there is no function {name}; did you mean {near}?"),
        None => format!("there is no function {name}{kinds}"),
    }
}

fn instead(word: &str) -> Option<String> {
    let (_, write) = INSTEAD.into_iter().find(|(other, _)| *other == word)?;
    Some(format!("{word} means nothing here; write {write}"))
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|first| first.to_lowercase().to_string()).unwrap_or_default();
    first + chars.as_str()
}
