//! `tubewarden try`: what a rule or a schedule would do, and why not. Nothing is sent,
//! no command is run, and what a script would write is held back; what it reads is
//! really asked.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow};
use secrecy::ExposeSecret;
use serde_json::Value;

use super::visit::kept_tokens;
use super::{Failure, load};
use crate::config::{self, Action, Config, Does, Exec, ScriptAction, Secrets};
use crate::core::event::{EventKind, Origin};
use crate::core::glob::Globs;
use crate::core::lang::{Template, When};
use crate::core::rule::delivery_id;
use crate::core::samples::sample;
use crate::core::text::clean;
use crate::peertube::{Client, MemoryHost};
use crate::poll::client_options;
use crate::rules::script::{self, Dry, Metric, Scripts, Task};
use crate::rules::webhook::Webhook;
use crate::rules::{Delivery, Outcome, exec};
use crate::store::{Access, Store};

const LONGEST: usize = 2000;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The name of a rule or of a schedule.
    rule: String,
    /// An event as JSON, or `-` for standard input. Without it, the newest recorded one
    /// of a type that the rule acts on, else a sample.
    #[arg(long, value_name = "FILE")]
    event: Option<PathBuf>,
    /// Shows the whole address of a webhook.
    #[arg(long)]
    reveal: bool,
}

/// A rule or a schedule, as far as it is tried.
struct Tried<'a> {
    name: &'a str,
    on: Globs,
    instances: Option<&'a [String]>,
    when: Option<&'a When>,
    is_batch: bool,
    enabled: bool,
    action: &'a Action,
}

pub(super) async fn try_rule(path: &Path, args: Args) -> Result<(), Failure> {
    let config = load(path, Secrets::Read)?;
    let tried = find(&config, &args.rule)?;
    // Without a state there is nothing recorded, and a password will do.
    let store = Store::open(&config.state.path, Access::Beside).await.ok();
    let (event, from) = event(&config, &tried, &args, store.as_ref()).await?;
    let mut out = String::new();
    let told = |value: &Value| clean(value.as_str().unwrap_or("?"), 200);
    let _ = writeln!(out, "event     {} of {}, {from}", told(&event["type"]), told(&event["data"]["instance"]));
    let matches = judge(&tried, &event, &mut out);
    let _ = writeln!(out, "{}", if matches { "matches   yes" } else { "matches   no: this would be done if it did" });
    let id = delivery_id(event["id"].as_str().unwrap_or_default(), tried.name);
    let events = [event];
    let delivery = Delivery { id: &id, rule: tried.name, events: &events, is_batch: tried.is_batch };
    let done = match &tried.action.does {
        Does::Webhook { webhook, body } => {
            show_webhook(webhook, body.as_ref(), tried.action, &delivery, args.reveal, &mut out)
        }
        Does::Exec(exec) => {
            show_exec(exec, &delivery, &mut out);
            Ok(())
        }
        Does::Script(action) => show_script(&config, action, tried.action, &delivery, store.as_ref(), &mut out).await,
    };
    std::io::stdout().write_all(out.as_bytes()).context("write to standard output")?;
    done.map_err(Failure::from)
}

fn find<'a>(config: &'a Config, name: &str) -> anyhow::Result<Tried<'a>> {
    if let Some(rule) = config.rules.iter().find(|rule| rule.name == name) {
        return Ok(Tried {
            name: &rule.name,
            on: rule.on.clone(),
            instances: rule.instances.as_deref(),
            when: rule.when.as_ref(),
            is_batch: rule.terms.batch.is_some(),
            enabled: rule.enabled,
            action: &rule.action,
        });
    }
    if let Some(schedule) = config.schedules.iter().find(|schedule| schedule.name == name) {
        return Ok(Tried {
            name: &schedule.name,
            on: Globs::new([EventKind::ScheduleFired.as_str()]),
            instances: schedule.instance.as_ref().map(std::slice::from_ref),
            when: None,
            is_batch: false,
            enabled: schedule.enabled,
            action: &schedule.action,
        });
    }
    let rules = config.rules.iter().map(|rule| &rule.name);
    let names: Vec<String> =
        rules.chain(config.schedules.iter().map(|of| &of.name)).map(|n| format!("{n:?}")).collect();
    Err(anyhow!("there is no rule and no schedule {name:?}; there are: {}", names.join(", ")))
}

