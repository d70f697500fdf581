-- Of the callback URL that an upstream is given. It is committed before anything is forwarded, and grows only after a
-- failure that leaves no doubt: the URL of an attempt that may have arrived stays good.
ALTER TABLE requests ADD COLUMN callback_epoch INTEGER NOT NULL DEFAULT 1;

-- What waits for an upstream is unfinished too.
DROP INDEX requests_unfinished;
DROP INDEX requests_deadline;
-- Serves: the due runs of each owner, the owners that have any, the runs that a crash left, the digests in use, the
-- counts of the states.
CREATE INDEX requests_unfinished ON requests (state, owner, run_at) WHERE state IN ('accepted', 'running', 'awaiting_callback');
-- Serves: requests that expire before they run, or before their upstream calls back.
CREATE INDEX requests_deadline ON requests (expires_at) WHERE state IN ('accepted', 'awaiting_callback');

-- The callback that ended a request: the same again is welcome, another is refused.
CREATE TABLE callbacks (
  request_id BLOB PRIMARY KEY,
  epoch      INTEGER NOT NULL,
  digest     BLOB NOT NULL
) STRICT, WITHOUT ROWID;
