-- A claim and a completion write the job's row where it stands (HOT): no index may name what they change. So the line of
-- waiting jobs is a narrow table of its own, what a claim took is one row a claim, and every index that depended on the
-- status depends on a generated column which stays NULL for nearly every job.

-- One row a job of the SQL broker that waits; kept by the triggers below, taken out by the claim.
CREATE TABLE IF NOT EXISTS job_line (
    id          uuid PRIMARY KEY,
    queue       text NOT NULL,
    priority    smallint NOT NULL,
    run_at      timestamptz NOT NULL,
    ready       boolean NOT NULL,
    alone       boolean NOT NULL,
    unique_key  text
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_insert_scale_factor = 0.05,
        autovacuum_analyze_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 1);
CREATE INDEX IF NOT EXISTS job_line_ready ON job_line (queue, priority DESC, run_at, id) WHERE ready AND NOT alone;
CREATE INDEX IF NOT EXISTS job_line_alone ON job_line (queue, priority DESC, run_at, id) WHERE ready AND alone;
CREATE INDEX IF NOT EXISTS job_line_due ON job_line (run_at) WHERE NOT ready;

-- One row a claim: which jobs it took. Its worker deletes it when all of them are settled, else the rescuer.
CREATE TABLE IF NOT EXISTS job_hands (
    id      uuid PRIMARY KEY,
    worker  text NOT NULL,
    jobs    uuid[] NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 1);
-- Ids do not compress; trying costs time.
ALTER TABLE job_hands ALTER COLUMN jobs SET STORAGE EXTERNAL;

DROP INDEX IF EXISTS background_jobs_claim, background_jobs_claim_alone, background_jobs_due, background_jobs_running,
    background_jobs_kept, background_jobs_waiting_abroad, background_jobs_unpublished, background_jobs_unique,
    background_jobs_superseded;

-- seat: the unique key, while the job has the seat. leaving: the key that a superseded job still runs under.
-- abroad: the queue of an unfinished job of a foreign broker. unpublished: the broker that still has to get it.
ALTER TABLE background_jobs
    ADD COLUMN IF NOT EXISTS seat text GENERATED ALWAYS AS (CASE WHEN unique_key IS NOT NULL AND NOT superseded
        AND status IN ('scheduled', 'available', 'running', 'retrying') THEN unique_key END) STORED,
    ADD COLUMN IF NOT EXISTS leaving text GENERATED ALWAYS AS
        (CASE WHEN superseded AND status = 'running' THEN unique_key END) STORED,
    ADD COLUMN IF NOT EXISTS kept boolean GENERATED ALWAYS AS
        (CASE WHEN status IN ('dead', 'cancelled') THEN true END) STORED,
    ADD COLUMN IF NOT EXISTS abroad text GENERATED ALWAYS AS (CASE WHEN broker <> 'postgres'
        AND status IN ('scheduled', 'available', 'running', 'retrying') THEN queue END) STORED,
    ADD COLUMN IF NOT EXISTS unpublished text GENERATED ALWAYS AS (CASE WHEN broker <> 'postgres'
        AND published_at IS NULL AND status IN ('scheduled', 'available', 'retrying') THEN broker END) STORED;
CREATE UNIQUE INDEX IF NOT EXISTS background_jobs_unique ON background_jobs (seat) WHERE seat IS NOT NULL;
CREATE INDEX IF NOT EXISTS background_jobs_superseded ON background_jobs (leaving) WHERE leaving IS NOT NULL;
CREATE INDEX IF NOT EXISTS background_jobs_kept ON background_jobs (created_at, id) WHERE kept;
CREATE INDEX IF NOT EXISTS background_jobs_abroad ON background_jobs (abroad) WHERE abroad IS NOT NULL;
CREATE INDEX IF NOT EXISTS background_jobs_unpublished ON background_jobs (unpublished, run_at)
    WHERE unpublished IS NOT NULL;
