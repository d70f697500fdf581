//! The store on SQLite: one file, one writer thread that groups, readers beside it.

mod access;
mod adjustments;
mod audit;
pub use audit::{Audit, AuditError, Books, audit_folder};
mod begun;
mod beside;
mod callbacks;
mod checkpoint;
mod claim;
mod consumers;
mod deliveries;
mod files;
mod journal;
mod keys;
mod kv;
mod ledger;
mod limits;
mod listing;
mod log;
mod owner_secrets;
mod pinned;
mod readers;
mod reads;
mod redeliveries;
mod refusing;
mod requests;
mod retention;
mod rows;
mod runs;
mod schema;
mod seal;
mod secrets;
mod tokens;
mod undelivered;
mod unmade;
mod writer;

pub use beside::Beside;

use crate::failpoint;
use crate::store::{
    Accept, AcceptError, Accepted, AddKey, AddedKey, Adjust, Adjusted, AwaitCallback, Balances, BegunRun, Callback,
    Cause, ClaimedDeliveries, ClaimedRun, Consumer, ConsumerLimits, ConsumerSummary, DeliveryClaim, DeliveryLog,
    Direct, DisabledUrl, DiskUsage, EndKey, EndedKey, Erased, Failures, Finish, Finished, JournalEntries, JournalWrite,
    KeySummary, KvEntry, KvPage, KvUsage, KvWrite, KvWritten, MakePayload, Mark, NewConsumer, NewDelivery, OldPage,
    OldRequests, OpenError, Part, PausedApi, Payload, PinnedRun, Record, Recovered, Redeliver, Redelivered, Refusal,
    Repin, RequestFilter, RequestInput, RequestPage, RequestRecord, Resealed, Reservation, ResultMeta, RotateSecret,
    Rotated, RunAgain, RunClaim, RunReceipt, Sealed, SealedOwnerSecret, SealedSample, SealedSecrets, Stats,
    StepReceipt, Store, StoreError, StoredBody, StoredResult, StoredUnmade, Subscription, Token, Undeliverable,
    Undelivered, UndeliveredFilter, UnfinishedCount, Violation, WriteError,
};
use async_trait::async_trait;
use bytes::Bytes;
use camino::{Utf8Path, Utf8PathBuf};
use files::Kind;
use readers::Readers;
use refusing::Refusing;
use ripost_domain::api::{ApiName, Digest, Name};
use ripost_domain::delivery::LaneId;
use ripost_domain::id::{ConsumerId, RequestId};
use ripost_domain::ledger::Account;
use ripost_domain::money::Amount;
use ripost_domain::time::Timestamp;
use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::sync::{Arc, Mutex, PoisonError};
use writer::{Fatal, Patience, Writer};

const DATABASE_FILE: &str = "ripost.sqlite3";
const LOCK_FILE: &str = "lock";
const FINISHING: usize = 64;
/// The event of a request's end.
const COMPLETED: &str = "completed";

/// How a store on SQLite is opened.
#[derive(Debug, Clone)]
pub struct SqliteConfig {
    /// The data folder; made (0700) if it is not there.
    pub folder: Utf8PathBuf,
    /// Operations that may wait for the writer. Default 4096.
    pub queue_max: usize,
    /// Operations of one commit. Default 512.
    pub group_max: usize,
    /// Connections that read. Default 4.
    pub readers: usize,
    /// Bodies above this many bytes are files. Default 64 KiB.
    pub inline_max: usize,
}

impl SqliteConfig {
    /// The defaults on this folder.
    #[must_use]
    pub const fn new(folder: Utf8PathBuf) -> Self {
        Self { folder, queue_max: 4096, group_max: 512, readers: 4, inline_max: 64 << 10 }
    }
}

/// The store of one process on one data folder.
pub struct SqliteStore {
    folder: Utf8PathBuf,
    inline_max: usize,
    writer: Arc<Writer>,
    checkpoints: Arc<checkpoint::Checkpoints>,
    readers: Readers,
    files_bytes: files::FilesBytes,
    begun: begun::Register,
    refusing: Refusing,
    /// Whose turn was the last to have requests claimed.
    served: Mutex<Option<Name>>,
    /// Held while a payload is made that could not be made before.
    making: tokio::sync::Mutex<()>,
    /// Held by requests' ends with large bodies; this many keep different requests apart.
    finishing: [tokio::sync::Mutex<()>; FINISHING],
    /// Held for as long as the store lives.
    _lock: File,
}

