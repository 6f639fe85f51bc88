"""Neural networks over tables: rows laid down by Spark, read by each rank for itself, trained by one loop.

Spark prepares rows and lays them down as a Delta table of numbers (estimator);
the driver deals the row groups of the pinned version to ranks (shards); each
rank reads its own (loader), and all run the same loop (loop), however they were
launched (launch). What a rank has to say goes through files beside the rows,
so that a launcher has nothing to carry. Only `net`, `loop`, `trainee`, `crew`
and `rank` import torch, in the processes that train: to score a net takes numpy.
"""
