"""Models: candidates; split.py has which rows they see, search.py and gate.py how one is chosen and admitted."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, GetJsonSchemaHandler, ValidationInfo, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from pipelines.spec.base import Column, Name, Spec
from pipelines.spec.candidate import Candidate
from pipelines.spec.decision import Decision
from pipelines.spec.explain import Explain
from pipelines.spec.fairness import Fairness
from pipelines.spec.gate import Gate, unnamed
from pipelines.spec.portfolio import entered
from pipelines.spec.prepare import Preparation
from pipelines.spec.search import Search
from pipelines.spec.settings import SETTINGS, Anomaly, Forecasting, Recommendation
from pipelines.spec.split import Backtest, Split
from pipelines.spec.task import TASKS, Metric, Task


def _entered(given: object, info: ValidationInfo) -> object:
    return entered(given, info.data.get("task"))


class _OrAuto:
    """In the JSON Schema: a list, or the word; not as two branches, of which an editor would blame the whole."""

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {**handler(core), "type": ["array", "string"], "pattern": "^auto$", "minItems": 1}


Candidates = Annotated[tuple[Candidate, ...], BeforeValidator(_entered), _OrAuto()]


class Model(Spec):
    """One prediction problem: the features it sees, the label it learns, who may win."""

    features: Name
    label: str = Field(
        default="",
        description="SQL over the spine's columns: 'arr_delay >= 15'; a row trains once it is known; none of clusters",
    )
    task: Task = Field(
        description="what kind of answer: yes or no, a number, one of some classes, one of some clusters"
    )
    observed: Column | None = Field(
        default=None,
        description="BOOLEAN of the spine: false where the label is too low, for its time goes on; of survival",
    )
    anomaly: Anomaly | None = Field(default=None, description="of task: anomaly")
    forecasting: Forecasting | None = Field(default=None, description="of task: forecasting")
    recommendation: Recommendation | None = Field(default=None, description="of task: recommendation")
    split: Split = Split()
    backtest: Backtest | None = Field(default=None, description="how it would have done in the past; changes no model")
    prepare: dict[Column, Preparation] = Field(
        default={}, description="feature column -> what it is taken for, where its type should not decide"
    )
    candidates: Candidates = Field(description="who may win; `auto`: the task's portfolio")
    search: Search = Search()
    decision: Decision | None = Field(
        default=None, description="what a wrong yes or no costs; unless said, the best F1 decides; of task: binary"
    )
    gates: tuple[Gate, ...] = Field(default=(), description="all must hold; unless said: above baseline and champion")
    promotion: Literal["by_gates", "by_hand"] = Field(
        default="by_gates",
        description="by_hand: what passed its gates waits, as challenger, for a person: `lakeloom model promote`",
    )
    slices: tuple[Column, ...] = Field(
        default=(),
        description="columns whose values get metrics of their own, in monitors too: features, or the spine's",
    )

    explain: Explain | None = Field(default=None, description="importance by permutation, and SHAP; `{}` is enough")
    fairness: Fairness | None = Field(default=None, description="rates by group, and gates of them; of task: binary")

    @model_validator(mode="after")
    def _labelled(self) -> "Model":
        if TASKS[self.task].supervised and not self.label:
            raise ValueError(f"task: {self.task} learns a label, and there is none; add label")
        if not TASKS[self.task].labelled and self.label:
            raise ValueError(f"task: {self.task} learns without a label; leave label out")
        return self

    @model_validator(mode="after")
    def _told_of_its_task(self) -> "Model":
        for name in SETTINGS:
            if getattr(self, name) is not None and name != self.task:
                raise ValueError(f"{name} is for task: {name}, and this is task: {self.task}")
        if TASKS[self.task].told and getattr(self, self.task) is None:
            raise ValueError(f"task: {self.task} has to be told more; add {self.task}: {{{TASKS[self.task].told}}}")
        return self

    @model_validator(mode="after")
    def _each_is_tried(self) -> "Model":
        if self.searched and self.search.trials < len(self.candidates):
            raise ValueError(f"search: {self.search.trials} trials are too few for {len(self.candidates)} candidates")
        return self

    @property
    def aim(self) -> str:
        """SQL of what rows are trained and judged by: the label; a constant where the task learns without one."""
        missing = TASKS[self.task].missing
        return f"coalesce(CAST(({self.label}) AS INT), {missing})" if self.label and missing else self.label or missing

    @property
    def chosen_by(self) -> Metric:
        """The metric that chooses among the candidates."""
        return self.search.metric or TASKS[self.task].chosen(bool(self.label))

    @property
    def beside(self) -> tuple[str, ...]:
        """Columns that it reads of the spine where they are no features."""
        one = (column for column in (self.split.column, self.observed) if column)
        return (*one, *(self.fairness.columns if self.fairness else ()), *self.sliced)

    @property
    def sliced(self) -> tuple[str, ...]:
        """Columns whose values are looked at one by one, by name or for a gate; each once."""
        return tuple(dict.fromkeys([*self.slices, *(gate.slice for gate in self.admission if gate.slice)]))

    @property
    def pair(self) -> tuple[str, ...]:
        """User and item of a recommendation; nothing of another task."""
        return (self.recommendation.user, self.recommendation.item) if self.recommendation else ()

    @property
    def searched(self) -> bool:
        """True where a candidate has ranges."""
        return any(candidate.ranges for candidate in self.candidates)

    @property
    def trials(self) -> int:
        """The most trials of one training."""
        return self.search.trials if self.searched else len(self.candidates)

    @property
    def admission(self) -> tuple[Gate, ...]:
        """The gates that are judged; an empty list in the conf means none."""
        return self.gates if "gates" in self.model_fields_set else unnamed(self.chosen_by)

    def won_by(self, winner: Candidate) -> dict[str, Any]:
        """The model as a conf says it without a search: one candidate, the winner, with all its options named."""
        said = self.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        gates = [g.model_dump(mode="json", exclude_defaults=True) for g in self.gates]
        changed = {
            "candidates": [winner.model_dump(mode="json", by_alias=True, exclude={"ranges"}, exclude_none=True)],
            "search": {"metric": self.chosen_by},
            **({"gates": gates} if "gates" in self.model_fields_set else {}),
        }
        fields = [f.alias or name for name, f in type(self).model_fields.items()]
        return {k: {**said, **changed}[k] for k in fields if k in said or k in changed}
