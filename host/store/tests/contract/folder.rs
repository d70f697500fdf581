use crate::fixture::{Fixture, PRICE, accept, completed, open};
use ripost_store::{OpenError, Store as _, StoreError};
use std::sync::atomic::{AtomicBool, Ordering};

#[tokio::test]
async fn a_folder_of_a_newer_version_is_refused_and_left_as_it_is() {
    let store = Fixture::new();
    store.close().await;
    let path = store.path();
    let database = store.database();
    let Fixture { store, folder: _folder } = store;
    drop(store);
    rusqlite::Connection::open(&database).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let before = std::fs::read(&database).unwrap();
    assert!(matches!(open(&path), Err(OpenError::Newer { found: 99, .. })));
    assert_eq!(std::fs::read(&database).unwrap(), before);
}

#[tokio::test]
async fn a_folder_has_one_process_at_a_time() {
    let store = Fixture::new();
    assert!(matches!(open(&store.path()), Err(OpenError::InUse { .. })));
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = camino::Utf8PathBuf::from_path_buf(folder.path().join("file")).unwrap();
    std::fs::write(&file, "in the way").unwrap();
    match open(&file.join("data")) {
        Err(OpenError::NotWritable { path, .. }) => assert!(path.starts_with(file.as_str())),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("opened"),
    }
}

#[tokio::test]
async fn a_closed_store_says_so() {
    let store = Fixture::new();
    let consumer = store.consumer(PRICE).await;
    store.close().await;
    assert!(matches!(
        store.finish(completed(&accept(consumer))).await,
        Err(ripost_store::WriteError::Store(StoreError::Closed))
    ));
    assert!(matches!(store.stats().await, Err(StoreError::Closed)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_copy_taken_while_it_is_written_opens_with_sound_books() {
    let store = Fixture::new();
    let consumer = store.consumer(PRICE * 100_000).await;
    static STOP: AtomicBool = AtomicBool::new(false);
    let writers: Vec<_> = (0..8)
        .map(|_| {
            let store = store.store.clone();
            tokio::spawn(async move {
                while !STOP.load(Ordering::Relaxed) {
                    let call = accept(consumer);
                    store.accept(call.clone()).await.unwrap();
                    store.finish(completed(&call)).await.unwrap();
                }
            })
        })
        .collect();
    for _ in 0..5 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        let copy = tempfile::tempdir().unwrap();
        // The log after the file, and cut at an odd place: as a crash of the machine could leave it.
        for name in ["ripost.sqlite3", "ripost.sqlite3-wal"] {
            std::fs::copy(store.path().join(name), copy.path().join(name)).unwrap();
        }
        let wal = std::fs::File::options().write(true).open(copy.path().join("ripost.sqlite3-wal")).unwrap();
        let length = wal.metadata().unwrap().len();
        wal.set_len(length.saturating_sub(1234)).unwrap();
        let path = camino::Utf8PathBuf::from_path_buf(copy.path().to_owned()).unwrap();
        // A checkpoint may move pages between the two copies; what opens must be sound, and what does not must say so.
        if let Ok(copied) = open(&path)
            && let Ok(violations) = copied.audit().await
        {
            assert_eq!(violations, []);
        }
    }
    STOP.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    store.sound().await;
}
