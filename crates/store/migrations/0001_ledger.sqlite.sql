-- The ledger: ids are text, times integer microseconds since 1970, booleans 0 or 1.
CREATE TABLE IF NOT EXISTS background_jobs (
    id                  TEXT PRIMARY KEY NOT NULL,
    user_id             TEXT,
    job_type            TEXT NOT NULL,
    status              TEXT NOT NULL,
    attempts            INTEGER NOT NULL DEFAULT 0,
    error_message       TEXT,
    created_at          INTEGER NOT NULL,
    updated_at          INTEGER NOT NULL,
    queue               TEXT NOT NULL,
    broker              TEXT NOT NULL,
    payload             BLOB,
    payload_hash        BLOB,
    payload_size        INTEGER NOT NULL DEFAULT 0,
    headers             TEXT,
    sensitive           INTEGER NOT NULL DEFAULT 0,
    priority            INTEGER NOT NULL DEFAULT 0,
    max_attempts        INTEGER,
    failures            INTEGER NOT NULL DEFAULT 0,
    token               INTEGER NOT NULL DEFAULT 0,
    crashes             INTEGER NOT NULL DEFAULT 0,
    lonely_crashes      INTEGER NOT NULL DEFAULT 0,
    worker              TEXT,
    lease_until         INTEGER,
    run_at              INTEGER NOT NULL,
    unique_key          TEXT,
    unique_policy       TEXT,
    superseded          INTEGER NOT NULL DEFAULT 0,
    idempotency_key     TEXT,
    progress_percent    INTEGER,
    progress_word       TEXT,
    output              BLOB,
    note                TEXT,
    error_fingerprint   TEXT,
    reason              TEXT,
    -- The kind, while the job is parked because nobody who looked at it knows that kind.
    aside               TEXT,
    effect              TEXT NOT NULL DEFAULT 'none',
    cancel_requested    INTEGER NOT NULL DEFAULT 0,
    published_at        INTEGER,
    publish_hold_until  INTEGER,
    -- The token when the relay took it: a confirm that comes after the next start says nothing about this one.
    publish_token       INTEGER,
    anonymous           INTEGER NOT NULL DEFAULT 0,
    absorbed            INTEGER,
    started_at          INTEGER,
    finished_at         INTEGER
) STRICT;

-- Every predicate is a literal that the statements repeat word for word; a parameter would not match it.
CREATE INDEX IF NOT EXISTS background_jobs_claim ON background_jobs (queue, priority DESC, run_at, id)
    WHERE status = 'available' AND broker = 'embedded' AND crashes < 3;
CREATE INDEX IF NOT EXISTS background_jobs_claim_alone ON background_jobs (queue, priority DESC, run_at, id)
    WHERE status = 'available' AND broker = 'embedded' AND crashes >= 3;
CREATE INDEX IF NOT EXISTS background_jobs_due ON background_jobs (run_at)
    WHERE status IN ('scheduled', 'retrying') AND broker = 'embedded';
CREATE INDEX IF NOT EXISTS background_jobs_running ON background_jobs (worker)
    WHERE status = 'running';
CREATE INDEX IF NOT EXISTS background_jobs_list ON background_jobs (created_at, id);
CREATE INDEX IF NOT EXISTS background_jobs_kept ON background_jobs (created_at, id)
    WHERE status IN ('dead', 'cancelled');
CREATE INDEX IF NOT EXISTS background_jobs_effect ON background_jobs (created_at, id)
    WHERE effect IN ('intended', 'ambiguous');
CREATE INDEX IF NOT EXISTS background_jobs_user ON background_jobs (user_id, created_at)
    WHERE user_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS background_jobs_waiting_abroad ON background_jobs (queue, status)
    WHERE status IN ('scheduled', 'available', 'retrying') AND broker <> 'embedded';
CREATE INDEX IF NOT EXISTS background_jobs_unpublished ON background_jobs (broker, run_at)
    WHERE status IN ('scheduled', 'available', 'retrying') AND published_at IS NULL AND broker <> 'embedded';
CREATE INDEX IF NOT EXISTS background_jobs_anonymous ON background_jobs (payload_hash)
    WHERE anonymous = 1;
CREATE UNIQUE INDEX IF NOT EXISTS background_jobs_idempotency ON background_jobs (idempotency_key)
    WHERE idempotency_key IS NOT NULL;
-- One seat a key among the unfinished. A running job whose successor was accepted (keep-last) is superseded: it
-- has given up the seat, so no later state of it can collide.
CREATE UNIQUE INDEX IF NOT EXISTS background_jobs_unique ON background_jobs (unique_key)
    WHERE unique_key IS NOT NULL AND superseded = 0
      AND status IN ('scheduled', 'available', 'running', 'retrying');
CREATE INDEX IF NOT EXISTS background_jobs_superseded ON background_jobs (unique_key)
    WHERE superseded = 1 AND status = 'running';

-- One row a start, never deleted before its job. The end of a completed start is the job's own finished_at.
CREATE TABLE IF NOT EXISTS job_attempts (
    job_id      TEXT NOT NULL,
    token       INTEGER NOT NULL,
    attempt     INTEGER NOT NULL,
    worker      TEXT NOT NULL,
    started_at  INTEGER NOT NULL,
    ended_at    INTEGER,
    outcome     TEXT,
    error       TEXT,
    PRIMARY KEY (job_id, token)
) STRICT, WITHOUT ROWID;