-- Room for the next version of every row of a page.
ALTER TABLE background_jobs SET (fillfactor = 45);

INSERT INTO job_line (id, queue, priority, run_at, ready, alone, unique_key)
    SELECT id, queue, priority, run_at, status = 'available', crashes >= 3, unique_key FROM background_jobs
    WHERE broker = 'postgres' AND status IN ('scheduled', 'available', 'retrying')
    ON CONFLICT DO NOTHING;
INSERT INTO job_hands (id, worker, jobs) SELECT gen_random_uuid(), COALESCE(worker, '?'), array_agg(id)
    FROM background_jobs WHERE broker = 'postgres' AND status = 'running' GROUP BY worker;

CREATE OR REPLACE FUNCTION backshift_joins_line() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO job_line (id, queue, priority, run_at, ready, alone, unique_key)
        SELECT id, queue, priority, run_at, status = 'available', crashes >= 3, unique_key FROM fresh
        WHERE broker = 'postgres' AND status IN ('scheduled', 'available', 'retrying');
    RETURN NULL;
END $$;
DROP TRIGGER IF EXISTS background_jobs_joins_line ON background_jobs;
CREATE TRIGGER background_jobs_joins_line AFTER INSERT ON background_jobs REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION backshift_joins_line();

-- A claim (waiting to running) takes its rows out itself and never comes here.
CREATE OR REPLACE FUNCTION backshift_moves_in_line() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM job_line WHERE id = NEW.id;
    IF NEW.status IN ('scheduled', 'available', 'retrying') THEN
        INSERT INTO job_line (id, queue, priority, run_at, ready, alone, unique_key)
            VALUES (NEW.id, NEW.queue, NEW.priority, NEW.run_at, NEW.status = 'available', NEW.crashes >= 3, NEW.unique_key);
    END IF;
    RETURN NULL;
END $$;
DROP TRIGGER IF EXISTS background_jobs_moves_in_line ON background_jobs;
CREATE TRIGGER background_jobs_moves_in_line AFTER UPDATE ON background_jobs FOR EACH ROW
    WHEN (NEW.status NOT IN ('running', 'completed') AND NEW.broker = 'postgres')
    EXECUTE FUNCTION backshift_moves_in_line();

-- Waiting jobs are deleted by hand only; nothing else would ever clear their queue's entries away.
CREATE OR REPLACE FUNCTION backshift_leaves_line() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM job_line l USING gone WHERE l.id = gone.id
        AND gone.status IN ('scheduled', 'available', 'retrying');
    RETURN NULL;
END $$;
DROP TRIGGER IF EXISTS background_jobs_leaves_line ON background_jobs;
CREATE TRIGGER background_jobs_leaves_line AFTER DELETE ON background_jobs REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION backshift_leaves_line();

-- The claim: jobs out of the line, and started. Line and job in ONE statement, so that both are seen by one snapshot: a
-- claim whose parts look at different moments takes a job out of the line that it cannot see yet, and loses it.
-- Both are locked before: a job whose row somebody else holds is passed over, else it would hold up all behind it.
-- A function for its settings: on a table without fresh statistics the planner would sort the whole queue for every claim
-- instead of walking the index. In plpgsql, because that keeps its plan for the session: planning takes longer than
-- taking one job.
-- A worker that works off a long queue says where its last claim ended (level, since): it goes on from there and takes
-- whatever is more urgent. What others took stays in the index while any old snapshot may see it; a walk from the
-- beginning (no place) meets it all.
CREATE OR REPLACE FUNCTION backshift_start(line text, many integer, who text, lease bigint, level integer,
    since timestamptz) RETURNS SETOF background_jobs
