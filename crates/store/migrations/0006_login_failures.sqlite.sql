-- One row a wrong password: the hourly limits of an account and of a network of clients count them.
CREATE TABLE IF NOT EXISTS login_failures (
    id          TEXT PRIMARY KEY NOT NULL,
    email_key   TEXT NOT NULL,
    network     TEXT,
    at          INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS login_failures_email ON login_failures (email_key, at);
CREATE INDEX IF NOT EXISTS login_failures_network ON login_failures (network, at) WHERE network IS NOT NULL;
CREATE INDEX IF NOT EXISTS login_failures_at ON login_failures (at);
