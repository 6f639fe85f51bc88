"""What a cluster is handed: one golden file a kind of cluster, and nothing secret in any of them.

After a change: PYTHONPATH=. python -m tests.test_submission, and read the difference.
"""

import inspect
import json
import re
import shlex
import stat
from pathlib import Path

import pytest
from databricks.sdk.service.jobs import JobsAPI, SubmitTask
from kubeflow_spark_api.models import SparkV1beta2SparkApplication
from ruamel.yaml import YAML
from typer.testing import CliRunner

from pipelines.cli import app, guarded
from pipelines.errors import SpecError
from pipelines.spec import Kubernetes, Local, Size, Standalone, Target, Yarn, load, load_target
from pipelines.submit import Job, Submission, settings, submission, workload

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden" / "submit"
CONF = Path("conf/flights.yml")
KINDS = ("local", "standalone", "yarn", "kubernetes", "databricks")
NET = Path("conf/flights_deep.yml")
ASKED = (  # conf, stages, and what an Airflow task asks beyond them
    (CONF, ("tables", "features"), ()),
    (CONF, ("models.late_arrival",), ()),
    (CONF, ("upkeep",), ()),
    (NET, ("models.late_arrival_net",), ()),
    (CONF, ("tables.flights",), ("--full-refresh", "tables.flights")),
    (CONF, ("models.late_arrival",), ("--promote", "late_arrival@3", "ann")),
)


def target(kind: str) -> Target:
    """The example in conf/targets; one machine needs none."""
    place = {"kind": "local", "master": "local[2]"}
    return Target(master=None, submit=Local(**place)) if kind == "local" else load_target(ROOT / CONF, kind)


def handed(kind: str, conf: Path, stages: tuple[str, ...], options: tuple[str, ...]) -> Submission:
    return submission(load(ROOT / conf), Job(conf, stages, kind, options), target(kind))


def emitted(kind: str) -> str:
    """All that a kind of cluster is handed for ASKED, and the command that prints it."""
    parts = []
    for conf, stages, options in ASKED:
        text = handed(kind, conf, stages, options).shown().replace(str(ROOT), "/opt/lakeloom")
        by = f"Airflow, {' '.join(options)}:" if options else "$"
        parts.append(f"{by} lakeloom submit {conf} {' '.join(stages)} --target {kind} --dry-run\n{text}")
    return "\n".join(parts)


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_cluster_is_handed_is_as_it_was(kind):
    assert emitted(kind) == (GOLDEN / f"{kind}.txt").read_text()


@pytest.mark.parametrize("kind", ["local", "standalone", "yarn"])
def test_what_is_shown_is_the_command_to_the_word(kind):
    found = submission(load(ROOT / CONF), Job(CONF, ("tables",), kind), target(kind))

    assert shlex.split(found.shown().replace("\\\n", " ")) == list(found.command)


@pytest.mark.parametrize("kind", ["kubernetes", "databricks"])
def test_what_another_tool_takes_can_be_read_by_it(kind):
    text = submission(load(ROOT / CONF), Job(CONF, ("tables",), kind), target(kind)).text

    whole = YAML(typ="safe", pure=True).load(text) if kind == "kubernetes" else json.loads(text)
    asked = ["tables", "conf/flights.yml", "--target", kind]
    if kind == "kubernetes":
        spec, name = whole["spec"], whole["metadata"]["generateName"]
        assert spec["arguments"] == [asked[0], "/opt/lakeloom/conf/flights.yml", *asked[2:]]
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*)", name) and len(name) + 5 <= 63
    else:
        (task,) = whole["tasks"]
        assert task["spark_python_task"]["parameters"] == [asked[0], "/Workspace/lakeloom/conf/flights.yml", *asked[2:]]
        assert task["new_cluster"]["spark_env_vars"] == {
            "SHOP_USER": "{{secrets/lakeloom/SHOP_USER}}", "SHOP_PASSWORD": "{{secrets/lakeloom/SHOP_PASSWORD}}"
        }  # fmt: skip


@pytest.mark.parametrize(("conf", "stages", "options"), ASKED)
def test_a_manifest_is_one_to_the_models_that_the_spark_operator_publishes(conf, stages, options):
    """A key that they do not know they would leave out."""
    whole = YAML(typ="safe", pure=True).load(handed("kubernetes", conf, stages, options).text)

    taken = SparkV1beta2SparkApplication.model_validate(whole)

    assert taken.model_dump(by_alias=True, exclude_none=True, mode="json") == whole


