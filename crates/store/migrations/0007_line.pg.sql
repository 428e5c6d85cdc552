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
    unique_key  text,
    -- The kind, once a worker that does not know it met the job: such jobs stand beside the line, one line a kind.
    aside       text
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_insert_scale_factor = 0.05,
        autovacuum_analyze_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 1);
CREATE INDEX IF NOT EXISTS job_line_ready ON job_line (queue, priority DESC, run_at, id)
    WHERE ready AND NOT alone AND aside IS NULL;
CREATE INDEX IF NOT EXISTS job_line_aside ON job_line (queue, aside, priority DESC, run_at, id)
    WHERE ready AND NOT alone AND aside IS NOT NULL;
CREATE INDEX IF NOT EXISTS job_line_alone ON job_line (queue, priority DESC, run_at, id) WHERE ready AND alone;
CREATE INDEX IF NOT EXISTS job_line_due ON job_line (run_at) WHERE NOT ready;

-- One row a claim or a hand-over: which jobs were taken with it. Its worker deletes it when all of them are settled, else the
-- rescuer.
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

-- The marks. seat: the unique key, while the job has the seat. leaving: the key that a superseded job still runs under.
-- abroad: the queue of an unfinished job of a foreign broker. unpublished: the broker that still has to get it; of a dead
-- job, whose message was handed over while it ran, the dead letter. kept: a person decides about it.
-- Every statement of ours that changes the status writes them as well. Were they generated, PostgreSQL would put every
-- row together twice that a claim or a completion writes, which costs a tenth of the claim and a fifth of the completion.
ALTER TABLE background_jobs
    ADD COLUMN IF NOT EXISTS seat        text,
    ADD COLUMN IF NOT EXISTS leaving     text,
    ADD COLUMN IF NOT EXISTS kept        boolean,
    ADD COLUMN IF NOT EXISTS abroad      text,
    ADD COLUMN IF NOT EXISTS unpublished text;
CREATE UNIQUE INDEX IF NOT EXISTS background_jobs_unique ON background_jobs (seat) WHERE seat IS NOT NULL;
CREATE INDEX IF NOT EXISTS background_jobs_superseded ON background_jobs (leaving) WHERE leaving IS NOT NULL;
CREATE INDEX IF NOT EXISTS background_jobs_kept ON background_jobs (created_at, id) WHERE kept;
-- How many are kept in each queue is counted here, without their rows. Every priority is above that; the count says so too, and
-- nobody else does: a window of the list would be looked for here and read whole.
CREATE INDEX IF NOT EXISTS background_jobs_kept_by ON background_jobs (queue, status) WHERE kept AND priority >= -32768;
-- By time within what the broker has, so that looking for what nobody gives a sign of begins with the oldest and meets
-- neither what the relay still has nor what is parked. Claims and heartbeats change none of these columns.
CREATE INDEX IF NOT EXISTS background_jobs_abroad ON background_jobs (abroad, unpublished, aside, run_at)
    WHERE abroad IS NOT NULL;
CREATE INDEX IF NOT EXISTS background_jobs_unpublished ON background_jobs (unpublished, run_at)
    WHERE unpublished IS NOT NULL;

-- Parked jobs of foreign brokers, by what has to announce itself.
CREATE INDEX IF NOT EXISTS background_jobs_aside ON background_jobs (queue, aside) WHERE aside IS NOT NULL;

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

-- A claim takes its rows out of the line itself, and a completion of ours writes the marks: neither comes here. The
-- condition is short, because PostgreSQL reads it anew for every statement that updates a job. Whoever writes a status by
-- hand leaves marks and a place in the line behind; they are put right.
CREATE OR REPLACE FUNCTION backshift_moves_in_line() RETURNS trigger LANGUAGE plpgsql AS $$
#variable_conflict use_column
<<marks>>
DECLARE
    waits boolean := NEW.status IN ('scheduled', 'available', 'retrying');
    unfinished boolean := waits OR NEW.status = 'running';
    seat text := CASE WHEN unfinished AND NOT NEW.superseded THEN NEW.unique_key END;
    leaving text := CASE WHEN NEW.status = 'running' AND NEW.superseded THEN NEW.unique_key END;
    kept boolean := CASE WHEN NEW.status IN ('dead', 'cancelled') THEN true END;
    abroad text := CASE WHEN unfinished AND NEW.broker <> 'postgres' THEN NEW.queue END;
    unpublished text := CASE WHEN (waits OR NEW.status = 'dead') AND NEW.broker <> 'postgres' AND NEW.published_at IS NULL
        THEN NEW.broker END;
