use super::{event, on};
use crate::core::event::EventKind;
use crate::core::lang::Template;

const ALONE: bool = false;
const BATCH: bool = true;

fn wrong(glob: &str, text: &str, is_batch: bool) -> String {
    Template::parse(text, &on(glob), is_batch).map_or_else(|mistake| mistake.to_string(), |_| "right".to_owned())
}

#[test]
fn a_template_makes_json_of_whatever_strangers_write() {
    let template =
        Template::parse(r#"{"text": {{ ("Job failed: " ~ event.data.error) | tojson }} }"#, &on("job.failed"), ALONE)
            .unwrap();
    let mut job = event(EventKind::JobFailed);
    job["data"]["error"] = "a \"quote\"\n<b> & '{{ 7 * 7 }}'".into();
    let body = template.render(&[job]).unwrap();
    assert_eq!(body, r#"{"text": "Job failed: a \"quote\"\n\u003cb\u003e \u0026 \u0027{{ 7 * 7 }}\u0027" }"#);
    let json: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(json["text"], "Job failed: a \"quote\"\n<b> & '{{ 7 * 7 }}'");
}

#[test]
fn a_batch_is_rendered_from_its_events_and_tried_with_one_and_two() {
    let text = "[{% for e in events %}{{ e.data.failures }}{% if not loop.last %},{% endif %}{% endfor %}]";
    let trial = on("job.failed");
    let template = Template::parse(text, &trial, BATCH).unwrap();
    let three = vec![event(EventKind::JobFailed); 3];
    assert_eq!(template.render(&three), Ok("[1,1,1]".to_owned()));
    let outputs = template.sample_outputs(&trial).unwrap();
    assert_eq!(outputs, [("job.failed", "[1]".to_owned()), ("job.failed", "[1,1]".to_owned())]);
}

#[test]
fn what_an_event_could_have_and_has_not_is_null() {
    let template = Template::parse("{{ event.data.runner | tojson }}", &on("job.failed"), ALONE).unwrap();
    let mut job = event(EventKind::JobFailed);
    job["data"].as_object_mut().unwrap().remove("runner");
    assert_eq!(template.render(&[job]), Ok("null".to_owned()));
}

#[test]
fn an_unknown_video_is_told_when_it_happens() {
    let mut job = event(EventKind::JobFailed);
    job["data"]["video"] = serde_json::Value::Null;
    let render = |text: &str| Template::parse(text, &on("job.failed"), ALONE).unwrap().render(&[job.clone()]);
    assert_eq!(
        render("of {{ event.data.video.name }}").unwrap_err(),
        "at character 7: in a job.failed event data.video is null and has no name"
    );
    assert_eq!(render("{{ event.data.video.name if event.data.video else \"?\" }}"), Ok("?".to_owned()));
}

#[test]
fn a_misspelt_field_is_told_in_each_branch_and_each_loop() {
    for (glob, text, is_batch, expected) in [
        (
            "job.failed",
            "{% if false %}{{ event.data.vidoe.name }}{% endif %}",
            ALONE,
            "at character 18: in a job.failed event there is no data.vidoe; did you mean data.video?",
        ),
        (
            "job.failed",
            "{\n  \"x\": {{ event.data.video.nmae | tojson }}\n}",
            ALONE,
            "at line 2, character 11 of it: in a job.failed event there is no data.video.nmae; \
             did you mean data.video.name?",
        ),
        (
            "job.failed",
            r#"{{ event["data"]["vidoe"] }}"#,
            ALONE,
            "at character 4: in a job.failed event there is no data.vidoe; did you mean data.video?",
        ),
        (
            "job.failed",
            "{% for e in events %}{{ e.data.eror }}{% endfor %}",
            BATCH,
            "at character 25: in a job.failed event there is no data.eror; did you mean data.error?",
        ),
        (
            "*",
            "{{ event.data.video.name }}",
            ALONE,
            "at character 14: in an instance.first_look event there is no data.video; \
             ask for event.type before it, or let \"on\" match less",
        ),
        ("*", "{{ event.data.video.name if event.type == \"video.ready\" else event.type }}", ALONE, "right"),
    ] {
        assert_eq!(wrong(glob, text, is_batch), expected, "{text}");
    }
    for filter in ["tojson", "upper", "urlencode"] {
        let text = format!("{{% for e in events %}}{{{{ e.data.eror | {filter} }}}}{{% endfor %}}");
        let told = wrong("job.failed", &text, BATCH);
        assert!(told.contains("data.eror; did you mean data.error?"), "{text}: {told}");
    }
}

#[test]
fn what_is_no_template_is_told() {
    for (text, is_batch, expected) in [
        ("{{ event.data.error ", ALONE, "at character 15: unexpected end of input, expected end of variable block"),
        ("line\n{% for x in %}", ALONE, "at line 2, character 13 of it: unexpected end of block"),
        ("{% include \"x\" %}", ALONE, "at character 4: unknown statement include"),
        ("{{ event.data.error | tojsn }}", ALONE, "at character 23: there is no filter tojsn; did you mean tojson?"),
        (
            "{% if event is defned %}{% endif %}",
            ALONE,
            "at character 16: there is no test defned; did you mean defined?",
        ),
        ("{{ now() }}", ALONE, "at character 4: there is no variable or function now; there is event"),
        ("{{ debug() }}", ALONE, "at character 4: there is no variable or function debug; there is event"),
        ("{{ evnt.id }}", ALONE, "at character 4: there is no variable or function evnt; did you mean event?"),
        ("{{ events[0].id }}", ALONE, "at character 4: there is no events without \"batch\"; write event"),
        (
            "{{ event.id }}",
            BATCH,
            "at character 4: in a batch there is no event; write {% for event in events %} … {% endfor %}",
        ),
        (
            "{{ event.data.error + 1 }}",
            ALONE,
            "at character 4: for a job.failed event: tried to use + operator on unsupported types string and number",
        ),
        (
            "{{ event.data.failures.foo() }}",
            ALONE,
            "at character 23: for a job.failed event: number has no method named foo",
        ),
    ] {
        assert_eq!(wrong("job.failed", text, is_batch), expected, "{text}");
    }
}

#[test]
fn what_is_hidden_from_the_full_sample_is_met_by_the_emptied_one() {
    let text = "{% if event.data.video %}x{% else %}{{ event.id | nofilter }}{% endif %}";
    assert_eq!(wrong("job.failed", text, ALONE), "at character 51: there is no filter nofilter");
}

#[test]
fn what_goes_on_and_on_or_grows_ends() {
    let text = "{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}";
    let told = wrong("job.failed", text, ALONE);
    assert!(told.ends_with("it takes too long, or makes too much"), "{told}");
    let long = "{{ \"xxxxxxxxxx\" * 200000 }}";
    assert_eq!(wrong("job.failed", long, ALONE), "it makes a body of 2000000 bytes; 1 MiB is the most");
}
