//! What an instance tells its moderators and administrators, and the plugins that are
//! installed on it.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::accounts::Role;

/// A plugin, or a theme.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plugin {
    /// Without the `peertube-plugin-` or `peertube-theme-` of its package.
    pub name: String,
    pub is_theme: bool,
    pub version: String,
    /// The newest that the instance heard of.
    pub latest_version: Option<String>,
    pub uninstalled: bool,
    pub created_at: Timestamp,
}

/// One notification. PeerTube gives one to each account that it concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Notification {
    id: u64,
    kind: u64,
    created_at: Timestamp,
    about: Value,
}

#[derive(Debug, Default)]
pub struct News {
    plugins: Vec<Plugin>,
    notifications: Vec<Notification>,
}

const NEW_ABUSE: u64 = 3;
const NEW_PLUGIN_VERSION: u64 = 17;
const NEW_PEERTUBE_VERSION: u64 = 18;
const NEW_REGISTRATION: u64 = 20;

impl News {
    pub fn plugins(&self) -> &[Plugin] {
        &self.plugins
    }

    /// Installs a plugin or another version of it.
    pub fn install(&mut self, at: Timestamp, name: &str, version: &str) -> &mut Plugin {
        let found = self.plugins.iter().position(|plugin| plugin.name == name);
        let index = found.unwrap_or_else(|| {
            self.plugins.push(Plugin {
                name: name.to_owned(),
                is_theme: false,
                version: String::new(),
                latest_version: None,
                uninstalled: false,
                created_at: at,
            });
            self.plugins.len() - 1
        });
        let plugin = &mut self.plugins[index];
        version.clone_into(&mut plugin.version);
        plugin.uninstalled = false;
        plugin
    }

    pub fn uninstall(&mut self, name: &str) {
        if let Some(plugin) = self.plugins.iter_mut().find(|plugin| plugin.name == name) {
            plugin.uninstalled = true;
        }
    }

    /// The instance hears of another version of a plugin.
    pub fn plugin_released(&mut self, at: Timestamp, name: &str, latest: &str) {
        let Some(plugin) = self.plugins.iter_mut().find(|plugin| plugin.name == name) else { return };
        plugin.latest_version = Some(latest.to_owned());
        let about = json!({ "name": name, "type": kind(plugin), "latestVersion": latest });
        self.notify(at, NEW_PLUGIN_VERSION, "plugin", about);
    }

    /// The instance hears of another PeerTube.
    pub fn peertube_released(&mut self, at: Timestamp, latest: &str) {
        self.notify(at, NEW_PEERTUBE_VERSION, "peertube", json!({ "latestVersion": latest }));
    }

    pub(crate) fn abuse_reported(&mut self, at: Timestamp, id: u64, reporter: &str) {
        self.notify(at, NEW_ABUSE, "abuse", json!({ "id": id, "state": 1, "account": { "name": reporter } }));
    }

    pub(crate) fn registration_requested(&mut self, at: Timestamp, id: u64, username: &str) {
        self.notify(at, NEW_REGISTRATION, "registration", json!({ "id": id, "username": username }));
    }

    fn notify(&mut self, at: Timestamp, kind: u64, of: &str, about: Value) {
        let id = self.notifications.len() as u64 + 1;
        self.notifications.push(Notification { id, kind, created_at: at, about: json!({ of: about }) });
    }

    /// What an account was told, of these types or of all, the newest first or last.
    pub(crate) fn told(&self, role: Role, types: &[u64], newest_first: bool) -> Vec<&Notification> {
        let concerns = |kind| match role {
            Role::Administrator => true,
            Role::Moderator => matches!(kind, NEW_ABUSE | NEW_REGISTRATION),
            Role::User => false,
        };
        let is_asked = |told: &&Notification| types.is_empty() || types.contains(&told.kind);
        let mut told: Vec<_> = self.notifications.iter().filter(|told| concerns(told.kind)).filter(is_asked).collect();
        told.sort_by_key(|told| told.created_at);
        if newest_first {
            told.reverse();
        }
        told
    }
}

fn kind(plugin: &Plugin) -> u64 {
    if plugin.is_theme { 2 } else { 1 }
}

impl Plugin {
    pub(crate) fn row(&self) -> Value {
        json!({
            "name": self.name,
            "type": kind(self),
            "version": self.version,
            "latestVersion": self.latest_version,
            "enabled": true,
            "uninstalled": self.uninstalled,
            "peertubeEngine": ">=1.3.0",
            "description": format!("what {} is for", self.name),
            "homepage": "https://example.org/plugins",
            "settings": null,
            "createdAt": self.created_at,
            "updatedAt": self.created_at,
        })
    }
}

impl Notification {
    pub(crate) fn row(&self) -> Value {
        let mut row = json!({
            "id": self.id,
            "type": self.kind,
            "read": false,
            "createdAt": self.created_at,
            "updatedAt": self.created_at,
        });
        if let (Value::Object(row), Value::Object(about)) = (&mut row, &self.about) {
            row.extend(about.clone());
        }
        row
    }
}
