-- What steers the fleet: effects, queues, schedules, limits, breakers, workers.
CREATE TABLE IF NOT EXISTS job_effects (
    job_id      TEXT NOT NULL,
    effect_key  TEXT NOT NULL,
    state       TEXT NOT NULL,
    tries       INTEGER NOT NULL,
    token       INTEGER NOT NULL,
    receipt     TEXT,
    at          INTEGER NOT NULL,
    PRIMARY KEY (job_id, effect_key)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS job_queues (
    name    TEXT PRIMARY KEY NOT NULL,
    paused  INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE IF NOT EXISTS job_schedules (
    name        TEXT PRIMARY KEY NOT NULL,
    last_tick   INTEGER NOT NULL
) STRICT;

-- A generic cell rate algorithm a key: tat is the theoretical time of the next arrival.
CREATE TABLE IF NOT EXISTS job_limits (
    key TEXT PRIMARY KEY NOT NULL,
    tat INTEGER NOT NULL
) STRICT;

-- Who holds a place of a key. A place counts while its job runs under this token and its lease stands.
CREATE TABLE IF NOT EXISTS job_slots (
    key     TEXT NOT NULL,
    job_id  TEXT NOT NULL,
    token   INTEGER NOT NULL,
    PRIMARY KEY (key, job_id)
) STRICT, WITHOUT ROWID;

-- The one seat of the fleet for a job that must run alone: taken while this job runs under this token.
CREATE TABLE IF NOT EXISTS job_alone (
    seat    INTEGER PRIMARY KEY CHECK (seat = 1),
    job_id  TEXT NOT NULL,
    token   INTEGER NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS job_breakers (
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

-- kinds: what it has a handler for, comma-separated. signed: its process gave a sign of life that ends with it; without one only leases tell.
-- troubles: what keeps it from its work, as JSON of at most 4 KiB.
CREATE TABLE IF NOT EXISTS job_workers (
    name        TEXT PRIMARY KEY NOT NULL,
    queues      TEXT NOT NULL,
    kinds       TEXT NOT NULL DEFAULT '',
    started_at  INTEGER NOT NULL,
    seen_at     INTEGER NOT NULL,
    signed      INTEGER NOT NULL DEFAULT 0,
    troubles    TEXT NOT NULL DEFAULT ''
) STRICT;
