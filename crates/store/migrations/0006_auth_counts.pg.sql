-- One row for whatever is counted by the hour: wrong passwords, registrations, tried codes. An hour is over with `begun`.
CREATE TABLE IF NOT EXISTS auth_counts (
    what        text NOT NULL,
    who         text NOT NULL,
    begun       timestamptz NOT NULL,
    n           bigint NOT NULL,
    PRIMARY KEY (what, who)
) WITH (fillfactor = 70);
CREATE INDEX IF NOT EXISTS auth_counts_age ON auth_counts (begun);
