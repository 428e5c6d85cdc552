-- One row a wrong password: the hourly limits of an account and of a network of clients count them.
CREATE TABLE IF NOT EXISTS login_failures (
    id          uuid PRIMARY KEY,
    email_key   text NOT NULL,
    network     text,
    at          timestamptz NOT NULL
);
CREATE INDEX IF NOT EXISTS login_failures_email ON login_failures (email_key, at);
CREATE INDEX IF NOT EXISTS login_failures_network ON login_failures (network, at) WHERE network IS NOT NULL;
CREATE INDEX IF NOT EXISTS login_failures_at ON login_failures (at);
