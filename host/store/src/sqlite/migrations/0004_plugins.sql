-- What request transforms have set, null for none.
ALTER TABLE inputs ADD COLUMN attributes BLOB;

-- What the consumer sent, of a request that a transform changed: the handler sees `inputs`.
CREATE TABLE originals (
  request_id BLOB PRIMARY KEY,
  method     TEXT NOT NULL,
  path       TEXT NOT NULL,
  query      TEXT,
  headers    BLOB NOT NULL,
  body       BLOB NOT NULL,
  attributes BLOB
) STRICT, WITHOUT ROWID;

-- Headers that a webhook transform has set, null for none.
ALTER TABLE payloads ADD COLUMN headers BLOB;

-- What should have become a payload: the bytes before the transform that failed, and why it did. A delivery is here
-- or in `payloads`, so whatever reads payloads never gives these away.
CREATE TABLE unmade (
  delivery_id  BLOB PRIMARY KEY,
  content_type TEXT NOT NULL,
  traceparent  TEXT,
  bytes        INTEGER NOT NULL,
  body         BLOB, -- null: a file
  reason       TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Who may call an API that is not open to all.
CREATE TABLE subscriptions (
  consumer_id BLOB NOT NULL REFERENCES consumers (id),
  owner       TEXT NOT NULL,
  slug        TEXT NOT NULL,
  created_at  INTEGER NOT NULL,
  PRIMARY KEY (owner, slug, consumer_id)
) STRICT, WITHOUT ROWID;

-- APIs that take no new calls.
CREATE TABLE paused_apis (
  owner     TEXT NOT NULL,
  slug      TEXT NOT NULL,
  reason    TEXT NOT NULL,
  paused_at INTEGER NOT NULL,
  PRIMARY KEY (owner, slug)
) STRICT, WITHOUT ROWID;

-- What the management API lets in besides the token in the data folder.
CREATE TABLE tokens (
  id         BLOB PRIMARY KEY,
  name       TEXT NOT NULL UNIQUE,
  hash       BLOB NOT NULL UNIQUE,
  role       TEXT NOT NULL CHECK (role IN ('operator', 'owner')),
  owner      TEXT,
  created_at INTEGER NOT NULL,
  CHECK ((role = 'owner') = (owner IS NOT NULL))
) STRICT, WITHOUT ROWID;
