//! What is old goes: contents first, everything later, the ledger never. In steps of a few requests, so that the
//! commits of accepts beside them stay short.

use super::SqliteStore;
use super::files;
use super::journal;
use super::rows;
use super::writer::{Patience, Work};
use crate::store::{Erased, OldPage, OldRequests, Part, StoreError};
use camino::Utf8Path;
use ripost_domain::id::{ConsumerId, DeliveryId, RequestId};
use ripost_domain::request::State;
use ripost_domain::time::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};
use sha2::{Digest as _, Sha256};
use std::time::{Duration, SystemTime};

/// Requests of one commit.
const STEP: usize = 32;
/// A file that no row names is of a commit that is on its way, or of one that never was: after this it is the latter.
const ORPHAN_AGE: Duration = Duration::from_secs(600);

/// Ended, and nothing more is to be sent.
const SETTLED: &str = "state IN ('completed', 'failed', 'cancelled', 'expired') AND NOT EXISTS \
    (SELECT 1 FROM deliveries WHERE request_id = requests.id AND state IN ('pending', 'in_flight'))";

/// The bytes of a webhook, as they are remembered.
struct Remembered {
    delivery: DeliveryId,
    sha256: Option<[u8; 32]>,
    bytes: i64,
}

impl SqliteStore {
    /// A look at what may be old. A request's contents are there for as long as its input is.
    pub(super) async fn old_page(&self, asked: OldRequests) -> Result<OldPage, StoreError> {
        self.readers.read(move |connection| page(connection, &asked)).await
    }

    /// Takes the contents of ended requests away; how many there were.
    pub(super) async fn forget_contents(&self, ids: Vec<RequestId>) -> Result<u32, StoreError> {
        let mut count = 0;
        for step in ids.chunks(STEP) {
            let (folder, looked_at) = (self.folder.clone(), step.to_vec());
            let remembered = self.readers.read(move |connection| remember(connection, &folder, &looked_at)).await?;
            let points = Some(("retention.before_commit", "retention.after_commit"));
            let forget = move |work: &mut Work<'_>| forget(work.connection, &remembered);
            let gone = self.writer.write(Patience::Endless, points, forget).await?;
            count += u32::try_from(gone.len()).unwrap_or(u32::MAX);
            self.remove_files(gone).await?;
        }
        Ok(count)
    }

    /// Takes ended requests away; how many there were. What is still to be delivered keeps one, unless it is to go all
    /// the same.
    pub(super) async fn erase_ended(&self, ids: Vec<RequestId>, undelivered_too: bool) -> Result<u32, StoreError> {
        let mut count = 0;
        for step in ids.chunks(STEP) {
            let step = step.to_vec();
            let points = Some(("retention.before_commit", "retention.after_commit"));
            let erase = move |work: &mut Work<'_>| erase(work.connection, &step, undelivered_too);
            let gone = self.writer.write(Patience::Endless, points, erase).await?;
            count += u32::try_from(gone.len()).unwrap_or(u32::MAX);
            self.remove_files(gone).await?;
        }
        Ok(count)
    }

    /// Takes one request away, with what is still to be delivered of it.
    pub(super) async fn erase_one(&self, id: RequestId) -> Result<Erased, StoreError> {
        let look = move |connection: &Connection| {
            let state = connection
                .prepare_cached("SELECT state FROM requests WHERE id = ?1")?
                .query_row([id.as_bytes()], |row| rows::named(row, "state", State::from_name))
                .optional()?;
            let undelivered: u32 = connection
                .prepare_cached(
                    "SELECT count(*) FROM deliveries WHERE request_id = ?1 AND state IN ('pending', 'in_flight')",
                )?
                .query_row([id.as_bytes()], |row| row.get(0))?;
            Ok((state, undelivered))
        };
        let (state, undelivered) = self.readers.read(look).await?;
        match state {
            None => Ok(Erased::Unknown),
            Some(state) if !state.is_terminal() => Ok(Erased::Unfinished(state)),
            Some(_) => {
                self.erase_ended(vec![id], true).await?;
                Ok(Erased::Gone { undelivered })
            }
        }
    }

    async fn remove_files(&self, ids: Vec<RequestId>) -> Result<(), StoreError> {
        let (folder, kept) = (self.folder.clone(), self.files_bytes.clone());
        let remove = move || {
            for id in ids {
                for kind in files::Kind::ALL {
                    kept.less(files::remove(&folder, id, kind));
                }
            }
        };
        tokio::task::spawn_blocking(remove).await.map_err(|_| StoreError::Closed)
    }

