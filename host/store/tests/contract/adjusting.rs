use crate::fixture::{Fixture, NOW, PRICE, accept, amount};
use ripost_domain::id::ConsumerId;
use ripost_domain::ledger::Adjustment::{self, Credit, Debit};
use ripost_store::{Adjust, Adjusted, Balances, Store as _};
use std::time::Duration;

fn adjust(consumer: ConsumerId, adjustment: Adjustment, micros: i64, reference: &str) -> Adjust {
    Adjust { consumer, adjustment, amount: amount(micros), reference: reference.parse().unwrap(), at: NOW }
}

fn balances(available: i64, held: i64) -> Balances {
    Balances { available: amount(available), held: amount(held) }
}

#[tokio::test]
async fn a_reference_is_one_credit_or_debit_however_often_it_is_said() {
    let store = Fixture::new();
    let (one, other) = (store.consumer(0).await, store.consumer(0).await);
    let credit = adjust(one, Credit, 500, "inv-1");
    assert_eq!(store.adjust(credit.clone()).await.unwrap(), Adjusted::Done(balances(500, 0)));
    let later = Adjust { at: NOW.after(Duration::from_secs(9)), ..credit.clone() };
    assert_eq!(store.adjust(later).await.unwrap(), Adjusted::Before { at: NOW, balances: balances(500, 0) });
    for another in
        [adjust(one, Credit, 501, "inv-1"), adjust(one, Debit, 500, "inv-1"), adjust(other, Credit, 500, "inv-1")]
    {
        let written = credit.clone();
        assert_eq!(store.adjust(another).await.unwrap(), Adjusted::ReferenceTaken { written });
    }
    let debit = adjust(one, Debit, 200, "out-1");
    assert_eq!(store.adjust(debit.clone()).await.unwrap(), Adjusted::Done(balances(300, 0)));
    let store = store.reopened().await;
    assert_eq!(store.adjust(debit).await.unwrap(), Adjusted::Before { at: NOW, balances: balances(300, 0) });
    // Case and accents are of the name: what people mean by it is not for us to guess.
    assert_eq!(store.adjust(adjust(one, Credit, 1, "INV-1")).await.unwrap(), Adjusted::Done(balances(301, 0)));
    store.sound().await;
}

#[tokio::test]
async fn a_debit_takes_what_is_available_and_never_what_is_held_or_set_aside() {
    let store = Fixture::new();
    let consumer = store.consumer(PRICE * 3).await;
    store.accept(accept(consumer)).await.unwrap();
    let aside = store.reserve(consumer, amount(PRICE)).await.unwrap();
    let refused = store.adjust(adjust(consumer, Debit, PRICE + 1, "out")).await.unwrap();
    assert_eq!(refused, Adjusted::Insufficient(balances(PRICE, PRICE)));
    // What was refused has taken no reference.
    assert_eq!(
        store.adjust(adjust(consumer, Debit, PRICE, "out")).await.unwrap(),
        Adjusted::Done(balances(PRICE, PRICE)),
        "the rest is set aside"
    );
    drop(aside);
    let all = store.adjust(adjust(consumer, Debit, PRICE, "rest")).await.unwrap();
    assert_eq!(all, Adjusted::Done(balances(0, PRICE)));
    store.sound().await;
}

#[tokio::test]
async fn an_erased_consumer_can_be_paid_back_and_not_be_credited() {
    let store = Fixture::new();
    let consumer = store.consumer(700).await;
    assert!(store.erase_consumer(consumer, NOW).await.unwrap());
    assert_eq!(store.adjust(adjust(consumer, Credit, 1, "in")).await.unwrap(), Adjusted::Unknown);
    assert_eq!(store.adjust(adjust(consumer, Debit, 700, "out")).await.unwrap(), Adjusted::Done(balances(0, 0)));
    let nobody = ConsumerId::from_bytes([9; 16]);
    assert_eq!(store.adjust(adjust(nobody, Debit, 1, "nobody")).await.unwrap(), Adjusted::Unknown);
    store.sound().await;
}

#[tokio::test]
async fn sixty_four_at_once_with_one_reference_are_one() {
    let store = Fixture::new();
    let consumer = store.consumer(0).await;
    let all = (0..64).map(|_| {
        let store = store.store.clone();
        tokio::spawn(async move { store.adjust(adjust(consumer, Credit, 10, "once")).await.unwrap() })
    });
    let mut done = 0;
    for adjusted in all.collect::<Vec<_>>() {
        match adjusted.await.unwrap() {
            Adjusted::Done(_) => done += 1,
            Adjusted::Before { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((done, store.balances(consumer).await.unwrap()), (1, balances(10, 0)));
    store.sound().await;
}
