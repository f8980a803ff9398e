//! What the listener asks to read the configuration anew.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

type Done = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// Shared by all requests.
#[derive(Clone)]
pub struct Reload(Arc<dyn Fn() -> Done + Send + Sync>);

impl Reload {
    /// Each call reads it; an error says why what ran goes on.
    pub fn new<F>(reload: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        Self(Arc::new(move || Box::pin(reload())))
    }

    pub(super) async fn reload(&self) -> Result<(), String> {
        (self.0)().await
    }
}

impl fmt::Debug for Reload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reload")
    }
}
