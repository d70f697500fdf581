-- Facts about the files beside this database, so that their loss is noticed: see `store::Mark`.
CREATE TABLE marks (
  name  TEXT PRIMARY KEY,
  value BLOB NOT NULL
) STRICT, WITHOUT ROWID;
