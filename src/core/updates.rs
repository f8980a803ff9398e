//! Updates of an instance and its plugins: a version that is newer than what runs is
//! told once, and what was there at the first look is not told.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::event::{Event, EventKind, Origin};
use super::text::clean;
use super::version::is_newer;

/// Plugins beyond this many that are gone from the list are forgotten.
const MOST_PLUGINS: usize = 256;

/// A plugin or a theme that is installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plugin {
    /// The name of its package: plugins and themes can't be mistaken.
    pub package: String,
    pub version: String,
    /// The newest that the server heard of.
    pub latest: Option<String>,
}

/// What is remembered of updates.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    has_looked: bool,
    /// The newest PeerTube that the instance heard of.
    latest: Option<String>,
    has_looked_at_plugins: bool,
    /// The newest version of each that was told, or there at the first look.
    plugins: BTreeMap<String, String>,
}

/// A version to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// `None` for PeerTube itself.
    pub plugin: Option<String>,
    pub version: String,
    pub latest: String,
}

impl Memory {
    /// The instance runs `version` and was told of these. Gives what is to be told.
    pub fn heard(&mut self, version: &str, latest: &[String]) -> Option<Told> {
        let heard = latest.iter().map(|latest| clean(latest, 64));
        // What is no version at all is newer than nothing.
        let newest = heard.filter(|latest| is_newer(latest, "0.0.0-0")).fold(self.latest.clone(), |newest, latest| {
            let is_news = newest.as_deref().is_none_or(|newest| is_newer(&latest, newest));
            if is_news { Some(latest) } else { newest }
        });
        let is_news = self.has_looked && newest != self.latest;
        self.has_looked = true;
        self.latest = newest;
        let latest = self.latest.clone().filter(|latest| is_news && is_newer(latest, version))?;
        Some(Told { plugin: None, version: version.to_owned(), latest })
    }

    /// These are installed. Gives what is to be told.
    pub fn installed(&mut self, plugins: &[Plugin]) -> Vec<Told> {
        let had_looked = std::mem::replace(&mut self.has_looked_at_plugins, true);
        let mut told = Vec::new();
        for plugin in plugins {
            let Some(latest) = plugin.update() else { continue };
            let known = self.plugins.get(&plugin.package);
            if known.is_some_and(|known| !is_newer(latest, known)) {
                continue;
            }
            self.plugins.insert(plugin.package.clone(), latest.to_owned());
            if had_looked {
                told.push(Told {
                    plugin: Some(plugin.package.clone()),
                    version: plugin.version.clone(),
                    latest: latest.to_owned(),
                });
            }
        }
        if self.plugins.len() > MOST_PLUGINS {
            self.plugins.retain(|package, _| plugins.iter().any(|plugin| plugin.package == *package));
        }
        told
    }

    /// Whether there is a newer PeerTube than `version`.
    pub fn has_update(&self, version: &str) -> bool {
        self.latest.as_deref().is_some_and(|latest| is_newer(latest, version))
    }
}

impl Plugin {
    /// The version that it could be updated to.
    pub fn update(&self) -> Option<&str> {
        self.latest.as_deref().filter(|latest| is_newer(latest, &self.version))
    }
}