    /// Removes files of one folder that no row names: what a crash left between a commit and its files. Returns how many.
    pub(super) async fn sweep_shard(&self, shard: u32, now: Timestamp) -> Result<u32, StoreError> {
        let (folder, kept) = (self.folder.clone(), self.files_bytes.clone());
        self.readers
            .read(move |connection| {
                let mut removed = 0;
                for file in files::list(&folder, shard) {
                    if is_old(&file.path, now) && !is_named(connection, file.owner)? {
                        kept.less(files::remove_path(&file.path));
                        removed += 1;
                    }
                }
                Ok(removed)
            })
            .await
    }
}

fn is_old(path: &Utf8Path, now: Timestamp) -> bool {
    let modified = path.metadata().and_then(|metadata| metadata.modified());
    let modified = modified.ok().and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
    // A file of the future waits until the clock is right again.
    modified.is_some_and(|at| now.since(Timestamp::from_millis(0).after(at)) >= ORPHAN_AGE)
}

/// `None`: the name is none of ours, or that of a draft.
fn is_named(connection: &Connection, owner: Option<(RequestId, files::Kind)>) -> rusqlite::Result<bool> {
    let Some((id, kind)) = owner else { return Ok(false) };
    let sql = match kind {
        files::Kind::Result => "SELECT 1 FROM results WHERE request_id = ?1 AND body IS NULL",
        files::Kind::Webhook => {
            "SELECT 1 FROM deliveries JOIN payloads ON delivery_id = deliveries.id WHERE request_id = ?1 AND body IS NULL"
        }
        files::Kind::Unmade => {
            "SELECT 1 FROM deliveries JOIN unmade ON delivery_id = deliveries.id WHERE request_id = ?1 AND body IS NULL"
        }
    };
    connection.prepare_cached(sql)?.exists([id.as_bytes()])
}

fn page(connection: &Connection, asked: &OldRequests) -> rusqlite::Result<OldPage> {
    // Ids begin with the time of the accept, and what was accepted after that has not ended before it.
    let until = RequestId::new(asked.finished_before, [0; 10]);
    let after = asked.after.unwrap_or(RequestId::from_bytes([0; 16]));
    let sql = match asked.part {
        Part::Contents => {
            "SELECT request_id FROM inputs WHERE request_id > ?1 AND request_id < ?2 ORDER BY request_id LIMIT ?3"
        }
        Part::Everything => "SELECT id FROM requests WHERE id > ?1 AND id < ?2 ORDER BY id LIMIT ?3",
    };
    let looked_at = connection
        .prepare_cached(sql)?
        .query_map(params![after.as_bytes(), until.as_bytes(), asked.limit], |row| row.get(0))?
        .map(|id| id.map(RequestId::from_bytes))
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let mut is_due = connection
        .prepare_cached(&format!("SELECT 1 FROM requests WHERE id = ?1 AND finished_at < ?2 AND {SETTLED}"))?;
    let mut due = Vec::new();
    for id in &looked_at {
        if is_due.exists(params![id.as_bytes(), asked.finished_before.as_millis()])? {
            due.push(*id);
        }
    }
    let next = looked_at.last().copied().filter(|_| looked_at.len() == asked.limit as usize);
    Ok(OldPage { due, next })
}

/// What a receipt will say of the payloads of these requests. Reads files, so it is no work for the writer.
fn remember(
    connection: &Connection,
    folder: &Utf8Path,
    ids: &[RequestId],
) -> rusqlite::Result<Vec<(RequestId, Vec<Remembered>)>> {
    let mut select = connection.prepare_cached(
        "SELECT deliveries.id, payloads.bytes AS bytes, payloads.body AS body FROM deliveries \
         LEFT JOIN payloads ON payloads.delivery_id = coalesce(deliveries.copy_of, deliveries.id) WHERE request_id = ?1",
    )?;
    let mut all = Vec::with_capacity(ids.len());
    for &id in ids {
        let of_one = select.query_map([id.as_bytes()], |row| {
            let delivery = DeliveryId::from_bytes(rows::id(row, "id")?);
            let Some(bytes) = row.get::<_, Option<i64>>("bytes")? else {
                // It was never made.
                return Ok(Remembered { delivery, sha256: None, bytes: 0 });
            };
            let sha256 = match row.get_ref("body")?.as_blob_or_null()? {
                Some(body) => Some(Sha256::digest(body).into()),
                // A file that is lost already cannot be told of.
                None => files::read(folder, id, files::Kind::Webhook).ok().map(|body| Sha256::digest(&body).into()),
            };
            Ok(Remembered { delivery, sha256, bytes })
        })?;
        all.push((id, of_one.collect::<rusqlite::Result<_>>()?));
    }
    Ok(all)
}