BEGIN
    IF (NEW.seat, NEW.leaving, NEW.kept, NEW.abroad, NEW.unpublished)
        IS DISTINCT FROM (marks.seat, marks.leaving, marks.kept, marks.abroad, marks.unpublished)
    THEN
        UPDATE background_jobs j SET seat = marks.seat, leaving = marks.leaving, kept = marks.kept,
            abroad = marks.abroad, unpublished = marks.unpublished WHERE j.id = NEW.id;
        RETURN NULL;
    END IF;
    IF NEW.broker = 'postgres' THEN
        DELETE FROM job_line WHERE id = NEW.id;
        IF waits THEN
            INSERT INTO job_line (id, queue, priority, run_at, ready, alone, unique_key) VALUES (NEW.id, NEW.queue,
                NEW.priority, NEW.run_at, NEW.status = 'available', NEW.crashes >= 3, NEW.unique_key);
        END IF;
    END IF;
    RETURN NULL;
END $$;
DROP TRIGGER IF EXISTS background_jobs_moves_in_line ON background_jobs;
CREATE TRIGGER background_jobs_moves_in_line AFTER UPDATE ON background_jobs FOR EACH ROW
    WHEN (NEW.status NOT IN ('running', 'completed')
        OR (NEW.status = 'completed' AND (OLD.status <> 'running' OR NEW.seat IS NOT NULL OR NEW.abroad IS NOT NULL)))
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

-- The claim: jobs out of the line, started, and noted as a hand. All in ONE statement, so that line and job are seen by
-- one snapshot: a claim whose parts look at different moments takes a job out of the line that it cannot see yet, and
-- loses it.
-- The job's row is locked before, and its place in the line with it: whoever moves a waiting job holds its row. A job whose
-- row somebody else holds is passed over, else it would hold up all behind it. One that somebody has just changed has
-- another place by then, and is taken by the next claim.
-- A function for its settings: on a table without fresh statistics the planner would sort the whole queue for every claim
-- instead of walking the index. In plpgsql, because that keeps its plan for the session: planning takes longer than
-- taking one job.
-- A worker that works off a long queue says where its last claim ended (level, since): it goes on from there and takes
-- whatever is more urgent. What others took stays in the index while any old snapshot may see it; a walk from the
-- beginning (no place) meets it all.
-- Of these kinds only, when some are named.
CREATE OR REPLACE FUNCTION backshift_start(line text, many integer, who text, lease bigint, hand uuid, level integer,
    since timestamptz, known text[]) RETURNS TABLE (id uuid, job_type text, queue text, payload bytea,
    headers text, failures integer, max_attempts integer, priority smallint, run_at timestamptz, unique_key text,
    unique_policy text, idempotency_key text, user_id uuid, created_at timestamptz, token bigint,
    lease_until timestamptz, crashes integer)
LANGUAGE plpgsql VOLATILE ROWS 64
SET enable_bitmapscan = off SET enable_sort = off SET enable_seqscan = off SET jit = off
SET enable_hashjoin = off SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    moment timestamptz := clock_timestamp();
    until timestamptz := moment + lease * interval '1 microsecond';
