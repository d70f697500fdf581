-- A problem is there for each request that ended without a result, for as long as the request is. What is looked for by
-- owner stands beside it, so that a request that is completed pays nothing for it.
ALTER TABLE problems ADD COLUMN owner TEXT NOT NULL DEFAULT '';
ALTER TABLE problems ADD COLUMN slug TEXT NOT NULL DEFAULT '';
ALTER TABLE problems ADD COLUMN state TEXT NOT NULL DEFAULT '';
UPDATE problems SET (owner, slug, state) = (SELECT owner, slug, state FROM requests WHERE id = request_id)
WHERE request_id IN (SELECT id FROM requests);

-- Serves: an owner's requests that ended without a result, newest first, and their counts by API.
CREATE INDEX problems_owner ON problems (owner, state, request_id, slug);
