//! Each rule of the audit catches a defect that is planted in the rows.

use crate::fixture::{Fixture, PRICE, accept, amount, answer, completed, failed, waiting};
use ripost_domain::money::Capture;
use ripost_store::{Ending, Finish, Store as _, sqlite};

async fn caught(sql: &str) -> Vec<&'static str> {
    let store = Fixture::new();
    let consumer = store.consumer(PRICE * 10).await;
    let (done, lost, open) = (accept(consumer), accept(consumer), waiting(consumer));
    let (part, nothing) = (accept(consumer), accept(consumer));
    for call in [&done, &lost, &open, &part, &nothing] {
        store.accept(call.clone()).await.unwrap();
    }
    for (call, micros) in [(&part, 20_000), (&nothing, 0)] {
        let ending = Ending::Completed { answer: answer(b"{}"), capture: Capture::Part(amount(micros)) };
        store.finish(Finish { ending, ..completed(call) }).await.unwrap();
    }
    store.finish(completed(&done)).await.unwrap();
    store.finish(failed(&lost)).await.unwrap();
    store.sound().await;
    store.close().await;
    let (path, database) = (store.path(), store.database());
    let connection = rusqlite::Connection::open(database).unwrap();
    let triggers = "DROP TRIGGER entries_stay; DROP TRIGGER entries_remain; DROP TRIGGER transfers_stay; DROP TRIGGER transfers_remain;";
    connection.execute_batch(triggers).unwrap();
    connection.pragma_update(None, "ignore_check_constraints", true).unwrap();
    connection.execute_batch(sql).unwrap();
    drop(connection);
    let mut names: Vec<_> =
        sqlite::audit_folder(&path).unwrap().violations.into_iter().map(|violation| violation.invariant).collect();
    names.dedup();
    names
}

#[tokio::test]
async fn every_rule_catches_the_defect_it_is_for() {
    let capture = "(SELECT max(id) FROM transfers WHERE kind = 'capture')";
    for (invariant, sql) in [
        ("I1", "UPDATE entries SET micros = micros + 1 WHERE rowid_of_first = 1".to_owned()),
        ("I2", "UPDATE entries SET micros = -9999999 WHERE micros > 0 AND transfer_id = 1".to_owned()),
        ("I3", "UPDATE accounts SET balance = balance + 1 WHERE name LIKE 'owner:%'".to_owned()),
        ("I4", format!("DELETE FROM entries WHERE transfer_id = {capture}; DELETE FROM transfers WHERE id = {capture}")),
        ("I5", "UPDATE requests SET settlement = 'held' WHERE state = 'completed'".to_owned()),
        ("I6", "UPDATE requests SET price = price + 1 WHERE state = 'failed'; UPDATE requests SET state = 'running' WHERE state = 'failed'".to_owned()),
        ("I7", "UPDATE requests SET fee = fee + 1 WHERE state = 'completed'".to_owned()),
        ("I5", "UPDATE requests SET captured = NULL WHERE captured = 0".to_owned()),
        ("I5", "UPDATE requests SET captured = 0 WHERE captured IS NULL AND state = 'completed'".to_owned()),
        ("I7", "UPDATE requests SET captured = captured + 20 WHERE captured > 0".to_owned()),
        ("I7", "UPDATE requests SET captured = NULL WHERE captured > 0".to_owned()),
        ("I7", "UPDATE requests SET fee_bps = 501 WHERE captured > 0".to_owned()),
        ("I7", "UPDATE requests SET captured = 1 WHERE state = 'failed'".to_owned()),
        ("I8", "DELETE FROM deliveries WHERE request_id = (SELECT id FROM requests WHERE state = 'completed')".to_owned()),
    ] {
        let sql = sql.replace("rowid_of_first = 1", "transfer_id = 1 AND micros > 0");
        let names = caught(&sql).await;
        assert!(names.contains(&invariant), "{invariant}: {names:?}");
    }
}

#[tokio::test]
async fn the_ledger_refuses_to_be_changed() {
    let store = Fixture::new();
    store.consumer(PRICE).await;
    let connection = rusqlite::Connection::open(store.database()).unwrap();
    for sql in [
        "UPDATE entries SET micros = 1",
        "DELETE FROM entries",
        "UPDATE transfers SET kind = 'hold'",
        "DELETE FROM transfers",
    ] {
        let error = connection.execute_batch(sql).unwrap_err().to_string();
        assert!(error.contains("append-only"), "{sql}: {error}");
    }
}
