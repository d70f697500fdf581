-- The deadline by the clock that goes on evenly; `expires_at` is what people are told.
ALTER TABLE requests ADD COLUMN deadline INTEGER NOT NULL DEFAULT 0;
UPDATE requests SET deadline = expires_at WHERE state IN ('accepted', 'running', 'awaiting_callback');

DROP INDEX requests_deadline;
-- Serves: requests that expire before they run, or before their upstream calls back.
CREATE INDEX requests_deadline ON requests (deadline) WHERE state IN ('accepted', 'awaiting_callback');

-- A run is counted when it has ended, or by the start that finds it lost, and no longer by its claim.
UPDATE requests SET attempt = attempt - 1 WHERE state = 'running' AND attempt > 0;
