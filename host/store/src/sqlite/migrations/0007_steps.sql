-- What a run has finished for good: the next run of its request is given the value and does not do it again.
CREATE TABLE steps (
  request_id   BLOB NOT NULL,
  name         TEXT NOT NULL,
  input        BLOB NOT NULL, -- SHA-256 of what the step was begun with
  value        BLOB NOT NULL,
  attempt      INTEGER NOT NULL,
  committed_at INTEGER NOT NULL,
  -- Serves: what a run of a request begins with; whether there is any.
  PRIMARY KEY (request_id, name)
) STRICT;

-- Calls to the outside. The order in which they were written down is that of the rows.
CREATE TABLE journal (
  request_id BLOB NOT NULL,
  scope      TEXT NOT NULL,    -- the step that was open, or empty
  digest     BLOB NOT NULL,    -- SHA-256 of what was called
  nth        INTEGER NOT NULL, -- among equal calls in that scope, from 0
  input      BLOB,             -- of the step that was open
  state      TEXT NOT NULL,    -- intent | done | refused | failed
  status     INTEGER,
  headers    BLOB,
  body       BLOB,             -- of a refusal its text
  -- Serves: what a run of a request begins with; the row that a call ends in.
  PRIMARY KEY (request_id, scope, digest, nth)
) STRICT;

-- What the clock said, up to the last write: eight bytes a value, big-endian milliseconds.
CREATE TABLE times (
  request_id BLOB NOT NULL,
  scope      TEXT NOT NULL,
  first      INTEGER NOT NULL, -- how many values of that scope are in the rows before
  millis     BLOB NOT NULL,
  PRIMARY KEY (request_id, scope, first)
) STRICT, WITHOUT ROWID;

-- What else the last run was told by the host, for `ripost replay`.
CREATE TABLE tapes (
  request_id BLOB PRIMARY KEY,
  tape       BLOB NOT NULL
) STRICT;