/// The event, and where it is from.
async fn event(
    config: &Config,
    tried: &Tried<'_>,
    args: &Args,
    store: Option<&Store>,
) -> anyhow::Result<(Value, &'static str)> {
    if let Some(file) = &args.event {
        let text = match file.to_str() {
            Some("-") => std::io::read_to_string(std::io::stdin()).context("read the event from standard input")?,
            _ => std::fs::read_to_string(file).with_context(|| format!("read the event from {}", file.display()))?,
        };
        let event: Value = serde_json::from_str(&text).context("read the event, which should be one object of JSON")?;
        for key in ["/id", "/type", "/source", "/time", "/data/instance"] {
            let is_text = event.pointer(key).is_some_and(Value::is_string);
            let name = key.trim_start_matches('/').replace('/', ".");
            anyhow::ensure!(is_text, "the event has no {name}; write one as `tubewarden events --json` prints them");
        }
        return Ok((event, "given"));
    }
    let is_meant = |name: &str| tried.instances.is_none_or(|names| names.iter().any(|of| of == name));
    if let Some(store) = store
        && let Some(event) = store.newest_event(&tried.on, is_meant).await.ok().flatten()
    {
        return Ok((event.to_json(), "the newest that is recorded"));
    }
    let origin = config.instances.iter().map(|instance| &instance.origin).find(|origin| is_meant(&origin.name));
    let origin = origin.cloned().unwrap_or(Origin { name: "main".into(), url: "https://peertube.example.com".into() });
    let kind = EventKind::ALL.into_iter().find(|kind| kind.can_match(&tried.on)).unwrap_or(EventKind::JobFailed);
    Ok((sample(kind, &origin).to_json(), "a sample"))
}

/// Whether the rule would act on it, told line by line.
fn judge(tried: &Tried<'_>, event: &Value, out: &mut String) -> bool {
    let kind = event["type"].as_str().unwrap_or_default();
    let instance = event["data"]["instance"].as_str().unwrap_or_default();
    let mut all = tried.enabled;
    if !tried.enabled {
        out.push_str("enabled   no\n");
    }
    let is_on = tried.on.matches(kind);
    all &= is_on;
    let _ = writeln!(out, "on        {}", if is_on { "yes" } else { "no: the rule is on other types of events" });
    if let Some(names) = tried.instances {
        let is_there = names.iter().any(|name| name == instance);
        all &= is_there;
        let _ = writeln!(out, "instances {}", if is_there { "yes" } else { "no: the rule is for others" });
    }
    if let Some(when) = tried.when {
        let text = match when.matches(event) {
            Ok(true) => "yes".to_owned(),
            Ok(false) => "no: the condition is false".to_owned(),
            Err(error) => format!("no: the condition failed: {error}"),
        };
        all &= text == "yes";
        let _ = writeln!(out, "when      {text}");
    }
    all
}

fn show_webhook(
    webhook: &config::Webhook,
    body: Option<&Template>,
    action: &Action,
    delivery: &Delivery<'_>,
    reveal: bool,
    out: &mut String,
) -> anyhow::Result<()> {
    let sender = Webhook::new(webhook, &action.patience)?;
    let body = match body {
        Some(template) => {
            template.render(delivery.events).map_err(|why| anyhow!("render the body: {why}"))?.into_bytes()
        }
        None => delivery.body(),
    };
    let to = if reveal { webhook.url.expose_secret() } else { sender.told() };
    let _ = writeln!(out, "would {} to {}", format!("{:?}", webhook.method).to_uppercase(), clean(to, LONGEST));
    for (name, value) in sender.preview(delivery, &body) {
        let _ = writeln!(out, "  {name}: {}", clean(&value, LONGEST));
    }
    let text = String::from_utf8_lossy(&body);
    let lines = text.lines().map(|line| format!("  {}\n", clean(line, LONGEST)));
    let _ = write!(out, "\n{}", lines.collect::<String>());
    Ok(())
}

