//! What came of a request is written until the store takes it: a disk that is full for an hour must not cost what was done
//! before.

use super::Runs;
use ripost_domain::id::RequestId;
use ripost_store::{StoreError, WriteError};
use std::pin::Pin;
use std::time::Duration;

/// Tries where somebody waits for an answer, and where it is the operation that fails and not the surroundings.
const TRIES: u32 = 8;
const FIRST_WAIT: Duration = Duration::from_millis(100);
const WAIT_MAX: Duration = Duration::from_secs(5);

/// One try, as the store gives it.
pub(super) type Writing<'a, T> = Pin<Box<dyn Future<Output = Result<T, WriteError>> + Send + 'a>>;

/// For how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Insist {
    /// Until it is written, or the host stops: nobody else knows it.
    UntilWritten,
    /// Once: whoever asked is told, and can ask again.
    Once,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// It is durable.
    Yes,
    /// Another end or another run was first.
    Fenced,
    /// The next start finds the request as it was.
    Not,
}

impl Runs {
    /// Writes something of a request. The first failure is logged, with what it means for the request.
    pub(super) async fn insist<'a, T>(
        &self,
        id: RequestId,
        insist: Insist,
        write: impl Fn() -> Writing<'a, T>,
    ) -> Written {
        let mut wait = FIRST_WAIT;
        for attempt in 1_u32.. {
            let error = match write().await {
                Ok(_) => return Written::Yes,
                Err(WriteError::Fenced) => return Written::Fenced,
                Err(WriteError::Store(StoreError::Closed)) => return Written::Not,
                Err(WriteError::Store(error)) => error,
            };
            let passes = matches!(error, StoreError::CommitFailed(_) | StoreError::Busy);
            let is_over = self.needs.stopping.is_cancelled() || insist == Insist::Once || !passes && attempt >= TRIES;
            if is_over {
                tracing::error!(request.id = %id, attempt, %error, "What came of a request could not be written; the next start finds it as it was");
                return Written::Not;
            }
            if attempt == 1 {
                tracing::error!(request.id = %id, %error, "What came of a request could not be written; it is tried again until it is");
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.needs.stopping.cancelled() => {}
            }
            wait = (wait * 2).min(WAIT_MAX);
        }
        Written::Not
    }
}
