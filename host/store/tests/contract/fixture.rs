//! A store on an empty folder, and the operations of a request in short form.

use bytes::Bytes;
use camino::Utf8PathBuf;
use ripost_domain::api::{ApiName, Digest};
use ripost_domain::delivery::{LaneId, Next};
use ripost_domain::event::Event;
use ripost_domain::id::{ConsumerId, DeliveryId, RequestId};
use ripost_domain::money::{Amount, Capture, FeeRate};
use ripost_domain::time::Timestamp;
use ripost_store::sqlite::{SqliteConfig, SqliteStore};
use ripost_store::{
    Accept, Answer, DeliveryClaim, Ending, Finish, Idempotency, Key, Lease, NewConsumer, NewDelivery, Record,
    Redeliver, RequestInput, Retry, RunAgain, RunClaim, RunReceipt, Store, Tries, Wants, Which,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// When everything happens.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
/// What a priced call costs, in micro-USDC.
pub(crate) const PRICE: i64 = 50_000;

static NEXT: AtomicU64 = AtomicU64::new(1);

fn unique() -> [u8; 10] {
    let mut bytes = [0; 10];
    bytes[2..].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    bytes
}

pub(crate) fn amount(micros: i64) -> Amount {
    Amount::from_micros(micros).unwrap()
}

/// A store and its folder, which goes with it.
pub(crate) struct Fixture {
    pub(crate) store: Arc<SqliteStore>,
    pub(crate) folder: tempfile::TempDir,
}

impl std::ops::Deref for Fixture {
    type Target = SqliteStore;
    fn deref(&self) -> &SqliteStore {
        &self.store
    }
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&path(&folder)).unwrap();
        Self { store: Arc::new(store), folder }
    }

    pub(crate) fn path(&self) -> Utf8PathBuf {
        path(&self.folder)
    }

    pub(crate) fn database(&self) -> Utf8PathBuf {
        self.path().join("ripost.sqlite3")
    }

    /// Closes and opens it again, as a restart does.
    pub(crate) async fn reopened(self) -> Self {
        let Self { store, folder } = self;
        store.close().await;
        drop(store);
        let store = Arc::new(open(&path(&folder)).unwrap());
        Self { store, folder }
    }

    pub(crate) async fn consumer(&self, micros: i64) -> ConsumerId {
        let random = unique();
        let id = ConsumerId::new(NOW, random);
        let consumer = NewConsumer {
            id,
            name: id.to_string(),
            key: key(key_hash(id), "key-1"),
            sealed_secret: Bytes::from_static(b"sealed"),
            credit: amount(micros),
            created_at: NOW,
        };
        assert!(self.add_consumer(consumer).await.unwrap());
        id
    }

    /// Nothing is wrong with the books.
    pub(crate) async fn sound(&self) {
        assert_eq!(self.audit().await.unwrap(), []);
    }
}

pub(crate) fn key(hash: [u8; 32], name: &str) -> Key {
    Key { hash, name: name.to_owned(), hint: "ck_…abcd".to_owned(), public: false, expires_at: None }
}

pub(crate) fn key_hash(id: ConsumerId) -> [u8; 32] {
    let mut hash = [0; 32];
    hash[..16].copy_from_slice(id.as_bytes());
    hash
}

fn path(folder: &tempfile::TempDir) -> Utf8PathBuf {
    Utf8PathBuf::from_path_buf(folder.path().to_owned()).unwrap()
}

pub(crate) fn open(folder: &camino::Utf8Path) -> Result<SqliteStore, ripost_store::OpenError> {
    SqliteStore::open(SqliteConfig::new(folder.to_owned()), Arc::new(|reason| panic!("the disk failed: {reason}")))
}

/// The lane of every delivery that does not say otherwise.
pub(crate) const LANE: LaneId = LaneId::from_bytes([5; 16]);

/// A priced call with a webhook, leased to this process.
pub(crate) fn accept(consumer: ConsumerId) -> Accept {
    Accept {
        id: RequestId::new(NOW, unique()),
        api: ApiName { owner: "demo".parse().unwrap(), slug: "report".parse().unwrap() },
        digest: Digest::from_bytes([7; 32]),
        consumer,
        created_at: NOW,
        expires_at: NOW.after(Duration::from_secs(3600)),
        due_at: NOW,
        split: FeeRate::DEFAULT.split(amount(PRICE)),
        webhook_url: Some("https://x.example/hook".to_owned()),
        wants: Wants::default(),
        input: RequestInput {
            method: "POST".to_owned(),
            path: String::new(),
            query: None,
            headers: vec![("content-type".to_owned(), Bytes::from_static(b"application/json"))],
            body: Bytes::from_static(b"{\"a\":1}"),
            attributes: Vec::new(),
        },
        original: None,
        traceparent: None,
        idempotency: None,
        lease: Lease::ThisProcess,
    }
}

