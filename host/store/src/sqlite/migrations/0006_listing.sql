-- Serves: a consumer's own requests, newest first: ids sort by their time, and the primary key is the end of every index.
CREATE INDEX requests_consumer ON requests (consumer_id);
