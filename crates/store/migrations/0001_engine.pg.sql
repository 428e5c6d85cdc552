-- The engine's tables: the ledger, the line of what waits, and what steers the fleet.

-- One row a job, for ever until it is pruned. It is system A's background_jobs: a table of that name is adopted when somebody
-- says so, and only gains columns; its own rows carry the broker 'adopted', are listed and never claimed.
CREATE TABLE IF NOT EXISTS background_jobs (
    id              uuid PRIMARY KEY,
    user_id         uuid,
    job_type        text NOT NULL,
    status          text NOT NULL,
    attempts        integer NOT NULL DEFAULT 0,
    error_message   text,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now()
);

-- A heartbeat and a completion write the row where it stands (HOT): room for the next version of every row of a page, and no
-- index that names what they change.
ALTER TABLE background_jobs SET (fillfactor = 45, autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 1);

-- The order matters: what a start and a completion write, then what has a fixed width, then what never changes. Of an
-- updated row PostgreSQL logs only what lies between the common beginning and the common end of both versions; with the
-- payload in the middle, every job would be logged three times over.
-- publish_token: the token when the relay took it; a confirm that comes after the next start says nothing about this one.
-- aside: the kind, while a job of a foreign broker is parked because nobody who looked at it knows that kind.
-- The last five are marks, on which the indexes depend instead of on the status; they stay NULL for nearly every job.
-- seat: the unique key, while the job has the seat. leaving: the key that a superseded job still runs under.
-- abroad: the queue of an unfinished job of a foreign broker. unpublished: the broker that still has to get it; of a dead
-- job, whose message was handed over while it ran, the dead letter. kept: a person decides about it, because it
-- is dead (true) or was cancelled (false).
-- Every statement of ours that changes the status writes them as well. Were they generated, PostgreSQL would put every
-- row together twice that a completion writes, which costs a fifth of it.
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
    ADD COLUMN IF NOT EXISTS idempotency_key    text,
    ADD COLUMN IF NOT EXISTS seat               text,
    ADD COLUMN IF NOT EXISTS leaving            text,
    ADD COLUMN IF NOT EXISTS kept               boolean,
    ADD COLUMN IF NOT EXISTS abroad             text,
    ADD COLUMN IF NOT EXISTS unpublished        text;

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
CREATE INDEX IF NOT EXISTS background_jobs_list ON background_jobs (created_at, id);
CREATE INDEX IF NOT EXISTS background_jobs_effect ON background_jobs (created_at, id)
    WHERE effect IN ('intended', 'ambiguous');
CREATE INDEX IF NOT EXISTS background_jobs_user ON background_jobs (user_id, created_at)
    WHERE user_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS background_jobs_anonymous ON background_jobs (payload_hash)
    WHERE anonymous;
CREATE UNIQUE INDEX IF NOT EXISTS background_jobs_idempotency ON background_jobs (idempotency_key)
    WHERE idempotency_key IS NOT NULL;
-- One seat a key among the unfinished. A running job whose successor was accepted (keep-last) is superseded: it
-- has given up the seat, so no later state of it can collide.
CREATE UNIQUE INDEX IF NOT EXISTS background_jobs_unique ON background_jobs (seat) WHERE seat IS NOT NULL;
CREATE INDEX IF NOT EXISTS background_jobs_superseded ON background_jobs (leaving) WHERE leaving IS NOT NULL;
CREATE INDEX IF NOT EXISTS background_jobs_kept ON background_jobs (created_at, id) WHERE kept IS NOT NULL;
-- How many are kept in each queue is counted here, without their rows. Every priority is above that; the count says so too, and
-- nobody else does: a window of the list would be looked for here and read whole.
CREATE INDEX IF NOT EXISTS background_jobs_kept_by ON background_jobs (queue, kept)
    WHERE kept IS NOT NULL AND priority >= -32768;
-- By time within what the broker has, so that looking for what nobody gives a sign of begins with the oldest and meets
-- neither what the relay still has nor what is parked. Claims and heartbeats change none of these columns.
CREATE INDEX IF NOT EXISTS background_jobs_abroad ON background_jobs (abroad, unpublished, aside, run_at)
    WHERE abroad IS NOT NULL;
