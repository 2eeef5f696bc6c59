//! The ledger: entries, segments, tree, checkpoints, receipts, verifier.
