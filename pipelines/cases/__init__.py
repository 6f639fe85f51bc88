"""Tests of a conf, in conf/tests: given rows, the pipeline's own code in a scratch place, expected rows.

finding.py    the tests of a conf, and what is wrong with them; no engine
trying.py     a test's rows land, its stages run, its tables are read
comparing.py  expected rows against found ones, and how they differ: pure
"""
