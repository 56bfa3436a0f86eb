"""Response store: cached answers, key locks, budget and ledger in one SQLite file."""