impl Told {
    pub fn to_event(&self, origin: &Origin, at: Timestamp) -> Event {
        let mut data = Map::new();
        if let Some(plugin) = &self.plugin {
            data.insert("plugin".to_owned(), json!(plugin));
        }
        data.insert("version".to_owned(), json!(self.version));
        data.insert("latest_version".to_owned(), Value::from(self.latest.clone()));
        let (kind, of) = match &self.plugin {
            None => (EventKind::InstanceUpdateAvailable, "peertube"),
            Some(plugin) => (EventKind::PluginUpdateAvailable, plugin.as_str()),
        };
        let what = format!("{of}/{}", self.latest);
        Event::new(origin, kind, &what, self.plugin.clone(), at, data)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn heard(memory: &mut Memory, version: &str, latest: &[&str]) -> Option<String> {
        let latest: Vec<_> = latest.iter().map(|latest| (*latest).to_owned()).collect();
        memory.heard(version, &latest).map(|told| told.latest)
    }

    fn plugin(package: &str, version: &str, latest: &str) -> Plugin {
        Plugin { package: package.into(), version: version.into(), latest: Some(latest.into()) }
    }

    #[test]
    fn a_new_version_is_told_once_and_not_when_it_runs_already() {
        let mut memory = Memory::default();
        assert_eq!(heard(&mut memory, "8.2.1", &[]), None);
        assert_eq!(heard(&mut memory, "8.2.1", &["8.3.0"]), Some("8.3.0".into()));
        assert!(memory.has_update("8.2.1") && !memory.has_update("8.3.0"));
        assert_eq!(heard(&mut memory, "8.2.1", &["8.3.0", "8.2.1"]), None);
        assert_eq!(heard(&mut memory, "8.4.0", &["8.4.0"]), None, "updated before it was heard of");
        assert_eq!(heard(&mut memory, "8.4.0", &["8.5.0-rc.1", "8.4.1"]), Some("8.5.0-rc.1".into()));
        assert_eq!(heard(&mut memory, "8.4.0", &["nonsense", ""]), None);
        assert!(memory.has_update("8.4.0"), "what was heard once is not forgotten");
    }

    #[test]
    fn what_was_there_at_the_first_look_is_shown_and_not_told() {
        let mut memory = Memory::default();
        assert_eq!(heard(&mut memory, "8.2.1", &["8.3.0"]), None);
        assert!(memory.has_update("8.2.1"));
        assert_eq!(heard(&mut memory, "8.2.1", &["8.3.0"]), None);
        assert_eq!(memory.installed(&[plugin("peertube-plugin-a", "1.0.0", "1.1.0")]), []);
        assert_eq!(memory.installed(&[plugin("peertube-plugin-a", "1.0.0", "1.1.0")]), []);
    }

    #[test]
    fn each_version_of_each_plugin_is_told_once() {
        let mut memory = Memory::default();
        memory.installed(&[plugin("peertube-plugin-a", "1.0.0", "1.0.0")]);
        let outdated = plugin("peertube-plugin-a", "1.0.0", "1.1.0");
        let theme = plugin("peertube-theme-a", "0.1.0", "0.2.0");
        assert_eq!(memory.installed(&[outdated.clone(), theme.clone()]).len(), 2);
        assert_eq!(memory.installed(&[outdated.clone(), theme]), []);
        assert_eq!(memory.installed(&[]), [], "it is taken away and comes back");
        assert_eq!(memory.installed(&[outdated]), []);
        let told = memory.installed(&[plugin("peertube-plugin-a", "1.1.0", "1.2.0")]);
        assert_eq!((told[0].version.as_str(), told[0].latest.as_str()), ("1.1.0", "1.2.0"));
        assert_eq!(memory.installed(&[Plugin { latest: None, ..plugin("peertube-plugin-b", "1.0.0", "") }]), []);
    }

    proptest! {
        #[test]
        fn no_version_is_told_twice(versions in prop::collection::vec((0..4_u8, 0..4_u8, 0..3_u8), 1..30)) {
            let mut memory = Memory::default();
            let mut told = Vec::new();
            for (minor, latest, plugin_latest) in versions {
                let latest = format!("1.{latest}.0");
                told.extend(memory.heard(&format!("1.{minor}.0"), &[latest]));
                let plugin = plugin("peertube-plugin-a", "0.0.1", &format!("1.{plugin_latest}.0"));
                told.extend(memory.installed(&[plugin]));
                let text = serde_json::to_string(&memory).unwrap();
                prop_assert_eq!(&serde_json::from_str::<Memory>(&text).unwrap(), &memory);
            }
            let mut news: Vec<_> = told.iter().map(|told| (&told.plugin, &told.latest)).collect();
            news.sort();
            news.dedup();
            prop_assert_eq!(news.len(), told.len());
        }
    }
}