/// Returns those that were still to be forgotten.
fn forget(connection: &Connection, remembered: &[(RequestId, Vec<Remembered>)]) -> rusqlite::Result<Vec<RequestId>> {
    let mut is_settled = connection.prepare_cached(&format!("SELECT 1 FROM requests WHERE id = ?1 AND {SETTLED}"))?;
    let mut gone = Vec::new();
    for (id, payloads) in remembered {
        if !is_settled.exists([id.as_bytes()])? {
            continue;
        }
        for Remembered { delivery, sha256, bytes } in payloads {
            let of_delivery = [
                "DELETE FROM payloads WHERE delivery_id = ?1",
                "DELETE FROM unmade WHERE delivery_id = ?1",
                "DELETE FROM feed WHERE delivery_id = ?1",
            ];
            for sql in of_delivery {
                connection.prepare_cached(sql)?.execute([delivery.as_bytes()])?;
            }
            connection
                .prepare_cached(
                    "INSERT INTO forgotten_payloads (delivery_id, sha256, bytes) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
                )?
                .execute(params![delivery.as_bytes(), sha256.as_ref().map(|hash| &hash[..]), bytes])?;
        }
        for sql in [
            "DELETE FROM inputs WHERE request_id = ?1",
            "DELETE FROM originals WHERE request_id = ?1",
            "DELETE FROM results WHERE request_id = ?1",
            "UPDATE runs SET lines = NULL WHERE request_id = ?1 AND lines IS NOT NULL",
        ] {
            connection.prepare_cached(sql)?.execute([id.as_bytes()])?;
        }
        journal::erase(connection, *id)?;
        gone.push(*id);
    }
    Ok(gone)
}

/// Every row of a request but its transfers. Returns those that there were.
fn erase(connection: &Connection, ids: &[RequestId], undelivered_too: bool) -> rusqlite::Result<Vec<RequestId>> {
    let ended = "state IN ('completed', 'failed', 'cancelled', 'expired')";
    let condition = if undelivered_too { ended } else { SETTLED };
    let mut delete = connection.prepare_cached(&format!("DELETE FROM requests WHERE id = ?1 AND {condition}"))?;
    let mut gone = Vec::new();
    for id in ids {
        if delete.execute([id.as_bytes()])? == 0 {
            continue;
        }
        let of_deliveries = "IN (SELECT id FROM deliveries WHERE request_id = ?1)";
        for table in ["payloads", "unmade", "forgotten_payloads", "feed", "attempts"] {
            let sql = format!("DELETE FROM {table} WHERE delivery_id {of_deliveries}");
            connection.prepare_cached(&sql)?.execute([id.as_bytes()])?;
        }
        for table in ["deliveries", "inputs", "originals", "results", "problems", "runs", "idempotency", "callbacks"] {
            let sql = format!("DELETE FROM {table} WHERE request_id = ?1");
            connection.prepare_cached(&sql)?.execute([id.as_bytes()])?;
        }
        journal::erase(connection, *id)?;
        gone.push(*id);
    }
    Ok(gone)
}

/// A consumer loses its keys, its name and what it has set; false if there is none, or it was erased before. Its secret
/// stays for as long as something is to be signed with it.
pub(super) fn erase_consumer(work: &mut Work<'_>, consumer: ConsumerId, at: Timestamp) -> rusqlite::Result<bool> {
    let connection = work.connection;
    let marked = connection
        .prepare_cached("UPDATE consumers SET name = ?2, erased_at = ?3 WHERE id = ?1 AND erased_at IS NULL")?
        .execute(params![consumer.as_bytes(), format!("erased {consumer}"), at.as_millis()])?;
    if marked == 0 {
        return Ok(false);
    }
    for table in ["keys", "old_secrets", "disabled_urls", "subscriptions", "consumer_limits"] {
        let sql = format!("DELETE FROM {table} WHERE consumer_id = ?1");
        connection.prepare_cached(&sql)?.execute([consumer.as_bytes()])?;
    }
    Ok(true)
}

/// Ended requests of consumers that were erased.
pub(super) fn of_erased_consumers(connection: &Connection, limit: u32) -> rusqlite::Result<Vec<RequestId>> {
    connection
        .prepare_cached(
            "SELECT requests.id FROM consumers JOIN requests ON consumer_id = consumers.id WHERE erased_at IS NOT NULL \
             AND state IN ('completed', 'failed', 'cancelled', 'expired') LIMIT ?1",
        )?
        .query_map([limit], |row| row.get(0).map(RequestId::from_bytes))?
        .collect()
}
