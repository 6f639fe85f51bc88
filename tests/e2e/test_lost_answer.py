"""A commit is written and its answer is lost, as on a network: nothing is doubled, whichever way the store puts it."""

import json
from pathlib import Path

import pyspark
import pytest

from e2e.project import Project, project

pytestmark = pytest.mark.spark

JARS = Path(pyspark.__file__).parent / "jars"
STORE = """
import java.io.IOException;
import java.nio.file.FileAlreadyExistsException;
import java.util.Iterator;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.Path;

public class LosesAnswers extends io.delta.storage.LocalLogStore {
    public LosesAnswers(Configuration conf) { super(conf); }

    public void write(Path path, Iterator actions, Boolean overwrite, Configuration conf) throws IOException {
        super.write(path, actions, overwrite, conf);
        String lost = System.getenv("LOSES");
        if (path.toString().endsWith("tables/notes/_delta_log/00000000000000000001.json")) {
            if (lost.equals("exists")) throw new FileAlreadyExistsException(path.toString());
            throw new IOException("connection reset");
        }
    }
}
"""


@pytest.fixture(scope="module")
def store(spark, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the class of a log store that loses the answer to the second commit of one table."""
    folder = tmp_path_factory.mktemp("store")
    (folder / "LosesAnswers.java").write_text(STORE)
    jvm, gateway = spark._jvm, spark.sparkContext._gateway

    def files(*paths: Path):
        found = gateway.new_array(jvm.java.io.File, len(paths))
        for n, path in enumerate(paths):
            found[n] = jvm.java.io.File(str(path))
        return found

    compiler = jvm.org.codehaus.janino.Compiler()
    compiler.setClassPath(files(*JARS.glob("delta-storage-*.jar"), *JARS.glob("hadoop-client-api-*.jar")))
    compiler.setDestinationDirectory(jvm.java.io.File(str(folder)), False)
    compiler.compile(files(folder / "LosesAnswers.java"))
    return folder


@pytest.fixture
def notes(spark, tmp_path) -> Project:
    """A table with one commit, and a newer row of the same key waiting for the second, which is a MERGE by Spark."""
    made = project(tmp_path, "notes")
    made.write(
        sources={"raw": {"kind": "files", "format": "json", "path": "raw", "schema": "id INT, at INT"}},
        tables={"notes": {"from": "raw", "keys": ["id"], "sequence_by": "at", "select": "SELECT id, at FROM raw"}},
    )
    for n in (1, 2):
        made.land(f"raw/{n}.json", json.dumps({"id": 7, "at": n}) + "\n")
        if n == 1:
            assert made.lakeloom("run").error == ""
    return made


def lost(made: Project, store: Path, how: str):
    args = f"--driver-class-path {store} --conf spark.delta.logStore.file.impl=LosesAnswers pyspark-shell"
    return made.lakeloom_apart("run", PYSPARK_SUBMIT_ARGS=args, LOSES=how)


def test_a_store_that_says_the_commit_is_there_already_means_our_own(notes, store):
    said = lost(notes, store, "exists")

    assert (said.code, said.error) == (0, "")
    assert [r["at"] for r in notes.published("tables.notes")] == [2]


def test_a_commit_whose_answer_never_came_is_found_by_the_next_run(notes, store):
    said = lost(notes, store, "never")

    assert said.code not in (0, 70), said.err
    assert [r["at"] for r in notes.published("tables.notes")] == [1]
    assert notes.lakeloom("run").error == ""
    assert [r["at"] for r in notes.published("tables.notes")] == [2]
    assert [r.counts["applied"] for r in notes.records("tables.notes") if r.status == "ok"] == [1, 1]
