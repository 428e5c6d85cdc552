-- For tests only: refuses every row whose marks are not what its status says. In operation nobody pays for it.
ALTER TABLE background_jobs ADD CONSTRAINT marks_agree CHECK (broker = 'adopted' OR (
    seat IS NOT DISTINCT FROM CASE WHEN NOT superseded
        AND status IN ('scheduled', 'available', 'running', 'retrying') THEN unique_key END
    AND leaving IS NOT DISTINCT FROM CASE WHEN superseded AND status = 'running' THEN unique_key END
    AND kept IS NOT DISTINCT FROM CASE WHEN status IN ('dead', 'cancelled') THEN status = 'dead' END
    AND abroad IS NOT DISTINCT FROM CASE WHEN broker <> 'postgres'
        AND status IN ('scheduled', 'available', 'running', 'retrying') THEN queue END
    AND unpublished IS NOT DISTINCT FROM CASE WHEN broker <> 'postgres' AND published_at IS NULL
        AND status IN ('scheduled', 'available', 'retrying', 'dead') THEN broker END))
