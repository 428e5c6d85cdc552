-- The send log and the addresses that get no mail.
CREATE TABLE email_sends (
    id                  TEXT PRIMARY KEY NOT NULL,
    job_id              TEXT,
    message_id          TEXT,
    recipient_hash      BLOB,
    recipient_masked    TEXT,
    outcome             TEXT,
    reply               TEXT,
    enhanced_code       TEXT,
    at                  INTEGER
) STRICT;
CREATE INDEX email_sends_job ON email_sends (job_id) WHERE job_id IS NOT NULL;
CREATE INDEX email_sends_at ON email_sends (at) WHERE at IS NOT NULL;

CREATE TABLE email_suppressions (
    address_key TEXT PRIMARY KEY NOT NULL,
    reason      TEXT NOT NULL,
    scope       TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER,
    source_job  TEXT
) STRICT;
CREATE INDEX email_suppressions_expiry ON email_suppressions (expires_at) WHERE expires_at IS NOT NULL;
