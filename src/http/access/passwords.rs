//! Users and their passwords. A look at a hash takes a tenth of a second or more, on
//! purpose: a few are made at a time, and a password that was right is known again
//! without. A user who is not there takes as long as a wrong password.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

/// Looks at hashes that are made at a time.
const AT_A_TIME: usize = 2;
/// Who may wait for one: a second or two. With more, one that is right would come too
/// late for a scrape.
const WAITING: usize = 8;

/// Of nobody; what it is the hash of is not known.
const NOBODY: &str = "$2b$12$tubewardentubewardentutubewardentubewardentubewardenu";

/// What is to be thought of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Right,
    Wrong,
    /// Shows nothing.
    Absent,
    /// Can't be looked at now.
    Busy,
}

pub(super) struct Passwords {
    hashes: BTreeMap<String, SecretString>,
    /// Has the cost of the others.
    nobody: SecretString,
    /// The last password of each user that was right, as a digest under a key that only
    /// this process ever has.
    right: Mutex<BTreeMap<String, Seal>>,
    key: [u8; 64],
    working: Arc<Semaphore>,
    waiting: Semaphore,
}

type Seal = [u8; 32];

impl Passwords {
    pub(super) fn new(hashes: &BTreeMap<String, SecretString>) -> Self {
        // The cost stands between the second and the third dollar.
        let costs = hashes.values().filter_map(|hash| hash.expose_secret().get(4..6)).max();
        let nobody = NOBODY.replacen("12", costs.unwrap_or("12"), 1);
        Self {
            hashes: hashes.clone(),
            nobody: nobody.into(),
            right: Mutex::default(),
            key: random(),
            working: Arc::new(Semaphore::new(AT_A_TIME)),
            waiting: Semaphore::new(AT_A_TIME + WAITING),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    pub(super) async fn check(&self, user: &str, password: SecretString) -> Verdict {
        let seal = self.seal(user, &password);
        if self.is_known(user, &seal) {
            return Verdict::Right;
        }
        let Ok(_place) = self.waiting.try_acquire() else { return Verdict::Busy };
        let Ok(work) = self.working.clone().acquire_owned().await else { return Verdict::Busy };
        let hash = self.hashes.get(user).unwrap_or(&self.nobody).clone();
        let look = spawn_blocking(move || {
            // Held to the end, also if the client has gone meanwhile.
            let _work = work;
            bcrypt::verify(password.expose_secret(), hash.expose_secret()).unwrap_or(false)
        });
        let Ok(is_right) = look.await else { return Verdict::Busy };
        if !is_right || !self.hashes.contains_key(user) {
            return Verdict::Wrong;
        }
        self.right.lock().unwrap_or_else(PoisonError::into_inner).insert(user.to_owned(), seal);
        Verdict::Right
    }

    fn is_known(&self, user: &str, seal: &Seal) -> bool {
        let right = self.right.lock().unwrap_or_else(PoisonError::into_inner);
        right.get(user).is_some_and(|known| known.ct_eq(seal).into())
    }

    fn seal(&self, user: &str, password: &SecretString) -> Seal {
        let mut mac = Hmac::<Sha256>::new(&self.key.into());
        mac.update(user.as_bytes());
        // No user has a colon.
        mac.update(b":");
        mac.update(password.expose_secret().as_bytes());
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passwords").field("users", &self.hashes.len()).finish_non_exhaustive()
    }
}

fn random() -> [u8; 64] {
    let mut key = [0; 64];
    // A system without randomness: what is sealed never leaves the process anyway.
    if rustls::crypto::ring::default_provider().secure_random.fill(&mut key).is_err() {
        fastrand::fill(&mut key);
    }
    key
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use super::*;

    #[test]
    fn nobody_is_looked_at_as_anybody_else_is() {
        let of = |cost: &str| NOBODY.replacen("12", cost, 1);
        let cost = |hash: &str| bcrypt::HashParts::from_str(hash).unwrap().get_cost();
        assert_eq!(cost(NOBODY), 12);
        assert!(!bcrypt::verify("", &of("04")).unwrap());
        let hashes = [("a", of("10")), ("b", of("13"))].map(|(user, hash)| (user.to_owned(), hash.into()));
        assert_eq!(cost(Passwords::new(&hashes.into()).nobody.expose_secret()), 13);
    }
}
