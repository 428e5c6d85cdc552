-- Cheaper predicates: SQLite looks at every one of them for every row that is written, and a list of three or more
-- words builds a temporary table each time. What is false for nearly every row stands first.
-- The claim's order needs no id: rows of one time are told apart by their rowid, the order in which they came.
DROP INDEX IF EXISTS background_jobs_claim;
CREATE INDEX IF NOT EXISTS background_jobs_claim ON background_jobs (queue, priority DESC, run_at)
    WHERE status = 'available' AND broker = 'embedded' AND crashes < 3 AND aside IS NULL;
-- What was put aside, by kind: only a worker that knows the kind looks here.
CREATE INDEX IF NOT EXISTS background_jobs_aside ON background_jobs (queue, aside, priority DESC, run_at)
    WHERE aside IS NOT NULL AND status = 'available' AND broker = 'embedded' AND crashes < 3;
-- Parked jobs of foreign brokers, by what has to announce itself.
CREATE INDEX IF NOT EXISTS background_jobs_parked ON background_jobs (queue, aside)
    WHERE aside IS NOT NULL AND status = 'available' AND broker <> 'embedded';
DROP INDEX IF EXISTS background_jobs_claim_alone;
CREATE INDEX IF NOT EXISTS background_jobs_claim_alone ON background_jobs (queue, priority DESC, run_at)
    WHERE crashes >= 3 AND status = 'available' AND broker = 'embedded';
DROP INDEX IF EXISTS background_jobs_waiting_abroad;
CREATE INDEX IF NOT EXISTS background_jobs_waiting_abroad ON background_jobs (queue, status)
    WHERE broker <> 'embedded' AND status IN ('scheduled', 'available', 'retrying');
DROP INDEX IF EXISTS background_jobs_unpublished;
CREATE INDEX IF NOT EXISTS background_jobs_unpublished ON background_jobs (broker, run_at)
    WHERE broker <> 'embedded' AND published_at IS NULL AND status IN ('scheduled', 'available', 'retrying', 'dead');
-- What a foreign broker has, by when somebody last gave a sign of it. What runs is found by its worker's index.
CREATE INDEX IF NOT EXISTS background_jobs_away ON background_jobs (queue, MAX(run_at, updated_at))
    WHERE broker <> 'embedded' AND published_at IS NOT NULL AND aside IS NULL
      AND status IN ('scheduled', 'available', 'retrying');
-- How many are kept in each queue is counted here, without their rows. Every priority is above that; the count says so too, and
-- nobody else does: a window of the list would be looked for here and read whole.
CREATE INDEX IF NOT EXISTS background_jobs_kept_by ON background_jobs (queue, status)
    WHERE status IN ('dead', 'cancelled') AND priority >= -32768;
