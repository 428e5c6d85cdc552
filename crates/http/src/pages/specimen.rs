//! A job for tests of what the pages say: the second attempt of three, and the first one failed.

use backshift_core::{EffectState, Headers, JobId, JobRecord, Kind, QueueName, State, Timestamp, Token};

/// In this state.
pub(super) fn job(state: State) -> JobRecord {
    let at = Timestamp::from_second(100).unwrap();
    JobRecord {
        id: JobId::generate(),
        kind: Kind::new("k").unwrap(),
        queue: QueueName::new("q").unwrap(),
        broker: "embedded".into(),
        is_foreign: false,
        state,
        parked: false,
        attempt: 2,
        max_attempts: Some(3),
        priority: 0,
        token: Token(1),
        run_at: at,
        created_at: at,
        started_at: None,
        finished_at: None,
        error: Some("450 4.2.1 mailbox busy".into()),
        reason: None,
        effect: EffectState::None,
        note: None,
        worker: None,
        lease_until: None,
        crashes: 0,
        progress: None,
        output: None,
        payload: None,
        payload_size: 0,
        headers: Headers::new(),
        unique_key: None,
        user_id: None,
    }
}