CREATE INDEX IF NOT EXISTS background_jobs_unpublished ON background_jobs (unpublished, run_at)
    WHERE unpublished IS NOT NULL;
-- Parked jobs of foreign brokers, by what has to announce itself.
CREATE INDEX IF NOT EXISTS background_jobs_aside ON background_jobs (queue, aside) WHERE aside IS NOT NULL;

-- One row a job of the SQL broker that waits, so that the queue is narrow and the ledger's row is written where it stands.
-- Kept by the triggers below, taken out by the claim.
CREATE TABLE job_line (
    id          uuid PRIMARY KEY,
    queue       text NOT NULL,
    priority    smallint NOT NULL,
    run_at      timestamptz NOT NULL,
    ready       boolean NOT NULL,
    alone       boolean NOT NULL,
    unique_key  text,
    -- It failed before: what waits for its next attempt is told from what waits for its first without a look at its row.
    again       boolean NOT NULL,
    -- The kind, once a worker that does not know it met the job: such jobs stand beside the line, one line a kind.
    aside       text
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_insert_scale_factor = 0.05,
        autovacuum_analyze_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 1);
CREATE INDEX job_line_ready ON job_line (queue, priority DESC, run_at, id)
    WHERE ready AND NOT alone AND aside IS NULL;
CREATE INDEX job_line_aside ON job_line (queue, aside, priority DESC, run_at, id)
    WHERE ready AND NOT alone AND aside IS NOT NULL;
CREATE INDEX job_line_alone ON job_line (queue, priority DESC, run_at, id) WHERE ready AND alone;
CREATE INDEX job_line_due ON job_line (run_at) WHERE NOT ready;

-- One row a claim or a hand-over: which jobs were taken with it, under which tokens, by whom and until when. No index says which jobs
-- run, and a job that was just claimed says it nowhere else: its own row is written by the first heartbeat or by its end. Its worker
-- deletes it when all of them are settled, else the rescuer. lease_until: the first of its jobs can be lost then; heartbeats go to the
-- jobs, and the rescuer writes the new time when it looks.
CREATE TABLE job_claims (
    id          uuid PRIMARY KEY,
    worker      text NOT NULL,
    started_at  timestamptz NOT NULL,
    lease_until timestamptz NOT NULL,
    jobs        uuid[] NOT NULL,
    tokens      bigint[] NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 1);
-- Ids do not compress; trying costs time.
ALTER TABLE job_claims ALTER COLUMN jobs SET STORAGE EXTERNAL, ALTER COLUMN tokens SET STORAGE EXTERNAL;

