use rhai::{Dynamic, Scope};
use serde_json::json;

use crate::core::lang::engine::{Limits, STACK, engine, to_dynamic};

fn run(script: &str) -> Result<(), String> {
    let script = script.to_owned();
    let run = move || engine(Limits::SCRIPT).eval::<Dynamic>(&script).map(drop).map_err(|error| error.to_string());
    std::thread::Builder::new().stack_size(STACK).spawn(run).unwrap().join().unwrap()
}

#[test]
fn a_page_of_a_hundred_videos_fits() {
    let video = json!({"uuid": "a09a616c-5d3c-4b53-8f3b-6d0c7f4f2a11", "views": 3, "description": "x".repeat(800),
        "channel": {"name": "c", "avatars": [1, 2, 3, 4]}, "account": {"name": "a", "avatars": [1, 2, 3, 4]}});
    let page = json!({"total": 100, "data": vec![video; 100]});
    assert!(page.to_string().len() > 80_000);
    let mut scope = Scope::new();
    scope.push_dynamic("page", to_dynamic(&page));
    let script = "let sum = 0; let names = []; \
                  for video in page.data { sum += video.views; names.push(video); } `${sum} of ${names.len()}`";
    let told: String = engine(Limits::SCRIPT).eval_with_scope(&mut scope, script).unwrap();
    assert_eq!(told, "300 of 100");
}

#[test]
fn json_keeps_its_kinds() {
    let value = to_dynamic(&json!([null, true, 7, 7.5, "t", 18_446_744_073_709_551_615_u64, {"a": 1}]));
    let kinds: Vec<_> = value.into_array().unwrap().iter().map(|item| item.type_name().to_owned()).collect();
    assert_eq!(kinds, ["()", "bool", "i64", "f64", "string", "f64", "map"]);
}

#[test]
fn nothing_gets_out_by_any_name() {
    for script in [
        "eval(\"1 + 1\")",
        "Fn(\"eval\").call(\"1 + 1\")",
        "let f = \"ev\" + \"al\"; Fn(f).call(\"1 + 1\")",
        "sleep(1000)",
        "sleep(1000.0)",
        "let f = \"sl\" + \"eep\"; Fn(f).call(1000)",
        "1000.sleep()",
        "import \"x\" as x;",
        "timestamp()",
        "open_file(\"/etc/passwd\")",
    ] {
        run(script).expect_err(script);
    }
    assert!(run("print(\"x\"); debug(\"x\"); 1").is_ok());
}

#[test]
fn what_loops_recurses_or_doubles_ends_within_its_limits() {
    for (script, expected) in [
        ("loop {}", "Too many operations"),
        ("fn f(x) { f(x + 1) } f(0)", "Stack overflow"),
        ("let s = \"xxxxxxxx\"; loop { s += s; }", "Length of string too large"),
        ("let a = [1]; loop { a += a; }", "Size of array/BLOB too large"),
        ("let a = []; let s = \"x\"; s.pad(1000000, \"y\"); loop { a.push(s); }", "Length of string too large"),
        ("let m = #{a: 1}; loop { m = #{a: m, b: m}; }", "Size of object map too large"),
        ("let s = \"x\"; s.pad(1000000000, \"y\"); s", "Length of string too large"),
        ("no_such_variable + 1", "Syntax error: Undefined variable: no_such_variable"),
        ("let m = #{a: 1}; m.b", "Property not found: b"),
    ] {
        let told = run(script).unwrap_err();
        assert!(told.starts_with(expected), "{script}: {told}");
    }
}

#[test]
fn a_list_as_deep_as_it_may_be_long_does_not_end_the_process() {
    let run = || {
        let deep = (0..Limits::SCRIPT.items).fold(Dynamic::UNIT, |inner, _| vec![inner].into());
        let mut scope = Scope::new();
        scope.push_dynamic("deep", deep);
        let told = engine(Limits::SCRIPT).eval_with_scope::<Dynamic>(&mut scope, "[deep].len()");
        told.map(drop).map_err(|error| error.to_string())
    };
    let told = std::thread::Builder::new().stack_size(STACK).spawn(run).unwrap().join().unwrap();
    assert!(told.unwrap_err().starts_with("Size of array/BLOB too large"));
}
