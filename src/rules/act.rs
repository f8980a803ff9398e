//! What a rule does, ready to be done: one try of one delivery, whatever kind it is.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::watch;

use super::deliver::Shared;
use super::run::Acting;
use super::script::{Emitted, Live, Metric, Scripts, Task};
use super::values::Values;
use super::webhook::Webhook;
use super::{Delivery, Outcome, exec, script};
use crate::config::{self, Does, Exec, ScriptAction};
use crate::core::lang::Template;
use crate::store::Kept;

/// How long a request under way may take when the daemon stops.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// What is done.
#[derive(Debug)]
pub(super) enum Actor {
    Webhook { webhook: Box<Webhook>, body: Option<Template> },
    Exec { exec: Exec, timeout: Duration },
    Script(Box<Scripted>),
}

#[derive(Debug)]
pub(super) struct Scripted {
    action: ScriptAction,
    timeout: Duration,
    scripts: Arc<Scripts>,
    shared: Arc<Shared>,
    values: Values,
}

/// What came of one try.
#[derive(Debug)]
pub(super) struct Acted {
    pub(super) outcome: Outcome,
    pub(super) emitted: Vec<Emitted>,
    pub(super) kept: Vec<Kept>,
}

impl Acted {
    /// To be tried again.
    pub(super) fn failed(why: String) -> Self {
        Self { outcome: Outcome::Again { why, after: None }, emitted: Vec::new(), kept: Vec::new() }
    }
}

impl Actor {
    pub(super) fn new(rule: &str, action: &config::Action, acting: &Acting) -> anyhow::Result<Self> {
        let patience = &action.patience;
        Ok(match &action.does {
            Does::Webhook { webhook, body } => {
                let webhook = Webhook::new(webhook, patience)
                    .with_context(|| format!("make the webhook of the rule {rule:?}"))?;
                Self::Webhook { webhook: Box::new(webhook), body: body.clone() }
            }
            Does::Exec(exec) => Self::Exec { exec: exec.clone(), timeout: patience.timeout },
            Does::Script(action) => Self::Script(Box::new(Scripted {
                action: action.clone(),
                timeout: patience.timeout,
                scripts: acting.scripts.clone(),
                shared: acting.shared.clone(),
                values: acting.values.clone(),
            })),
        })
    }

    pub(super) async fn act(&self, delivery: &Delivery<'_>, stopping: &watch::Receiver<bool>) -> Acted {
        let outcome = match self {
            Self::Webhook { webhook, body } => {
                let body = match body {
                    None => Ok(delivery.body()),
                    Some(template) => template.render(delivery.events).map(String::into_bytes),
                };
                match body {
                    Ok(body) => {
                        let send = webhook.send(delivery, &body);
                        or_stopped(send, stopping.clone(), LAST_WORDS).await.unwrap_or_else(stopped)
                    }
                    Err(why) => Outcome::Dead { why: format!("the body could not be rendered: {why}") },
                }
            }
            Self::Exec { exec, timeout } => exec::run(exec, *timeout, delivery, stopping.clone()).await,
            Self::Script(scripted) => return scripted.run(delivery, stopping).await,
        };
        Acted { outcome, emitted: Vec::new(), kept: Vec::new() }
    }
}

impl Scripted {
    async fn run(&self, delivery: &Delivery<'_>, stopping: &watch::Receiver<bool>) -> Acted {
        let nothing = |outcome| Acted { outcome, emitted: Vec::new(), kept: Vec::new() };
        let name = delivery.events.first().and_then(|event| event["data"]["instance"].as_str()).unwrap_or_default();
        let Some(place) = self.shared.here(name) else {
            return nothing(Outcome::Dead { why: format!("there is no instance {name:?} any more") });
        };
        let stored = match self.shared.store.kept(delivery.rule).await {
            Ok(kept) => kept.into_iter().filter_map(|(key, text)| Some((key, serde_json::from_str(&text).ok()?))),
            Err(error) => {
                let why = format!("what the script keeps could not be read: {error}");
                return nothing(Outcome::Again { why, after: None });
            }
        };
        let task = Task {
            script: self.action.script.clone(),
            events: delivery.events.to_vec(),
            is_batch: delivery.is_batch,
            instance: script::Instance {
                name: name.to_owned(),
                url: place.origin.url.clone(),
                version: place.client.version(),
            },
            allow: self.action.allow.clone(),
            read_only: place.read_only,
            stored: stored.collect(),
            timeout: self.timeout,
            retry: self.action.retry,
            host: Arc::new(Live {
                client: place.client.clone(),
                instance: name.to_owned(),
                rule: delivery.rule.to_owned(),
            }),
        };
        let Some(ran) = or_stopped(self.scripts.run(task), stopping.clone(), Duration::ZERO).await else {
            return nothing(stopped());
        };
        self.measure(name, delivery.rule, ran.metrics);
        let text = |value: Option<Value>| value.map(|value| value.to_string());
        let kept = ran.store.into_iter().map(|(key, value)| (key, text(value)));
        Acted { outcome: ran.outcome, emitted: ran.emitted, kept: kept.collect() }
    }

    fn measure(&self, instance: &str, rule: &str, metrics: Vec<Metric>) {
        let shown = self.shared.rules.metrics();
        for metric in metrics {
            let has_room = match &metric {
                Metric::Set { name, value, ttl } => {
                    let has_room = shown.set_value(instance, rule, name, *value);
                    if has_room {
                        self.values.expire(instance, rule, name, Timestamp::now(), *ttl);
                    }
                    has_room
                }
                Metric::Count { name, by } => shown.count_value(instance, rule, name, *by),
            };
            if !has_room {
                tracing::warn!(
                    rule,
                    peertube_instance = instance,
                    "scripts use too many names of metrics: one is not shown"
                );
            }
        }
    }
}

fn stopped() -> Outcome {
    Outcome::Again { why: "the daemon stops".to_owned(), after: None }
}

/// `None` if the daemon stopped, and so much later it was still not done.
async fn or_stopped<T>(act: impl Future<Output = T>, mut stopping: watch::Receiver<bool>, last: Duration) -> Option<T> {
    tokio::select! {
        done = act => Some(done),
        () = async {
            // A sender that is gone has nothing left to say but this.
            let _ = stopping.wait_for(|stopping| *stopping).await;
            tokio::time::sleep(last).await;
        } => None,
    }
}
