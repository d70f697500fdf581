-- What a consumer asks of the delivery: a bit for each event (1 started, 2 progress, 4 completed), a bound in
-- milliseconds, and how many webhooks led to this call.
ALTER TABLE requests ADD COLUMN events INTEGER NOT NULL DEFAULT 4;
ALTER TABLE requests ADD COLUMN retry_max_age INTEGER;
ALTER TABLE requests ADD COLUMN depth INTEGER NOT NULL DEFAULT 0;

-- `lane` is the endpoint: what deliveries are kept apart by. `waits` (milliseconds, comma-separated) is the API's own
-- schedule, null the operator's; it starts anew after `base` attempts.
ALTER TABLE deliveries ADD COLUMN lane BLOB NOT NULL DEFAULT x'00000000000000000000000000000000';
ALTER TABLE deliveries ADD COLUMN waits TEXT;
ALTER TABLE deliveries ADD COLUMN give_up_at INTEGER NOT NULL DEFAULT 9223372036854775807;
ALTER TABLE deliveries ADD COLUMN base INTEGER NOT NULL DEFAULT 0;
ALTER TABLE deliveries ADD COLUMN depth INTEGER NOT NULL DEFAULT 0;
ALTER TABLE deliveries ADD COLUMN reason TEXT;
UPDATE deliveries SET lane = consumer_id;

-- What the host knows of an attempt beyond its outcome, as JSON, and its link in the chain. `url` is where it went,
-- null while that is still the delivery's.
ALTER TABLE attempts ADD COLUMN url TEXT;
ALTER TABLE attempts ADD COLUMN facts BLOB NOT NULL DEFAULT x'7b7d';
ALTER TABLE attempts ADD COLUMN hash BLOB NOT NULL DEFAULT x'0000000000000000000000000000000000000000000000000000000000000000';

DROP INDEX deliveries_open;
DROP INDEX deliveries_exhausted;
-- Serves: the due deliveries of one endpoint, the count of pending ones.
CREATE INDEX deliveries_pending ON deliveries (lane, next_at) WHERE state = 'pending';
-- Serves: the attempts that a crash left, and their count.
CREATE INDEX deliveries_in_flight ON deliveries (id) WHERE state = 'in_flight';
-- Serves: deliveries whose time is over while their endpoint is not tried.
CREATE INDEX deliveries_overdue ON deliveries (give_up_at) WHERE state = 'pending';
-- Serves: the count of those that ended without having been delivered.
CREATE INDEX deliveries_dead ON deliveries (state) WHERE state IN ('exhausted', 'abandoned');

-- The queue of endpoints: one row for each that has pending deliveries. One with a million of them is one row,
-- so that it hides nobody else's.
CREATE TABLE lanes (
  id       BLOB PRIMARY KEY,
  ready_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Serves: the endpoints that are ready, longest ready first.
CREATE INDEX lanes_ready ON lanes (ready_at);
INSERT INTO lanes (id, ready_at) SELECT lane, min(next_at) FROM deliveries WHERE state = 'pending' GROUP BY lane;

-- Everything undelivered, in the order in which it became so. Numbers are never used again: they are cursors.
CREATE TABLE feed (
  seq         INTEGER PRIMARY KEY AUTOINCREMENT,
  consumer_id BLOB NOT NULL,
  delivery_id BLOB NOT NULL UNIQUE
) STRICT;

-- Serves: one consumer's feed.
CREATE INDEX feed_consumer ON feed (consumer_id, seq);
INSERT INTO feed (consumer_id, delivery_id) SELECT consumer_id, id FROM deliveries WHERE state <> 'delivered' ORDER BY id;

CREATE TABLE disabled_urls (
  consumer_id BLOB NOT NULL,
  url         TEXT NOT NULL,
  reason      TEXT NOT NULL,
  created_at  INTEGER NOT NULL,
  PRIMARY KEY (consumer_id, url)
) STRICT, WITHOUT ROWID;

ALTER TABLE consumers ADD COLUMN secret_created_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE consumers ADD COLUMN v1a INTEGER NOT NULL DEFAULT 0 CHECK (v1a IN (0, 1));
UPDATE consumers SET secret_created_at = created_at;

-- Secrets that were rotated out and still sign until they expire.
CREATE TABLE old_secrets (
  consumer_id BLOB NOT NULL,
  created_at  INTEGER NOT NULL,
  expires_at  INTEGER NOT NULL,
  sealed      BLOB NOT NULL,
  PRIMARY KEY (consumer_id, expires_at, created_at)
) STRICT, WITHOUT ROWID;
