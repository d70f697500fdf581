-- Ids are UUIDv7 (16 bytes), money whole micro-USDC, times milliseconds since 1970.

CREATE TABLE consumers (
  id            BLOB PRIMARY KEY,
  name          TEXT NOT NULL UNIQUE,
  sealed_secret BLOB NOT NULL,
  created_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE keys (
  hash        BLOB PRIMARY KEY,
  consumer_id BLOB NOT NULL REFERENCES consumers (id),
  public      INTEGER NOT NULL CHECK (public IN (0, 1))
) STRICT, WITHOUT ROWID;

-- Narrow, because every state change rewrites a row: bodies and answers have tables of their own.
CREATE TABLE requests (
  id          BLOB PRIMARY KEY,
  consumer_id BLOB NOT NULL,
  owner       TEXT NOT NULL,
  slug        TEXT NOT NULL,
  digest      BLOB NOT NULL,
  state       TEXT NOT NULL CHECK (state IN ('accepted', 'running', 'awaiting_callback', 'completed', 'failed', 'cancelled', 'expired')),
  settlement  TEXT NOT NULL CHECK (settlement IN ('none', 'held', 'captured', 'released')),
  attempt     INTEGER NOT NULL,
  epoch       INTEGER NOT NULL,
  run_at      INTEGER NOT NULL,
  created_at  INTEGER NOT NULL,
  expires_at  INTEGER NOT NULL,
  finished_at INTEGER,
  price       INTEGER NOT NULL CHECK (price >= 0),
  fee         INTEGER NOT NULL CHECK (fee BETWEEN 0 AND price),
  webhook_url TEXT,
  traceparent TEXT
) STRICT, WITHOUT ROWID;

-- Serves: the queue of due runs, the runs that a crash left, the digests in use, the counts of both states.
CREATE INDEX requests_unfinished ON requests (state, run_at) WHERE state IN ('accepted', 'running');
-- Serves: requests that expire before they run.
CREATE INDEX requests_deadline ON requests (expires_at) WHERE state = 'accepted';

CREATE TABLE inputs (
  request_id BLOB PRIMARY KEY,
  method     TEXT NOT NULL,
  path       TEXT NOT NULL,
  query      TEXT,
  headers    BLOB NOT NULL,
  body       BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE results (
  request_id BLOB PRIMARY KEY,
  status     INTEGER NOT NULL,
  headers    BLOB NOT NULL,
  bytes      INTEGER NOT NULL,
  body       BLOB -- null: a file
) STRICT, WITHOUT ROWID;

CREATE TABLE problems (
  request_id BLOB PRIMARY KEY,
  problem    BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE run_logs (
  request_id BLOB NOT NULL,
  attempt    INTEGER NOT NULL,
  lines      BLOB NOT NULL,
  PRIMARY KEY (request_id, attempt)
) STRICT, WITHOUT ROWID;

CREATE TABLE idempotency (
  consumer_id BLOB NOT NULL,
  owner       TEXT NOT NULL,
  slug        TEXT NOT NULL,
  key         TEXT NOT NULL,
  fingerprint BLOB NOT NULL,
  request_id  BLOB NOT NULL,
  PRIMARY KEY (consumer_id, owner, slug, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE deliveries (
  id          BLOB PRIMARY KEY,
  request_id  BLOB NOT NULL,
  consumer_id BLOB NOT NULL,
  event       TEXT NOT NULL,
  url         TEXT NOT NULL,
  state       TEXT NOT NULL CHECK (state IN ('pending', 'in_flight', 'delivered', 'exhausted', 'abandoned')),
  attempts    INTEGER NOT NULL,
  epoch       INTEGER NOT NULL,
  next_at     INTEGER NOT NULL,
  last_status INTEGER,
  last_error  TEXT
) STRICT, WITHOUT ROWID;

-- Serves: the delivery of a request, and that there is one per event.
CREATE UNIQUE INDEX deliveries_request ON deliveries (request_id, event);
-- Serves: the queue of due deliveries, the attempts that a crash left, the counts of both states.
CREATE INDEX deliveries_open ON deliveries (state, next_at) WHERE state IN ('pending', 'in_flight');
-- Serves: the count and list of exhausted deliveries.
CREATE INDEX deliveries_exhausted ON deliveries (id) WHERE state = 'exhausted';

CREATE TABLE payloads (
  delivery_id  BLOB PRIMARY KEY,
  content_type TEXT NOT NULL,
  traceparent  TEXT,
  bytes        INTEGER NOT NULL,
  body         BLOB -- null: a file
) STRICT, WITHOUT ROWID;

CREATE TABLE attempts (
  id           INTEGER PRIMARY KEY,
  delivery_id  BLOB NOT NULL,
  attempt      INTEGER NOT NULL,
  started_at   INTEGER NOT NULL,
  duration_ms  INTEGER NOT NULL,
  status       INTEGER,
  error_class  TEXT,
  error_detail TEXT,
  excerpt      BLOB NOT NULL
) STRICT;

-- Serves: the attempts of one delivery.
CREATE INDEX attempts_delivery ON attempts (delivery_id);

-- `balance` is null for accounts that are sums of their entries.
CREATE TABLE accounts (
  id      INTEGER PRIMARY KEY,
  name    TEXT NOT NULL UNIQUE,
  balance INTEGER CHECK (balance >= 0)
) STRICT;

CREATE TABLE transfers (
  id         INTEGER PRIMARY KEY,
  kind       TEXT NOT NULL CHECK (kind IN ('credit', 'hold', 'capture', 'release')),
  request_id BLOB,
  created_at INTEGER NOT NULL
) STRICT;

-- Serves: the transfers of one request; each kind at most once.
CREATE UNIQUE INDEX transfers_request ON transfers (request_id, kind) WHERE request_id IS NOT NULL;

-- No foreign keys: both ids come from the statements just before, and four look-ups a request are a tenth of an
-- accept. The audit finds an entry without its transfer.
CREATE TABLE entries (
  transfer_id INTEGER NOT NULL,
  account_id  INTEGER NOT NULL,
  micros      INTEGER NOT NULL CHECK (micros <> 0),
  PRIMARY KEY (transfer_id, account_id)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER transfers_stay BEFORE UPDATE ON transfers BEGIN SELECT raise(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER transfers_remain BEFORE DELETE ON transfers BEGIN SELECT raise(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER entries_stay BEFORE UPDATE ON entries BEGIN SELECT raise(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER entries_remain BEFORE DELETE ON entries BEGIN SELECT raise(ABORT, 'the ledger is append-only'); END;
