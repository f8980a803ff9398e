//! The Rhai engine, sandboxed: no files, no modules, no clock, nothing that waits or
//! compiles text at run time, nothing printed; and every run ends within its limits.

use rhai::packages::{
    BasicArrayPackage, BasicMapPackage, BasicMathPackage, CorePackage, LogicPackage, MoreStringPackage, Package,
};
use rhai::{Dynamic, Engine, EvalAltResult, Map, Position};
use serde_json::Value;

/// What would wait, or make code out of text.
const FORBIDDEN: [&str; 2] = ["eval", "sleep"];

/// What a thread that runs scripts, and drops what they leave, must have of stack. A list
/// may be nested as deep as it may be long, and each of its levels takes some when it is
/// measured or dropped. Expressions do with what any thread has.
pub const STACK: usize = 64 << 20;

/// How far a run may go. A page of 100 videos, some 100 KB of JSON, must fit.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub operations: u64,
    /// Calls of functions within each other.
    pub levels: usize,
    /// Of an expression, and of one in a function.
    pub depth: usize,
    pub functions: usize,
    pub variables: usize,
    /// Bytes of a text, or of all within one value.
    pub text: usize,
    /// Of a list or a map, with all that they hold.
    pub items: usize,
}

impl Limits {
    pub const EXPRESSION: Self =
        Self { operations: 10_000, levels: 8, depth: 32, functions: 8, variables: 8, text: 1 << 20, items: 10_000 };
    pub const SCRIPT: Self = Self {
        operations: 5_000_000,
        levels: 16,
        depth: 48,
        functions: 64,
        variables: 256,
        text: 4 << 20,
        items: 50_000,
    };
}

/// An engine without any function of ours. What it prints is swallowed.
pub fn engine(limits: Limits) -> Engine {
    let mut engine = Engine::new_raw();
    CorePackage::new().register_into_engine(&mut engine);
    LogicPackage::new().register_into_engine(&mut engine);
    BasicMathPackage::new().register_into_engine(&mut engine);
    BasicArrayPackage::new().register_into_engine(&mut engine);
    BasicMapPackage::new().register_into_engine(&mut engine);
    MoreStringPackage::new().register_into_engine(&mut engine);
    for name in FORBIDDEN {
        engine.disable_symbol(name);
        // A name put together at run time finds these instead of the packages' own.
        engine.register_fn(name, move |_: Dynamic| forbidden(name));
        engine.register_fn(name, move |_: i64| forbidden(name));
        engine.register_fn(name, move |_: f64| forbidden(name));
    }
    engine.on_print(|_| {}).on_debug(|_, _, _| {});
    engine
        .set_strict_variables(true)
        .set_fail_on_invalid_map_property(true)
        .set_max_operations(limits.operations)
        .set_max_call_levels(limits.levels)
        .set_max_expr_depths(limits.depth, limits.depth)
        .set_max_functions(limits.functions)
        .set_max_variables(limits.variables)
        .set_max_string_size(limits.text)
        .set_max_array_size(limits.items)
        .set_max_map_size(limits.items);
    engine
}

/// JSON as the engine's values: null is `()`, whole numbers are `i64`, others `f64`.
pub fn to_dynamic(value: &Value) -> Dynamic {
    match value {
        Value::Null => Dynamic::UNIT,
        Value::Bool(value) => (*value).into(),
        Value::Number(number) => match number.as_i64() {
            Some(number) => number.into(),
            None => number.as_f64().unwrap_or_default().into(),
        },
        Value::String(text) => text.as_str().into(),
        Value::Array(items) => items.iter().map(to_dynamic).collect::<rhai::Array>().into(),
        Value::Object(fields) => {
            fields.iter().map(|(key, value)| (key.as_str().into(), to_dynamic(value))).collect::<Map>().into()
        }
    }
}

fn forbidden(name: &str) -> Result<Dynamic, Box<EvalAltResult>> {
    Err(Box::new(EvalAltResult::ErrorRuntime(format!("{name} is not allowed").into(), Position::NONE)))
}