LANGUAGE plpgsql VOLATILE ROWS 64
SET enable_bitmapscan = off SET enable_sort = off SET enable_seqscan = off
SET enable_hashjoin = off SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    RETURN QUERY WITH urgent AS MATERIALIZED (
        SELECT l.ctid AS place FROM job_line l JOIN background_jobs held ON held.id = l.id
        WHERE l.ready AND NOT l.alone AND l.queue = line AND l.priority > COALESCE(level, -32768)::smallint
          AND (l.unique_key IS NULL
               OR NOT EXISTS (SELECT 1 FROM background_jobs r WHERE r.leaving = l.unique_key))
        ORDER BY l.priority DESC, l.run_at, l.id
        LIMIT many FOR UPDATE OF l, held SKIP LOCKED),
    rest AS MATERIALIZED (
        SELECT l.ctid AS place FROM job_line l JOIN background_jobs held ON held.id = l.id
        WHERE l.ready AND NOT l.alone AND l.queue = line AND l.priority = COALESCE(level, -32768)::smallint
          AND l.run_at >= COALESCE(since, '-infinity')
          AND (l.unique_key IS NULL
               OR NOT EXISTS (SELECT 1 FROM background_jobs r WHERE r.leaving = l.unique_key))
        ORDER BY l.priority DESC, l.run_at, l.id
        LIMIT many - (SELECT COUNT(*) FROM urgent) FOR UPDATE OF l, held SKIP LOCKED),
    taken AS (DELETE FROM job_line WHERE ctid = ANY (ARRAY(
        SELECT place FROM urgent UNION ALL SELECT place FROM rest)) RETURNING id),
    t AS MATERIALIZED (SELECT clock_timestamp() AS now)
    UPDATE background_jobs j SET status = 'running', token = j.token + 1, attempts = j.failures + 1, worker = who,
        lease_until = t.now + lease * interval '1 microsecond', started_at = t.now, updated_at = t.now,
        cancel_requested = false
    FROM taken, t WHERE j.id = taken.id AND j.status = 'available' RETURNING j.*;
END $$;

-- The same for one job that must run alone in its process because it ended its worker too often.
CREATE OR REPLACE FUNCTION backshift_start_alone(line text, who text, lease bigint) RETURNS SETOF background_jobs
LANGUAGE plpgsql VOLATILE ROWS 1
SET enable_bitmapscan = off SET enable_sort = off SET enable_seqscan = off
SET enable_hashjoin = off SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    RETURN QUERY WITH places AS MATERIALIZED (
        SELECT l.ctid AS place FROM job_line l JOIN background_jobs held ON held.id = l.id
        WHERE l.ready AND l.alone AND l.queue = line
          AND (l.unique_key IS NULL
               OR NOT EXISTS (SELECT 1 FROM background_jobs r WHERE r.leaving = l.unique_key))
        ORDER BY l.priority DESC, l.run_at, l.id
        LIMIT 1 FOR UPDATE OF l, held SKIP LOCKED),
    taken AS (DELETE FROM job_line WHERE ctid = ANY (ARRAY(SELECT place FROM places)) RETURNING id),
    t AS MATERIALIZED (SELECT clock_timestamp() AS now)
    UPDATE background_jobs j SET status = 'running', token = j.token + 1, attempts = j.failures + 1, worker = who,
        lease_until = t.now + lease * interval '1 microsecond', started_at = t.now, updated_at = t.now,
        cancel_requested = false
    FROM taken, t WHERE j.id = taken.id AND j.status = 'available' RETURNING j.*;
END $$;

-- Which waiting jobs are due now.
CREATE OR REPLACE FUNCTION backshift_due(many integer) RETURNS SETOF uuid
LANGUAGE sql VOLATILE ROWS 64
SET enable_bitmapscan = off SET enable_sort = off SET enable_seqscan = off
AS $$
    SELECT l.id FROM job_line l
    WHERE NOT l.ready AND l.run_at <= (SELECT clock_timestamp())
    ORDER BY l.run_at
    LIMIT many FOR UPDATE OF l SKIP LOCKED
$$;
