"""What is asked of a model about itself: which features its answers hang on."""

from pydantic import Field

from pipelines.spec.base import Spec


class Explain(Spec):
    """Permutation importance of the winner, and SHAP values of trees and linear models, on a sample of test rows."""

    rows: int = Field(default=2_000, ge=100, le=10_000, description="at most; drawn by the hash of their keys")
    repeats: int = Field(default=5, ge=2, le=20, description="permutations of each feature")
