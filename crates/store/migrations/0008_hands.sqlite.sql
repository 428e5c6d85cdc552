-- What people do by hand. A deed outlives its job: it says who deleted it, too. A pause names its queue and no job.
CREATE TABLE IF NOT EXISTS job_deeds (
    at      INTEGER NOT NULL,
    deed    TEXT NOT NULL,
    job_id  TEXT,
    queue   TEXT,
    who     TEXT NOT NULL,
    why     TEXT,
    sweep   TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS job_deeds_job ON job_deeds (job_id, at);
CREATE INDEX IF NOT EXISTS job_deeds_age ON job_deeds (at);
-- What is no part of a sweep: the list of all hands names a sweep once, however many jobs it changed.
CREATE INDEX IF NOT EXISTS job_deeds_single ON job_deeds (at) WHERE sweep IS NULL;

-- One deed to all that match. The place is written together with the batch that leads there, so that no job is touched twice.
-- What is meant stands in filter, so that whoever finds it can go on with it; words are the wish as it was written.
CREATE TABLE IF NOT EXISTS job_sweeps (
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
CREATE UNIQUE INDEX IF NOT EXISTS job_sweeps_open ON job_sweeps (deed, words) WHERE open;
CREATE INDEX IF NOT EXISTS job_sweeps_age ON job_sweeps (begun_at);
