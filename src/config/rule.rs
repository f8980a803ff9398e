//! What users want done: `[[rule]]` on events, `[[schedule]]` at times.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::{Exec, Patience, Webhook};
use crate::core::call::Allow;
use crate::core::cron::Cron;
use crate::core::event::EventKind;
use crate::core::glob::Globs;
use crate::core::lang::script::Script;
use crate::core::lang::{Template, When};
use crate::core::rule::{ActionKind, Terms};

/// `[[rule]]`: acts on events.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// The label `rule`: unique among rules and schedules.
    pub name: String,
    /// Types of events; at least one can match.
    pub on: Globs,
    pub when: Option<When>,
    /// Where the event must have happened; all instances without it.
    pub instances: Option<Vec<String>>,
    /// `limit`, `batch`, `dedupe` and `quiet`.
    pub terms: Terms,
    /// What is older is not acted on.
    pub max_age: Option<Duration>,
    pub enabled: bool,
    pub action: Action,
}

/// `[[schedule]]`: acts at times.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// The label `schedule`: unique among rules and schedules.
    pub name: String,
    pub cron: Cron,
    /// A run is begun up to so much later, each at another moment.
    pub jitter: Duration,
    /// Whether a run that was missed while the daemon was down is made at its start.
    pub catch_up: bool,
    /// The one instance that it runs for; all without it.
    pub instance: Option<String>,
    pub enabled: bool,
    pub action: Action,
}

/// What is done, and how patiently.
#[derive(Debug, Clone, PartialEq)]
pub struct Action {
    pub does: Does,
    pub patience: Patience,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Does {
    Webhook {
        webhook: Box<Webhook>,
        /// Without one the CloudEvent itself is sent.
        body: Option<Template>,
    },
    Exec(Exec),
    Script(ScriptAction),
}

/// `script`: a Rhai script.
#[derive(Clone, PartialEq)]
pub struct ScriptAction {
    /// As it is written.
    pub file: PathBuf,
    pub script: Script,
    /// What it may ask an instance besides GET.
    pub allow: Vec<Allow>,
    /// Whether one that fails is run again.
    pub retry: bool,
}

impl Rule {
    /// Whether an event of this kind can be acted on.
    pub fn is_on(&self, kind: EventKind) -> bool {
        kind.can_match(&self.on)
    }
}

impl Action {
    pub fn kind(&self) -> ActionKind {
        match self.does {
            Does::Webhook { .. } => ActionKind::Webhook,
            Does::Exec(_) => ActionKind::Exec,
            Does::Script(_) => ActionKind::Script,
        }
    }
}

impl fmt::Debug for ScriptAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptAction").field("file", &self.file).field("allow", &self.allow).finish_non_exhaustive()
    }
}