-- One row a start that failed or was lost, never deleted before its job: the history of a job. The end of a completed start is
-- the job's own finished_at.
CREATE TABLE job_attempts (
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

-- One row an effect outside that was begun: whether a mail went out before its worker died is not known without it.
CREATE TABLE job_effects (
    job_id      uuid NOT NULL,
    effect_key  text NOT NULL,
    state       text NOT NULL,
    tries       integer NOT NULL,
    token       bigint NOT NULL,
    receipt     text,
    at          timestamptz NOT NULL,
    PRIMARY KEY (job_id, effect_key)
) WITH (fillfactor = 80);

-- What a person decided about a queue; one without a row is not paused.
CREATE TABLE job_queues (
    name    text PRIMARY KEY,
    paused  boolean NOT NULL DEFAULT false
);

-- How far a schedule is, so that each of its ticks is enqueued once in the whole fleet.
CREATE TABLE job_schedules (
    name        text PRIMARY KEY,
    last_tick   timestamptz NOT NULL
);

-- An allowance that the whole fleet shares, by the generic cell rate algorithm: tat is the theoretical time of the next arrival.
CREATE TABLE job_limits (
    key text PRIMARY KEY,
    tat timestamptz NOT NULL
) WITH (fillfactor = 70);

-- Who holds a place of a key, for limits of how many run at once. A place counts while its job runs under this token and its lease stands.
CREATE TABLE job_slots (
    key     text NOT NULL,
    job_id  uuid NOT NULL,
    token   bigint NOT NULL,
    PRIMARY KEY (key, job_id)
) WITH (fillfactor = 70);

-- The one seat of the fleet for a job that must run alone: taken while this job runs under this token.
CREATE TABLE job_alone (
    seat    integer PRIMARY KEY CHECK (seat = 1),
    job_id  uuid NOT NULL,
    token   bigint NOT NULL
);

-- What the fleet knows of a dependency that fails, so that a few probes ask it and not everybody.
CREATE TABLE job_breakers (
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

-- One row a process, as others see it.
-- kinds: what it has a handler for, comma-separated. signed: its process gave a sign of life that ends with it; without one only leases tell.
-- troubles: what keeps it from its work, as JSON of at most 4 KiB.
CREATE TABLE job_workers (
    name        text PRIMARY KEY,
    queues      text NOT NULL,
    kinds       text NOT NULL DEFAULT '',
    started_at  timestamptz NOT NULL,
    seen_at     timestamptz NOT NULL,
    signed      boolean NOT NULL DEFAULT false,
    troubles    text NOT NULL DEFAULT ''
) WITH (fillfactor = 70);

-- What people do by hand: who answers for it. A deed outlives its job: it says who deleted it, too. A pause names its queue and no job.
CREATE TABLE job_deeds (
    at      timestamptz NOT NULL,
    deed    text NOT NULL,
    job_id  uuid,
    queue   text,
    who     text NOT NULL,
    why     text,
    sweep   uuid
);
CREATE INDEX job_deeds_job ON job_deeds (job_id, at);
CREATE INDEX job_deeds_age ON job_deeds (at);
-- What is no part of a sweep: the list of all hands names a sweep once, however many jobs it changed.
CREATE INDEX job_deeds_single ON job_deeds (at) WHERE sweep IS NULL;

-- One deed to all that match. The place is written together with the batch that leads there, so that no job is touched twice.
-- What is meant stands in filter, so that whoever finds it can go on with it; words are the wish as it was written.
CREATE TABLE job_sweeps (
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
CREATE UNIQUE INDEX job_sweeps_open ON job_sweeps (deed, words) WHERE open;
CREATE INDEX job_sweeps_age ON job_sweeps (begun_at);

-- Every job of the SQL broker that waits has a place in the line, whoever enqueues it.
CREATE FUNCTION backshift_joins_line() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO job_line (id, queue, priority, run_at, ready, alone, again, unique_key)
        SELECT id, queue, priority, run_at, status = 'available', crashes >= 3, status = 'retrying', unique_key FROM fresh
        WHERE broker = 'postgres' AND status IN ('scheduled', 'available', 'retrying');
    RETURN NULL;
END $$;
CREATE TRIGGER background_jobs_joins_line AFTER INSERT ON background_jobs REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION backshift_joins_line();

-- A claim takes its rows out of the line itself, and a completion of ours writes the marks: neither comes here (a completion
-- raises the token of a row that no heartbeat had written). A job that moves has its place taken away and made anew, never changed: whoever
-- claims beside it then meets no half of it. The condition is short, because PostgreSQL reads it anew for every statement that updates a job. Whoever writes a status by
-- hand leaves marks and a place in the line behind; they are put right.
CREATE FUNCTION backshift_moves_in_line() RETURNS trigger LANGUAGE plpgsql AS $$
#variable_conflict use_column
<<marks>>
DECLARE
    waits boolean := NEW.status IN ('scheduled', 'available', 'retrying');
    waited boolean := OLD.status IN ('scheduled', 'available', 'retrying');
    had_place boolean;
    unfinished boolean := waits OR NEW.status = 'running';
    seat text := CASE WHEN unfinished AND NOT NEW.superseded THEN NEW.unique_key END;
    leaving text := CASE WHEN NEW.status = 'running' AND NEW.superseded THEN NEW.unique_key END;
    kept boolean := CASE WHEN NEW.status IN ('dead', 'cancelled') THEN NEW.status = 'dead' END;
    abroad text := CASE WHEN unfinished AND NEW.broker <> 'postgres' THEN NEW.queue END;
    unpublished text := CASE WHEN (waits OR NEW.status = 'dead') AND NEW.broker <> 'postgres' AND NEW.published_at IS NULL
        THEN NEW.broker END;
BEGIN
    IF NEW.broker = 'postgres' THEN
        DELETE FROM job_line WHERE id = NEW.id;
        had_place := FOUND;
        IF waited AND OLD.broker = 'postgres' AND NOT had_place AND NEW.token = OLD.token THEN
            -- Somebody runs it since a moment. Who only writes a column does not disturb; who gives it another state by hand takes it
            -- away from whoever runs it, for good, and comes here again.
            IF NEW.status <> OLD.status THEN
                UPDATE background_jobs j SET token = j.token + 1 WHERE j.id = NEW.id;
            END IF;
        ELSIF waits THEN
            INSERT INTO job_line (id, queue, priority, run_at, ready, alone, again, unique_key) VALUES (NEW.id, NEW.queue,
                NEW.priority, NEW.run_at, NEW.status = 'available', NEW.crashes >= 3, NEW.status = 'retrying', NEW.unique_key);
        END IF;
    END IF;
    IF (NEW.seat, NEW.leaving, NEW.kept, NEW.abroad, NEW.unpublished)
        IS DISTINCT FROM (marks.seat, marks.leaving, marks.kept, marks.abroad, marks.unpublished)
    THEN
        UPDATE background_jobs j SET seat = marks.seat, leaving = marks.leaving, kept = marks.kept,
            abroad = marks.abroad, unpublished = marks.unpublished WHERE j.id = NEW.id;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER background_jobs_moves_in_line AFTER UPDATE ON background_jobs FOR EACH ROW
    WHEN (NEW.status NOT IN ('running', 'completed')
        OR (NEW.status = 'completed' AND ((OLD.status <> 'running' AND NEW.token = OLD.token)
            OR NEW.seat IS NOT NULL OR NEW.abroad IS NOT NULL)))
    EXECUTE FUNCTION backshift_moves_in_line();
-- Waiting jobs are deleted by hand only; nothing else would ever clear their queue's entries away.
CREATE FUNCTION backshift_leaves_line() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM job_line l USING gone WHERE l.id = gone.id
        AND gone.status IN ('scheduled', 'available', 'retrying');
    RETURN NULL;
END $$;
CREATE TRIGGER background_jobs_leaves_line AFTER DELETE ON background_jobs REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION backshift_leaves_line();

-- The claim: jobs out of the line, and noted as a claim. The job's own row is read and not written: that is done once, by its
-- end, or by the first heartbeat of a job that takes longer. A job that waits and has no place runs.
-- The place decides: whoever takes it away has the job. Whoever else moves a waiting job holds its row first and then takes its
-- place away; if that is gone, the job runs (backshift_show_starts). So a claim waits for nobody, and passes over a place that
-- somebody is about to take away.
-- All in ONE statement, so that line and job are seen by one snapshot: a claim whose parts look at different moments takes a job
-- out of the line that it cannot see yet, and loses it. A place whose job does not wait is left over by a crash of the database.
-- A function for its settings: on a table without fresh statistics the planner would sort the whole queue for every claim
-- instead of walking the index. In plpgsql, because that keeps its plan for the session: planning takes longer than
-- taking one job.
-- A worker that works off a long queue says where its last claim ended (level, since): it goes on from there and takes
-- whatever is more urgent. What others took stays in the index while any old snapshot may see it; a walk from the
-- beginning (no place) meets it all.
-- Of these kinds only, when some are named.
CREATE FUNCTION backshift_start(line text, many integer, who text, lease bigint, hand uuid, level integer,
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
        SELECT l.ctid AS place FROM job_line l
        WHERE l.ready AND NOT l.alone AND l.aside IS NULL AND l.queue = line AND l.priority > COALESCE(level, -32768)::smallint
          AND (known IS NULL OR (SELECT j.job_type = ANY (known) FROM background_jobs j WHERE j.id = l.id))
          AND (l.unique_key IS NULL OR NOT EXISTS (SELECT 1 FROM background_jobs r WHERE r.leaving = l.unique_key))
        ORDER BY l.priority DESC, l.run_at, l.id
        LIMIT many FOR UPDATE OF l SKIP LOCKED),
    rest AS MATERIALIZED (
        SELECT l.ctid AS place FROM job_line l
        WHERE l.ready AND NOT l.alone AND l.aside IS NULL AND l.queue = line AND l.priority = COALESCE(level, -32768)::smallint
          AND l.run_at >= COALESCE(since, '-infinity')
          AND (known IS NULL OR (SELECT j.job_type = ANY (known) FROM background_jobs j WHERE j.id = l.id))
          AND (l.unique_key IS NULL OR NOT EXISTS (SELECT 1 FROM background_jobs r WHERE r.leaving = l.unique_key))
        ORDER BY l.priority DESC, l.run_at, l.id
        LIMIT many - (SELECT COUNT(*) FROM urgent) FOR UPDATE OF l SKIP LOCKED),
    left_line AS (DELETE FROM job_line l WHERE l.ctid = ANY (ARRAY(SELECT u.place FROM urgent u UNION ALL SELECT r.place FROM rest r))
        RETURNING l.id),
    taken AS MATERIALIZED (SELECT j.id, j.job_type::text, j.queue, j.payload, j.headers, j.failures, j.max_attempts, j.priority,
            j.run_at, j.unique_key, j.unique_policy, j.idempotency_key, j.user_id, j.created_at, j.token + 1 AS token,
            until AS lease_until, j.crashes
        FROM left_line w JOIN background_jobs j ON j.id = w.id WHERE j.status = 'available'),
    noted AS (INSERT INTO job_claims (id, worker, started_at, lease_until, jobs, tokens)
        SELECT hand, who, moment, until, array_agg(t.id), array_agg(t.token) FROM taken t HAVING COUNT(*) > 0)
    SELECT t.* FROM taken t;
END $$;

-- The same of jobs whose places the caller has locked in this transaction.
CREATE FUNCTION backshift_begin(picked uuid[], who text, lease bigint, hand uuid)
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
    RETURN QUERY WITH taken AS MATERIALIZED (SELECT j.id, j.job_type::text, j.queue, j.payload, j.headers, j.failures,
            j.max_attempts, j.priority, j.run_at, j.unique_key, j.unique_policy, j.idempotency_key, j.user_id, j.created_at,
            j.token + 1 AS token, until AS lease_until, j.crashes
        FROM background_jobs j WHERE j.id = ANY (picked) AND j.status = 'available'),
    noted AS (INSERT INTO job_claims (id, worker, started_at, lease_until, jobs, tokens)
        SELECT hand, who, moment, until, array_agg(t.id), array_agg(t.token) FROM taken t HAVING COUNT(*) > 0)
    SELECT t.* FROM taken t;
END $$;

-- Writes into their rows what claims took and no heartbeat has written yet. Whoever changes jobs that may run calls it first, with
-- their rows locked: from then on every job says itself whether it runs. A claim that is under way ends before, and none comes
-- after it, because it holds the places.
CREATE FUNCTION backshift_show_starts(picked uuid[]) RETURNS void LANGUAGE plpgsql VOLATILE
SET enable_bitmapscan = off SET enable_sort = off SET enable_seqscan = off SET jit = off
SET enable_hashjoin = off SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
BEGIN
    PERFORM 1 FROM job_line l WHERE l.id = ANY (picked) FOR UPDATE;
    -- Only of what no row says the claims are read.
    picked := ARRAY(SELECT j.id FROM background_jobs j WHERE j.id = ANY (picked) AND j.status = 'available' AND j.broker = 'postgres'
        AND NOT EXISTS (SELECT 1 FROM job_line l WHERE l.id = j.id));
    IF picked = '{}' THEN
        RETURN;
    END IF;
    UPDATE background_jobs j SET status = 'running', token = s.token, attempts = j.failures + 1, worker = h.worker,
        lease_until = h.lease_until, started_at = h.started_at, updated_at = h.started_at, cancel_requested = false
        FROM job_claims h CROSS JOIN LATERAL unnest(h.jobs, h.tokens) AS s(job, token)
        WHERE s.job = ANY (picked) AND j.id = s.job AND j.token = s.token - 1 AND j.status = 'available' AND j.broker = 'postgres';
END $$;

-- The same of all whose worker is dead or whose lease is over, so that the rescuer meets them in their rows.
CREATE FUNCTION backshift_show_lost(dead text[]) RETURNS void LANGUAGE plpgsql VOLATILE
SET enable_bitmapscan = off SET enable_sort = off SET enable_seqscan = off SET jit = off
SET enable_hashjoin = off SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    lost uuid[];
BEGIN
    lost := ARRAY(SELECT b.id FROM job_claims h CROSS JOIN LATERAL unnest(h.jobs, h.tokens) AS s(job, token)
        CROSS JOIN LATERAL (SELECT j.id FROM background_jobs j WHERE j.id = s.job AND j.status = 'available'
            AND j.broker = 'postgres' AND j.token = s.token - 1 FOR UPDATE SKIP LOCKED) b
        WHERE h.lease_until < clock_timestamp() OR h.worker = ANY (dead) LIMIT 1000);
    IF lost <> '{}' THEN
        PERFORM backshift_show_starts(lost);
    END IF;
END $$;

-- The claim of a worker that may not know every kind of its queue. What it does not know and finds among the first that
-- it could take is put aside, once, so that nobody walks past it again. What was put aside and this worker knows stands in
-- the line for it as if it had never left: the more urgent goes first, wherever it stands.
-- Who knows everything asks like this now and then, or when the line gave less than it wanted, and else the quick one.
-- Whoever waits elsewhere hears of what was put aside.
-- Places are read without a lock, the first ones of the line and of each kind, and put in order; only what is taken is
-- locked. What somebody else holds or what waits for its key is passed over: should too few be left, it reads further.
CREATE FUNCTION backshift_start_known(line text, many integer, who text, lease bigint, hand uuid,
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
        -- The channel of this schema, as everybody who listens makes its name.
        PERFORM pg_notify('backshift_' || to_hex(hashtextextended(current_schema()::text, 0)), line || ' aside');
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
            best AS (SELECT l.id FROM (SELECT * FROM places ORDER BY priority DESC, run_at, id) p
                JOIN background_jobs j ON j.id = p.id JOIN job_line l ON l.id = p.id
                WHERE j.status = 'available' AND j.job_type = ANY (known) AND l.ready AND (p.unique_key IS NULL
                     OR NOT EXISTS (SELECT 1 FROM background_jobs r WHERE r.leaving = p.unique_key))
                ORDER BY p.priority DESC, p.run_at, p.id LIMIT many FOR UPDATE OF l SKIP LOCKED)
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
CREATE FUNCTION backshift_alone_is_taken() RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtextextended(current_schema() || '.job_alone', 0)) THEN
        RETURN true;
    END IF;
    RETURN EXISTS (SELECT 1 FROM job_alone a JOIN background_jobs j ON j.id = a.job_id
        WHERE j.token = a.token AND j.status = 'running');
END $$;

-- The seat for a job of a foreign broker that runs under this token.
CREATE FUNCTION backshift_take_alone(job uuid, fence bigint) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF backshift_alone_is_taken() THEN
        RETURN false;
    END IF;
    INSERT INTO job_alone (seat, job_id, token) VALUES (1, job, fence)
        ON CONFLICT (seat) DO UPDATE SET job_id = excluded.job_id, token = excluded.token;
    RETURN true;
END $$;

CREATE FUNCTION backshift_start_alone(line text, who text, lease bigint, hand uuid, known text[])
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
        LIMIT 1 FOR UPDATE OF j, l SKIP LOCKED;
    IF suspect IS NOT NULL THEN
        RETURN QUERY SELECT * FROM backshift_begin(ARRAY[suspect], who, lease, hand);
        -- The seat goes by the row.
        PERFORM backshift_show_starts(ARRAY[suspect]);
        INSERT INTO job_alone (seat, job_id, token) SELECT 1, j.id, j.token FROM background_jobs j WHERE j.id = suspect
            ON CONFLICT (seat) DO UPDATE SET job_id = excluded.job_id, token = excluded.token;
    END IF;
END $$;

-- Which waiting jobs are due now. The job's row is locked and not its place, as everywhere: the trigger that moves the place
-- holds the row already, and two orders would wait for each other in a circle.
CREATE FUNCTION backshift_due(many integer) RETURNS SETOF uuid
LANGUAGE sql VOLATILE ROWS 64
SET enable_bitmapscan = off SET enable_sort = off SET enable_seqscan = off SET jit = off
SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
    SELECT l.id FROM job_line l JOIN background_jobs j ON j.id = l.id
    WHERE NOT l.ready AND l.run_at <= (SELECT clock_timestamp()) AND j.status IN ('scheduled', 'retrying')
    ORDER BY l.run_at
    LIMIT many FOR UPDATE OF j SKIP LOCKED
$$;
