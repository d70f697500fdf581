-- What an operator says of one consumer: `none`, or the limit; null is everybody's.
CREATE TABLE consumer_limits (
  consumer_id BLOB PRIMARY KEY,
  rate        TEXT,
  concurrency TEXT,
  daily       TEXT
) STRICT, WITHOUT ROWID;
