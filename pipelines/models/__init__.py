"""Models: one protocol (base) and the learners that keep it, each a Spark ML pipeline."""
