//! One test for each named point between durable steps.

use crate::Test;
use crate::plugins;
use crate::retention;
use crate::scenario::{self, Stop};
use crate::steps;

/// A test for each name, and the list of the names that have one.
macro_rules! points {
    ($($test:ident: $name:literal => $scenario:path;)*) => {
        $(
            #[tokio::test]
            async fn $test() -> Test {
                $scenario($name).await
            }
        )*

        const TESTED: &[&str] = &[$($name),*];
    };
}

points! {
    killed_before_the_accepting_transaction: "accept.before_transaction" => scenario::accepting;
    killed_before_the_commit_of_an_accept: "accept.before_commit" => scenario::accepting;
    killed_after_the_commit_of_an_accept: "accept.after_commit" => scenario::accepting;
    killed_before_the_202_is_sent: "accept.before_answer" => scenario::accepting;
    killed_before_a_priced_answer_is_committed: "direct.before_commit" => scenario::answering_directly;
    killed_after_a_priced_answer_is_committed: "direct.after_commit" => scenario::answering_directly;
    killed_before_a_claim_of_runs_is_committed: "run.before_claim_commit" => scenario::claiming_runs;
    killed_after_a_claim_of_runs_is_committed: "run.after_claim_commit" => scenario::claiming_runs;
    killed_before_the_handler_runs: "run.before_handler" => scenario::running;
    killed_after_the_handler_has_run: "run.after_handler" => scenario::running;
    killed_before_it_is_written_down_that_a_call_will_be_sent: "journal.before_intent_commit" => steps::ordering;
    killed_after_it_is_written_down_that_a_call_will_be_sent: "journal.after_intent_commit" => steps::ordering;
    killed_before_the_answer_to_a_call_is_written_down: "journal.before_done_commit" => steps::ordering;
    killed_after_the_answer_to_a_call_is_written_down: "journal.after_done_commit" => steps::ordering;
    killed_before_a_step_is_committed: "step.before_commit" => steps::ordering;
    killed_after_a_step_is_committed: "step.after_commit" => steps::ordering;
    killed_before_a_run_is_put_back: "run_again.before_commit" => scenario::putting_back;
    killed_after_a_run_is_put_back: "run_again.after_commit" => scenario::putting_back;
    killed_before_an_acknowledgement_is_committed: "callback.before_await_commit" => scenario::awaiting;
    killed_after_an_acknowledgement_is_committed: "callback.after_await_commit" => scenario::awaiting;
    killed_after_the_file_of_a_large_result_is_written: "finish.after_result_file" => scenario::finishing_large;
    killed_before_the_commit_of_a_finish: "finish.before_commit" => scenario::running;
    killed_after_the_commit_of_a_finish: "finish.after_commit" => scenario::running;
    killed_before_the_commit_of_a_cancellation: "finish.before_commit" => scenario::cancelling;
    killed_after_the_commit_of_a_cancellation: "finish.after_commit" => scenario::cancelling;
    killed_before_a_claim_of_deliveries_is_committed: "delivery.before_claim_commit" => scenario::claiming_deliveries;
    killed_after_a_claim_of_deliveries_is_committed: "delivery.after_claim_commit" => scenario::claiming_deliveries;
    killed_before_a_webhook_is_sent: "delivery.before_send" => scenario::running;
    killed_after_a_webhook_was_sent: "delivery.after_send" => scenario::running;
    killed_before_a_start_is_told: "delivery.before_add_commit" => scenario::telling_of_a_start;
    killed_after_a_start_is_told: "delivery.after_add_commit" => scenario::telling_of_a_start;
    killed_before_a_webhook_is_to_be_sent_again: "delivery.before_redeliver_commit" => scenario::redelivering;
    killed_after_a_webhook_is_to_be_sent_again: "delivery.after_redeliver_commit" => scenario::redelivering;
    killed_before_a_payload_that_can_be_made_by_now_is_committed: "delivery.before_make_commit" => plugins::making;
    killed_after_a_payload_that_can_be_made_by_now_is_committed: "delivery.after_make_commit" => plugins::making;
    killed_before_an_attempt_is_recorded: "record.before_commit" => scenario::running;
    killed_after_an_attempt_is_recorded: "record.after_commit" => scenario::running;
    killed_before_a_revision_is_renamed_into_place: "revision.before_rename" => scenario::activating;
    killed_after_a_revision_is_renamed_into_place: "revision.after_rename" => scenario::activating;
    killed_before_a_revision_is_swapped_in: "revision.before_swap" => scenario::activating;
    killed_after_a_rollback_is_written_down: "rollback.after_record" => plugins::rolling_back;
    killed_before_requests_go_with_a_rollback: "rollback.before_repin" => plugins::rolling_back;
    killed_after_requests_went_with_a_rollback: "rollback.after_repin" => plugins::rolling_back;
    killed_before_a_push_is_written_down: "push.before_record" => plugins::pushing;
    killed_after_a_push_is_written_down: "push.after_record" => plugins::pushing;
    killed_before_the_requests_of_a_stopped_plugin_end: "stop.after_record" => plugins::stopping;
    killed_before_the_removal_of_what_is_old_is_committed: "retention.before_commit" => retention::forgetting;
    killed_after_the_removal_of_what_is_old_is_committed: "retention.after_commit" => retention::forgetting;
    killed_before_a_consumer_is_committed: "consumer.before_commit" => scenario::adding_a_consumer;
    killed_after_a_consumer_is_committed: "consumer.after_commit" => scenario::adding_a_consumer;
    killed_before_a_credit_is_committed: "adjust.before_commit" => scenario::crediting;
    killed_after_a_credit_is_committed: "adjust.after_commit" => scenario::crediting;
}

#[test]
fn every_named_point_has_its_test() {
    let mut missing: Vec<_> = ripost_store::failpoint::NAMES.iter().filter(|name| !TESTED.contains(name)).collect();
    assert!(missing.is_empty(), "no crash test reaches {missing:?}");
    missing = TESTED.iter().filter(|name| !ripost_store::failpoint::NAMES.contains(name)).collect();
    assert!(missing.is_empty(), "there is no point called {missing:?} any more");
}

#[tokio::test]
async fn a_host_that_is_killed_while_it_seeds_development_mode_seeds_it_at_the_next_start() -> Test {
    for stop in [Stop::Before, Stop::After] {
        scenario::seeding(stop).await?;
    }
    Ok(())
}
