use serde_json::Value;

use super::{event, on};
use crate::core::event::EventKind;
use crate::core::glob::Globs;
use crate::core::lang::{Trial, When};

fn wrong(glob: &str, text: &str) -> String {
    When::parse(text, &on(glob)).map_or_else(|mistake| mistake.to_string(), |_| "right".to_owned())
}

#[test]
fn an_expression_selects_events() {
    let text = r#"event.data.job_type == "video-transcoding" && event.data.payload.resolution > 480"#;
    let when = When::parse(text, &on("job.*")).unwrap();
    assert_eq!(when.text(), text);
    let mut job = event(EventKind::JobFailed);
    assert_eq!(when.matches(&job), Ok(true));
    job["data"]["payload"]["resolution"] = 240.into();
    assert_eq!(when.matches(&job), Ok(false));
}

#[test]
fn what_an_event_could_have_and_has_not_is_null_and_no_error() {
    let mut job = event(EventKind::JobFailed);
    let data = job["data"].as_object_mut().unwrap();
    data.remove("runner");
    data.insert("payload".into(), serde_json::json!({}));
    for text in [r#"event.data.runner == "box""#, "event.data.payload.resolution > 480"] {
        assert_eq!(When::parse(text, &on("job.failed")).unwrap().matches(&job), Ok(false), "{text}");
    }
    let none = When::parse("event.data.runner == () && event.subject != ()", &on("job.failed")).unwrap();
    assert_eq!(none.matches(&job), Ok(true));
}

#[test]
fn an_unknown_video_is_no_match_if_the_expression_minds_and_else_an_error_to_count() {
    let mut job = event(EventKind::JobFailed);
    job["data"]["video"] = Value::Null;
    let live = |text: &str| When::parse(text, &on("job.failed")).unwrap().matches(&job);
    assert_eq!(live("event.data.video?.is_live"), Ok(false));
    assert_eq!(live("event.data.video != () && event.data.video.is_live"), Ok(false));
    assert_eq!(
        live("event.data.video.is_live").unwrap_err(),
        "at character 18: in a job.failed event data.video is null and has no is_live; \
         write ?. before it where it may be null"
    );
}

#[test]
fn a_misspelt_field_is_told_in_each_branch() {
    for (glob, text, expected) in [
        (
            "video.created",
            r#"event.data.vidoe.name == "x""#,
            "at character 12: in a video.created event there is no data.vidoe; did you mean data.video?",
        ),
        (
            "job.failed",
            r#"event.data.job_type == "none" && event.data.video.nmae == "x""#,
            "at character 51: in a job.failed event there is no data.video.nmae; did you mean data.video.name?",
        ),
        (
            "job.failed",
            r#"event.tpye == "x""#,
            "at character 7: in a job.failed event there is no tpye; did you mean type?",
        ),
        (
            "instance.down",
            r#"event.data.colour == "x""#,
            "at character 12: in an instance.down event there is no data.colour; \
             there is data.error, data.instance, data.since",
        ),
        (
            "job.failed",
            r#"event["data"]["job_tpye"] == "x""#,
            "at character 15: in a job.failed event there is no data.job_tpye; did you mean data.job_type?",
        ),
        (
            "job.*",
            "event.data.vidoe == ()",
            "at character 12: no event that \"on\" matches has data.vidoe; did you mean data.video?",
        ),
        (
            "job.failed",
            "event.data.failures > 1 &&\n  event.data.fialures < 9",
            "at line 2, character 14 of it: in a job.failed event there is no data.fialures; did you mean data.failures?",
        ),
    ] {
        assert_eq!(wrong(glob, text), expected, "{text}");
    }
}

