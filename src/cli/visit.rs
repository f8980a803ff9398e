//! The token that a daemon keeps, for who visits an instance beside it: it is used as it
//! is, and never renewed.

use jiff::{SignedDuration, Timestamp};

use crate::config;
use crate::peertube::TokenPair;
use crate::store::Store;

/// A kept token that is good for less could expire meanwhile.
const LEAST_LEFT: SignedDuration = SignedDuration::from_secs(60);

/// The tokens that the daemon keeps, while the access token is good. They are used
/// beside a daemon too: that spends nothing.
pub(super) async fn kept_tokens(instance: &config::Instance, store: &Store) -> Option<TokenPair> {
    let username = &instance.account.as_ref()?.username;
    let origin = &instance.origin;
    let known = store.instances().await.ok()?;
    known.iter().find(|known| known.name == origin.name && known.url == origin.url)?;
    let pair = store.tokens(&origin.name, username).await.ok()??;
    let is_good = pair.access_expires_at.duration_since(Timestamp::now()) > LEAST_LEFT;
    is_good.then(|| TokenPair {
        access_token: pair.access_token,
        refresh_token: pair.refresh_token,
        access_expires_at: pair.access_expires_at,
        refresh_expires_at: pair.refresh_expires_at,
        username: pair.username,
        url: instance.url.to_string(),
    })
}