impl SqliteStore {
    /// Opens the folder and starts the threads. Blocks. `fatal` is called when the disk has failed: an answer that is
    /// given after that could not be trusted, so the process must end.
    ///
    /// # Errors
    /// [`OpenError`]; data of a newer version is left as it is.
    pub fn open(config: SqliteConfig, fatal: Fatal) -> Result<Self, OpenError> {
        let lock = take_folder(&config.folder)?;
        let path = config.folder.join(DATABASE_FILE);
        let refusing = Refusing::default();
        let begun = begun::Register::open(&config.folder, refusing.clone());
        let begun = begun.map_err(|error| not_writable(&config.folder, error))?;
        check_log(&path, &begun)?;
        let connection = schema::open_writer(&path)?;
        let readers = Readers::open(&path, config.readers)?;
        let writer = Writer::start(connection, config.queue_max, config.group_max, fatal, refusing.clone())
            .map_err(|error| OpenError::Database { path: path.to_string(), message: error.to_string() })?;
        let checkpoints = checkpoint::Checkpoints::start(&path, writer.counts.clone())?;
        let files_bytes = files::FilesBytes::count(&config.folder);
        Ok(Self {
            folder: config.folder,
            inline_max: config.inline_max,
            writer: Arc::new(writer),
            checkpoints: Arc::new(checkpoints),
            readers,
            files_bytes,
            begun,
            refusing,
            served: Mutex::default(),
            making: tokio::sync::Mutex::default(),
            finishing: std::array::from_fn(|_| tokio::sync::Mutex::default()),
            _lock: lock,
        })
    }

    /// Whether this end may still be its request's.
    async fn is_of_current(&self, finish: &Finish) -> Result<bool, StoreError> {
        let (id, epoch, from) = (finish.id, finish.epoch, finish.from);
        self.readers.read(move |connection| requests::is_current(connection, id, epoch, from)).await
    }

    /// Counted with the writing: whoever hangs up meanwhile leaves a file that the sweep takes off again.
    async fn write_large(&self, finish: &Arc<Finish>) -> Result<(), StoreError> {
        let (folder, large, kept) = (self.folder.clone(), finish.clone(), self.files_bytes.clone());
        let (inline_max, refusing) = (self.inline_max, self.refusing.clone());
        let write = move || files::write_large(&folder, &large, inline_max, &kept, &refusing);
        tokio::task::spawn_blocking(write).await.map_err(|_| StoreError::Closed)?
    }

    async fn file(&self, id: RequestId, kind: Kind) -> Result<bytes::Bytes, StoreError> {
        let folder = self.folder.clone();
        tokio::task::spawn_blocking(move || files::read(&folder, id, kind)).await.map_err(|_| StoreError::Closed)?
    }

    async fn open_file(&self, id: RequestId, kind: Kind) -> Result<StoredBody, StoreError> {
        let folder = self.folder.clone();
        tokio::task::spawn_blocking(move || files::open(&folder, id, kind)).await.map_err(|_| StoreError::Closed)?
    }
}

fn not_writable(path: &Utf8Path, source: std::io::Error) -> OpenError {
    OpenError::NotWritable { path: path.to_string(), source }
}

/// Before SQLite reads the log, and forgets what it cannot read.
fn check_log(database: &Utf8Path, begun: &begun::Register) -> Result<(), OpenError> {
    let cut = match begun.left() {
        begun::Left::These(_) => log::Cut::InOrder,
        begun::Left::Unknown => log::Cut::AnyPartOfTheLast,
    };
    let path = format!("{database}-wal");
    match log::state(database, cut) {
        Ok(log::State::Whole) => Ok(()),
        Ok(log::State::Damaged { frame, commits }) => Err(OpenError::DamagedLog { path, frame, commits }),
        Err(source) if matches!(source.kind(), ErrorKind::PermissionDenied | ErrorKind::IsADirectory) => {
            Err(OpenError::NotWritable { path, source })
        }
        Err(error) => Err(OpenError::Database { path, message: error.to_string() }),
    }
}

