//! What every store must do, whichever database it is on. PostgreSQL will run the same with another `fixture`.

#![expect(clippy::disallowed_methods, reason = "a test owns its tasks and waits for them")]

mod accepting;
mod audit;
mod concurrency;
mod deliveries;
mod ending;
mod fixture;
mod folder;
mod history;
mod runs;
