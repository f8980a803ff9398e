//! Scripts that would take all there is: each is ended, and told where.

use std::time::{Duration, Instant};

use peertube_sim::{Fault, When};
use tubewarden::rules::Outcome;

use super::{Stage, dead};

#[tokio::test]
async fn what_takes_too_much_is_ended_and_told_with_its_place() {
    let stage = Stage::set().await;
    for (text, what) in [
        ("let a = 1;\nloop { a += 1; }", "more operations than a script may"),
        ("while true {}", "more operations than a script may"),
        ("let s = \"x\";\nloop { s += s; }", "larger than a script may have (length of string"),
        ("let s = \"x\";\ns.pad(1000000000, \"x\");", "larger than a script may have"),
        ("let a = [];\nloop { a.push(1); }", "larger than a script may have (size of array"),
        ("let a = [1];\nloop { a += a; }", "larger than a script may have (size of array"),
        ("let a = []; a.pad(1000000000, 1);", "larger than a script may have"),
        (
            "let m = #{};\nfor i in 0..1000 { m[`k${i}`] = 1; }\nlet all = [];\nloop { all.push(m); }",
            "larger than a script may have (size of object map",
        ),
        ("fn f(n) { f(n + 1) }\nf(0)", "too many calls within each other"),
        ("fn f(g, n) { g.call(g, n) }\nlet g = |g, n| f(g, n);\nf(g, 0)", "too many calls within each other"),
        ("try { loop { } } catch { }", "more operations than a script may"),
        ("loop { try { throw 1 } catch { } }", "more operations than a script may"),
    ] {
        let began = Instant::now();
        let why = dead(stage.run(text).await);
        assert!(why.starts_with("rules/test.rhai: line ") && why.contains(", column "), "{text}: {why}");
        assert!(why.contains(what), "{text}: {why}");
        assert!(began.elapsed() < Duration::from_secs(50), "{text} took {:?}", began.elapsed());
    }
}

#[tokio::test]
async fn what_nests_without_end_does_not_break_the_process() {
    let stage = Stage::set().await;
    for text in [
        "let a = [];\nloop { a = [a]; }",
        "let a = #{};\nloop { a = #{ a: a }; }",
        "let a = [];\nloop { let b = []; b.push(a); a = b; }",
    ] {
        let (mut task, _) = stage.task(text);
        task.timeout = Duration::from_secs(3);
        let why = dead(stage.scripts.run(task).await);
        assert!(why.starts_with("rules/test.rhai: line 2, column "), "{text}: {why}");
    }
    let why = dead(stage.run("let a = [];\nfor i in 0..100 { a = [a]; }\nstore.set(\"a\", a)").await);
    assert_eq!(why, "rules/test.rhai: line 3, column 7: store.set: the value nests deeper than 64 levels");
}

#[tokio::test]
async fn copies_without_end_are_ended_by_what_the_process_takes() {
    let stage = Stage::set().await;
    let copies: String = (0..200).map(|n| format!("  let copy{n} = list;\n")).collect();
    let text = format!("fn f(n) {{\n  let list = [];\n  list.pad(45000, 12345);\n{copies}  f(n + 1);\n}}\nf(0)");
    let why = dead(stage.run(&text).await);
    assert!(why.starts_with("rules/test.rhai: line "), "{why}");
    assert!(why.contains("takes more memory than a script may"), "{why}");
}

#[tokio::test]
async fn a_call_that_is_not_answered_ends_with_the_scripts_time_and_holds_nobody_up() {
    let stage = Stage::set().await;
    let url = "api.get(\"/api/v1/config\")";
    stage.sim.faults().next(1, When::path("/api/v1/config"), Fault::Late(Duration::from_secs(10)));
    let (mut task, _) = stage.task(&format!("try {{ {url} }} catch {{ }}\nprint(1)"));
    task.timeout = Duration::from_secs(1);
    let began = Instant::now();
    let waiting = stage.scripts.run(task);
    // On the one thread of this runtime.
    let other = async {
        let (mut task, _) = stage.task("let a = 1;");
        task.timeout = Duration::from_secs(1);
        stage.scripts.run(task).await
    };
    let (waited, ran) = tokio::join!(waiting, async {
        let ran = other.await;
        (ran, began.elapsed())
    });
    assert_eq!(ran.0.outcome, Outcome::Done);
    assert!(ran.1 < Duration::from_millis(900), "{:?}", ran.1);
    let why = dead(waited);
    assert!(why.contains("line 1, column 11: has not ended within 1s (`script.timeout`)"), "{why}");
}
