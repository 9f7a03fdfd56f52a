//! How much of everything there may be at once: requests, bytes of bodies, event streams. A permit travels with what it
//! was given for.

use std::sync::Arc;

use gristmill_schemas::{Refusal, RefusalCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::LimitArgs;

/// The bounds of this process. Clones share them.
#[derive(Debug, Clone)]
pub struct Admission {
    requests: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    bulks: Arc<Semaphore>,
}

impl Admission {
    /// Bounds as configured.
    #[must_use]
    pub fn new(limits: &LimitArgs) -> Self {
        let semaphore = |permits| Arc::new(Semaphore::new(permits));
        Self {
            requests: semaphore(limits.max_requests),
            bytes: semaphore(limits.max_held_bytes),
            streams: semaphore(limits.max_event_streams),
            bulks: semaphore(limits.max_bulk_requests),
        }
    }

    /// Lets one request in.
    ///
    /// # Errors
    /// `overloaded`.
    pub fn request(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        take(&self.requests, 1, "too many requests are in progress")
    }

    /// Lets one event stream be opened.
    ///
    /// # Errors
    /// `overloaded`.
    pub fn event_stream(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        take(&self.streams, 1, "too many event streams are open")
    }

    /// Lets one bulk request in.
    ///
    /// # Errors
    /// `overloaded`.
    pub fn bulk(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        take(&self.bulks, 1, "too many bulk requests are in progress")
    }

    /// Begins to hold a body.
    #[must_use]
    pub fn body(&self) -> Held {
        Held::of(&self.bytes)
    }
}

fn take(semaphore: &Arc<Semaphore>, permits: u32, detail: &str) -> Result<OwnedSemaphorePermit, Refusal> {
    let permit = Arc::clone(semaphore).try_acquire_many_owned(permits);
    permit.map_err(|_| Refusal::new(RefusalCode::Overloaded, detail))
}

/// The bytes of one body, given back when it is dropped.
#[derive(Debug)]
pub struct Held {
    bytes: Arc<Semaphore>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Held {
    /// Nothing yet, of this room.
    pub(crate) fn of(bytes: &Arc<Semaphore>) -> Self {
        Self {
            bytes: Arc::clone(bytes),
            permit: None,
        }
    }

    /// Holds more bytes.
    ///
    /// # Errors
    /// `overloaded`; what is held already stays held until the drop.
    pub fn grow(&mut self, by: usize) -> Result<(), Refusal> {
        let by = u32::try_from(by).unwrap_or(u32::MAX);
        let more = take(&self.bytes, by, "the bodies of requests in progress fill their room")?;
        match &mut self.permit {
            Some(permit) => permit.merge(more),
            None => self.permit = Some(more),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_refused_when_full_and_given_back_with_the_body() {
        let bytes = Arc::new(Semaphore::new(10));
        let (mut first, mut second) = (Held::of(&bytes), Held::of(&bytes));
        first.grow(4).unwrap();
        first.grow(4).unwrap();
        assert_eq!(second.grow(3).unwrap_err().code, RefusalCode::Overloaded);
        drop(first);
        second.grow(10).unwrap();
    }
}
