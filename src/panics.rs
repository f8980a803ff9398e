//! Panics, each of which is a defect: caught where work on what others gave is done,
//! told as a line of the log, and counted. Any other ends the daemon by its supervisor.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::thread;

use crate::core::text::clean;

/// A message is shown up to here.
const LONGEST: usize = 300;

static COUNT: AtomicU64 = AtomicU64::new(0);

/// Tells each panic of this process, in whatever thread, in the log instead of beside it.
pub fn tell_all() {
    set_hook(Box::new(|panic| {
        COUNT.fetch_add(1, Ordering::Relaxed);
        let place = panic.location().map(ToString::to_string);
        let thread = thread::current().name().map(str::to_owned);
        let what = words(panic.payload());
        tracing::error!(place, thread, what, "a task panicked, which is a defect of tubewarden: please report it");
    }));
}

/// How many were told.
pub fn count() -> u64 {
    COUNT.load(Ordering::Relaxed)
}

/// What a future gives, or what it panicked with. What it worked on must be dropped
/// with it, or be right after any step.
pub async fn caught<T>(future: impl Future<Output = T>) -> Result<T, String> {
    let mut future = pin!(future);
    poll_fn(|context| match caught_now(|| future.as_mut().poll(context)) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(done)) => Poll::Ready(Ok(done)),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}

/// The same of a function.
pub fn caught_now<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| words(&*panic))
}

fn words(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    clean(text.unwrap_or("no words"), LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_its_words_wherever_it_comes() {
        let soon = caught(async { panic!("at once") }).await;
        assert_eq!(soon, Err::<(), _>("at once".to_owned()));
        let later = async {
            tokio::task::yield_now().await;
            panic!("after {}\n", "a while")
        };
        assert_eq!(caught(later).await, Err::<(), _>("after a while".to_owned()));
        assert_eq!(caught(async { 5 }).await, Ok(5));
        assert_eq!(caught_now(|| 5), Ok(5));
    }
}
