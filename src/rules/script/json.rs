//! Values of scripts as JSON. What no JSON can hold is an error, and so is what nests
//! too deep to be followed by others.

use rhai::{Array, Dynamic, ImmutableString, Map};
use serde_json::Value;

const DEEPEST: usize = 64;

/// Says of what is wrong how a sentence about it ends.
pub(super) fn to_json(value: &Dynamic) -> Result<Value, String> {
    within(value, DEEPEST)
}

fn within(value: &Dynamic, depth: usize) -> Result<Value, String> {
    let Some(deeper) = depth.checked_sub(1) else { return Err(format!("nests deeper than {DEEPEST} levels")) };
    if value.is_unit() {
        return Ok(Value::Null);
    }
    if let Ok(value) = value.as_bool() {
        return Ok(value.into());
    }
    if let Ok(number) = value.as_int() {
        return Ok(number.into());
    }
    if let Ok(number) = value.as_float() {
        let number = serde_json::Number::from_f64(number).ok_or("holds a number that is infinite or none")?;
        return Ok(number.into());
    }
    if let Ok(c) = value.as_char() {
        return Ok(c.to_string().into());
    }
    if let Some(text) = value.read_lock::<ImmutableString>() {
        return Ok(text.as_str().into());
    }
    if let Some(items) = value.read_lock::<Array>() {
        return items.iter().map(|item| within(item, deeper)).collect();
    }
    if let Some(fields) = value.read_lock::<Map>() {
        let fields = fields.iter().map(|(key, value)| Ok((key.to_string(), within(value, deeper)?)));
        return fields.collect::<Result<serde_json::Map<_, _>, String>>().map(Value::Object);
    }
    let name = value.type_name().rsplit("::").next().unwrap_or_default();
    Err(format!("holds something of type {name}, which is no JSON"))
}
