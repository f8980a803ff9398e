//! What the author of a wrong script reads when it is loaded.

use tubewarden::core::lang::script::Script;

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let told = [
        "let a = 1\nlet b = 2;",
        "let a = 1;\n  log.info(evnt.id);",
        "events.len()",
        "\n api.gett(\"/api/v1/config\")",
        "fn f() { api.post(\"/api/v1/videos\") } f()",
        "if true { store.put(\"a\", 1).x }",
        "[1].map(|x| time.parse(x, 2))",
        "fn f() { [1].map(|x| [x].map(|y| log.warm(y))) }",
        "let x = log.level;",
        "let x = api.get;",
        "emitt(\"custom.a\", #{})",
        "emit(\"custom.a\")",
        "fn twice(x) { x * 2 } twice(1, 2)",
        "eval(\"1\")",
        "import \"other\" as o;",
        "sleep(10)",
        "let x = \"abc",
        "loop { let s = }",
    ]
    .map(|text| {
        let error = Script::compile("rules/test.rhai", text, false).expect_err(text);
        format!("{text}\n    => {error}")
    });
    insta::assert_snapshot!(told.join("\n"));
    let batch = Script::compile("rules/test.rhai", "event.id", true).expect_err("no event in a batch");
    assert_eq!(
        batch.to_string(),
        "line 1, column 1: there is no variable event; a rule with `batch` gives its script `events`"
    );
}