pub(crate) fn waiting(consumer: ConsumerId) -> Accept {
    Accept { lease: Lease::Nobody, ..accept(consumer) }
}

pub(crate) fn free(consumer: ConsumerId) -> Accept {
    Accept { split: FeeRate::DEFAULT.split(Amount::ZERO), ..accept(consumer) }
}

pub(crate) fn keyed(consumer: ConsumerId, key: &str) -> Accept {
    Accept { idempotency: Some(Idempotency { key: key.to_owned(), fingerprint: [9; 32] }), ..accept(consumer) }
}

pub(crate) fn delivery(lease: Lease) -> NewDelivery {
    NewDelivery {
        id: DeliveryId::new(NOW, unique()),
        event: Event::Completed,
        url: "https://x.example/hook".to_owned(),
        payload: Bytes::from_static(b"{\"status\":\"completed\"}"),
        content_type: "application/json".to_owned(),
        headers: Vec::new(),
        unmade: None,
        traceparent: None,
        lane: LANE,
        retry: Retry { waits: None, give_up_at: NOW.after(Duration::from_secs(86_400)), base: 0 },
        depth: 0,
        due_at: NOW.after(Duration::from_millis(5)),
        lease,
    }
}

/// The webhook of a request's end, sent again as it was.
pub(crate) fn send_again(request: RequestId, at: Timestamp, give_up_at: Timestamp) -> Redeliver {
    let which = Which::Event(request, "completed".to_owned());
    Redeliver { which, to: None, at, give_up_at, copy: DeliveryId::new(at, unique()), tries: Tries::Once }
}

/// What is due, whoever's it is.
pub(crate) fn runs(now: Timestamp, limit: u32) -> RunClaim {
    RunClaim { now, limit, bytes_max: 1 << 20, per_owner_max: limit, full: Vec::new() }
}

/// A run that is put back, counted.
pub(crate) fn again(id: RequestId, epoch: u32, run_at: Timestamp) -> RunAgain {
    RunAgain { id, epoch, run_at, counted: true, refused: false, run: None }
}

/// What a run used.
pub(crate) fn receipt(attempt: u32, outcome: &str) -> RunReceipt {
    RunReceipt {
        attempt,
        started_at: NOW,
        outcome: outcome.to_owned(),
        cpu_us: 1,
        wall_us: 2,
        memory_bytes: 3,
        host_calls: 4,
        outbound_calls: 5,
        outbound_bytes: 6,
        log_bytes: 7,
        lines: Bytes::from_static(b"{}\n"),
    }
}

/// What of one lane is due.
pub(crate) fn claim(now: Timestamp, lane: LaneId, limit: u32) -> DeliveryClaim {
    let offered_again_at = now.after(Duration::from_secs(30));
    DeliveryClaim { now, lanes: vec![(lane, limit)], parked: Vec::new(), offered_again_at, bytes_max: 1 << 20 }
}

pub(crate) fn answer(body: &[u8]) -> Answer {
    Answer {
        status: 200,
        headers: vec![("x".to_owned(), Bytes::from_static(b"y"))],
        body: Bytes::copy_from_slice(body),
    }
}

/// A result at the whole price.
pub(crate) fn answered(answer: Answer) -> Ending {
    Ending::Completed { answer, capture: Capture::Whole }
}

/// The good end of a first run.
pub(crate) fn completed(accept: &Accept) -> Finish {
    Finish {
        id: accept.id,
        epoch: 1,
        from: ripost_domain::request::State::Running,
        attempt: 1,
        ending: answered(answer(b"{\"ok\":true}")),
        finished_at: NOW.after(Duration::from_millis(5)),
        run: None,
        tape: None,
        callback: None,
        delivery: Some(delivery(Lease::ThisProcess)),
    }
}

pub(crate) fn failed(accept: &Accept) -> Finish {
    let problem = Bytes::from_static(b"{\"status\":502}");
    Finish { ending: Ending::Failed { problem, answer: None }, ..completed(accept) }
}

/// What came of a first attempt.
pub(crate) fn recorded(delivery: DeliveryId, next: Next) -> Record {
    Record {
        id: delivery,
        consumer: ConsumerId::from_bytes([0; 16]),
        lane: LANE,
        url: "https://x.example/hook".to_owned(),
        epoch: 1,
        attempt: 1,
        started_at: NOW,
        duration_ms: 3,
        status: Some(200),
        error_class: None,
        error_detail: None,
        excerpt: Bytes::from_static(b"ok"),
        next,
        counted: true,
        logged: true,
        reason: None,
        disable: None,
        facts: Bytes::from_static(b"{}"),
        chain: [2; 32],
        waited: true,
    }
}
