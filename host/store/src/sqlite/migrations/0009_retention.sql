-- Of a webhook whose bytes are gone: what a receipt says of them. Null where there never were any.
CREATE TABLE forgotten_payloads (
  delivery_id BLOB PRIMARY KEY,
  sha256      BLOB,
  bytes       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Serves: the key of a request that goes.
CREATE INDEX idempotency_request ON idempotency (request_id);

-- A consumer that was erased: it has no key any more, and its requests go as soon as they end.
ALTER TABLE consumers ADD COLUMN erased_at INTEGER;
