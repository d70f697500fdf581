use super::*;
use std::time::Duration;
use tokio::task::JoinSet;

fn name(text: &str) -> Arc<str> {
    Arc::from(text)
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(5), future).await.expect("nobody gives it its turn")
}

#[tokio::test]
async fn owners_take_turns_however_many_of_one_wait() {
    let semaphore = FairSemaphore::new(1, 1);
    let (crowd, single) = (name("crowd"), name("single"));
    let first = semaphore.acquire(&crowd, 1).await;
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut waiting = JoinSet::new();
    for owner in [&crowd, &crowd, &crowd, &single] {
        let (waits, owner, order) = (semaphore.clone(), owner.clone(), order.clone());
        let before = semaphore.waiting(&owner);
        let told = owner.clone();
        waiting.spawn(async move {
            let _permit = waits.acquire(&owner, 1).await;
            order.lock().unwrap().push(owner.to_string());
        });
        while semaphore.waiting(&told) == before {
            tokio::task::yield_now().await;
        }
    }
    drop(first);
    soon(waiting.join_all()).await;
    let order = order.lock().unwrap().clone();
    assert_eq!(order, ["crowd", "single", "crowd", "crowd"]);
    assert_eq!(semaphore.available(), 1);
}

#[tokio::test]
async fn nobody_holds_more_than_its_share_and_the_rest_is_for_others() {
    let semaphore = FairSemaphore::new(4, 2);
    let (greedy, other) = (name("greedy"), name("other"));
    let held = [semaphore.acquire(&greedy, 1).await, semaphore.acquire(&greedy, 1).await];
    assert!(semaphore.try_acquire(&greedy, 1).is_none());
    let waits = semaphore.clone();
    let mut third = JoinSet::new();
    third.spawn({
        let greedy = greedy.clone();
        async move { waits.acquire(&greedy, 1).await }
    });
    while semaphore.waiting("greedy") == 0 {
        tokio::task::yield_now().await;
    }
    // Who waits for its own share keeps nobody else waiting.
    let others = soon(semaphore.acquire(&other, 2)).await;
    assert_eq!(semaphore.available(), 0);
    drop(held);
    drop(soon(third.join_next()).await);
    drop(others);
    assert_eq!(semaphore.available(), 4);
    assert!(semaphore.0.lock().owners.is_empty(), "owners that hold nothing are forgotten");
}

#[tokio::test]
async fn a_wish_for_many_is_not_overtaken_for_ever() {
    let semaphore = FairSemaphore::new(4, 4);
    let (small, large) = (name("small"), name("large"));
    let mut held: Vec<_> = Vec::new();
    for _ in 0..4 {
        held.push(semaphore.acquire(&small, 1).await);
    }
    let waits = semaphore.clone();
    let mut many = JoinSet::new();
    many.spawn(async move { waits.acquire(&large, 3).await });
    while semaphore.waiting("large") == 0 {
        tokio::task::yield_now().await;
    }
    for _ in 0..2 {
        held.pop();
        assert!(semaphore.try_acquire(&small, 1).is_none(), "it is saved for the one who waits");
    }
    held.pop();
    let many = soon(many.join_next()).await;
    assert_eq!(semaphore.available(), 0);
    drop(many);
    assert_eq!(semaphore.available(), 3);
}

#[tokio::test]
async fn who_stops_waiting_loses_no_permit() {
    let semaphore = FairSemaphore::new(1, 1);
    let (one, two) = (name("one"), name("two"));
    let held = semaphore.acquire(&one, 1).await;
    for _ in 0..10 {
        let waits = semaphore.acquire(&two, 1);
        assert!(tokio::time::timeout(Duration::from_millis(1), waits).await.is_err());
    }
    drop(held);
    assert_eq!(semaphore.available(), 1);
    drop(soon(semaphore.acquire(&one, 1)).await);
    drop(soon(semaphore.acquire(&two, 1)).await);
    assert_eq!(semaphore.available(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_every_permit_comes_back() {
    let semaphore = FairSemaphore::new(3, 2);
    let mut tasks = JoinSet::new();
    for number in 0..200_u32 {
        let semaphore = semaphore.clone();
        tasks.spawn(async move {
            let owner = name(&format!("owner{}", number % 5));
            for round in 0..20 {
                let wait = semaphore.acquire(&owner, 1 + (number + round) % 2);
                if number % 7 == 0 {
                    let _ = tokio::time::timeout(Duration::from_micros(50), wait).await;
                } else {
                    let _permit = wait.await;
                    tokio::task::yield_now().await;
                }
            }
        });
    }
    soon(tasks.join_all()).await;
    assert_eq!(semaphore.available(), 3);
    assert!(semaphore.0.lock().turns.iter().all(|owner| semaphore.waiting(owner) == 0));
}
