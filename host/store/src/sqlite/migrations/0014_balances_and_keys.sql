-- Debits, and what the operator calls a credit or a debit by. SQLite cannot widen a CHECK in place.
DROP TRIGGER transfers_stay;
DROP TRIGGER transfers_remain;
DROP INDEX transfers_request;
ALTER TABLE transfers RENAME TO transfers_before;
CREATE TABLE transfers (
  id         INTEGER PRIMARY KEY,
  kind       TEXT NOT NULL CHECK (kind IN ('credit', 'debit', 'hold', 'capture', 'release')),
  request_id BLOB,
  created_at INTEGER NOT NULL,
  reference  TEXT CHECK (reference IS NULL OR kind IN ('credit', 'debit'))
) STRICT;
INSERT INTO transfers (id, kind, request_id, created_at) SELECT id, kind, request_id, created_at FROM transfers_before;
DROP TABLE transfers_before;

-- Serves: the transfers of one request; each kind at most once.
CREATE UNIQUE INDEX transfers_request ON transfers (request_id, kind) WHERE request_id IS NOT NULL;
-- Serves: the credit or debit of a reference, and that there is one.
CREATE UNIQUE INDEX transfers_reference ON transfers (reference) WHERE reference IS NOT NULL;
CREATE TRIGGER transfers_stay BEFORE UPDATE ON transfers BEGIN SELECT raise(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER transfers_remain BEFORE DELETE ON transfers BEGIN SELECT raise(ABORT, 'the ledger is append-only'); END;

-- A consumer has several keys: each has a name of its own, and what people tell it by (`hint`, null for a key of an
-- earlier version, of which only the hash is known). `expires_at` is null for one that is good until it is revoked.
ALTER TABLE keys ADD COLUMN name TEXT NOT NULL DEFAULT 'key-1';
ALTER TABLE keys ADD COLUMN hint TEXT;
ALTER TABLE keys ADD COLUMN created_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE keys ADD COLUMN expires_at INTEGER;
UPDATE keys SET created_at = (SELECT created_at FROM consumers WHERE id = consumer_id);
-- Serves: the keys of a consumer, and that their names differ.
CREATE UNIQUE INDEX keys_consumer ON keys (consumer_id, name);
