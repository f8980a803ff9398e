//! Replies gone wrong on purpose. A fault is armed for the requests it matches, for
//! ever or for the next so many; of those that match, the one armed first strikes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What goes wrong with a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// A reverse proxy's page with this status; the instance sees nothing.
    Status(u16),
    /// 429 as PeerTube says it; the instance does nothing.
    TooManyRequests { retry_after: u64 },
    /// 503 with `Retry-After`; the instance sees nothing.
    Unavailable { retry_after: u64 },
    /// A page with status 200, as a captive portal gives.
    Html,
    /// What is asked is done, but told with this status.
    DoneButStatus(u16),
    /// What is asked is done, and told late.
    Late(Duration),
    /// The JSON ends in the middle.
    CutShort,
    /// JSON, but of something else.
    WrongShape,
    /// The right body under another content type.
    ContentType(&'static str),
    /// A redirect; the instance sees nothing.
    Redirect { status: u16, to: String },
    /// JSON of so many bytes and more.
    Huge(usize),
    /// This field of the middle row of a list is of another kind than ever.
    OddRow(&'static str),
    /// Other JSON, perhaps encoded in a way that its header tells.
    Body { encoding: Option<&'static str>, body: Arc<[u8]> },
    /// The `Date` is off by so many seconds, and nothing else.
    DateOff(i64),
}

impl Fault {
    /// Whether the request still reaches the instance.
    pub(crate) fn lets_through(&self) -> bool {
        matches!(
            self,
            Self::DoneButStatus(_)
                | Self::Late(_)
                | Self::CutShort
                | Self::WrongShape
                | Self::ContentType(_)
                | Self::OddRow(_)
                | Self::DateOff(_)
        )
    }
}

/// Which requests a fault strikes. [`When::always`] is all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct When {
    path: Option<String>,
    method: Option<String>,
    grant: Option<String>,
}

impl When {
    pub fn always() -> Self {
        Self::default()
    }

    /// Paths that begin so: `/api/v1/jobs`.
    pub fn path(prefix: &str) -> Self {
        Self { path: Some(prefix.to_owned()), ..Self::default() }
    }

    /// Requests for a token by this grant: `password` or `refresh_token`.
    pub fn grant(grant: &str) -> Self {
        Self { grant: Some(grant.to_owned()), ..Self::path("/api/v1/users/token") }
    }

    pub fn method(self, method: &str) -> Self {
        Self { method: Some(method.to_owned()), ..self }
    }

    fn matches(&self, method: &str, path: &str, grant: Option<&str>) -> bool {
        self.path.as_ref().is_none_or(|prefix| path.starts_with(prefix.as_str()))
            && self.method.as_ref().is_none_or(|wanted| wanted == method)
            && self.grant.as_ref().is_none_or(|wanted| grant == Some(wanted))
    }
}

/// The faults of a face. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Faults(Arc<Mutex<Vec<Armed>>>);

#[derive(Debug)]
struct Armed {
    when: When,
    fault: Fault,
    /// `None` is for ever.
    left: Option<u32>,
}

impl Faults {
    /// From now on, until [`Faults::clear`].
    pub fn always(&self, when: When, fault: Fault) {
        self.lock().push(Armed { when, fault, left: None });
    }

    /// For the next `count` requests that match.
    pub fn next(&self, count: u32, when: When, fault: Fault) {
        self.lock().push(Armed { when, fault, left: Some(count) });
    }

    pub fn clear(&self) {
        self.lock().clear();
    }

    /// Whether all that was armed for a number of requests has struck.
    pub fn is_spent(&self) -> bool {
        self.lock().iter().all(|armed| armed.left.is_none())
    }

    pub(crate) fn strike(&self, method: &str, path: &str, grant: Option<&str>) -> Option<Fault> {
        let mut faults = self.lock();
        let position = faults.iter().position(|armed| armed.when.matches(method, path, grant))?;
        let fault = faults[position].fault.clone();
        if let Some(left) = &mut faults[position].left {
            *left = left.saturating_sub(1);
            if *left == 0 {
                faults.remove(position);
            }
        }
        Some(fault)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Armed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_strikes_as_often_as_it_is_armed_and_only_what_it_matches() {
        let faults = Faults::default();
        faults.next(2, When::grant("refresh_token"), Fault::Status(502));
        faults.always(When::path("/api/v1/jobs").method("GET"), Fault::Html);

        let token = "/api/v1/users/token";
        assert_eq!(faults.strike("POST", token, Some("password")), None);
        assert!(!faults.is_spent());
        assert_eq!(faults.strike("POST", token, Some("refresh_token")), Some(Fault::Status(502)));
        assert_eq!(faults.strike("POST", token, Some("refresh_token")), Some(Fault::Status(502)));
        assert_eq!(faults.strike("POST", token, Some("refresh_token")), None);
        assert!(faults.is_spent());

        assert_eq!(faults.strike("GET", "/api/v1/jobs/failed", None), Some(Fault::Html));
        assert_eq!(faults.strike("POST", "/api/v1/jobs/pause", None), None);
    }
}
