//! What every store must do, whichever database it is on. PostgreSQL will run the same with another `fixture`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::disallowed_methods, reason = "a test owns its tasks and waits for them")]

mod accepting;
mod access;
mod adjusting;
mod audit;
mod callbacks;
mod concurrency;
mod deliveries;
mod ending;
mod fixture;
mod folder;
mod history;
mod journal;
mod keys;
mod kv;
mod lanes;
mod limits;
mod listing;
mod machine;
mod owner_secrets;
mod pinned;
mod retention;
mod runs;
mod transforms;
mod turns;
mod undelivered;
