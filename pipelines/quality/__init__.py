"""Quality: what a bad row is (rules), all rules in the pass that writes (fused), table-level judgement by GX (suites)."""
