"""Monitors: Spark counts each window into the bins of a reference, once; plain Python decides.

bins.py        the bins of a feature, learned from a reference and kept with it
counting.py    the only file with Spark: learns bins, counts rows into them
tallies.py     counts of many batches as the counts of a window
statistics.py  how far two histograms are apart, and whether that is chance
comparing.py   all features of a window against their reference
estimating.py  how good scores are before a label is known
deciding.py    retrain, investigate or wait, with reasons
causes.py      the tables behind a drift, and the promise that moved with it
broken.py      promises that are broken more often by what came now
history.py     what the records say of all windows
"""
