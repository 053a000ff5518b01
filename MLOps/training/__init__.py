"""What all learners share: seeds, determinism, checkpoints, search, progress."""
