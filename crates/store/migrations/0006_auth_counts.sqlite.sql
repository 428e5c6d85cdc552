-- One row for whatever is counted by the hour: wrong passwords, registrations, tried codes. An hour is over with `begun`.
CREATE TABLE IF NOT EXISTS auth_counts (
    what        TEXT NOT NULL,
    who         TEXT NOT NULL,
    begun       INTEGER NOT NULL,
    n           INTEGER NOT NULL,
    PRIMARY KEY (what, who)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS auth_counts_age ON auth_counts (begun);
