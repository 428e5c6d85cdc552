-- System C's accounts, plans and subscriptions, and the challenges behind one-time codes.
CREATE TABLE users (
    id              TEXT PRIMARY KEY NOT NULL,
    username        TEXT NOT NULL,
    full_name       TEXT,
    password_hash   TEXT,
    avatar_url      TEXT,
    is_active       INTEGER DEFAULT 1,
    otp             TEXT,
    otp_expired_at  INTEGER,
    created_at      INTEGER,
    updated_at      INTEGER,
    deleted_at      INTEGER,
    role_hash       TEXT,
    role            TEXT,
    -- When the address was confirmed here, first; an account that is not active and has it was deactivated.
    confirmed_at    INTEGER,
    -- Tokens from before are worth nothing: the last sign-out, in whole seconds.
    not_before      INTEGER
) STRICT;
CREATE UNIQUE INDEX users_username_lower ON users (lower(username)) WHERE deleted_at IS NULL;

CREATE TABLE plans (
    id          TEXT PRIMARY KEY NOT NULL,
    name        TEXT NOT NULL UNIQUE,
    code        TEXT NOT NULL UNIQUE,
    description TEXT,
    max_usage   INTEGER NOT NULL DEFAULT 3,
    created_at  INTEGER,
    updated_at  INTEGER,
    deleted_at  INTEGER
) STRICT;

CREATE TABLE subscriptions (
    id              TEXT PRIMARY KEY NOT NULL,
    user_id         TEXT NOT NULL REFERENCES users (id),
    plan_id         TEXT NOT NULL REFERENCES plans (id),
    status          TEXT NOT NULL DEFAULT 'active'
        CHECK (status IN ('active', 'trialing', 'past_due', 'cancelled', 'expired')),
    trial_ends_at   INTEGER,
    starts_at       INTEGER NOT NULL,
    ends_at         INTEGER,
    cancelled_at    INTEGER,
    created_at      INTEGER,
    updated_at      INTEGER,
    deleted_at      INTEGER
) STRICT;
CREATE INDEX subscriptions_user ON subscriptions (user_id);
CREATE UNIQUE INDEX subscriptions_one_current ON subscriptions (user_id)
    WHERE status IN ('active', 'trialing') AND deleted_at IS NULL;

-- A challenge holds what the code is derived from, never the code.
CREATE TABLE otp_challenges (
    id          TEXT PRIMARY KEY NOT NULL,
    user_id     TEXT NOT NULL,
    email_key   TEXT NOT NULL,
    purpose     TEXT NOT NULL,
    nonce       BLOB NOT NULL,
    issued_at   INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    tries       INTEGER NOT NULL DEFAULT 0,
    used_at     INTEGER,
    -- The hash of the password with which it was asked for: the code opens the account with that one.
    password_hash TEXT,
    -- The network that asked for it, and the tries of all others.
    network     TEXT,
    tries_abroad INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX otp_challenges_latest ON otp_challenges (user_id, purpose, issued_at);
CREATE INDEX otp_challenges_age ON otp_challenges (issued_at);

-- One row a code that was sent: the hourly limits count them.
CREATE TABLE otp_sends (
    id          TEXT PRIMARY KEY NOT NULL,
    email_key   TEXT NOT NULL,
    ip          TEXT,
    at          INTEGER NOT NULL
) STRICT;
CREATE INDEX otp_sends_email ON otp_sends (email_key, at);
CREATE INDEX otp_sends_ip ON otp_sends (ip, at) WHERE ip IS NOT NULL;
CREATE INDEX otp_sends_age ON otp_sends (at);

-- One row for whatever is counted by the hour: wrong passwords, registrations, tried codes. An hour is over with `begun`.
CREATE TABLE auth_counts (
    what        TEXT NOT NULL,
    who         TEXT NOT NULL,
    begun       INTEGER NOT NULL,
    n           INTEGER NOT NULL,
    PRIMARY KEY (what, who)
) STRICT, WITHOUT ROWID;
CREATE INDEX auth_counts_age ON auth_counts (begun);
