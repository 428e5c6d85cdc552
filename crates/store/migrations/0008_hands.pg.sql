-- What people do by hand. A deed outlives its job: it says who deleted it, too. A pause names its queue and no job.
CREATE TABLE IF NOT EXISTS job_deeds (
    at      timestamptz NOT NULL,
    deed    text NOT NULL,
    job_id  uuid,
    queue   text,
    who     text NOT NULL,
    why     text,
    sweep   uuid
);
CREATE INDEX IF NOT EXISTS job_deeds_job ON job_deeds (job_id, at);
CREATE INDEX IF NOT EXISTS job_deeds_age ON job_deeds (at);
-- What is no part of a sweep: the list of all hands names a sweep once, however many jobs it changed.
CREATE INDEX IF NOT EXISTS job_deeds_single ON job_deeds (at) WHERE sweep IS NULL;

-- One deed to all that match. The place is written together with the batch that leads there, so that no job is touched twice.
-- What is meant stands in filter, so that whoever finds it can go on with it; words are the wish as it was written.
CREATE TABLE IF NOT EXISTS job_sweeps (
    id          uuid PRIMARY KEY,
    deed        text NOT NULL,
    words       text NOT NULL,
    filter      text NOT NULL,
    who         text NOT NULL,
    why         text,
    expected    bigint NOT NULL,
    more        boolean NOT NULL,
    begun_at    timestamptz NOT NULL,
    touched_at  timestamptz NOT NULL,
    since_at    timestamptz,
    until_at    timestamptz NOT NULL,
    after_at    timestamptz,
    after_id    uuid,
    batch       bigint NOT NULL DEFAULT 0,
    found       bigint NOT NULL DEFAULT 0,
    changed     bigint NOT NULL DEFAULT 0,
    done        boolean NOT NULL DEFAULT false,
    -- Equal words go on with it: neither done nor given up.
    open        boolean NOT NULL DEFAULT true
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX IF NOT EXISTS job_sweeps_open ON job_sweeps (deed, words) WHERE open;
CREATE INDEX IF NOT EXISTS job_sweeps_age ON job_sweeps (begun_at);
