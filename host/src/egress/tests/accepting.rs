//! The early check, when a call is accepted.

use super::super::Why;
use super::*;
use tokio::time::{Instant, sleep};

const BUDGET: Duration = Duration::from_millis(200);

#[tokio::test]
async fn a_forbidden_answer_is_refused_and_the_sentence_says_nothing_of_our_network() {
    let client = client_with(settings(), Names::answering(&[&["93.184.215.14", "10.1.2.3"]]));
    let refused = client.lookup_at_accept(&url("https://hook.example.com/"), BUDGET).await.unwrap_err();
    assert!(matches!(refused.why, Why::Address(_)));
    assert_eq!(refused.to_string(), "hook.example.com: 10.1.2.3 is refused: private");
    let own = Arc::new(OwnAddresses::default());
    own.set_listeners(vec!["127.0.0.1:3000".parse().unwrap()]);
    let client = EgressClient::new(settings(), own, Names::none(), &TaskTracker::new()).unwrap();
    let of_us = client.lookup_at_accept(&url("http://127.0.0.1:3000/"), BUDGET).await.unwrap_err();
    assert_eq!((of_us.why, of_us.sentence()), (Why::Own, refused.sentence()));
    assert!(!refused.sentence().contains("10.1.2.3") && !refused.sentence().contains("private"));
}

#[tokio::test]
async fn addresses_are_checked_by_the_policy_of_the_client_without_asking() {
    let production = client_with(Settings::default(), Names::none());
    assert!(production.lookup_at_accept(&url("http://127.0.0.1:9/"), BUDGET).await.is_err());
    assert!(production.lookup_at_accept(&url("http://localhost:9/"), BUDGET).await.is_err());
    assert!(production.lookup_at_accept(&url("http://93.184.215.14/"), BUDGET).await.is_ok());
    assert!(client().lookup_at_accept(&url("http://127.0.0.1:9/"), BUDGET).await.is_ok());
}

#[tokio::test]
async fn no_answer_is_no_refusal_and_costs_the_budget_once() {
    let names = Names::silent(true);
    let client = client_with(settings(), names.clone());
    let started = Instant::now();
    for _ in 0..10 {
        assert!(client.lookup_at_accept(&url("https://hook.example.com/"), BUDGET / 2).await.is_ok());
    }
    assert!((BUDGET / 2..BUDGET * 2).contains(&started.elapsed()));
    assert_eq!(names.calls(), 1);
    let failing = client_with(settings(), Names::scripted(vec![Err(ResolveError::NoAddress)]));
    assert!(failing.lookup_at_accept(&url("https://hook.example.com/"), BUDGET).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_relied_on_for_five_seconds_and_never_when_sending() {
    let names = Names::answering(&[&["93.184.215.14"], &["10.0.0.1"]]);
    let client = client_with(settings(), names.clone());
    let hook = url("https://hook.example.com/");
    for _ in 0..100 {
        assert!(client.lookup_at_accept(&hook, BUDGET).await.is_ok());
    }
    assert_eq!(names.calls(), 1);
    assert_eq!(fails(&client, "https://hook.example.com/").await.class(), "refused-address");
    assert!(client.lookup_at_accept(&hook, BUDGET).await.is_ok(), "the old answer, still");
    sleep(5 * SECOND).await;
    assert!(client.lookup_at_accept(&hook, BUDGET).await.is_err());
    assert_eq!(names.calls(), 3);
}
