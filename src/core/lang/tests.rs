//! What is read by who makes a mistake in an expression or a template, to the letter,
//! and that nothing gets out of the engines.

mod engine;
mod template;
mod when;

use serde_json::Value;

use super::Trial;
use crate::core::event::{EventKind, Origin};
use crate::core::glob::Globs;
use crate::core::samples::sample;

fn on(glob: &str) -> Trial {
    Trial::of(&Globs::new([glob]))
}

fn event(kind: EventKind) -> Value {
    let origin = Origin { name: "main".into(), url: "https://peertube.example.com".into() };
    sample(kind, &origin).to_json()
}
