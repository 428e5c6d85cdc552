-- System C's accounts, plans and subscriptions (adopted where they exist) and the challenges behind one-time codes.
CREATE TABLE IF NOT EXISTS users (
    id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    username        varchar(255) NOT NULL UNIQUE,
    created_at      timestamptz DEFAULT now()
);
ALTER TABLE users
    ADD COLUMN IF NOT EXISTS username       varchar(255),
    ADD COLUMN IF NOT EXISTS full_name      varchar(100),
    ADD COLUMN IF NOT EXISTS password_hash  varchar(255),
    ADD COLUMN IF NOT EXISTS avatar_url     varchar(255),
    ADD COLUMN IF NOT EXISTS is_active      boolean DEFAULT true,
    ADD COLUMN IF NOT EXISTS otp            varchar(6),
    ADD COLUMN IF NOT EXISTS otp_expired_at timestamptz,
    ADD COLUMN IF NOT EXISTS created_at     timestamptz DEFAULT now(),
    ADD COLUMN IF NOT EXISTS updated_at     timestamptz DEFAULT now(),
    ADD COLUMN IF NOT EXISTS deleted_at     timestamptz,
    ADD COLUMN IF NOT EXISTS role_hash      text,
    ADD COLUMN IF NOT EXISTS role           text,
    -- When the address was confirmed here, first; an account that is not active and has it was deactivated.
    ADD COLUMN IF NOT EXISTS confirmed_at   timestamptz,
    -- Tokens from before are worth nothing: the last sign-out, in whole seconds.
    ADD COLUMN IF NOT EXISTS not_before     timestamptz;
CREATE INDEX IF NOT EXISTS users_role_hash ON users (role_hash) WHERE role_hash IS NOT NULL;
-- Addresses are compared without regard to case. Old rows may collide there: then the index only finds them.
DO $$
BEGIN
    CREATE UNIQUE INDEX IF NOT EXISTS users_username_lower ON users (lower(username)) WHERE deleted_at IS NULL;
EXCEPTION WHEN unique_violation THEN
    CREATE INDEX IF NOT EXISTS users_username_lower ON users (lower(username)) WHERE deleted_at IS NULL;
END $$;

CREATE TABLE IF NOT EXISTS plans (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name        varchar(50) NOT NULL UNIQUE,
    code        varchar(50) NOT NULL UNIQUE,
    description text,
    max_usage   integer NOT NULL DEFAULT 3,
    created_at  timestamptz DEFAULT now(),
    updated_at  timestamptz DEFAULT now(),
    deleted_at  timestamptz
);

DO $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
        WHERE t.typname = 'subscription_status' AND n.nspname = current_schema()) THEN
        CREATE TYPE subscription_status AS ENUM ('active', 'trialing', 'past_due', 'cancelled', 'expired');
    END IF;
END $$;
CREATE TABLE IF NOT EXISTS subscriptions (
    id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id         uuid NOT NULL REFERENCES users (id),
    plan_id         uuid NOT NULL REFERENCES plans (id),
    status          subscription_status NOT NULL DEFAULT 'active',
    trial_ends_at   timestamptz,
    starts_at       timestamptz NOT NULL DEFAULT now(),
    ends_at         timestamptz,
    cancelled_at    timestamptz,
    created_at      timestamptz DEFAULT now(),
    updated_at      timestamptz DEFAULT now(),
    deleted_at      timestamptz
);
CREATE INDEX IF NOT EXISTS subscriptions_user ON subscriptions (user_id);
DO $$
BEGIN
    CREATE UNIQUE INDEX IF NOT EXISTS subscriptions_one_current ON subscriptions (user_id)
        WHERE status IN ('active', 'trialing') AND deleted_at IS NULL;
EXCEPTION WHEN unique_violation THEN
    RAISE NOTICE 'some users have several current subscriptions; new ones are checked by the program only';
END $$;

-- A challenge holds what the code is derived from, never the code.
CREATE TABLE otp_challenges (
    id          uuid PRIMARY KEY,
    user_id     uuid NOT NULL,
    email_key   text NOT NULL,
    purpose     text NOT NULL,
    nonce       bytea NOT NULL,
    issued_at   timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    tries       integer NOT NULL DEFAULT 0,
    used_at     timestamptz,
    -- The hash of the password with which it was asked for: the code opens the account with that one.
    password_hash text,
    -- The network that asked for it, and the tries of all others.
    network     text,
    tries_abroad integer NOT NULL DEFAULT 0
);
CREATE INDEX otp_challenges_latest ON otp_challenges (user_id, purpose, issued_at);
CREATE INDEX otp_challenges_age ON otp_challenges (issued_at);

-- One row a code that was sent: the hourly limits count them.
CREATE TABLE otp_sends (
    id          uuid PRIMARY KEY,
    email_key   text NOT NULL,
    ip          text,
    at          timestamptz NOT NULL
);
CREATE INDEX otp_sends_email ON otp_sends (email_key, at);
CREATE INDEX otp_sends_ip ON otp_sends (ip, at) WHERE ip IS NOT NULL;
CREATE INDEX otp_sends_age ON otp_sends (at);

-- One row for whatever is counted by the hour: wrong passwords, registrations, tried codes. An hour is over with `begun`.
CREATE TABLE auth_counts (
    what        text NOT NULL,
    who         text NOT NULL,
    begun       timestamptz NOT NULL,
    n           bigint NOT NULL,
    PRIMARY KEY (what, who)
) WITH (fillfactor = 70);
CREATE INDEX auth_counts_age ON auth_counts (begun);
