//! The one writer: a thread that takes all that waits into one commit.
//!
//! There is no waiting window: what queues up while a commit runs is the next group. Operations run without
//! savepoints, which cost a quarter of the speed; only when one fails is its group rolled back and redone with them.

use super::ledger::Accounts;
use super::refusing::{Refusing, cause_of};
use crate::failpoint;
use crate::store::StoreError;
use rusqlite::{Connection, ErrorCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use tokio::sync::{mpsc, oneshot};

/// What an operation works with.
pub(super) struct Work<'c> {
    pub(super) connection: &'c Connection,
    pub(super) accounts: &'c mut Accounts,
}

/// The failpoints of an operation: before and after the commit that it is in.
pub(super) type Points = Option<(&'static str, &'static str)>;

/// What the writer does for somebody; may run twice, because its group may be redone.
trait Operation: Send {
    fn run(&mut self, work: &mut Work<'_>) -> rusqlite::Result<()>;
    fn points(&self) -> Points;
    fn reply(self: Box<Self>, committed: Result<(), StoreError>);
}

struct Op<F, T> {
    run: F,
    points: Points,
    outcome: Option<T>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<F, T> Operation for Op<F, T>
where
    F: FnMut(&mut Work<'_>) -> rusqlite::Result<T> + Send,
    T: Send,
{
    fn run(&mut self, work: &mut Work<'_>) -> rusqlite::Result<()> {
        self.outcome = Some((self.run)(work)?);
        Ok(())
    }

    fn points(&self) -> Points {
        self.points
    }

    fn reply(self: Box<Self>, committed: Result<(), StoreError>) {
        let Self { outcome, reply, .. } = *self;
        // Whoever asked may be gone; what was committed stays.
        let _ = reply.send(committed.and_then(|()| outcome.ok_or(StoreError::Closed)));
    }
}

/// Counts of what was committed.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) commits: AtomicU64,
    pub(super) operations: AtomicU64,
}

/// Called once when the disk has failed.
pub(super) type Fatal = Arc<dyn Fn(String) + Send + Sync>;

/// The way to the writer.
pub(super) struct Writer {
    queue: std::sync::RwLock<Option<mpsc::Sender<Box<dyn Operation>>>>,
    thread: std::sync::Mutex<Option<JoinHandle<()>>>,
    pub(super) counts: Arc<Counts>,
}

/// How long somebody is willing to wait for room in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// Not at all: a full queue is [`StoreError::Busy`].
    None,
    /// What was accepted must end: it waits.
    Endless,
}

impl Writer {
    pub(super) fn start(
        connection: Connection,
        queue_max: usize,
        group_max: usize,
        fatal: Fatal,
        refusing: Refusing,
    ) -> std::io::Result<Self> {
        let (sender, receiver) = mpsc::channel(queue_max);
        let counts = Arc::new(Counts::default());
        let mut groups = Groups { connection, accounts: Accounts::default(), counts: counts.clone(), fatal, refusing };
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || groups.serve(receiver, group_max))?;
        Ok(Self { queue: std::sync::RwLock::new(Some(sender)), thread: std::sync::Mutex::new(Some(thread)), counts })
    }

    fn sender(&self) -> Option<mpsc::Sender<Box<dyn Operation>>> {
        self.queue.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Waiting for the writer now.
    pub(super) fn queued(&self) -> u64 {
        self.sender().map_or(0, |queue| (queue.max_capacity() - queue.capacity()) as u64)
    }

    /// Runs `run` in the next group and returns its outcome after the commit.
    pub(super) async fn write<T, F>(&self, patience: Patience, points: Points, run: F) -> Result<T, StoreError>
    where
        F: FnMut(&mut Work<'_>) -> rusqlite::Result<T> + Send + 'static,
        T: Send + 'static,
    {
        let queue = self.sender().ok_or(StoreError::Closed)?;
        let (reply, answer) = oneshot::channel();
        let operation: Box<dyn Operation> = Box::new(Op { run, points, outcome: None, reply });
        match patience {
            Patience::None => queue.try_send(operation).map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => StoreError::Busy,
                mpsc::error::TrySendError::Closed(_) => StoreError::Closed,
            })?,
            Patience::Endless => queue.send(operation).await.map_err(|_| StoreError::Closed)?,
        }
        drop(queue);
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Finishes what is queued and ends the thread. Blocks.
    pub(super) fn stop(&self) {
        drop(self.queue.write().unwrap_or_else(std::sync::PoisonError::into_inner).take());
        let thread = self.thread.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A writer that panicked has answered nobody it should not have.
            let _ = thread.join();
        }
    }
}

