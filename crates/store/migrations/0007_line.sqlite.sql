-- SQLite has one writer and no HOT: its queue stays the ledger's own index.
SELECT 1;
