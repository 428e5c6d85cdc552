-- The send log and the addresses that get no mail. System B's email_sends is adopted: its own columns stay.
CREATE TABLE IF NOT EXISTS email_sends (
    id  uuid PRIMARY KEY DEFAULT gen_random_uuid()
);
ALTER TABLE email_sends
    ADD COLUMN IF NOT EXISTS job_id             uuid,
    ADD COLUMN IF NOT EXISTS message_id         text,
    ADD COLUMN IF NOT EXISTS recipient_hash     bytea,
    ADD COLUMN IF NOT EXISTS recipient_masked   text,
    ADD COLUMN IF NOT EXISTS outcome            text,
    ADD COLUMN IF NOT EXISTS reply              text,
    ADD COLUMN IF NOT EXISTS enhanced_code      text,
    ADD COLUMN IF NOT EXISTS at                 timestamptz;
DO $$
DECLARE col text;
BEGIN
    FOR col IN SELECT column_name FROM information_schema.columns
        WHERE table_schema = current_schema() AND table_name = 'email_sends' AND is_nullable = 'NO'
          AND column_name IN ('type', 'recipient', 'subject', 'body', 'sent_at', 'user_id')
    LOOP
        EXECUTE format('ALTER TABLE email_sends ALTER COLUMN %I DROP NOT NULL', col);
    END LOOP;
END $$;
CREATE INDEX IF NOT EXISTS email_sends_job ON email_sends (job_id) WHERE job_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS email_sends_at ON email_sends (at) WHERE at IS NOT NULL;

CREATE TABLE email_suppressions (
    address_key text PRIMARY KEY,
    reason      text NOT NULL,
    scope       text NOT NULL,
    created_at  timestamptz NOT NULL,
    expires_at  timestamptz,
    source_job  uuid
);
CREATE INDEX email_suppressions_expiry ON email_suppressions (expires_at) WHERE expires_at IS NOT NULL;
