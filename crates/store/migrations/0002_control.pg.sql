-- What steers the fleet: effects, queues, schedules, limits, breakers, workers.
CREATE TABLE IF NOT EXISTS job_effects (
    job_id      uuid NOT NULL,
    effect_key  text NOT NULL,
    state       text NOT NULL,
    tries       integer NOT NULL,
    token       bigint NOT NULL,
    receipt     text,
    at          timestamptz NOT NULL,
    PRIMARY KEY (job_id, effect_key)
) WITH (fillfactor = 80);

CREATE TABLE IF NOT EXISTS job_queues (
    name    text PRIMARY KEY,
    paused  boolean NOT NULL DEFAULT false
);

CREATE TABLE IF NOT EXISTS job_schedules (
    name        text PRIMARY KEY,
    last_tick   timestamptz NOT NULL
);

-- A generic cell rate algorithm a key: tat is the theoretical time of the next arrival.
CREATE TABLE IF NOT EXISTS job_limits (
    key text PRIMARY KEY,
    tat timestamptz NOT NULL
) WITH (fillfactor = 70);

-- Who holds a place of a key. A place counts while its job runs under this token and its lease stands.
CREATE TABLE IF NOT EXISTS job_slots (
    key     text NOT NULL,
    job_id  uuid NOT NULL,
    token   bigint NOT NULL,
    PRIMARY KEY (key, job_id)
) WITH (fillfactor = 70);

-- The one seat of the fleet for a job that must run alone: taken while this job runs under this token.
CREATE TABLE IF NOT EXISTS job_alone (
    seat    integer PRIMARY KEY CHECK (seat = 1),
    job_id  uuid NOT NULL,
    token   bigint NOT NULL
);

CREATE TABLE IF NOT EXISTS job_breakers (
    name        text PRIMARY KEY,
    state       text NOT NULL DEFAULT 'closed',
    failures    integer NOT NULL DEFAULT 0,
    open_us     bigint NOT NULL DEFAULT 0,
    open_until  timestamptz,
    probe_until timestamptz,
    error       text,
    -- Since when it is not closed.
    opened_at   timestamptz,
    -- After an outage calls come back step by step: so many in an interval, twice as many in the next one.
    step        integer NOT NULL DEFAULT 0,
    step_until  timestamptz,
    admitted    integer NOT NULL DEFAULT 0,
    succeeded   integer NOT NULL DEFAULT 0
) WITH (fillfactor = 70);

-- kinds: what it has a handler for, comma-separated. signed: its process gave a sign of life that ends with it; without one only leases tell.
-- troubles: what keeps it from its work, as JSON of at most 4 KiB.
CREATE TABLE IF NOT EXISTS job_workers (
    name        text PRIMARY KEY,
    queues      text NOT NULL,
    kinds       text NOT NULL DEFAULT '',
    started_at  timestamptz NOT NULL,
    seen_at     timestamptz NOT NULL,
    signed      boolean NOT NULL DEFAULT false,
    troubles    text NOT NULL DEFAULT ''
) WITH (fillfactor = 70);