/// Makes the folder, sees that it can be written, and takes it for this process.
fn take_folder(folder: &Utf8Path) -> Result<File, OpenError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| not_writable(folder, error))?;
    let path = folder.join(LOCK_FILE);
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|error| not_writable(&path, error))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: folder.to_string() }),
        Err(TryLockError::Error(error)) => Err(not_writable(&path, error)),
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn accept(&self, accept: Accept) -> Result<Accepted, AcceptError> {
        let points = Some(("accept.before_commit", "accept.after_commit"));
        self.writer.write(Patience::None, points, move |work| requests::accept(work, &accept)).await?
    }

    async fn reserve(&self, consumer: ConsumerId, amount: Amount) -> Result<Reservation, AcceptError> {
        // Kept over a second try of the group, so that it is not set aside twice.
        let mut made: Option<Reservation> = None;
        let reserve = move |work: &mut writer::Work<'_>| {
            if let Some(made) = &made {
                return Ok(Ok(made.clone()));
            }
            Ok(match ledger::reserve(work, consumer, amount)? {
                Ok(reservation) => Ok(made.insert(reservation).clone()),
                Err(ledger::Refused { available }) => {
                    Err(AcceptError::InsufficientBalance { available, price: amount })
                }
            })
        };
        self.writer.write(Patience::None, None, reserve).await?
    }

    async fn answered(&self, direct: Direct) -> Result<(), AcceptError> {
        let inline_max = self.inline_max;
        let Direct { accept, finish, reservation } = direct;
        let finish = Arc::new(finish);
        if has_large(&finish, inline_max) {
            self.write_large(&finish).await?;
        }
        let points = Some(("direct.before_commit", "direct.after_commit"));
        let write = move |work: &mut writer::Work<'_>| {
            // Now it is this call's own hold that the balance is for.
            reservation.release();
            requests::answered(work, &accept, &finish, inline_max)
        };
        self.writer.write(Patience::Endless, points, write).await?
    }

    async fn finish(&self, finish: Finish) -> Result<Finished, WriteError> {
        let inline_max = self.inline_max;
        let finish = Arc::new(finish);
        // Two ends of one request name the same files: from the look to the commit there is one of them.
        let mut _turn = None;
        if has_large(&finish, inline_max) {
            let random = usize::from(finish.id.as_bytes()[15]);
            _turn = Some(self.finishing[random % FINISHING].lock().await);
            if !self.is_of_current(&finish).await? {
                return Err(WriteError::Fenced);
            }
            self.write_large(&finish).await?;
            failpoint::hit("finish.after_result_file");
        }
        let points = Some(("finish.before_commit", "finish.after_commit"));
        self.writer.write(Patience::Endless, points, move |work| requests::finish(work, &finish, inline_max)).await?
    }

    fn begin(&self, request: RequestId, epoch: u32) -> Result<BegunRun, StoreError> {
        self.begun.note(request, epoch)
    }

    async fn run_again(&self, again: RunAgain) -> Result<(), WriteError> {
        let points = Some(("run_again.before_commit", "run_again.after_commit"));
        self.writer.write(Patience::Endless, points, move |work| requests::run_again(work, &again)).await?
    }

    async fn journal(&self, write: JournalWrite) -> Result<(), WriteError> {
        let points = Some(journal::points(write.kind));
        self.writer.write(Patience::Endless, points, move |work| journal::write(work, &write)).await?
    }

    async fn journal_of(&self, request: RequestId) -> Result<JournalEntries, StoreError> {
        self.readers.read(move |connection| journal::of(connection, request)).await
    }

    async fn steps(&self, request: RequestId) -> Result<Vec<StepReceipt>, StoreError> {
        self.readers.read(move |connection| journal::receipts(connection, request)).await
    }

    async fn tape(&self, request: RequestId) -> Result<Option<Bytes>, StoreError> {
        self.readers.read(move |connection| journal::tape(connection, request)).await
    }

    async fn claim_runs(&self, asked: RunClaim) -> Result<Vec<ClaimedRun>, StoreError> {
        let asked = Arc::new(asked);
        let looked = asked.clone();
        if !self.readers.read(move |connection| runs::is_due(connection, looked.now, &looked.full)).await? {
            // No commit for nothing.
            return Ok(Vec::new());
        }
        let served = || self.served.lock().unwrap_or_else(PoisonError::into_inner);
        let after = served().clone();
        let points = Some(("run.before_claim_commit", "run.after_claim_commit"));
        let claim = move |work: &mut writer::Work<'_>| runs::claim(work, &asked, after.as_ref());
        let claimed = self.writer.write(Patience::Endless, points, claim).await?;
        if claimed.served.is_some() {
            *served() = claimed.served;
        }
        Ok(claimed.runs)
    }

    async fn await_callback(&self, wait: AwaitCallback) -> Result<(), WriteError> {
        let points = Some(("callback.before_await_commit", "callback.after_await_commit"));
        self.writer.write(Patience::Endless, points, move |work| callbacks::wait_for(work, &wait)).await?
    }

    async fn callback(&self, id: RequestId) -> Result<Option<Callback>, StoreError> {
        self.readers.read(move |connection| callbacks::find(connection, id)).await
    }

    async fn expired_requests(&self, now: Timestamp, limit: u32) -> Result<Vec<PinnedRun>, StoreError> {
        self.readers.read(move |connection| requests::expired(connection, now, limit)).await
    }

    async fn due_lanes(&self, now: Timestamp, limit: u32) -> Result<Vec<LaneId>, StoreError> {
        self.readers.read(move |connection| claim::due_lanes(connection, now, limit)).await
    }

    async fn claim_deliveries(&self, asked: DeliveryClaim) -> Result<ClaimedDeliveries, StoreError> {
        let folder = self.folder.clone();
        let points = Some(("delivery.before_claim_commit", "delivery.after_claim_commit"));
        self.writer.write(Patience::Endless, points, move |work| claim::claim(work, &folder, &asked)).await
    }

    async fn add_delivery(&self, request: RequestId, delivery: NewDelivery) -> Result<bool, StoreError> {
        let points = Some(("delivery.before_add_commit", "delivery.after_add_commit"));
        self.writer.write(Patience::Endless, points, move |work| deliveries::add(work, request, &delivery)).await
    }

    async fn give_up(&self, now: Timestamp, limit: u32) -> Result<Vec<Undeliverable>, StoreError> {
        // No commit for nothing.
        if !self.readers.read(move |connection| reads::has_overdue(connection, now)).await? {
            return Ok(Vec::new());
        }
        self.writer.write(Patience::Endless, None, move |work| deliveries::give_up(work, now, limit)).await
    }

    async fn record(&self, record: Record) -> Result<(), WriteError> {
        let points = Some(("record.before_commit", "record.after_commit"));
        self.writer.write(Patience::Endless, points, move |work| deliveries::record(work, &record)).await?
    }

    async fn recover(&self, now: Timestamp) -> Result<Recovered, StoreError> {
        let left = self.begun.left();
        let recover = move |work: &mut writer::Work<'_>| {
            Ok(Recovered { runs: requests::recover(work, now, &left)?, deliveries: deliveries::recover(work, now)? })
        };
        let recovered = self.writer.write(Patience::Endless, None, recover).await?;
        // Only now: a crash before this counts them the next time, and none twice, since none is leased any more.
        self.begun.clear()?;
        Ok(recovered)
    }

    async fn next_run(&self, full: Vec<Name>) -> Result<Option<Timestamp>, StoreError> {
        self.readers.read(move |connection| runs::next(connection, &full)).await
    }

    async fn next_delivery(&self) -> Result<Option<Timestamp>, StoreError> {
        self.readers.read(reads::next_delivery).await
    }

    async fn runs(&self, request: RequestId) -> Result<Vec<RunReceipt>, StoreError> {
        self.readers.read(move |connection| runs::receipts(connection, request)).await
    }

    async fn deliveries(&self, request: RequestId) -> Result<Vec<DeliveryLog>, StoreError> {
        self.readers.read(move |connection| undelivered::logs(connection, request)).await
    }

    async fn undelivered(&self, filter: UndeliveredFilter) -> Result<Undelivered, StoreError> {
        self.readers.read(move |connection| undelivered::page(connection, &filter)).await
    }

    async fn redeliver(&self, redeliver: Redeliver) -> Result<Redelivered, StoreError> {
        let points = Some(("delivery.before_redeliver_commit", "delivery.after_redeliver_commit"));
        self.writer.write(Patience::Endless, points, move |work| redeliveries::redeliver(work, &redeliver)).await
    }

    async fn disabled_urls(&self, consumer: Option<ConsumerId>) -> Result<Vec<DisabledUrl>, StoreError> {
        self.readers.read(move |connection| undelivered::disabled(connection, consumer)).await
    }

    async fn enable_url(&self, consumer: ConsumerId, url: &str) -> Result<bool, StoreError> {
        let url = url.to_owned();
        self.writer.write(Patience::None, None, move |work| undelivered::enable(work, consumer, &url)).await
    }

    async fn secrets(&self, consumer: ConsumerId, now: Timestamp) -> Result<Option<SealedSecrets>, StoreError> {
        self.readers.read(move |connection| secrets::of(connection, consumer, now)).await
    }

    async fn rotate_secret(&self, rotate: RotateSecret) -> Result<Rotated, StoreError> {
        self.writer.write(Patience::None, None, move |work| secrets::rotate(work, &rotate)).await
    }

    async fn set_v1a(&self, consumer: ConsumerId, v1a: bool) -> Result<bool, StoreError> {
        self.writer.write(Patience::None, None, move |work| secrets::set_v1a(work, consumer, v1a)).await
    }

    async fn owner_secrets(&self) -> Result<Vec<SealedOwnerSecret>, StoreError> {
        self.readers.read(owner_secrets::all).await
    }

    async fn set_owner_secret(
        &self,
        owner: &Name,
        name: &str,
        sealed: Bytes,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let (owner, name) = (owner.clone(), name.to_owned());
        let set = move |work: &mut writer::Work<'_>| owner_secrets::set(work, &owner, &name, &sealed, now);
        self.writer.write(Patience::None, None, set).await
    }

    async fn delete_owner_secret(&self, owner: &Name, name: &str) -> Result<bool, StoreError> {
        let (owner, name) = (owner.clone(), name.to_owned());
        self.writer.write(Patience::None, None, move |work| owner_secrets::delete(work, &owner, &name)).await
    }

    async fn mark(&self, mark: Mark) -> Result<Option<Bytes>, StoreError> {
        self.readers.read(move |connection| seal::mark(connection, mark)).await
    }

    async fn set_mark(&self, mark: Mark, value: Bytes) -> Result<(), StoreError> {
        let set = move |work: &mut writer::Work<'_>| seal::set_mark(work.connection, mark, &value);
        self.writer.write(Patience::Endless, None, set).await
    }

    async fn sealed_sample(&self) -> Result<Option<SealedSample>, StoreError> {
        self.readers.read(seal::sample).await
    }

    async fn sealed(&self) -> Result<Sealed, StoreError> {
        self.readers.read(seal::all).await
    }

    async fn reseal(&self, resealed: Resealed) -> Result<(), StoreError> {
        self.writer.write(Patience::Endless, None, move |work| seal::reseal(work, &resealed)).await
    }

    async fn kv_get(&self, owner: &Name, key: &str, now: Timestamp) -> Result<Option<KvEntry>, StoreError> {
        let (owner, key) = (owner.clone(), key.to_owned());
        self.readers.read(move |connection| kv::get(connection, &owner, &key, now)).await
    }

    async fn kv_set(&self, write: KvWrite) -> Result<KvWritten, StoreError> {
        // Of a run that was accepted: it waits for room, as the run's end does.
        self.writer.write(Patience::Endless, None, move |work| kv::set(work, &write)).await
    }

    async fn kv_delete(&self, owner: &Name, key: &str, now: Timestamp) -> Result<bool, StoreError> {
        let (owner, key) = (owner.clone(), key.to_owned());
        self.writer.write(Patience::Endless, None, move |work| kv::delete(work, &owner, &key, now)).await
    }

    async fn kv_list(&self, page: KvPage) -> Result<Vec<String>, StoreError> {
        self.readers.read(move |connection| kv::list(connection, &page)).await
    }

    async fn kv_usage(&self, owner: &Name) -> Result<KvUsage, StoreError> {
        let owner = owner.clone();
        self.readers.read(move |connection| kv::usage(connection, &owner)).await
    }

    async fn kv_sweep(&self, now: Timestamp, limit: u32) -> Result<u32, StoreError> {
        // No commit for nothing.
        if !self.readers.read(move |connection| kv::has_expired(connection, now)).await? {
            return Ok(0);
        }
        self.writer.write(Patience::Endless, None, move |work| kv::sweep(work, now, limit)).await
    }

    async fn consumer_by_key(&self, hash: [u8; 32]) -> Result<Option<Consumer>, StoreError> {
        self.readers.read(move |connection| consumers::by_key(connection, &hash)).await
    }

    async fn consumer(&self, id: ConsumerId) -> Result<Option<Consumer>, StoreError> {
        self.readers.read(move |connection| consumers::by_id(connection, id)).await
    }

    async fn add_consumer(&self, consumer: NewConsumer) -> Result<bool, StoreError> {
        let points = Some(("consumer.before_commit", "consumer.after_commit"));
        self.writer.write(Patience::None, points, move |work| consumers::add(work, &consumer)).await
    }

    async fn consumers(&self) -> Result<Vec<ConsumerSummary>, StoreError> {
        self.readers.read(consumers::all).await
    }

    async fn add_key(&self, add: AddKey) -> Result<AddedKey, StoreError> {
        self.writer.write(Patience::None, None, move |work| keys::add(work, &add)).await
    }

    async fn keys(&self, consumer: ConsumerId) -> Result<Vec<KeySummary>, StoreError> {
        self.readers.read(move |connection| keys::all(connection, consumer)).await
    }

    async fn end_key(&self, end: EndKey) -> Result<EndedKey, StoreError> {
        self.writer.write(Patience::None, None, move |work| keys::end(work, &end)).await
    }

    async fn adjust(&self, adjust: Adjust) -> Result<Adjusted, StoreError> {
        let points = Some(("adjust.before_commit", "adjust.after_commit"));
        self.writer.write(Patience::None, points, move |work| adjustments::adjust(work, &adjust)).await
    }

    async fn balances(&self, consumer: ConsumerId) -> Result<Balances, StoreError> {
        self.readers.read(move |connection| consumers::balances(connection, consumer)).await
    }

    async fn earned(&self, owner: &Name) -> Result<Amount, StoreError> {
        let account = Account::OwnerEarned(owner.clone());
        self.readers.read(move |connection| ledger::balance(connection, &account)).await
    }

    async fn earnings(&self) -> Result<Vec<(Name, Amount)>, StoreError> {
        self.readers.read(ledger::earnings).await
    }

    async fn failures(&self, owner: &Name, since: Timestamp) -> Result<Vec<Failures>, StoreError> {
        let owner = owner.clone();
        self.readers.read(move |connection| listing::failures(connection, &owner, since)).await
    }

    async fn idempotent(
        &self,
        consumer: ConsumerId,
        api: &ApiName,
        key: &str,
    ) -> Result<Option<(RequestId, [u8; 32])>, StoreError> {
        let (api, key) = (api.clone(), key.to_owned());
        self.readers
            .read(move |connection| {
                requests::idempotent(connection, consumer, api.owner.as_str(), api.slug.as_str(), &key)
            })
            .await
    }

    async fn request(&self, id: RequestId) -> Result<Option<RequestRecord>, StoreError> {
        self.readers.read(move |connection| reads::request(connection, id)).await
    }

    async fn unfinished(&self, id: RequestId) -> Result<Option<PinnedRun>, StoreError> {
        self.readers.read(move |connection| requests::unfinished(connection, id)).await
    }

    async fn list_requests(&self, filter: RequestFilter) -> Result<RequestPage, StoreError> {
        self.readers.read(move |connection| listing::page(connection, &filter)).await
    }

    async fn result(&self, id: RequestId) -> Result<Option<StoredResult>, StoreError> {
        let Some((meta, body)) = self.readers.read(move |connection| reads::result(connection, id)).await? else {
            return Ok(None);
        };
        let body = match body {
            Some(body) => body,
            None => self.file(id, Kind::Result).await?,
        };
        Ok(Some(StoredResult { meta, body }))
    }

    async fn open_result(&self, id: RequestId) -> Result<Option<(ResultMeta, StoredBody)>, StoreError> {
        let Some((meta, body)) = self.readers.read(move |connection| reads::result(connection, id)).await? else {
            return Ok(None);
        };
        let body = match body {
            Some(body) => StoredBody::Inline(body),
            None => self.open_file(id, Kind::Result).await?,
        };
        Ok(Some((meta, body)))
    }

    async fn payload(&self, id: RequestId, event: &str) -> Result<Option<Payload>, StoreError> {
        let event = event.to_owned();
        let found = self.readers.read(move |connection| reads::payload(connection, id, &event)).await?;
        match found {
            Some((payload, true)) => Ok(Some(Payload { body: self.file(id, Kind::Webhook).await?, ..payload })),
            found => Ok(found.map(|(payload, _)| payload)),
        }
    }

    async fn open_payload(&self, id: RequestId, event: &str) -> Result<Option<(Payload, StoredBody)>, StoreError> {
        let event = event.to_owned();
        let found = self.readers.read(move |connection| reads::payload(connection, id, &event)).await?;
        Ok(match found {
            Some((payload, true)) => Some((payload, self.open_file(id, Kind::Webhook).await?)),
            Some((mut payload, false)) => {
                let body = StoredBody::Inline(std::mem::take(&mut payload.body));
                Some((payload, body))
            }
            None => None,
        })
    }

    async fn input(&self, id: RequestId) -> Result<Option<RequestInput>, StoreError> {
        self.readers.read(move |connection| requests::seen(connection, id)).await
    }

    async fn original(&self, id: RequestId) -> Result<Option<RequestInput>, StoreError> {
        self.readers.read(move |connection| requests::original(connection, id)).await
    }

    async fn unmade(&self, request: RequestId, event: &str) -> Result<Option<StoredUnmade>, StoreError> {
        let event = event.to_owned();
        let found = self.readers.read(move |connection| unmade::find(connection, request, &event)).await?;
        match found {
            Some((found, true)) => Ok(Some(StoredUnmade { body: self.file(request, Kind::Unmade).await?, ..found })),
            found => Ok(found.map(|(found, _)| found)),
        }
    }

    async fn make(&self, made: MakePayload) -> Result<bool, StoreError> {
        // One at a time: whoever comes second finds it made, and does not write over the file of the first.
        let _making = self.making.lock().await;
        let delivery = made.delivery;
        let of = self.readers.read(move |connection| unmade::of(connection, delivery)).await?;
        let Some((request, event)) = of else { return Ok(false) };
        // Only the end of a request has files.
        let inline_max = if event == COMPLETED { self.inline_max } else { usize::MAX };
        if made.payload.len() > inline_max {
            let (folder, payload) = (self.folder.clone(), made.payload.clone());
            let (kept, refusing) = (self.files_bytes.clone(), self.refusing.clone());
            let write = move || files::write_one(&folder, request, Kind::Webhook, &payload, &kept, &refusing);
            tokio::task::spawn_blocking(write).await.map_err(|_| StoreError::Closed)??;
        }
        let points = Some(("delivery.before_make_commit", "delivery.after_make_commit"));
        let make = move |work: &mut writer::Work<'_>| unmade::make(work, &made, inline_max);
        let is_new = self.writer.write(Patience::Endless, points, make).await?;
        if is_new && event == COMPLETED {
            let folder = self.folder.clone();
            let remove = move || files::remove(&folder, request, Kind::Unmade);
            let bytes = tokio::task::spawn_blocking(remove).await.map_err(|_| StoreError::Closed)?;
            self.files_bytes.less(bytes);
        }
        Ok(is_new)
    }

    async fn subscribe(&self, consumer: ConsumerId, api: &ApiName, at: Timestamp) -> Result<bool, StoreError> {
        let api = api.clone();
        self.writer.write(Patience::None, None, move |work| access::subscribe(work, consumer, &api, at)).await
    }

    async fn unsubscribe(&self, consumer: ConsumerId, api: &ApiName) -> Result<bool, StoreError> {
        let api = api.clone();
        self.writer.write(Patience::None, None, move |work| access::unsubscribe(work, consumer, &api)).await
    }

    async fn subscriptions(&self) -> Result<Vec<Subscription>, StoreError> {
        self.readers.read(access::subscriptions).await
    }

    async fn pause(&self, api: &ApiName, reason: &str, at: Timestamp) -> Result<(), StoreError> {
        let (api, reason) = (api.clone(), reason.to_owned());
        self.writer.write(Patience::None, None, move |work| access::pause(work, &api, &reason, at)).await
    }

    async fn resume(&self, api: &ApiName) -> Result<bool, StoreError> {
        let api = api.clone();
        self.writer.write(Patience::None, None, move |work| access::resume(work, &api)).await
    }

    async fn paused(&self) -> Result<Vec<PausedApi>, StoreError> {
        self.readers.read(access::paused).await
    }

    async fn consumer_limits(&self) -> Result<Vec<(ConsumerId, ConsumerLimits)>, StoreError> {
        self.readers.read(limits::all).await
    }

    async fn set_consumer_limits(&self, consumer: ConsumerId, limits: ConsumerLimits) -> Result<bool, StoreError> {
        self.writer.write(Patience::None, None, move |work| limits::set(work, consumer, &limits)).await
    }

    async fn unfinished_counts(&self) -> Result<Vec<UnfinishedCount>, StoreError> {
        self.readers.read(limits::unfinished).await
    }

    async fn accepted_between(
        &self,
        consumer: ConsumerId,
        api: Option<&ApiName>,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<u64, StoreError> {
        let api = api.cloned();
        let count =
            move |connection: &rusqlite::Connection| limits::accepted(connection, consumer, api.as_ref(), from, until);
        self.readers.read(count).await
    }

    async fn add_token(&self, token: Token) -> Result<bool, StoreError> {
        self.writer.write(Patience::None, None, move |work| tokens::add(work, &token)).await
    }

    async fn tokens(&self) -> Result<Vec<Token>, StoreError> {
        self.readers.read(tokens::all).await
    }

    async fn remove_token(&self, name: &str) -> Result<bool, StoreError> {
        let name = name.to_owned();
        self.writer.write(Patience::None, None, move |work| tokens::remove(work, &name)).await
    }

    async fn repin(&self, repin: Repin) -> Result<u64, StoreError> {
        let repin = Arc::new(repin);
        let mut total = 0;
        loop {
            // Looked for again until there is none: one that moved from state to state meanwhile may have been missed.
            let mut moved = 0;
            for api in repin.apis.clone() {
                let from = repin.from;
                let ids = self.readers.read(move |connection| pinned::of_api(connection, &api, from)).await?;
                for step in ids.chunks(pinned::STEP) {
                    let (repin, step) = (repin.clone(), step.to_vec());
                    let step = move |work: &mut writer::Work<'_>| pinned::repin(work, &repin, &step);
                    moved += self.writer.write(Patience::Endless, None, step).await?;
                }
            }
            total += moved;
            if moved == 0 || repin.from == repin.to {
                return Ok(total);
            }
        }
    }

    async fn pinned(&self, digest: Digest, after: Option<RequestId>, limit: u32) -> Result<Vec<PinnedRun>, StoreError> {
        self.readers.read(move |connection| pinned::page(connection, digest, after, limit)).await
    }

    async fn revisions_in_use(&self) -> Result<Vec<Digest>, StoreError> {
        self.readers.read(reads::revisions_in_use).await
    }

    async fn old_requests(&self, asked: OldRequests) -> Result<OldPage, StoreError> {
        self.old_page(asked).await
    }

    async fn forget(&self, part: Part, ids: Vec<RequestId>) -> Result<u32, StoreError> {
        match part {
            Part::Contents => self.forget_contents(ids).await,
            Part::Everything => self.erase_ended(ids, false).await,
        }
    }

    async fn erase_request(&self, id: RequestId) -> Result<Erased, StoreError> {
        self.erase_one(id).await
    }

    async fn erase_consumer(&self, consumer: ConsumerId, at: Timestamp) -> Result<bool, StoreError> {
        let erase = move |work: &mut writer::Work<'_>| retention::erase_consumer(work, consumer, at);
        self.writer.write(Patience::Endless, None, erase).await
    }

    async fn erase_what_is_left(&self, limit: u32) -> Result<u32, StoreError> {
        let ids = self.readers.read(move |connection| retention::of_erased_consumers(connection, limit)).await?;
        self.erase_ended(ids, true).await
    }

    async fn sweep_files(&self, turn: u32, now: Timestamp) -> Result<u32, StoreError> {
        self.sweep_shard(turn % files::SHARDS, now).await
    }

    async fn disk_usage(&self) -> Result<DiskUsage, StoreError> {
        let folder = self.folder.clone();
        let size = move |suffix: &str| {
            let path = folder.join(format!("{DATABASE_FILE}{suffix}"));
            path.metadata().map_or(0, |metadata| metadata.len())
        };
        let measured = tokio::task::spawn_blocking(move || size("") + size("-wal")).await;
        let database = measured.map_err(|_| StoreError::Closed)?;
        let reusable = self.readers.read(reads::free_bytes).await?;
        Ok(DiskUsage { database, reusable, files: self.files_bytes.get() })
    }

    fn refusal(&self) -> Option<Refusal> {
        self.refusing.last()
    }

    fn refused(&self) -> [(Cause, u64); Cause::ALL.len()] {
        self.refusing.counts()
    }

    async fn try_to_write(&self) -> Result<(), StoreError> {
        let (folder, refusing) = (self.folder.clone(), self.refusing.clone());
        let file = move || refusing::try_file(&folder).map_err(|error| refusing.note_io(&folder, &error));
        tokio::task::spawn_blocking(file).await.map_err(|_| StoreError::Closed)??;
        self.set_mark(Mark::Trial, Bytes::new()).await?;
        self.refusing.end();
        Ok(())
    }

    async fn stats(&self) -> Result<Stats, StoreError> {
        use std::sync::atomic::Ordering::Relaxed;
        let stats = self.readers.read(reads::stats).await?;
        let counts = &self.writer.counts;
        Ok(Stats {
            commits: counts.commits.load(Relaxed),
            operations: counts.operations.load(Relaxed),
            queued: self.writer.queued(),
            ..stats
        })
    }

    async fn newest(&self) -> Result<Option<Timestamp>, StoreError> {
        self.readers.read(reads::newest).await
    }

    async fn audit(&self) -> Result<Vec<Violation>, StoreError> {
        self.readers.read(audit::audit).await
    }

    async fn close(&self) {
        self.readers.close();
        let (writer, checkpoints) = (self.writer.clone(), self.checkpoints.clone());
        let stopped = tokio::task::spawn_blocking(move || {
            writer.stop();
            checkpoints.stop();
        });
        if stopped.await.is_err() {
            tracing::error!("The writer did not stop cleanly; its log is replayed at the next start");
        }
    }
}

/// Whether a finish has a body that goes into a file.
fn has_large(finish: &Finish, inline_max: usize) -> bool {
    use crate::store::Ending;
    let answer = match &finish.ending {
        Ending::Completed { answer, .. } => Some(answer),
        Ending::Failed { answer, .. } => answer.as_ref(),
        Ending::Cancelled { .. } | Ending::Expired { .. } => None,
    };
    answer.is_some_and(|answer| answer.body.len() > inline_max)
        || finish.delivery.as_ref().is_some_and(|delivery| delivery.payload.len() > inline_max)
}
