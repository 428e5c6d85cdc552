-- Only SQLite's indexes change.
SELECT 1;
