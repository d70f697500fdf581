//! How many streams may be open: each holds a connection.

use crate::problem::{Kind, Problem};
use ripost_domain::id::ConsumerId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The open streams.
pub struct Streams {
    max: usize,
    per_consumer: usize,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    all: usize,
    by_consumer: HashMap<ConsumerId, usize>,
}

/// The place of one stream; gives itself back.
pub struct Place {
    streams: Arc<Streams>,
    consumer: ConsumerId,
}

impl Streams {
    /// None is open.
    #[must_use]
    pub fn new(max: usize, per_consumer: usize) -> Arc<Self> {
        Arc::new(Self { max, per_consumer, open: Mutex::default() })
    }

    /// A place, if there is one.
    ///
    /// # Errors
    /// The consumer has its share (429), or all are taken (503).
    pub fn enter(self: &Arc<Self>, consumer: ConsumerId) -> Result<Place, Problem> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.all >= self.max {
            let detail = "No more streams of events can be opened now. Ask with GET /requests/{id} and `Prefer: wait=30`, or come back later.";
            return Err(Problem::new(Kind::Overloaded, detail).retry_after(Duration::from_secs(5)));
        }
        let mine = open.by_consumer.entry(consumer).or_default();
        if *mine >= self.per_consumer {
            let detail = format!(
                "{} streams of events are open with your keys, which is the most. Close one, or ask with GET /requests/{{id}}.",
                self.per_consumer
            );
            return Err(Problem::new(Kind::TooManyStreams, detail).retry_after(Duration::from_secs(5)));
        }
        *mine += 1;
        open.all += 1;
        Ok(Place { streams: self.clone(), consumer })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.streams.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.all -= 1;
        if let Some(mine) = open.by_consumer.get_mut(&self.consumer) {
            *mine -= 1;
            if *mine == 0 {
                open.by_consumer.remove(&self.consumer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ripost_domain::time::Timestamp;

    #[test]
    fn a_consumer_has_its_share_of_the_places_and_gives_them_back() {
        let consumer = |byte| ConsumerId::new(Timestamp::from_millis(1), [byte; 10]);
        let streams = Streams::new(3, 2);
        let first = streams.enter(consumer(1)).ok().unwrap();
        let _second = streams.enter(consumer(1)).ok().unwrap();
        assert!(streams.enter(consumer(1)).err().unwrap().is(Kind::TooManyStreams));
        let _other = streams.enter(consumer(2)).ok().unwrap();
        assert!(streams.enter(consumer(3)).err().unwrap().is(Kind::Overloaded));
        drop(first);
        let third = streams.enter(consumer(1)).ok().unwrap();
        drop((_second, _other, third));
        let open = streams.open.lock().unwrap();
        assert!(open.all == 0 && open.by_consumer.is_empty());
    }
}
