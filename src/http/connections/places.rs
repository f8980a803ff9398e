//! Who is connected, and who has to go when all places are taken: who was not heard of
//! for the longest, so that slow clients can only keep each other away. Each has a moment
//! of his own at first, so that a crowd that comes at once is let in by turns.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::AbortHandle;

/// How many there may be, and for how long nobody has to go.
#[derive(Debug, Clone, Copy)]
pub(in crate::http) struct Bounds {
    pub(in crate::http) most: usize,
    /// An answer that nobody takes keeps its whole length in memory.
    pub(in crate::http) most_answers: usize,
    /// To say what one wants.
    pub(in crate::http) moment: Duration,
    /// To take the answer, on top of that.
    pub(in crate::http) answer: Duration,
}

/// All places.
#[derive(Debug)]
pub(super) struct Places {
    bounds: Bounds,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    next: u64,
    taken: BTreeMap<u64, Entry>,
}

#[derive(Debug)]
struct Entry {
    /// The last whole request, the end of its answer, or the beginning.
    heard: Instant,
    answered: bool,
    /// Absent until the connection is served.
    task: Option<AbortHandle>,
}

impl Entry {
    /// From when on it may be ended.
    fn due(&self, bounds: &Bounds) -> Instant {
        let answer = if self.answered { Duration::ZERO } else { bounds.answer };
        self.heard + bounds.moment + answer
    }
}

impl Places {
    pub(super) fn new(bounds: Bounds) -> Arc<Self> {
        Arc::new(Self { bounds, book: Mutex::default() })
    }

    /// When the next can be let in, if not now.
    pub(super) fn full_until(&self) -> Option<Instant> {
        let book = self.book();
        let full = book.taken.len() >= self.bounds.most;
        let first = book.taken.values().map(|entry| entry.due(&self.bounds)).min().filter(|_| full)?;
        (first > Instant::now()).then_some(first)
    }

    /// A place for who has just come, and whether somebody had to go for that.
    pub(super) fn enter(self: &Arc<Self>) -> (Seat, bool) {
        let mut book = self.book();
        let full = book.taken.len() >= self.bounds.most;
        if full {
            book.end_first(&self.bounds, |_| true);
        }
        let id = book.next;
        book.next += 1;
        book.taken.insert(id, Entry { heard: Instant::now(), answered: true, task: None });
        (Seat { id, places: Arc::clone(self), state: AtomicU8::new(WAITING) }, full)
    }

    /// Names the task that ends when the place is taken from it.
    pub(super) fn serve(&self, id: u64, task: AbortHandle) {
        if let Some(entry) = self.book().taken.get_mut(&id) {
            entry.task = Some(task);
        }
    }

    /// Ends who was not heard of for the longest.
    pub(super) fn end_one(&self) {
        self.book().end_first(&self.bounds, |_| true);
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    /// Ends the first that is due of some.
    fn end_first(&mut self, bounds: &Bounds, of: impl Fn(&Entry) -> bool) {
        let candidates = self.taken.iter().filter(|(_, entry)| entry.task.is_some() && of(entry));
        let first = candidates.min_by_key(|(_, entry)| entry.due(bounds)).map(|(id, _)| *id);
        if let Some(Entry { task: Some(task), .. }) = first.and_then(|first| self.taken.remove(&first)) {
            task.abort();
        }
    }

    fn heard(&mut self, id: u64, answered: bool) {
        if let Some(entry) = self.taken.get_mut(&id) {
            entry.heard = Instant::now();
            entry.answered = answered;
        }
    }
}

const WAITING: u8 = 0;
const ANSWERING: u8 = 1;
const SENDING: u8 = 2;

/// One place, left when this is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    id: u64,
    places: Arc<Places>,
    state: AtomicU8,
}

impl Seat {
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// A whole request has come.
    pub(super) fn asked(&self) {
        self.state.store(ANSWERING, Ordering::Release);
        let mut book = self.places.book();
        let (bounds, now) = (&self.places.bounds, Instant::now());
        if book.taken.values().filter(|entry| !entry.answered).count() >= bounds.most_answers {
            book.end_first(bounds, |entry| !entry.answered && entry.due(bounds) <= now);
        }
        book.heard(self.id, false);
    }

    /// The whole answer is ready to be sent.
    pub(super) fn answered(&self) {
        self.state.store(SENDING, Ordering::Release);
    }

    /// All that was ready to be sent is sent.
    pub(super) fn sent(&self) {
        let was = self.state.compare_exchange(SENDING, WAITING, Ordering::AcqRel, Ordering::Acquire);
        if was.is_ok() {
            self.places.book().heard(self.id, true);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.places.book().taken.remove(&self.id);
    }
}