@pytest.mark.parametrize(("conf", "stages", "options"), ASKED)
def test_a_run_is_one_to_the_library_that_databricks_publishes(conf, stages, options):
    whole = json.loads(handed("databricks", conf, stages, options).text)

    assert set(whole) <= set(inspect.signature(JobsAPI.submit).parameters)
    assert [SubmitTask.from_dict(task).as_dict() for task in whole["tasks"]] == whole["tasks"]


@pytest.mark.parametrize("kind", KINDS)
def test_no_secret_is_handed_over(kind, monkeypatch):
    canary = "canary-8f14e45f"
    for name in ("LAKE_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "SHOP_USER", "SHOP_PASSWORD", "EXTRA"):
        monkeypatch.setenv(name, canary)
    place = target(kind)
    place = place.model_copy(update={"spark": {**place.spark, "spark.hadoop.fs.s3a.session.token": "${env:EXTRA}"}})

    found = submission(load(ROOT / CONF), Job(CONF, ("tables",), kind), place)

    assert canary not in found.shown()
    assert "${env:" not in found.shown() and "session.token" not in found.shown()  # the session sets them itself


@pytest.mark.parametrize(
    ("option", "value", "kept"),
    [
        ("spark.hadoop.fs.s3a.secret.key", "abc", False),
        ("spark.hadoop.fs.azure.account.key.example.dfs.core.windows.net", "abc", False),
        ("spark.ssl.keyStorePassword", "abc", False),
        ("spark.hadoop.fs.s3a.secret.key", "${env:LAKE_KEY}", True),
        ("spark.hadoop.fs.s3a.aws.credentials.provider", "org.example.Provider", True),
        ("spark.hadoop.hadoop.security.credential.provider.path", "jceks://file/keys", True),
        ("spark.sql.shuffle.partitions", "8", True),
    ],
)
def test_a_secret_in_a_target_is_refused_unread(tmp_path, option, value, kept):
    (tmp_path / "targets").mkdir()
    (tmp_path / "targets" / "cloud.yml").write_text(f"spark:\n  {option}: {value!r}\n")

    if kept:
        assert load_target(tmp_path / "any.yml", "cloud").spark == {option: value}
        return
    with pytest.raises(SpecError) as refused:
        load_target(tmp_path / "any.yml", "cloud")
    assert str(refused.value) == (
        f"{tmp_path}/targets/cloud.yml:1: spark: {option}: should be ${{env:NAME}}, "
        "for a secret stands in the environment and in no file"
    )


def test_java_options_of_a_target_stand_beside_ours():
    own = {"spark.executor.extraJavaOptions": "-XX:+UseSerialGC", "spark.log.level": "ERROR"}
    place = Target(master=None, submit=Local(kind="local", master="local[2]"), spark=own)

    said = submission(load(ROOT / CONF), Job(CONF, ("tables",), "local"), place).command

    assert "spark.executor.extraJavaOptions=-Duser.timezone=UTC -XX:+UseSerialGC" in said
    assert "spark.driver.extraJavaOptions=-Duser.timezone=UTC" in said
    assert "spark.log.level=ERROR" in said and "spark.log.level=WARN" not in said


def test_the_widest_work_decides_the_size():
    pipeline = load(ROOT / CONF)

    found = [workload(pipeline, asked) for asked in (("upkeep",), ("tables", "scores"), ("tables", "models"))]

    assert found == ["etl", "etl", "train"]
    place = Standalone(kind="standalone", master="spark://m:7077", sizes={"train": Size(executors=3)})
    assert place.size("train") == Size(driver_memory="4g", executor_memory="6g", executor_cores=4, executors=3)


def test_what_starts_behind_a_barrier_has_a_fixed_number_of_executors():
    size = Size(driver_memory="4g", executor_memory="8g", executor_cores=3, executors=2)
    trained = settings(Standalone(kind="standalone", master="spark://m:7077"), size, "train")

    standalone = settings(Standalone(kind="standalone", master="spark://m:7077"), size, "deep")
    yarn = settings(Yarn(kind="yarn"), size, "deep")

    fixed = {"spark.dynamicAllocation.enabled": "false", "spark.task.cpus": "3"}
    assert fixed.items() <= yarn.items() and "spark.cores.max" not in yarn
    assert {**fixed, "spark.cores.max": "6"}.items() <= standalone.items()
    assert (trained["spark.dynamicAllocation.enabled"], trained["spark.cores.max"]) == ("false", "6")
    assert "spark.task.cpus" not in trained
    assert settings(Kubernetes(kind="kubernetes", image="i"), size, "etl")["spark.dynamicAllocation.enabled"] == "true"


@pytest.mark.parametrize(
    ("text", "asked", "sentence"),
    [
        ("{master: null}", "tables", "target 't' has no submit; "),
        ("{master: null, submit: {kind: local}}", "tables.flihgts", "no stage 'tables.flihgts'; there is "),
        ("{submit: {kind: yarn}}", "tables", "master: should be null where `submit` says who runs it, got 'local[*]'"),
        ("{master: null, submit: {kind: yran}}", "tables", "submit.kind: no kind 'yran'; did you mean 'yarn'?"),
        ("{master: null, submit: {kind: kubernetes, image: i}}", "tables", "by `--dry-run | kubectl create -f -`"),
    ],
)
def test_what_cannot_be_submitted_is_one_sentence(tmp_path, capsys, text, asked, sentence):
    (tmp_path / "conf" / "targets").mkdir(parents=True)
    conf = tmp_path / "conf" / "flights.yml"
    conf.write_bytes((ROOT / CONF).read_bytes())
    (tmp_path / "conf" / "targets" / "t.yml").write_text(text)

    assert guarded(lambda: app(["submit", str(conf), asked, "--target", "t"], standalone_mode=False)) == 2

    assert sentence in capsys.readouterr().err


def test_submit_runs_what_it_prints_and_ends_as_it_ended(tmp_path, monkeypatch):
    (tmp_path / "conf" / "targets").mkdir(parents=True)
    conf = tmp_path / "conf" / "flights.yml"
    conf.write_bytes((ROOT / CONF).read_bytes())
    (tmp_path / "conf" / "targets" / "t.yml").write_text("{master: null, submit: {kind: local}}")
    stand_in = tmp_path / "spark-submit"
    stand_in.write_text('#!/bin/sh\nprintf "%s\\n" "$@" > "$0.said"\nexit 4\n')
    stand_in.chmod(stand_in.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("LAKELOOM_SPARK_SUBMIT", str(stand_in))
    said = ["submit", str(conf), "tables.flights", "features", "--target", "t"]

    printed = CliRunner().invoke(app, [*said, "--dry-run"])
    ran = CliRunner().invoke(app, said)

    assert (printed.exit_code, ran.exit_code) == (0, 4)
    words = shlex.split(printed.stdout.replace("\\\n", " "))
    assert Path(f"{stand_in}.said").read_text().splitlines() == words[1:]
    assert words[-5:] == ["tables.flights", "features", str(conf), "--target", "t"]


def test_a_driver_in_yarn_is_started_once_and_its_code_is_what_submit_ends_with(tmp_path, monkeypatch):
    """spark-submit's own code is 1; tests/cluster/test_yarn.py has the real one say it."""
    (tmp_path / "conf" / "targets").mkdir(parents=True)
    conf = tmp_path / "conf" / "flights.yml"
    conf.write_bytes((ROOT / CONF).read_bytes())
    (tmp_path / "conf" / "targets" / "t.yml").write_text("{master: null, submit: {kind: yarn}}")
    stand_in = tmp_path / "spark-submit"
    said = "ERROR Client: Application diagnostics message: User application exited with status 3"
    stand_in.write_text(f'#!/bin/sh\necho "{said}" >&2\necho "Application application_1_0007 finished" >&2\nexit 1\n')
    stand_in.chmod(stand_in.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("LAKELOOM_SPARK_SUBMIT", str(stand_in))

    ran = CliRunner().invoke(app, ["submit", str(conf), "tables", "--target", "t"])

    assert ran.exit_code == 3
    assert ran.stderr.splitlines()[0] == said
    assert ran.stderr.splitlines()[-1] == (
        "error: the stages ended in the cluster; what they said: "
        "yarn logs -applicationId application_1_0007, or lakeloom show"
    )
    size, once = Size(executors=1, executor_cores=1), "spark.yarn.maxAppAttempts"
    assert settings(Yarn(kind="yarn"), size, "etl")[once] == "1"
    assert settings(Yarn(kind="yarn"), size, "etl")["spark.driver.memoryOverheadFactor"] == "0.4"
    assert once not in settings(Yarn(kind="yarn", deploy_mode="client"), size, "etl")


if __name__ == "__main__":
    for each in KINDS:
        (GOLDEN / f"{each}.txt").write_text(emitted(each))
