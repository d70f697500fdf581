-- What was delivered stays so: sent again, it is a delivery of its own. `copy` counts those of a request's event, and 0 is
-- the one that the event made; `copy_of` is that one, whose `webhook-id` and payload the copies have.
ALTER TABLE deliveries ADD COLUMN copy INTEGER NOT NULL DEFAULT 0;
ALTER TABLE deliveries ADD COLUMN copy_of BLOB;

DROP INDEX deliveries_request;
-- Serves: the deliveries of a request, those of an event, and that an event makes one.
CREATE UNIQUE INDEX deliveries_request ON deliveries (request_id, event, copy);
