//! RabbitMQ 3.10 and 4.x. Each case runs on both; the list at the end names them all.

mod consuming;
mod encrypted;
mod faults;
mod foreign;
mod long;
mod proxy;
mod publishing;
mod retrying;
mod site;

/// Makes two tests of each case, one a server.
macro_rules! on_both {
    ($($module:ident: $($case:ident),+;)+) => {
        mod v3_10 {
            $($(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                if let Some(site) = super::site::Site::old() { super::$module::$case(site).await }
            })+)+
        }
        mod v4 {
            $($(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                if let Some(site) = super::site::Site::new() { super::$module::$case(site).await }
            })+)+
        }
    };
}

on_both! {
    publishing: an_envelope_comes_back_as_it_went, a_missing_queue_is_refused_and_the_others_go_through,
        thousands_from_many_callers_are_all_confirmed,
        callers_side_by_side_learn_the_fate_of_their_own_messages, what_the_server_cannot_do_is_refused,
        a_queue_with_other_arguments_is_named_and_hurts_nobody, closing_flushes_and_forbids,
        wrong_credentials_are_refused_without_showing_them;
    consuming: acks_out_of_order_leave_exactly_the_unacked, what_was_prefetched_goes_back_when_it_gets_quiet,
        a_consumer_keeps_no_more_than_its_slots_and_nothing_when_it_is_dropped,
        a_dropped_receipt_means_redelivery, a_foreign_id_is_the_same_on_every_delivery,
        a_message_without_a_kind_is_malformed_and_goes_to_the_dlq_whole, too_many_bytes_go_to_the_dlq_whole;
    long: a_busy_queue_keeps_pushing_beside_a_long_job, a_small_prefetch_bounds_what_is_taken_beside_a_long_job,
        nothing_is_held_behind_slots_that_are_taken;
    retrying: a_retry_is_never_early, a_retry_at_once_keeps_the_message, a_planned_job_waits_for_its_time,
        a_code_expires_in_the_dlq_and_not_in_the_ladder, classic_queues_do_the_same;
    foreign: the_go_producers_mail_is_worked_and_buried_as_it_came, peers_can_still_declare_as_they_always_did,
        odd_headers_and_forged_histories_do_no_harm, bytes_that_are_no_text_do_not_stop_the_queue,
        a_first_publish_passes_the_exchange_and_a_retry_does_not, a_sensitive_mail_passes_the_exchange_and_ends_with_its_use,
        an_id_in_the_body_is_the_jobs_and_one_on_the_message_beats_it;
    faults: a_forced_close_is_survived, a_deleted_queue_ends_the_consumer_and_comes_back,
        a_silent_server_means_unknown_and_the_same_id_may_go_again, a_blocked_connection_says_why,
        a_server_that_is_away_is_unavailable;
    encrypted: a_trusted_server_is_used_and_a_stranger_is_not;
}