BEGIN
    RETURN QUERY WITH urgent AS MATERIALIZED (
        SELECT l.id, l.ctid AS place, j.ctid AS tuple FROM job_line l JOIN background_jobs j ON j.id = l.id
        WHERE l.ready AND NOT l.alone AND l.aside IS NULL AND l.queue = line AND l.priority > COALESCE(level, -32768)::smallint
          AND j.status = 'available' AND (known IS NULL OR j.job_type = ANY (known)) AND (l.unique_key IS NULL
               OR NOT EXISTS (SELECT 1 FROM background_jobs r WHERE r.leaving = l.unique_key))
        ORDER BY l.priority DESC, l.run_at, l.id
        LIMIT many FOR UPDATE OF j SKIP LOCKED),
    rest AS MATERIALIZED (
        SELECT l.id, l.ctid AS place, j.ctid AS tuple FROM job_line l JOIN background_jobs j ON j.id = l.id
        WHERE l.ready AND NOT l.alone AND l.aside IS NULL AND l.queue = line AND l.priority = COALESCE(level, -32768)::smallint
          AND l.run_at >= COALESCE(since, '-infinity')
          AND j.status = 'available' AND (known IS NULL OR j.job_type = ANY (known)) AND (l.unique_key IS NULL
               OR NOT EXISTS (SELECT 1 FROM background_jobs r WHERE r.leaving = l.unique_key))
        ORDER BY l.priority DESC, l.run_at, l.id
        LIMIT many - (SELECT COUNT(*) FROM urgent) FOR UPDATE OF j SKIP LOCKED),
    picked AS MATERIALIZED (SELECT array_agg(w.id) AS ids, array_agg(w.place) AS places, array_agg(w.tuple) AS tuples
        FROM (SELECT * FROM urgent UNION ALL SELECT * FROM rest) w),
    left_line AS (DELETE FROM job_line l WHERE l.ctid = ANY ((SELECT p.places FROM picked p)::tid[])),
    noted AS (INSERT INTO job_hands (id, worker, jobs) SELECT hand, who, p.ids FROM picked p WHERE p.ids IS NOT NULL)
    UPDATE background_jobs j SET status = 'running', token = j.token + 1, attempts = j.failures + 1, worker = who,
        lease_until = until, started_at = moment, updated_at = moment, cancel_requested = false
        WHERE j.ctid = ANY ((SELECT p.tuples FROM picked p)::tid[]) AND j.status = 'available'
        RETURNING j.id, j.job_type::text, j.queue, j.payload, j.headers, j.failures, j.max_attempts, j.priority,
            j.run_at, j.unique_key, j.unique_policy, j.idempotency_key, j.user_id, j.created_at, j.token,
            j.lease_until, j.crashes;
END $$;

-- Starts jobs whose rows the caller has locked in this transaction.
CREATE OR REPLACE FUNCTION backshift_begin(picked uuid[], who text, lease bigint, hand uuid)
    RETURNS TABLE (id uuid, job_type text, queue text, payload bytea,
    headers text, failures integer, max_attempts integer, priority smallint, run_at timestamptz, unique_key text,
    unique_policy text, idempotency_key text, user_id uuid, created_at timestamptz, token bigint,
    lease_until timestamptz, crashes integer)
LANGUAGE plpgsql VOLATILE ROWS 64
SET enable_bitmapscan = off SET enable_sort = off SET enable_seqscan = off SET jit = off
SET enable_hashjoin = off SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    moment timestamptz := clock_timestamp();
    until timestamptz := moment + lease * interval '1 microsecond';
BEGIN
    DELETE FROM job_line l WHERE l.id = ANY (picked);
    INSERT INTO job_hands (id, worker, jobs) VALUES (hand, who, picked);
    RETURN QUERY UPDATE background_jobs j SET status = 'running', token = j.token + 1, attempts = j.failures + 1,
        worker = who, lease_until = until, started_at = moment, updated_at = moment, cancel_requested = false
        WHERE j.id = ANY (picked) AND j.status = 'available'
        RETURNING j.id, j.job_type::text, j.queue, j.payload, j.headers, j.failures, j.max_attempts, j.priority,
            j.run_at, j.unique_key, j.unique_policy, j.idempotency_key, j.user_id, j.created_at, j.token,
            j.lease_until, j.crashes;
END $$;

-- The claim of a worker that may not know every kind of its queue. What it does not know and finds among the first that
-- it could take is put aside, once, so that nobody walks past it again. What was put aside and this worker knows stands in
-- the line for it as if it had never left: the more urgent goes first, wherever it stands.
-- Who knows everything asks like this now and then, or when the line gave less than it wanted, and else the quick one.
-- Whoever waits elsewhere hears of what was put aside.
-- Places are read without a lock, the first ones of the line and of each kind, and put in order; only what is taken is
-- locked. What somebody else holds or what waits for its key is passed over: should too few be left, it reads further.
CREATE OR REPLACE FUNCTION backshift_start_known(line text, many integer, who text, lease bigint, hand uuid,
    known text[]) RETURNS TABLE (id uuid, job_type text, queue text, payload bytea,
    headers text, failures integer, max_attempts integer, priority smallint, run_at timestamptz, unique_key text,
    unique_policy text, idempotency_key text, user_id uuid, created_at timestamptz, token bigint,
    lease_until timestamptz, crashes integer)
