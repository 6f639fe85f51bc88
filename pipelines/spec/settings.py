"""What a task has to be told beside label and features: a block of a model, under the name of its task."""

from pydantic import Field, model_validator

from pipelines.spec.base import Column, Length, Spec, length_words

SETTINGS = ("anomaly", "forecasting", "recommendation")  # the tasks that have a block; of anomaly it may be left out


class Anomaly(Spec):
    """How much is taken to be unusual."""

    contamination: float = Field(
        default=0.01, gt=0, le=0.5, description="share of the training rows that lie above the threshold"
    )


class Forecasting(Spec):
    """Series at a steady frequency, each forecast from every row on: its as_of_time is the origin of a forecast."""

    series: tuple[Column, ...] = Field(min_length=1, description="the spine's columns whose values name a series")
    every: Length = Field(description="between two rows of a series")
    horizon: Length = Field(description="from the origin to the moment that is forecast")
    season: Length = Field(description="after which a series is like itself: the baseline says what was one before")

    @model_validator(mode="after")
    def _whole(self) -> "Forecasting":
        for name, length in (("horizon", self.horizon), ("season", self.season)):
            if length % self.every:
                text = length_words(length), length_words(self.every)
                raise ValueError(f"{name}: should be a multiple of every, got {text[0]} and {text[1]}")
        if self.season < self.horizon:
            text = length_words(self.season), length_words(self.horizon)
            raise ValueError(f"season: {text[0]} is less than horizon, {text[1]}: the season before is not known yet")
        return self


class Recommendation(Spec):
    """Who is shown what: a feature row is one user and one item, its label how much the one liked the other."""

    user: Column = Field(description="the feature column that names who is shown items")
    item: Column = Field(description="the feature column that names what is shown")
    top: int = Field(default=10, gt=0, le=100, description="ranks of a user's list that NDCG and MAP look at")
    relevant: float = Field(default=1.0, gt=0, description="a label of at least this is a hit, for MAP")

    @model_validator(mode="after")
    def _two(self) -> "Recommendation":
        if self.user == self.item:
            raise ValueError(f"item: {self.item} is the user as well; name another column")
        return self
