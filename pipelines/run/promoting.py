"""Who is champion: by the gates after a training, or by a person afterwards; the alias moves last.

A promotion by hand, and a rollback, is a batch of the model's stage like any
other: intent, alias, record. So a crash between is made good by the next run,
scores go on with the version that stands, and a run with nothing new leaves it
standing: the record has the definition and the inputs of the last training.
"""

from dataclasses import replace
from typing import Any

from pipelines import crash
from pipelines.errors import ConflictError, DataError
from pipelines.outline import NOT_PROMOTED
from pipelines.registry import Registry, Version
from pipelines.run import proving
from pipelines.run.context import Context
from pipelines.run.order import Promote
from pipelines.spark import yield_memory
from pipelines.state import PROMOTE, WAITS, Intent, Record


def admit(ctx: Context, intent: Intent, registry: Registry, detail: dict[str, Any], version: Version) -> Record:
    """After a training: champion if every gate passed, the clean process last, and nobody is asked; else challenger.

    Errors: DataError where a gate refused; the champion stays, and what cannot be loaded challenges nobody.
    """
    gates, usable = list(detail["gates"]), True
    if all(g["passed"] for g in gates):
        ctx.tell(f"loads version {version.number} in a clean process")
        proof = _prove(ctx, version)
        gates.append(proof.as_gate())
        usable = proof.passed
    found = {**detail, "gates": gates, "version": version.number, "run_id": version.run_id}
    closed = [g for g in gates if not g["passed"]]
    if closed:
        if usable:
            registry.challenge(version)
        why = "; ".join(f"{g['gate']}: {g['why']}" for g in closed)
        error = f"{ctx.stage.id}: version {version.number} {NOT_PROMOTED}: {why}"
        ctx.record(intent, "refused", counts=_counts(found), detail=found, error=error)
        raise DataError(error)
    if ctx.pipeline.models[ctx.stage.name].promotion == "by_hand":
        return _waits(ctx, intent, registry, found, version)
    crash.point("before the alias moves", ctx.stage.id)
    registry.promote(version)
    return ctx.record(intent, counts=_counts(found), detail=found, model_version=version.number)


def _waits(ctx: Context, intent: Intent, registry: Registry, found: dict[str, Any], version: Version) -> Record:
    """Nothing is wrong with it, and nothing moves before a person says so."""
    registry.challenge(version)
    named = f"{ctx.stage.name}@{version.number}"
    why = f"{ctx.stage.id}: version {version.number} passed its gates and waits: `lakeloom model promote CONF {named}`"
    return ctx.record(intent, "refused", counts=_counts(found), detail={**found, WAITS: named}, error=why)


def asked(ctx: Context) -> bool:
    """True where an alias is to be moved by hand: it is asked for, or was begun and cut off."""
    begun = ctx.history.open_intent(ctx.stage.id)
    return isinstance(ctx.ask, Promote) or (begun is not None and PROMOTE in begun.inputs)


def promote(ctx: Context) -> Record:
    """What was begun, then what is asked. Errors: ConflictError while a training waits to be finished, DataError."""
    registry, begun = Registry(ctx.target), ctx.history.open_intent(ctx.stage.id)
    if begun and PROMOTE not in begun.inputs:
        raise ConflictError(f"{ctx.stage.id}: a training was cut off; `lakeloom run` finishes it first")
    done = _move(ctx, begun, registry, _version(ctx, registry, begun.inputs[PROMOTE]["version"])) if begun else None
    if isinstance(ctx.ask, Promote):
        return _asked(replace(ctx), ctx.ask, registry)  # with what was begun in its history
    assert done
    return done


def _asked(ctx: Context, ask: Promote, registry: Registry) -> Record:
    """Nothing is written before the version has loaded and scored."""
    version, last = _version(ctx, registry, ask.version), ctx.history.last(ctx.stage.id)
    now = registry.champion(version.name)
    if last and last.model_version == ask.version and now and now.number == ask.version:
        return last
    ctx.tell(f"loads version {ask.version} in a clean process")
    proof = _prove(ctx, version)
    if not proof.passed:
        raise DataError(f"{ctx.stage.id}: version {ask.version} is not promoted: {proving.GATE}: {proof.why}")
    move = {"from": now.number if now else None, "version": ask.version, "who": ask.who, "reason": ask.reason}
    inputs = {**(last.inputs if last else {}), PROMOTE: {**move, "back": ask.back}}
    intent = ctx.intend(inputs, new_generation=False, defined=last.definition if last else "")
    return _move(ctx, intent, registry, version)


def _move(ctx: Context, intent: Intent, registry: Registry, version: Version) -> Record:
    """The alias, then the record, with all that is known of the version."""
    crash.point("before the alias moves", ctx.stage.id)
    registry.promote(version)
    detail = {**registry.detail(version), "version": version.number, "run_id": version.run_id}
    found = {**detail, "moved": intent.inputs[PROMOTE]}
    return ctx.record(intent, counts=_counts(found), detail=found, model_version=version.number)


def _version(ctx: Context, registry: Registry, number: int) -> Version:
    return registry.version(_name(ctx), str(number))


def expect(ctx: Context) -> None:
    """A proof will be asked for: its process begins, while the model is logged."""
    yield_memory()  # two Javas at once are the most that a run holds
    proving.begin(ctx.target)


def _prove(ctx: Context, version: Version) -> proving.Proof:
    feature = ctx.pipeline.features[ctx.pipeline.models[ctx.stage.name].features]
    asked = proving.Asked(version.name, version.number, feature.keys, feature.as_of_time)
    return proving.prove(ctx.target, asked)


def _name(ctx: Context) -> str:
    return ctx.target.registered(ctx.pipeline.pipeline, ctx.stage.name)


def _counts(detail: dict[str, Any]) -> dict[str, int]:
    return {name: part["rows"] for name, part in detail.get("splits", {}).items()}
