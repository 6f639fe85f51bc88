# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # What the flights model says, and what really happened
#
# Reads what `lakeloom run conf/flights.yml` published; makes and changes nothing. Three calls open the lake: a table,
# the scores, the model. Everything is counted by Spark; only small results come here.

# %%
from datetime import UTC, datetime
from pathlib import Path

import altair as alt
import pandas as pd
from pyspark.sql import functions as F

from pipelines.lake import Lake

lake = Lake(next(c for c in ("conf/flights.yml", "../conf/flights.yml") if Path(c).exists()))
flights = lake.table("flights")
scores = lake.scores("late_arrival_daily")
model = lake.model("late_arrival")

# %% [markdown]
# ## What was published
# A cancelled flight has no arrival, so it has no label: it is scored, and never counted as right or wrong.

# %%
late = (F.col("arr_delay") >= 15).cast("int")
by_origin = (
    flights.groupBy("origin")
    .agg(F.count("*").alias("flights"), F.count(late).alias("arrived"), F.round(F.avg(late), 3).alias("share_late"))
    .orderBy("origin")
    .toPandas()
)
by_origin.head()

# %% [markdown]
# ## Can a score be read as a probability?
# Of the flights scored near 0.3, were 30 % late? Only flights after the model's cutoff have a score here: it has seen
# none of them. On the dashed line the answer is yes.

# %%
known = scores.join(flights.select("flight_id", "carrier", "departure_hour", late.alias("late")), "flight_id").where(
    "late IS NOT NULL"
)
tenth = F.floor(F.col("score") * 10).cast("int").alias("tenth")
calibration = (
    known.groupBy(tenth)
    .agg(F.avg("score").alias("score"), F.avg("late").alias("late"), F.count("*").alias("flights"))
    .orderBy("tenth")
    .toPandas()
)
dots = (
    alt.Chart(calibration, title="Scores against what happened")
    .mark_line(point=True)
    .encode(
        x=alt.X("score", title="mean score of the flights", scale=alt.Scale(domain=[0, 1])),
        y=alt.Y("late", title="share that was late", scale=alt.Scale(domain=[0, 1])),
        tooltip=["score", "late", "flights"],
    )
)
diagonal = alt.Chart(alt.Data(values=[{"at": 0}, {"at": 1}])).mark_line(strokeDash=[4, 4], color="gray")
chart = (dots + diagonal.encode(x="at:Q", y="at:Q")).properties(width=360, height=360)
chart.interactive()

# %% [markdown]
# ## Where is it wrong?
# The mean error by hour of departure: above zero the model expects too many late flights, below it too few.

# %%
by_hour = (
    known.groupBy("departure_hour")
    .agg(F.avg(F.col("score") - F.col("late")).alias("mean_error"), F.count("*").alias("flights"))
    .orderBy("departure_hour")
    .toPandas()
)
alt.Chart(by_hour, title="Mean error by hour of departure").mark_bar().encode(
    x="departure_hour:O", y="mean_error", tooltip=["mean_error", "flights"]
).properties(width=480, height=200)

# %% [markdown]
# ## Is the champion the one that made these scores?
# Its files are compared with the hash written at training before they are loaded. The same flights, scored again here,
# should differ by nothing.

# %%
again = model.score(lake.features("departures"), datetime.now(UTC)).select("flight_id", F.col("score").alias("again"))
own = scores.where(F.col("model_version") == model.model_version)
largest_difference = own.join(again, "flight_id").agg(F.max(F.abs(F.col("score") - F.col("again")))).first()[0]
checked = {"scores": scores.count(), "made by the champion": own.count(), "largest difference": largest_difference}
pd.Series(checked)

# %%
lake.close()
