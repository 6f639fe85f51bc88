"""Quality: what a bad row is (rules), all rules in one pass (fused), judgement of a version by GX (suites)."""
