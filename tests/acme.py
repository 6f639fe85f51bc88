"""A team's own estimators, as a target's `extensions` name them: ESTIMATORS, from a name to what makes one."""

from pyspark.ml.classification import DecisionTreeClassifier, LinearSVC, LogisticRegression


def straight(columns, **params):
    """As the kind logistic_regression makes it."""
    return LogisticRegression(**columns, standardization=False, **params)


def stump(columns, **params):
    """A tree that a person can read."""
    return DecisionTreeClassifier(**columns, seed=1, **params)


def margin(columns, **params):
    """Tells which side, and not how likely."""
    told = {name: column for name, column in columns.items() if name != "probabilityCol"}
    return LinearSVC(**told, maxIter=3, **params)


ESTIMATORS = {"straight": straight, "stump": stump, "margin": margin, "nothing": lambda columns: columns}
