-- Only with BACKSHIFT_PROBE=true. No unique constraint on purpose: a duplicate must be visible.
CREATE TABLE backshift_probe_attempts (
    job_id      uuid NOT NULL,
    key         text NOT NULL,
    attempt     integer NOT NULL,
    token       bigint NOT NULL,
    worker      text NOT NULL,
    started_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE backshift_probe_effects (
    job_id      uuid NOT NULL,
    key         text NOT NULL,
    attempt     integer NOT NULL,
    token       bigint NOT NULL,
    worker      text NOT NULL,
    at          timestamptz NOT NULL DEFAULT clock_timestamp()
);