LANGUAGE plpgsql VOLATILE ROWS 64
SET enable_bitmapscan = off SET enable_sort = off SET enable_seqscan = off SET jit = off
SET enable_hashjoin = off SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    moved integer;
    any_moved boolean := false;
    reach integer := many;
    met integer := 0;
    met_before integer;
    picked uuid[];
BEGIN
    FOR round IN 1..10 LOOP
        WITH head AS MATERIALIZED (SELECT l.id, j.ctid AS tuple, j.job_type
                FROM job_line l JOIN background_jobs j ON j.id = l.id
                WHERE l.ready AND NOT l.alone AND l.aside IS NULL AND l.queue = line AND (l.unique_key IS NULL
                     OR NOT EXISTS (SELECT 1 FROM background_jobs r WHERE r.leaving = l.unique_key))
                ORDER BY l.priority DESC, l.run_at, l.id LIMIT CASE WHEN round = 1 THEN many ELSE 1000 END),
            strange AS MATERIALIZED (SELECT j.id, j.job_type::text AS kind FROM background_jobs j
                WHERE j.ctid = ANY (ARRAY(SELECT h.tuple FROM head h WHERE h.job_type <> ALL (known)))
                  AND j.status = 'available' FOR UPDATE OF j SKIP LOCKED)
        UPDATE job_line l SET aside = s.kind FROM strange s WHERE l.id = s.id AND l.ready AND l.aside IS NULL;
        GET DIAGNOSTICS moved = ROW_COUNT;
        EXIT WHEN moved = 0;
        any_moved := true;
    END LOOP;
    IF any_moved THEN
        PERFORM pg_notify('backshift', line || ' aside');
    END IF;
    -- One look for the whole queue, and only then one for each kind (a LIMIT, else they become one join of everything).
    IF moved = 0 AND NOT (
        EXISTS (SELECT 1 FROM job_line l WHERE l.ready AND NOT l.alone AND l.aside IS NOT NULL AND l.queue = line)
        AND EXISTS (SELECT 1 FROM unnest(known) AS k(kind) CROSS JOIN LATERAL (SELECT 1 FROM job_line l
            WHERE l.ready AND NOT l.alone AND l.aside IS NOT NULL AND l.aside = k.kind AND l.queue = line LIMIT 1) c))
    THEN
        RETURN QUERY SELECT * FROM backshift_start(line, many, who, lease, hand, NULL, NULL, known);
        RETURN;
    END IF;
    LOOP
        met_before := met;
        WITH places AS MATERIALIZED (
                (SELECT l.id, l.priority, l.run_at, l.unique_key FROM job_line l
                    WHERE l.ready AND NOT l.alone AND l.aside IS NULL AND l.queue = line
                    ORDER BY l.priority DESC, l.run_at, l.id LIMIT CASE WHEN moved = 0 THEN reach ELSE 0 END)
                UNION ALL
                SELECT c.* FROM unnest(known) AS k(kind) CROSS JOIN LATERAL (
                    SELECT l.id, l.priority, l.run_at, l.unique_key FROM job_line l
                    WHERE l.ready AND NOT l.alone AND l.aside IS NOT NULL AND l.aside = k.kind AND l.queue = line
                    ORDER BY l.priority DESC, l.run_at, l.id LIMIT reach) c),
            best AS (SELECT p.id FROM (SELECT * FROM places ORDER BY priority DESC, run_at, id) p
                JOIN background_jobs j ON j.id = p.id
                WHERE j.status = 'available' AND j.job_type = ANY (known) AND (p.unique_key IS NULL
                     OR NOT EXISTS (SELECT 1 FROM background_jobs r WHERE r.leaving = p.unique_key))
                ORDER BY p.priority DESC, p.run_at, p.id LIMIT many FOR UPDATE OF j SKIP LOCKED)
        SELECT (SELECT array_agg(b.id) FROM best b), (SELECT COUNT(*) FROM places) INTO picked, met;
        EXIT WHEN cardinality(picked) = many OR met < reach OR met = met_before;
        reach := reach * 4;
    END LOOP;
    IF picked <> '{}' THEN
        RETURN QUERY SELECT * FROM backshift_begin(picked, who, lease, hand);
    END IF;
END $$;