struct Groups {
    connection: Connection,
    accounts: Accounts,
    counts: Arc<Counts>,
    fatal: Fatal,
    refusing: Refusing,
}

impl Groups {
    fn serve(&mut self, mut receiver: mpsc::Receiver<Box<dyn Operation>>, group_max: usize) {
        let mut group = Vec::with_capacity(group_max);
        while let Some(first) = receiver.blocking_recv() {
            group.push(first);
            while group.len() < group_max
                && let Ok(next) = receiver.try_recv()
            {
                group.push(next);
            }
            self.commit(&mut group);
        }
    }

    fn commit(&mut self, group: &mut Vec<Box<dyn Operation>>) {
        let verdicts = match self.write(group) {
            Ok(verdicts) => verdicts,
            Err(error) => {
                // Whatever is open is undone; if nothing is, there is nothing to undo.
                let _ = self.connection.execute_batch("ROLLBACK");
                self.accounts.forget();
                self.look_for_a_failed_disk(&error);
                self.refusing.note_sql(&error);
                let failed = StoreError::CommitFailed(error.to_string());
                group.drain(..).for_each(|operation| operation.reply(Err(failed.clone())));
                return;
            }
        };
        self.counts.commits.fetch_add(1, Ordering::Relaxed);
        self.counts.operations.fetch_add(group.len() as u64, Ordering::Relaxed);
        let afters = group.iter().filter_map(|operation| operation.points());
        afters.for_each(|(_, after)| failpoint::hit(after));
        for (operation, verdict) in group.drain(..).zip(verdicts) {
            operation.reply(verdict);
        }
    }

    /// One transaction for the whole group; the verdict of each operation.
    fn write(&mut self, group: &mut [Box<dyn Operation>]) -> rusqlite::Result<Vec<Result<(), StoreError>>> {
        if group.iter().any(|operation| operation.points().is_some_and(|(before, _)| before == "accept.before_commit"))
        {
            failpoint::hit("accept.before_transaction");
        }
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        let mut work = Work { connection: &self.connection, accounts: &mut self.accounts };
        let failed = group.iter_mut().find_map(|operation| operation.run(&mut work).err());
        let verdicts = match failed {
            // A full disk makes SQLite roll back by itself: there is nothing to go on with, and this is the cause.
            Some(error) if self.connection.is_autocommit() => return Err(error),
            Some(_) => {
                self.connection.execute_batch("ROLLBACK; BEGIN IMMEDIATE")?;
                self.accounts.forget();
                self.write_one_by_one(group)?
            }
            None => group.iter().map(|_| Ok(())).collect(),
        };
        let befores = group.iter().filter_map(|operation| operation.points());
        befores.for_each(|(before, _)| failpoint::hit(before));
        self.connection.execute_batch("COMMIT")?;
        Ok(verdicts)
    }

    /// With a savepoint each, so that one bad operation sinks nobody else's.
    fn write_one_by_one(&mut self, group: &mut [Box<dyn Operation>]) -> rusqlite::Result<Vec<Result<(), StoreError>>> {
        let mut verdicts = Vec::with_capacity(group.len());
        for operation in group {
            self.connection.execute_batch("SAVEPOINT operation")?;
            let mut work = Work { connection: &self.connection, accounts: &mut self.accounts };
            match operation.run(&mut work) {
                Ok(()) => {
                    self.connection.execute_batch("RELEASE operation")?;
                    verdicts.push(Ok(()));
                }
                Err(error) if is_failed_disk(&error) || self.connection.is_autocommit() => return Err(error),
                Err(error) => {
                    self.connection.execute_batch("ROLLBACK TO operation; RELEASE operation")?;
                    self.accounts.forget();
                    verdicts.push(Err(match cause_of(&error) {
                        Some(_) => {
                            self.refusing.note_sql(&error);
                            StoreError::CommitFailed(error.to_string())
                        }
                        None => StoreError::Sql(error.to_string()),
                    }));
                }
            }
        }
        Ok(verdicts)
    }

    fn look_for_a_failed_disk(&self, error: &rusqlite::Error) {
        if is_failed_disk(error) {
            (self.fatal)(error.to_string());
        }
    }
}

/// After one of these nothing can be said about what is on the disk. A full disk is not among them: it refuses cleanly.
fn is_failed_disk(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::SystemIoFailure | ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
    )
}
