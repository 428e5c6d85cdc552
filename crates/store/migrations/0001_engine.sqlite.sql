-- The engine's tables: the ledger and what steers the fleet. Ids are text, times integer microseconds since 1970, booleans 0 or 1.

-- One row a job, for ever until it is pruned. SQLite has one writer: the queue is an index of the ledger.
CREATE TABLE background_jobs (
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

-- Every predicate is a literal that the statements repeat word for word; a parameter would not match it. Cheap ones, because
-- SQLite looks at every one of them for every row that is written, and a list of three or more words builds a temporary table
-- each time: what is false for nearly every row stands first.
CREATE INDEX background_jobs_due ON background_jobs (run_at)
    WHERE status IN ('scheduled', 'retrying') AND broker = 'embedded';
CREATE INDEX background_jobs_running ON background_jobs (worker)
    WHERE status = 'running';
CREATE INDEX background_jobs_list ON background_jobs (created_at, id);
CREATE INDEX background_jobs_kept ON background_jobs (created_at, id)
    WHERE status IN ('dead', 'cancelled');
CREATE INDEX background_jobs_effect ON background_jobs (created_at, id)
    WHERE effect IN ('intended', 'ambiguous');
CREATE INDEX background_jobs_user ON background_jobs (user_id, created_at)
    WHERE user_id IS NOT NULL;
CREATE INDEX background_jobs_anonymous ON background_jobs (payload_hash)
    WHERE anonymous = 1;
CREATE UNIQUE INDEX background_jobs_idempotency ON background_jobs (idempotency_key)
    WHERE idempotency_key IS NOT NULL;
-- One seat a key among the unfinished. A running job whose successor was accepted (keep-last) is superseded: it
-- has given up the seat, so no later state of it can collide.
CREATE UNIQUE INDEX background_jobs_unique ON background_jobs (unique_key)
    WHERE unique_key IS NOT NULL AND superseded = 0
      AND status IN ('scheduled', 'available', 'running', 'retrying');
CREATE INDEX background_jobs_superseded ON background_jobs (unique_key)
    WHERE superseded = 1 AND status = 'running';
-- The claim's order needs no id: rows of one time are told apart by their rowid, the order in which they came.
CREATE INDEX background_jobs_claim ON background_jobs (queue, priority DESC, run_at)
    WHERE status = 'available' AND broker = 'embedded' AND crashes < 3 AND aside IS NULL;
-- What was put aside, by kind: only a worker that knows the kind looks here.
CREATE INDEX background_jobs_aside ON background_jobs (queue, aside, priority DESC, run_at)
    WHERE aside IS NOT NULL AND status = 'available' AND broker = 'embedded' AND crashes < 3;
-- Parked jobs of foreign brokers, by what has to announce itself.
CREATE INDEX background_jobs_parked ON background_jobs (queue, aside)
    WHERE aside IS NOT NULL AND status = 'available' AND broker <> 'embedded';
CREATE INDEX background_jobs_claim_alone ON background_jobs (queue, priority DESC, run_at)
    WHERE crashes >= 3 AND status = 'available' AND broker = 'embedded';
CREATE INDEX background_jobs_waiting_abroad ON background_jobs (queue, status)
    WHERE broker <> 'embedded' AND status IN ('scheduled', 'available', 'retrying');
CREATE INDEX background_jobs_unpublished ON background_jobs (broker, run_at)
    WHERE broker <> 'embedded' AND published_at IS NULL AND status IN ('scheduled', 'available', 'retrying', 'dead');
-- What a foreign broker has, by when somebody last gave a sign of it. What runs is found by its worker's index.
CREATE INDEX background_jobs_away ON background_jobs (queue, MAX(run_at, updated_at))
    WHERE broker <> 'embedded' AND published_at IS NOT NULL AND aside IS NULL
      AND status IN ('scheduled', 'available', 'retrying');
-- How many are kept in each queue is counted here, without their rows. Every priority is above that; the count says so too, and
-- nobody else does: a window of the list would be looked for here and read whole.
CREATE INDEX background_jobs_kept_by ON background_jobs (queue, status)
    WHERE status IN ('dead', 'cancelled') AND priority >= -32768;

-- One row a start that failed or was lost, never deleted before its job: the history of a job. The end of a completed start is
-- the job's own finished_at.
CREATE TABLE job_attempts (
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

-- One row an effect outside that was begun: whether a mail went out before its worker died is not known without it.
CREATE TABLE job_effects (
    job_id      TEXT NOT NULL,
    effect_key  TEXT NOT NULL,
    state       TEXT NOT NULL,
    tries       INTEGER NOT NULL,
    token       INTEGER NOT NULL,
    receipt     TEXT,
    at          INTEGER NOT NULL,
    PRIMARY KEY (job_id, effect_key)
) STRICT, WITHOUT ROWID;

-- What a person decided about a queue; one without a row is not paused.
CREATE TABLE job_queues (
    name    TEXT PRIMARY KEY NOT NULL,
    paused  INTEGER NOT NULL DEFAULT 0
) STRICT;

-- How far a schedule is, so that each of its ticks is enqueued once in the whole fleet.
CREATE TABLE job_schedules (
    name        TEXT PRIMARY KEY NOT NULL,
    last_tick   INTEGER NOT NULL
) STRICT;

-- An allowance that the whole fleet shares, by the generic cell rate algorithm: tat is the theoretical time of the next arrival.
CREATE TABLE job_limits (
    key TEXT PRIMARY KEY NOT NULL,
    tat INTEGER NOT NULL
) STRICT;

-- Who holds a place of a key, for limits of how many run at once. A place counts while its job runs under this token and its lease stands.
CREATE TABLE job_slots (
    key     TEXT NOT NULL,
    job_id  TEXT NOT NULL,
    token   INTEGER NOT NULL,
    PRIMARY KEY (key, job_id)
) STRICT, WITHOUT ROWID;

-- The one seat of the fleet for a job that must run alone: taken while this job runs under this token.
CREATE TABLE job_alone (
    seat    INTEGER PRIMARY KEY CHECK (seat = 1),
    job_id  TEXT NOT NULL,
    token   INTEGER NOT NULL
) STRICT;

-- What the fleet knows of a dependency that fails, so that a few probes ask it and not everybody.
CREATE TABLE job_breakers (
    name        TEXT PRIMARY KEY NOT NULL,
    state       TEXT NOT NULL DEFAULT 'closed',
    failures    INTEGER NOT NULL DEFAULT 0,
    open_us     INTEGER NOT NULL DEFAULT 0,
    open_until  INTEGER,
    probe_until INTEGER,
    error       TEXT,
    -- Since when it is not closed.
    opened_at   INTEGER,
    -- After an outage calls come back step by step: so many in an interval, twice as many in the next one.
    step        INTEGER NOT NULL DEFAULT 0,
    step_until  INTEGER,
    admitted    INTEGER NOT NULL DEFAULT 0,
    succeeded   INTEGER NOT NULL DEFAULT 0
) STRICT;

-- One row a process, as others see it.
-- kinds: what it has a handler for, comma-separated. signed: its process gave a sign of life that ends with it; without one only leases tell.
-- troubles: what keeps it from its work, as JSON of at most 4 KiB.
CREATE TABLE job_workers (
    name        TEXT PRIMARY KEY NOT NULL,
    queues      TEXT NOT NULL,
    kinds       TEXT NOT NULL DEFAULT '',
    started_at  INTEGER NOT NULL,
    seen_at     INTEGER NOT NULL,
    signed      INTEGER NOT NULL DEFAULT 0,
    troubles    TEXT NOT NULL DEFAULT ''
) STRICT;

-- What people do by hand: who answers for it. A deed outlives its job: it says who deleted it, too. A pause names its queue and no job.
CREATE TABLE job_deeds (
    at      INTEGER NOT NULL,
    deed    TEXT NOT NULL,
    job_id  TEXT,
    queue   TEXT,
    who     TEXT NOT NULL,
    why     TEXT,
    sweep   TEXT
) STRICT;
CREATE INDEX job_deeds_job ON job_deeds (job_id, at);
CREATE INDEX job_deeds_age ON job_deeds (at);
-- What is no part of a sweep: the list of all hands names a sweep once, however many jobs it changed.
CREATE INDEX job_deeds_single ON job_deeds (at) WHERE sweep IS NULL;

-- One deed to all that match. The place is written together with the batch that leads there, so that no job is touched twice.
-- What is meant stands in filter, so that whoever finds it can go on with it; words are the wish as it was written.
CREATE TABLE job_sweeps (
    id          TEXT NOT NULL PRIMARY KEY,
    deed        TEXT NOT NULL,
    words       TEXT NOT NULL,
    filter      TEXT NOT NULL,
    who         TEXT NOT NULL,
    why         TEXT,
    expected    INTEGER NOT NULL,
    more        INTEGER NOT NULL,
    begun_at    INTEGER NOT NULL,
    touched_at  INTEGER NOT NULL,
    since_at    INTEGER,
    until_at    INTEGER NOT NULL,
    after_at    INTEGER,
    after_id    TEXT,
    batch       INTEGER NOT NULL DEFAULT 0,
    found       INTEGER NOT NULL DEFAULT 0,
    changed     INTEGER NOT NULL DEFAULT 0,
    done        INTEGER NOT NULL DEFAULT 0,
    -- Equal words go on with it: neither done nor given up.
    open        INTEGER NOT NULL DEFAULT 1
) STRICT;
CREATE UNIQUE INDEX job_sweeps_open ON job_sweeps (deed, words) WHERE open;
CREATE INDEX job_sweeps_age ON job_sweeps (begun_at);