-- One job that must run alone in its process because it ended its worker too often. One at a time in the whole fleet:
-- the worker that has it takes nothing else meanwhile, and the others are to go on.
-- Two statements: what the holder of the lock before us wrote is seen by the second only.
CREATE OR REPLACE FUNCTION backshift_alone_is_taken() RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtextextended(current_schema() || '.job_alone', 0)) THEN
        RETURN true;
    END IF;
    RETURN EXISTS (SELECT 1 FROM job_alone a JOIN background_jobs j ON j.id = a.job_id
        WHERE j.token = a.token AND j.status = 'running');
END $$;

-- The seat for a job of a foreign broker that runs under this token.
CREATE OR REPLACE FUNCTION backshift_take_alone(job uuid, fence bigint) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF backshift_alone_is_taken() THEN
        RETURN false;
    END IF;
    INSERT INTO job_alone (seat, job_id, token) VALUES (1, job, fence)
        ON CONFLICT (seat) DO UPDATE SET job_id = excluded.job_id, token = excluded.token;
    RETURN true;
END $$;

CREATE OR REPLACE FUNCTION backshift_start_alone(line text, who text, lease bigint, hand uuid, known text[])
    RETURNS TABLE (id uuid, job_type text, queue text, payload bytea,
    headers text, failures integer, max_attempts integer, priority smallint, run_at timestamptz, unique_key text,
    unique_policy text, idempotency_key text, user_id uuid, created_at timestamptz, token bigint,
    lease_until timestamptz, crashes integer)
LANGUAGE plpgsql VOLATILE ROWS 1
SET enable_bitmapscan = off SET enable_sort = off SET enable_seqscan = off SET jit = off
SET enable_hashjoin = off SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    suspect uuid;
BEGIN
    IF NOT EXISTS (SELECT 1 FROM job_line l WHERE l.ready AND l.alone AND l.queue = line) THEN
        RETURN;
    END IF;
    -- What this worker does not know must not look as if it could begin it.
    IF known IS NOT NULL THEN
        UPDATE job_line l SET aside = s.kind FROM (
            SELECT a.id, j.job_type::text AS kind FROM job_line a JOIN background_jobs j ON j.id = a.id
            WHERE a.ready AND a.alone AND a.queue = line AND a.aside IS NULL AND j.job_type <> ALL (known)
            ORDER BY a.priority DESC, a.run_at, a.id LIMIT 1000 FOR UPDATE OF j SKIP LOCKED) s
        WHERE l.id = s.id AND l.aside IS NULL;
    END IF;
    IF backshift_alone_is_taken() THEN
        RETURN;
    END IF;
    SELECT l.id INTO suspect FROM job_line l JOIN background_jobs j ON j.id = l.id
        WHERE l.ready AND l.alone AND l.queue = line AND (known IS NULL OR j.job_type = ANY (known))
          AND j.status = 'available' AND (l.unique_key IS NULL
               OR NOT EXISTS (SELECT 1 FROM background_jobs r WHERE r.leaving = l.unique_key))
        ORDER BY l.priority DESC, l.run_at, l.id
        LIMIT 1 FOR UPDATE OF j SKIP LOCKED;
    IF suspect IS NOT NULL THEN
        RETURN QUERY SELECT * FROM backshift_begin(ARRAY[suspect], who, lease, hand);
        INSERT INTO job_alone (seat, job_id, token) SELECT 1, j.id, j.token FROM background_jobs j WHERE j.id = suspect
            ON CONFLICT (seat) DO UPDATE SET job_id = excluded.job_id, token = excluded.token;
    END IF;
END $$;

-- Which waiting jobs are due now. The job's row is locked and not its place, as everywhere: the trigger that moves the place
-- holds the row already, and two orders would wait for each other in a circle.
CREATE OR REPLACE FUNCTION backshift_due(many integer) RETURNS SETOF uuid
LANGUAGE sql VOLATILE ROWS 64
SET enable_bitmapscan = off SET enable_sort = off SET enable_seqscan = off SET jit = off
SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
    SELECT l.id FROM job_line l JOIN background_jobs j ON j.id = l.id
    WHERE NOT l.ready AND l.run_at <= (SELECT clock_timestamp()) AND j.status IN ('scheduled', 'retrying')
    ORDER BY l.run_at
    LIMIT many FOR UPDATE OF j SKIP LOCKED
$$;
