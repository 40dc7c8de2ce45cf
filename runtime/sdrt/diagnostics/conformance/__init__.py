"""Golden vectors: what each stage of a run gives, written once and replayed by any host."""
