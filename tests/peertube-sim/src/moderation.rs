//! What the moderators of an instance have to look at: reported abuses and requested
//! registrations, with the names, addresses and reasons that are in them. Ids rise and
//! are never given again.

use jiff::Timestamp;
use serde_json::{Value, json};

/// Where a report or a request stands. PeerTube's numbers are the same for both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    Pending,
    Rejected,
    Accepted,
}

impl Standing {
    pub fn id(self) -> u64 {
        match self {
            Self::Pending => 1,
            Self::Rejected => 2,
            Self::Accepted => 3,
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Rejected => "Rejected",
            Self::Accepted => "Accepted",
        }
    }
}

/// Somebody reports a video.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAbuse {
    pub reporter: String,
    pub video: String,
    pub reason: String,
}

/// Somebody asks for an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRegistration {
    pub username: String,
    pub email: String,
    pub reason: String,
}

/// A report or a request, as long as nobody deletes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case<T> {
    pub id: u64,
    pub standing: Standing,
    pub created_at: Timestamp,
    pub processed_at: Option<Timestamp>,
    pub about: T,
}

/// All cases of one kind.
#[derive(Debug)]
pub struct Cases<T> {
    cases: Vec<Case<T>>,
    next_id: u64,
}

/// In which order a list shows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    Id,
    CreatedAt,
    State,
}

impl Sort {
    pub(crate) fn of(name: &str) -> Option<Self> {
        match name {
            "id" => Some(Self::Id),
            "createdAt" => Some(Self::CreatedAt),
            "state" => Some(Self::State),
            _ => None,
        }
    }
}

#[derive(Debug, Default)]
pub struct Moderation {
    pub abuses: Cases<NewAbuse>,
    pub registrations: Cases<NewRegistration>,
}

impl<T> Default for Cases<T> {
    fn default() -> Self {
        Self { cases: Vec::new(), next_id: 1 }
    }
}

impl<T> Cases<T> {
    pub fn add(&mut self, at: Timestamp, about: T) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.cases.push(Case { id, standing: Standing::Pending, created_at: at, processed_at: None, about });
        id
    }

    pub fn settle(&mut self, at: Timestamp, id: u64, standing: Standing) -> Option<&Case<T>> {
        let case = self.cases.iter_mut().find(|case| case.id == id)?;
        case.standing = standing;
        case.processed_at.get_or_insert(at);
        Some(case)
    }

    pub fn delete(&mut self, id: u64) {
        self.cases.retain(|case| case.id != id);
    }

    pub fn iter(&self) -> impl Iterator<Item = &Case<T>> {
        self.cases.iter()
    }

    pub fn pending(&self) -> impl Iterator<Item = &Case<T>> {
        self.iter().filter(|case| case.standing == Standing::Pending)
    }

    /// Those of the given states, or all, sorted; of those that are equal the lowest id
    /// comes first.
    pub(crate) fn list(&self, states: &[u64], sort: Sort, descending: bool) -> Vec<&Case<T>> {
        let mut cases: Vec<_> =
            self.iter().filter(|case| states.is_empty() || states.contains(&case.standing.id())).collect();
        cases.sort_by(|a, b| {
            let order = match sort {
                Sort::Id => a.id.cmp(&b.id),
                Sort::CreatedAt => a.created_at.cmp(&b.created_at),
                Sort::State => a.standing.cmp(&b.standing),
            };
            let order = if descending { order.reverse() } else { order };
            order.then(a.id.cmp(&b.id))
        });
        cases
    }

    /// All, settled ones, and how long these took on average, in milliseconds.
    pub(crate) fn stats(&self) -> (usize, usize, Option<i64>) {
        let took: Vec<_> = self
            .iter()
            .filter_map(|case| Some(case.processed_at?.duration_since(case.created_at).as_millis() as i64))
            .collect();
        let average = (!took.is_empty()).then(|| took.iter().sum::<i64>() / took.len() as i64);
        (self.cases.len(), took.len(), average)
    }
}

impl<T> Case<T> {
    fn state(&self) -> Value {
        json!({ "id": self.standing.id(), "label": self.standing.label() })
    }

    fn updated_at(&self) -> Timestamp {
        self.processed_at.unwrap_or(self.created_at)
    }
}

impl Case<NewAbuse> {
    pub(crate) fn row(&self, host: &str) -> Value {
        let actor = |kind: &str, id: u64, name: &str| {
            json!({ "url": format!("http://{host}/{kind}/{name}"), "name": name, "host": host, "avatars": [],
                    "id": id, "hostRedundancyAllowed": false, "displayName": name })
        };
        let mut channel = actor("video-channels", 1, "root_channel");
        channel["displayName"] = json!("Main root channel");
        channel["banners"] = json!([]);
        channel["description"] = Value::Null;
        channel["isLocal"] = json!(true);
        json!({
            "id": self.id,
            "reason": self.about.reason,
            "predefinedReasons": ["spamOrMisleading"],
            "flaggedAccount": actor("accounts", 2, "root"),
            "state": self.state(),
            "countMessages": 0,
            "createdAt": self.created_at,
            "updatedAt": self.updated_at(),
            "video": {
                "id": 1, "uuid": "02a73047-6d99-4d57-841b-13f33a55d34b", "name": self.about.video, "nsfw": false,
                "startAt": null, "endAt": null, "deleted": false, "blacklisted": false,
                "thumbnailPath": "/lazy-static/thumbnails/a1a06e9f-dd0c-4b6e-b304-42854da3a2ae.jpg",
                "channel": channel, "countReports": 1, "nthReport": 1,
            },
            "comment": null,
            "moderationComment": null,
            "reporterAccount": actor("accounts", 3, &self.about.reporter),
            "countReportsForReporter": 1,
            "countReportsForReportee": 1,
        })
    }
}

impl Case<NewRegistration> {
    pub(crate) fn row(&self) -> Value {
        json!({
            "id": self.id,
            "state": self.state(),
            "registrationReason": self.about.reason,
            "moderationResponse": null,
            "username": self.about.username,
            "email": self.about.email,
            "emailVerified": null,
            "accountDisplayName": null,
            "channelHandle": null,
            "channelDisplayName": null,
            "createdAt": self.created_at,
            "updatedAt": self.updated_at(),
            "user": null,
        })
    }
}
