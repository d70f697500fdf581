//! Subscriptions, paused APIs, tokens.

use crate::fixture::{Fixture, NOW};
use ripost_domain::api::ApiName;
use ripost_domain::id::{ConsumerId, TokenId};
use ripost_domain::time::Timestamp;
use ripost_store::{PausedApi, Role, Store as _, StoreError, Subscription, Token};
use std::time::Duration;

fn api(slug: &str) -> ApiName {
    ApiName { owner: "demo".parse().unwrap(), slug: slug.parse().unwrap() }
}

fn later(seconds: u64) -> Timestamp {
    NOW.after(Duration::from_secs(seconds))
}

#[tokio::test]
async fn a_subscription_is_one_consumers_for_one_api_until_it_is_taken_back() {
    let store = Fixture::new();
    let (one, other) = (store.consumer(0).await, store.consumer(0).await);
    assert!(store.subscribe(one, &api("b"), NOW).await.unwrap());
    assert!(!store.subscribe(one, &api("b"), later(1)).await.unwrap(), "it is one already");
    assert!(store.subscribe(one, &api("a"), NOW).await.unwrap());
    assert!(store.subscribe(other, &api("b"), NOW).await.unwrap());
    let nobody = store.subscribe(ConsumerId::from_bytes([9; 16]), &api("b"), NOW).await;
    assert!(matches!(nobody, Err(StoreError::Sql(_))), "{nobody:?}");
    let store = store.reopened().await;
    let subscription = |consumer, slug| Subscription { consumer, api: api(slug), created_at: NOW };
    let all = [subscription(one, "a"), subscription(one, "b"), subscription(other, "b")];
    assert_eq!(store.subscriptions().await.unwrap(), all);
    assert!(store.unsubscribe(one, &api("b")).await.unwrap());
    assert!(!store.unsubscribe(one, &api("b")).await.unwrap());
    assert!(!store.unsubscribe(other, &api("a")).await.unwrap());
    assert_eq!(store.subscriptions().await.unwrap(), [all[0].clone(), all[2].clone()]);
}

#[tokio::test]
async fn an_api_is_paused_since_the_first_time_with_the_last_reason() {
    let store = Fixture::new();
    store.pause(&api("b"), "moving", NOW).await.unwrap();
    store.pause(&api("a"), "", NOW).await.unwrap();
    store.pause(&api("b"), "still moving", later(5)).await.unwrap();
    let store = store.reopened().await;
    let paused = |slug, reason: &str| PausedApi { api: api(slug), reason: reason.to_owned(), paused_at: NOW };
    assert_eq!(store.paused().await.unwrap(), [paused("a", ""), paused("b", "still moving")]);
    assert!(store.resume(&api("a")).await.unwrap());
    assert!(!store.resume(&api("a")).await.unwrap());
    assert_eq!(store.paused().await.unwrap(), [paused("b", "still moving")]);
}

#[tokio::test]
async fn a_token_has_a_name_of_its_own_a_role_and_an_end() {
    let store = Fixture::new();
    let token = |number: u8, name: &str, role| Token {
        id: TokenId::from_bytes([number; 16]),
        name: name.to_owned(),
        hash: [number; 32],
        role,
        created_at: later(number.into()),
    };
    let (deploy, ops) = (token(1, "deploy", Role::Owner("demo".parse().unwrap())), token(2, "a-human", Role::Operator));
    assert!(store.add_token(deploy.clone()).await.unwrap());
    assert!(store.add_token(ops.clone()).await.unwrap());
    assert!(!store.add_token(token(3, "deploy", Role::Operator)).await.unwrap(), "the name is taken");
    let store = store.reopened().await;
    assert_eq!(store.tokens().await.unwrap(), [ops.clone(), deploy]);
    assert!(store.remove_token("deploy").await.unwrap());
    assert!(!store.remove_token("deploy").await.unwrap());
    assert_eq!(store.tokens().await.unwrap(), [ops]);
}