#[test]
fn a_field_of_other_events_has_to_be_asked_for_with_care() {
    assert_eq!(
        wrong("*", "event.data.video.is_live"),
        "at character 12: in an instance.first_look event there is no data.video; \
         ask for event.type before it, or let \"on\" match less"
    );
    assert_eq!(wrong("*", r#"event.type.starts_with("video.") && event.data.video.is_live"#), "right");
}

#[test]
fn events_of_a_scripts_own_may_have_any_field() {
    let trial = Trial::of(&Globs::new(["custom.*"]));
    let when = When::parse("event.data.anything > 3", &trial).unwrap();
    let custom = |data: Value| serde_json::json!({"type": "custom.x", "data": data});
    assert_eq!(when.matches(&custom(serde_json::json!({"anything": 4}))), Ok(true));
    let error = when.matches(&custom(serde_json::json!({}))).unwrap_err();
    assert!(error.starts_with("at character 12: in a custom event there is no data.anything"), "{error}");
}

#[test]
fn what_is_no_expression_is_told_with_what_to_write() {
    for (text, expected) in [
        (" ", "it is empty; write what has to be true of the event"),
        (r#"evnt.data.error == """#, "at character 1: there is no variable evnt; did you mean event?"),
        ("foo == 1", "at character 1: there is no variable foo; there is event, and text stands in double quotes"),
        (r#"event.type = "job.failed""#, "at character 12: = means nothing here; write =="),
        ("event.type == 'job.failed'", "at character 15: text stands in double quotes: write \"job.failed\""),
        ("event.data.failures > 2 and true", "at character 25: and means nothing here; write &&"),
        ("event.data.video == null", "at character 21: null means nothing here; write ()"),
        ("not event.data.video.nsfw", "at character 1: not means nothing here; write !"),
        ("event.data.failures === 2", "at character 21: === means nothing here; write =="),
        ("(event.data.failures", "at character 21: expecting ')' for a matching ( in this expression"),
        ("event.data.failures >", "at character 22: the expression is incomplete"),
        (
            r#"event.data.error == "abc"#,
            "at character 21: a text begins here and does not end; it ends with a double quote",
        ),
        ("let x = 1; x == 1", "at character 1: let is not expected here"),
        (r#"import "x""#, "at character 1: import cannot be used in an expression"),
        (r#"eval("true")"#, "at character 1: eval is not allowed here"),
    ] {
        assert_eq!(wrong("job.failed", text), expected, "{text}");
    }
}

#[test]
fn what_gives_no_boolean_or_cannot_be_done_is_told() {
    for (glob, text, expected) in [
        (
            "job.failed",
            "event.data.job_type",
            "it gives text for a job.failed event, and has to give true or false; compare it with something",
        ),
        (
            "job.failed",
            "event.data.video?.is_live ?? 3",
            "it gives an integer for a job.failed event, and has to give true or false; compare it with something",
        ),
        (
            "job.failed",
            "event.data.failures && true",
            "at character 6: for a job.failed event: true or false is needed here, and this is an integer",
        ),
        (
            "job.completed",
            r#"event.data.error.contains("x")"#,
            "at character 18: for a job.completed event: there is no contains for null and text",
        ),
        (
            "job.failed",
            r#"event.data.error.startsWith("x")"#,
            "at character 18: for a job.failed event: there is no function startsWith; did you mean starts_with?",
        ),
        (
            "job.failed",
            "event.data.error.frobnicate(1)",
            "at character 18: for a job.failed event: there is no function frobnicate for text and an integer",
        ),
        (
            "job.failed",
            r#"event.data.video.duration - "x" > 1"#,
            "at character 27: for a job.failed event: there is no - for an integer and text",
        ),
        (
            "job.failed",
            "event.data.job_type.nam == 1",
            "at character 21: in a job.failed event data.job_type is text and has no nam",
        ),
        (
            "job.failed",
            "event.data.failures / 0 == 1",
            "at character 21: for a job.failed event: division by zero: 1 / 0",
        ),
        ("job.failed", "timestamp() > 1", "at character 1: for a job.failed event: there is no function timestamp"),
        ("job.failed", "sleep(10)", "at character 1: for a job.failed event: sleep is not allowed"),
        (
            "job.failed",
            r#""x".pad(100000000, "y") == """#,
            "at character 5: for a job.failed event: length of string too large",
        ),
    ] {
        assert_eq!(wrong(glob, text), expected, "{text}");
    }
}

#[test]
fn what_goes_on_and_on_ends() {
    let many = format!("{:?}", [1; 30]);
    let text = format!("{many}.all(|a| {many}.all(|b| {many}.all(|c| c == 1)))");
    let told = wrong("job.failed", &text);
    assert!(told.ends_with("it takes too long"), "{told}");
}
