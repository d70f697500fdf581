-- Runs take turns over owners: the queue is kept apart by owner.
DROP INDEX requests_unfinished;
-- Serves: the due runs of each owner, the owners that have any, the runs that a crash left, the digests in use, the
-- counts of both states.
CREATE INDEX requests_unfinished ON requests (state, owner, run_at) WHERE state IN ('accepted', 'running');

-- The receipt of every run.
CREATE TABLE runs (
  request_id     BLOB NOT NULL,
  attempt        INTEGER NOT NULL,
  started_at     INTEGER NOT NULL,
  outcome        TEXT NOT NULL,
  cpu_us         INTEGER NOT NULL,
  wall_us        INTEGER NOT NULL,
  memory_bytes   INTEGER NOT NULL,
  host_calls     INTEGER NOT NULL,
  outbound_calls INTEGER NOT NULL,
  outbound_bytes INTEGER NOT NULL,
  log_bytes      INTEGER NOT NULL,
  lines          BLOB, -- null: none
  PRIMARY KEY (request_id, attempt)
) STRICT, WITHOUT ROWID;

-- Of earlier runs only the log was kept.
INSERT INTO runs
SELECT request_id, attempt, coalesce((SELECT created_at FROM requests WHERE id = request_id), 0), 'unknown', 0, 0, 0, 0, 0, 0,
  length(lines), lines
FROM run_logs;
DROP TABLE run_logs;

-- What owners' components keep. `expires_at` is null for what stays.
CREATE TABLE kv (
  owner      TEXT NOT NULL,
  key        TEXT NOT NULL,
  value      BLOB NOT NULL,
  revision   INTEGER NOT NULL,
  expires_at INTEGER,
  PRIMARY KEY (owner, key)
) STRICT, WITHOUT ROWID;

-- Serves: what has expired of one owner, and the owners that keep anything that will.
CREATE INDEX kv_expiring ON kv (owner, expires_at) WHERE expires_at IS NOT NULL;

-- Sums over `kv`, so that the quota is no scan, and the counter that revisions come from: it outlives every key.
CREATE TABLE kv_owners (
  owner    TEXT PRIMARY KEY,
  revision INTEGER NOT NULL,
  bytes    INTEGER NOT NULL CHECK (bytes >= 0),
  keys     INTEGER NOT NULL CHECK (keys >= 0)
) STRICT, WITHOUT ROWID;

CREATE TABLE owner_secrets (
  owner      TEXT NOT NULL,
  name       TEXT NOT NULL,
  sealed     BLOB NOT NULL,
  updated_at INTEGER NOT NULL,
  PRIMARY KEY (owner, name)
) STRICT, WITHOUT ROWID;
