//! What the poll of the configuration asks an administrator's instance besides: new
//! versions of PeerTube, and of plugins. Each answer stands by itself; one that was
//! missed too often is shown no more.

use std::collections::BTreeMap;

use super::server::ServerMemory;
use super::{Instance, STALE_AFTER};
use crate::core::rights::Role;
use crate::core::updates::{Plugin, Told};
use crate::core::view::UpdatesView;
use crate::peertube::Error;

/// The answers.
pub(super) struct Found {
    versions: Answer<Vec<String>>,
    plugins: Answer<Vec<Plugin>>,
}

enum Answer<T> {
    Got(T),
    /// This time there was none.
    Missed,
    /// The account may not ask, or the server does not know.
    Off,
}

/// What was answered last, and how often it was missed since.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Freshness {
    /// Whether PeerTube's own versions were told.
    has_versions: bool,
    versions_missed: u32,
    plugins: BTreeMap<String, bool>,
    plugins_missed: u32,
}

impl ServerMemory {
    /// Gives what is to be told and to be shown.
    pub(super) fn take_in(&mut self, version: &str, found: Found) -> (Vec<Told>, UpdatesView) {
        let mut told = Vec::new();
        let fresh = &mut self.freshness;
        match found.versions {
            Answer::Got(versions) => {
                told.extend(self.updates.heard(version, &versions));
                (fresh.has_versions, fresh.versions_missed) = (true, 0);
            }
            Answer::Missed => fresh.versions_missed = fresh.versions_missed.saturating_add(1),
            Answer::Off => fresh.has_versions = false,
        }
        match found.plugins {
            Answer::Got(plugins) => {
                told.extend(self.updates.installed(&plugins));
                let update = |plugin: Plugin| (plugin.update().is_some(), plugin.package);
                fresh.plugins = plugins.into_iter().map(update).map(|(update, package)| (package, update)).collect();
                fresh.plugins_missed = 0;
            }
            Answer::Missed => fresh.plugins_missed = fresh.plugins_missed.saturating_add(1),
            Answer::Off => fresh.plugins.clear(),
        }
        let has_versions = fresh.has_versions && fresh.versions_missed < STALE_AFTER;
        let plugins = if fresh.plugins_missed < STALE_AFTER { fresh.plugins.clone() } else { BTreeMap::new() };
        (told, UpdatesView { server: has_versions.then(|| self.updates.has_update(version)), plugins })
    }
}

impl Instance {
    /// Asks in an administrator's name, else nothing.
    pub(super) async fn ask_for_updates(&self) -> Found {
        match self.role().await {
            Ok(Some(Role::Administrator)) => Found {
                versions: self.answer("new versions", self.client.new_versions().await),
                plugins: self.answer("plugins", self.client.plugins().await),
            },
            Ok(_) => Found { versions: Answer::Off, plugins: Answer::Off },
            Err(_) => Found { versions: Answer::Missed, plugins: Answer::Missed },
        }
    }

    fn answer<T>(&self, what: &str, result: Result<T, Error>) -> Answer<T> {
        let error = match result {
            Ok(found) => return Answer::Got(found),
            Err(error) => error,
        };
        tracing::debug!(peertube_instance = %self.origin.name, %error, "{what} could not be asked for");
        if error.is_forbidden() {
            // The role is not what it was.
            self.forget_role();
        }
        if error.is_forbidden() || error.is_unknown_route() { Answer::Off } else { Answer::Missed }
    }
}
