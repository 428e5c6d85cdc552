-- The ledger is system A's background_jobs: an existing table of that name is adopted and only gains columns.
CREATE TABLE IF NOT EXISTS background_jobs (
    id              uuid PRIMARY KEY,
    user_id         uuid,
    job_type        text NOT NULL,
    status          text NOT NULL,
    attempts        integer NOT NULL DEFAULT 0,
    error_message   text,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_insert_scale_factor = 0.05,
        autovacuum_analyze_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 1);

-- Rows that another program wrote carry the broker 'adopted': they are listed and never claimed.
-- The order matters: what a claim and a completion write, then what has a fixed width, then what never changes. Of an
-- updated row PostgreSQL logs only what lies between the common beginning and the common end of both versions; with the
-- payload in the middle, every job would be logged three times over.
ALTER TABLE background_jobs
    ADD COLUMN IF NOT EXISTS user_id            uuid,
    ADD COLUMN IF NOT EXISTS error_message      text,
    ADD COLUMN IF NOT EXISTS attempts           integer NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS created_at         timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN IF NOT EXISTS updated_at         timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN IF NOT EXISTS token              bigint NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS lease_until        timestamptz,
    ADD COLUMN IF NOT EXISTS started_at         timestamptz,
    ADD COLUMN IF NOT EXISTS finished_at        timestamptz,
    ADD COLUMN IF NOT EXISTS run_at             timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN IF NOT EXISTS published_at       timestamptz,
    ADD COLUMN IF NOT EXISTS publish_hold_until timestamptz,
    ADD COLUMN IF NOT EXISTS publish_token      bigint,
    ADD COLUMN IF NOT EXISTS payload_size       bigint NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS absorbed           bigint,
    ADD COLUMN IF NOT EXISTS max_attempts       integer,
    ADD COLUMN IF NOT EXISTS failures           integer NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS crashes            integer NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS lonely_crashes     integer NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS priority           smallint NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS progress_percent   smallint,
    ADD COLUMN IF NOT EXISTS sensitive          boolean NOT NULL DEFAULT false,
    ADD COLUMN IF NOT EXISTS superseded         boolean NOT NULL DEFAULT false,
    ADD COLUMN IF NOT EXISTS cancel_requested   boolean NOT NULL DEFAULT false,
    ADD COLUMN IF NOT EXISTS anonymous          boolean NOT NULL DEFAULT false,
    ADD COLUMN IF NOT EXISTS worker             text,
    ADD COLUMN IF NOT EXISTS progress_word      text,
    ADD COLUMN IF NOT EXISTS output             bytea,
    ADD COLUMN IF NOT EXISTS note               text,
    ADD COLUMN IF NOT EXISTS error_fingerprint  text,
    ADD COLUMN IF NOT EXISTS reason             text,
    ADD COLUMN IF NOT EXISTS aside              text,
    ADD COLUMN IF NOT EXISTS effect             text NOT NULL DEFAULT 'none',
    ADD COLUMN IF NOT EXISTS queue              text NOT NULL DEFAULT 'adopted',
    ADD COLUMN IF NOT EXISTS broker             text NOT NULL DEFAULT 'adopted',
    ADD COLUMN IF NOT EXISTS payload            bytea,
    ADD COLUMN IF NOT EXISTS payload_hash       bytea,
    ADD COLUMN IF NOT EXISTS headers            text,
    ADD COLUMN IF NOT EXISTS unique_key         text,
    ADD COLUMN IF NOT EXISTS unique_policy      text,
    ADD COLUMN IF NOT EXISTS idempotency_key    text;

-- What an adopted table may say differently: times without a zone, an obligatory user, missing times.
DO $$
DECLARE col text;
BEGIN
    FOR col IN SELECT column_name FROM information_schema.columns
        WHERE table_schema = current_schema() AND table_name = 'background_jobs'
          AND data_type = 'timestamp without time zone'
          AND column_name IN ('created_at', 'updated_at', 'started_at', 'finished_at', 'run_at')
    LOOP
        EXECUTE format('ALTER TABLE background_jobs ALTER COLUMN %I TYPE timestamptz USING %I AT TIME ZONE ''UTC''', col, col);
    END LOOP;
    IF EXISTS (SELECT 1 FROM information_schema.columns WHERE table_schema = current_schema()
        AND table_name = 'background_jobs' AND column_name = 'user_id' AND is_nullable = 'NO') THEN
        ALTER TABLE background_jobs ALTER COLUMN user_id DROP NOT NULL;
    END IF;
END $$;
ALTER TABLE background_jobs ALTER COLUMN created_at SET DEFAULT now();
ALTER TABLE background_jobs ALTER COLUMN updated_at SET DEFAULT now();
UPDATE background_jobs SET created_at = now() WHERE created_at IS NULL;
UPDATE background_jobs SET attempts = 0 WHERE attempts IS NULL;

-- Every predicate is a literal that the statements repeat word for word; a parameter would not match it.
-- Finishing cannot be a HOT update beside an exact index of what runs; it costs the two full indexes (id, list)
-- one entry each. Heartbeats and progress touch no indexed column and are HOT.
CREATE INDEX IF NOT EXISTS background_jobs_claim ON background_jobs (queue, priority DESC, run_at, id)
    WHERE status = 'available' AND broker = 'postgres' AND crashes < 3;
CREATE INDEX IF NOT EXISTS background_jobs_claim_alone ON background_jobs (queue, priority DESC, run_at, id)
    WHERE status = 'available' AND broker = 'postgres' AND crashes >= 3;
CREATE INDEX IF NOT EXISTS background_jobs_due ON background_jobs (run_at)
    WHERE status IN ('scheduled', 'retrying') AND broker = 'postgres';
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
    WHERE status IN ('scheduled', 'available', 'retrying') AND broker <> 'postgres';
CREATE INDEX IF NOT EXISTS background_jobs_unpublished ON background_jobs (broker, run_at)
    WHERE status IN ('scheduled', 'available', 'retrying') AND published_at IS NULL AND broker <> 'postgres';
CREATE INDEX IF NOT EXISTS background_jobs_anonymous ON background_jobs (payload_hash)
    WHERE anonymous;
CREATE UNIQUE INDEX IF NOT EXISTS background_jobs_idempotency ON background_jobs (idempotency_key)
    WHERE idempotency_key IS NOT NULL;
-- One seat a key among the unfinished. A running job whose successor was accepted (keep-last) is superseded: it
-- has given up the seat, so no later state of it can collide.
CREATE UNIQUE INDEX IF NOT EXISTS background_jobs_unique ON background_jobs (unique_key)
    WHERE unique_key IS NOT NULL AND NOT superseded
      AND status IN ('scheduled', 'available', 'running', 'retrying');
CREATE INDEX IF NOT EXISTS background_jobs_superseded ON background_jobs (unique_key)
    WHERE superseded AND status = 'running';

-- One row a start, never deleted before its job. The end of a completed start is the job's own finished_at.
CREATE TABLE IF NOT EXISTS job_attempts (
    job_id      uuid NOT NULL,
    token       bigint NOT NULL,
    attempt     integer NOT NULL,
    worker      text NOT NULL,
    started_at  timestamptz NOT NULL,
    ended_at    timestamptz,
    outcome     text,
    error       text,
    PRIMARY KEY (job_id, token)
) WITH (fillfactor = 95, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05);
