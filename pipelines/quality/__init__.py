"""Quality: what a bad row is (rules), all rules in the pass that writes (fused), judgement of a version by GX (suites)."""