fn show_exec(exec: &Exec, delivery: &Delivery<'_>, out: &mut String) {
    let command: Vec<String> = exec.command.iter().map(|word| format!("{:?}", clean(word, LONGEST))).collect();
    let _ = writeln!(out, "would run {}", command.join(" "));
    for (name, value) in exec::environment(delivery) {
        let _ = writeln!(out, "  {name}={}", clean(&value.to_string_lossy(), LONGEST));
    }
    let _ = writeln!(out, "\n  {}", clean(&String::from_utf8_lossy(&delivery.body()), 16 * LONGEST));
}

async fn show_script(
    config: &Config,
    script: &ScriptAction,
    action: &Action,
    delivery: &Delivery<'_>,
    store: Option<&Store>,
    out: &mut String,
) -> anyhow::Result<()> {
    let name = delivery.events.first().and_then(|event| event["data"]["instance"].as_str()).unwrap_or_default();
    let instance = config.instances.iter().find(|instance| instance.origin.name == name);
    let instance =
        instance.ok_or_else(|| anyhow!("the configuration has no instance {name:?}, where the event happened"))?;
    let kept = match store {
        Some(store) => kept_tokens(instance, store).await,
        None => None,
    };
    let mut options = client_options(instance);
    options.is_visit = true;
    let client = Client::new(options, Arc::new(kept.map_or_else(MemoryHost::default, MemoryHost::holding)))?;
    // Whether it is known or not, the script runs.
    let _ = client.config().await;
    let stored = match store {
        Some(store) => store.kept(delivery.rule).await.unwrap_or_default(),
        None => Vec::new(),
    };
    let stored: BTreeMap<String, Value> =
        stored.into_iter().filter_map(|(key, text)| Some((key, serde_json::from_str(&text).ok()?))).collect();
    let dry = Arc::new(Dry::new(client.clone()));
    let task = Task {
        script: script.script.clone(),
        events: delivery.events.to_vec(),
        is_batch: delivery.is_batch,
        instance: script::Instance {
            name: name.to_owned(),
            url: instance.origin.url.clone(),
            version: client.version(),
        },
        allow: script.allow.clone(),
        read_only: instance.read_only,
        stored,
        timeout: action.patience.timeout,
        retry: script.retry,
        host: dry.clone(),
    };
    let _ = writeln!(out, "runs {}, with what it writes held back", script.file.display());
    let ran = Scripts::default().run(task).await;
    for line in dry.take() {
        let _ = writeln!(out, "  {}", clean(&line, LONGEST));
    }
    for emitted in &ran.emitted {
        let data = Value::Object(emitted.data.clone()).to_string();
        let _ = writeln!(out, "  would tell {} {}", clean(&emitted.kind, 100), clean(&data, LONGEST));
    }
    for metric in &ran.metrics {
        let line = match metric {
            Metric::Set { name, value, ttl } => format!("measure {name} = {value}, for {ttl:?}"),
            Metric::Count { name, by } => format!("count {name}, {by} more"),
        };
        let _ = writeln!(out, "  would {}", clean(&line, LONGEST));
    }
    for (key, value) in &ran.store {
        let value = value.as_ref().map_or_else(|| "nothing".to_owned(), Value::to_string);
        let _ = writeln!(out, "  would store {} = {}", clean(key, 200), clean(&value, LONGEST));
    }
    match ran.outcome {
        Outcome::Done => {
            out.push_str("ends well\n");
            Ok(())
        }
        Outcome::Again { why, .. } | Outcome::Dead { why } | Outcome::Gone { why } => {
            Err(anyhow!("the script failed: {why}"))
        }
    }
}
