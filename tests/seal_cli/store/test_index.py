"""The views, the cache, and what a query must not be able to do."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import duckdb
import pytest
from stored import publish

from seal_cli.store import index, schema
from seal_cli.store.artifact import Artifact
from seal_cli.store.index import VIEWS
from seal_cli.store.schema import TABLES
from seal_cli.store.workspace import Workspace
from stages.errors import InputError
from stages.records import Answer, Verdict

MORE = ("artifacts", "lineage", "settings")
ROOT = Path(__file__).parents[3]


@pytest.fixture
def store(seal: Any, passages: Path, tmp_path: Path) -> Path:
    seal("import", "contexts", passages)
    index.refresh(Workspace(tmp_path / "store"))
    return tmp_path / "store"


def test_every_view_exists_empty_in_a_fresh_store(seal: Any, tmp_path: Path) -> None:
    assert seal("init").code == 0
    for table in [*TABLES, *MORE, *VIEWS]:
        assert seal("sql", f"select count(*) as n from {table}", "-f", "csv").out == "n\n0\n"
    with duckdb.connect(str(tmp_path / "store/index.duckdb"), read_only=True) as connection:
        names = {row[0] for row in connection.execute("show tables").fetchall()}
    assert names == {*TABLES, *MORE, *VIEWS}


def test_a_grader_without_a_version_is_the_first(
    seal: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graders = ("offline", "offline-2", "exact")
    rows = [Verdict(f"a{i}", "c", grader, True, 1.0, None) for i, grader in enumerate(graders)]
    with monkeypatch.context() as before:  # as an earlier version wrote it
        before.setattr(schema, "_UNVERSIONED", {})
        publish(tmp_path / "store", "import", "verdicts", rows)
    query = "select grader from verdicts order by answer_id"
    named = ["offline-1", *graders[1:]]
    assert seal("sql", query, "-f", "csv").out.split() == ["grader", *named]
    with duckdb.connect(str(tmp_path / "store/index.duckdb"), read_only=True) as connection:
        assert [row[0] for row in connection.execute(query).fetchall()] == named


def test_the_index_may_be_deleted_or_damaged_at_any_time(seal: Any, store: Path) -> None:
    query = ["sql", "select count(*) as n from contexts", "-f", "csv"]
    for damage in (Path.unlink, lambda index: index.write_bytes(b"garbage")):
        damage(store / "index.duckdb")
        assert seal(*query).out == "n\n3\n"
        with duckdb.connect(str(store / "index.duckdb"), read_only=True) as connection:
            assert connection.execute("select count(*) from questions").fetchone() == (6,)


def test_artifacts_that_are_copied_in_are_found(seal: Any, store: Path, tmp_path: Path) -> None:
    (other := tmp_path / "other" / "artifacts").mkdir(parents=True)
    for artifact in (store / "artifacts").iterdir():
        shutil.copytree(artifact, other / artifact.name)
    query = "select split, count(*) as n from contexts group by split"
    assert seal("sql", query, "-f", "csv", store=other.parent).out == "split,n\ntrain,3\n"
    assert (other.parent / "index.duckdb").exists()


@pytest.mark.parametrize("form", ["table", "csv", "json", "parquet"])
def test_results_come_in_every_format(seal: Any, store: Path, form: str) -> None:
    from typer.testing import CliRunner

    from seal_cli.app import app

    query = "select title from contexts order by 1"
    result = CliRunner().invoke(app, ["--store", str(store), "sql", query, "-f", form])
    assert result.exit_code == 0
    assert b"Harbour Lun" in result.stdout_bytes


ATTACKS = [
    "COPY (SELECT 1) TO '{outside}/stolen.csv'",
    "COPY contexts TO '{store}/x.parquet'",
    "COPY contexts TO 'sealro://{store}/x.parquet'",
    "COPY contexts TO 'sealro://{part}'",
    "COPY contexts TO 'sealro://{part}' (USE_TMP_FILE false)",
    "COPY (SELECT 1) TO '{part}' (FORMAT parquet, USE_TMP_FILE false)",
    "WITH x AS (COPY (SELECT 1) TO '{store}/x.csv') FROM x",
    "WITH x AS (COPY (SELECT 1) TO 'sealro://{part}') FROM x",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO '{part}'",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO 'sealro://{part}'",
    "EXPORT DATABASE '{outside}/dump'",
    "ATTACH '{outside}/new.duckdb' AS other",
    "ATTACH 'sealro://{store}/index.duckdb' AS other",
    "SELECT * FROM read_csv('{outside}/secret.txt')",
    "SELECT * FROM read_text('{outside}/secret.txt')",
    "SELECT * FROM 'sealro://{outside}/secret.txt'",
    "SELECT * FROM read_text('sealro://{outside}/secret.txt')",
    "SELECT * FROM read_text('sealro://{store}/../secret.txt')",
    "SELECT * FROM read_text('sealro://{store}/link.txt')",
    "SELECT * FROM glob('{outside}/*')",
    "SELECT * FROM read_parquet('https://example.org/x.parquet')",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET enable_external_access = true",
    "SET lock_configuration = false",
    "SET memory_limit = '100GB'",
    "SET allowed_directories = ['/']",
    "PRAGMA enable_external_access",
    "SELECT getenv('HOME')",
    "CREATE SECRET s (TYPE s3)",
    "CREATE PERSISTENT SECRET s IN local_file (TYPE http)",
    "FROM duckdb_secrets()",
    # Names that are made up on the way to the file.
    "PREPARE p AS COPY (SELECT 1) TO '{part}'; EXECUTE p",
    "PREPARE p AS SELECT * FROM read_text('{outside}/secret.txt'); EXECUTE p",
    "CREATE MACRO f(x) AS TABLE SELECT * FROM read_text(x); FROM f('{outside}/secret.txt')",
    "CREATE VIEW v AS FROM read_text('{outside}/secret.txt'); FROM v",
    "CREATE TABLE t (x VARCHAR); COPY t FROM '{outside}/secret.txt'; FROM t",
    "FROM query('FROM read_text(''{outside}/secret.txt'')')",
    "SET VARIABLE f = '{outside}/secret.txt'; FROM read_text(getvariable('f'))",
    "FROM read_csv('{outside}/secret.txt', filename = true)",
    "FROM sniff_csv('{outside}/secret.txt')",
    "FROM parquet_metadata('{part}')",
    "FROM read_duckdb('{store}/index.duckdb')",
    # Other ways to write.
    "COPY (SELECT 1 a, 2 b) TO '{outside}/p' (FORMAT parquet, PARTITION_BY (a))",
    "COPY (SELECT 1 a, 2 b) TO 'sealro://{store}/p' (FORMAT parquet, PARTITION_BY (a))",
    "COPY (SELECT 1 a) TO 'sealro://{store}/p' (FORMAT csv, PER_THREAD_OUTPUT true)",
    "EXPORT DATABASE 'sealro://{store}/dump'",
    "IMPORT DATABASE '{outside}'",
    "ATTACH '{store}/index.duckdb' (READ_ONLY)",
    "CALL enable_logging('QueryLog', storage = 'file', storage_path = '{outside}')",
    "PRAGMA enable_profiling",
    "SET profiling_output = '{outside}/profile.json'",
    "SET SESSION memory_limit = '100GB'",
    "SET GLOBAL threads = 64",
    "RESET memory_limit",
    "SET temp_directory = '{outside}'",
    "SET home_directory = '{outside}'",
    "SET custom_extension_repository = '{outside}'",
    "USE system",
    "FORCE INSTALL httpfs FROM 'http://localhost'",
    "LOAD '{outside}/x.duckdb_extension'",
    "UPDATE EXTENSIONS",
    # Other protocols, and other spellings of ours.
    "FROM read_text('file://{outside}/secret.txt')",
    "FROM read_text('local://{outside}/secret.txt')",
    "FROM read_text('simplecache::file://{outside}/secret.txt')",
    "FROM read_text('memory://secret')",
    "FROM read_text('DUCKDB_INTERNAL_OBJECTSTORE://secret')",
    "FROM read_text('SEALRO://{outside}/secret.txt')",
    "FROM read_text('sealro:{outside}/secret.txt')",
    "FROM read_text('sealro://file://{outside}/secret.txt')",
    "FROM read_text('sealro://sealro://{outside}/secret.txt')",
    "FROM read_text('sealro://{outside}/*')",
    "FROM read_text('/proc/self/environ')",
    "FROM read_text('/dev/stdin')",
    # The store itself: only published Parquet that manifests name.
    "FROM read_blob('sealro://{store}/index.duckdb')",
    "FROM read_blob('sealro://{store}/digests.txt')",
    "FROM read_text('sealro://{store}/index.stamp')",
    "FROM read_text('sealro://{store}/work/secret.txt')",
    "FROM read_text('sealro://{artifact}/secret.parquet')",
    "FROM read_text('sealro://{artifact}/_manifest.json')",
    "FROM read_text('sealro://{artifact}/../../work/secret.txt')",
    "FROM read_blob('sealro://{artifact}/./part-00000.parquet')",
    "FROM read_parquet('sealro://{store}/artifacts/*/part-*.parquet')",
    "FROM glob('sealro://{store}/**')",
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_query_can_neither_write_nor_read_elsewhere(
    seal: Any, store: Path, tmp_path: Path, attack: str
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    for secret in (outside / "secret.txt", tmp_path / "secret.txt"):
        secret.write_text("top secret")
    (store / "link.txt").symlink_to(outside / "secret.txt")
    part = next((store / "artifacts").glob("*/part-00000.parquet"))
    for secret in (store / "work/secret.txt", part.parent / "secret.parquet"):
        secret.write_text("top secret")

    def files() -> dict[Path, bytes]:
        places = (store, outside, tmp_path / "cwd")
        return {p: p.read_bytes() for place in places for p in place.rglob("*") if p.is_file()}

    before = files()
    places = {"outside": outside, "store": store, "part": part, "artifact": part.parent}
    result = seal("sql", attack.format(**places), "-f", "csv")
    assert "top secret" not in result.out
    assert files() == before
    assert result.code != 0 or result.out.count("\n") == 1, result.out  # refused, or nothing found
    assert "Traceback" not in result.err
    assert seal("sql", "select count(*) as n from contexts", "-f", "csv").out == "n\n3\n"


HARMLESS = [
    "CREATE TABLE t AS SELECT 3 AS n; FROM t",
    "CREATE TEMP TABLE contexts AS SELECT 3 AS n; FROM temp.contexts",
    "CREATE MACRO f() AS 3; SELECT f() AS n",
    "WITH x AS (INSERT INTO artifacts (kind) VALUES ('x') RETURNING 3 AS n) FROM x",
    "DELETE FROM artifacts; SELECT count(*) AS n FROM contexts",
    "DROP TABLE artifacts; SELECT count(*) AS n FROM contexts",
    "ATTACH ':memory:' AS m; CREATE TABLE m.t AS SELECT 3 AS n; FROM m.t",
]


@pytest.mark.parametrize("query", HARMLESS)
def test_what_a_query_makes_is_gone_with_it(seal: Any, store: Path, query: str) -> None:
    assert seal("sql", query, "-f", "csv").out == "n\n3\n"
    assert seal("sql", "select count(*) as n from contexts", "-f", "csv").out == "n\n3\n"
    assert seal("sql", "select count(*) as n from artifacts", "-f", "csv").out == "n\n1\n"


@pytest.mark.parametrize(
    "query",
    [
        "select count(*) as n from contexts",
        'select count(*) as n from "ConTexts"',
        "from main.contexts select count(*) as n",
        "from query_table('con' || 'texts') select count(*) as n",
        "from query('select count(*) as n from con' || 'texts')",
        "with x as (from contexts) select count(*) as n from x",
        "prepare p as select count(*) as n from contexts; execute p",
        "select count(*) as n from lineage l join contexts c on c.artifact_id = l.ancestor",
        "from (pivot contexts on split using count(*)) select count(*)::bigint as n",
    ],
)
def test_however_a_table_is_named_its_rows_are_there(seal: Any, store: Path, query: str) -> None:
    assert seal("sql", query, "-f", "csv").out == "n\n3\n"


def test_only_files_of_tables_that_are_asked_for_are_opened(seal: Any, store: Path) -> None:
    part = next((store / "artifacts").glob("*/__questions/part-00000.parquet"))
    part.write_bytes(part.read_bytes()[:-1])
    assert seal("sql", "select count(*) as n from contexts", "-f", "csv").out == "n\n3\n"
    result = seal("sql", "select count(*) as n from questions", "-f", "csv")
    assert result.out == "n\n0\n"
    assert "__questions/part-00000.parquet is missing or damaged: expected" in result.err
    assert "seal rm" in result.err
    assert "delete" not in result.err


@pytest.mark.parametrize("place", ["part", "folder"])
def test_a_link_that_leads_outside_is_not_followed(
    seal: Any, store: Path, tmp_path: Path, place: str
) -> None:
    part = next((store / "artifacts").glob("*/part-00000.parquet"))
    moved = part if place == "part" else part.parent
    moved.rename(tmp_path / "elsewhere")
    moved.symlink_to(tmp_path / "elsewhere")
    result = seal("sql", "select count(*) as n from contexts", "-f", "csv")
    assert result.out == "n\n0\n"
    why = "it is no regular file" if place == "part" else "the folder is a link"
    assert f"{why}. It is left out." in result.err


def test_a_pipe_in_place_of_a_file_does_not_block(seal: Any, store: Path) -> None:
    part = next((store / "artifacts").glob("*/part-00000.parquet"))
    part.unlink()
    os.mkfifo(part)
    result = seal("sql", "select count(*) as n from contexts", "-f", "csv", "--timeout", 5)
    assert result.out == "n\n0\n"
    assert "it is no regular file. It is left out." in result.err


def test_a_query_does_not_import_pandas(store: Path) -> None:
    query = "select count(*) from lineage join contexts on ancestor = contexts.artifact_id"
    program = (
        "import sys\nfrom seal_cli.__main__ import main\n"
        f"sys.argv = ['seal', '--store', {str(store)!r}, 'sql', {query!r}]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\nprint('pandas' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.splitlines()[1:] == ["3", "False"], done.stderr


def test_the_lineage_has_every_ancestor_once(tmp_path: Path) -> None:
    one = publish(tmp_path / "store", "import", "contexts", [], name="1")
    left, right = (
        publish(tmp_path / "store", "generate", "self_edits", [], [one], name=n) for n in "23"
    )
    both = publish(tmp_path / "store", "score", "rewards", [], [left, right], name="4")
    shutil.rmtree(right.path)  # what is not here is still named
    with index.sandbox(Workspace(tmp_path / "store"), seconds=60) as connection:
        pairs = connection.execute("from lineage").fetchall()
    assert sorted(pairs) == sorted(
        [(a.id, a.id) for a in (one, left, both)]
        + [(left.id, one.id), (both.id, left.id), (both.id, right.id), (both.id, one.id)]
    )


@pytest.mark.parametrize("breaks", ["_define", "close_off"])
def test_a_connection_is_closed_whatever_goes_wrong(
    store: Path, monkeypatch: pytest.MonkeyPatch, breaks: str
) -> None:
    opened = []
    connect = duckdb.connect

    def note(*how: Any, **more: Any) -> duckdb.DuckDBPyConnection:
        opened.append(connect(*how, **more))
        return opened[-1]

    monkeypatch.setattr(duckdb, "connect", note)
    monkeypatch.setattr(index, breaks, Mock(side_effect=duckdb.IOException("no")))
    with (
        pytest.raises((InputError, duckdb.IOException)),
        index.sandbox(Workspace(store), seconds=60),
    ):
        pass
    (connection,) = opened
    with pytest.raises(duckdb.ConnectionException):
        connection.execute("SELECT 1")


def test_a_query_ends_in_time(seal: Any, store: Path) -> None:
    slow = "select count(*) from range(1000000) a, range(1000000) b where a.range % 7 = b.range % 5"
    result = seal("sql", slow, "--timeout", 0.5)
    assert result.code == 5
    assert "took longer than 0.5 s" in result.err


def test_a_memory_bomb_is_refused(seal: Any, store: Path) -> None:
    bomb = "select list(range) from range(4000000000)"
    result = seal("sql", bomb, "--timeout", 30)
    assert result.code == 5
    assert "Traceback" not in result.err


def in_the_index(store: Path) -> set[str]:
    with duckdb.connect(str(store / "index.duckdb"), read_only=True) as connection:
        return {row[0] for row in connection.execute("SELECT artifact_id FROM answers").fetchall()}


def test_only_what_is_new_is_read_for_the_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, read = tmp_path / "store", []
    proven = Artifact.prove_tables
    monkeypatch.setattr(
        Artifact, "prove_tables", lambda one, tables: read.append(one.id) or proven(one, tables)
    )

    def answers(name: str) -> str:
        row = Answer("a", "c", "q", "s", None, None, "unadapted", 0, name, 1)
        return str(publish(store, "eval", "answers", [row], name=name).id)

    first, second = answers("1"), answers("2")
    index.refresh(Workspace(store))
    assert sorted(read) == sorted([first, second])
    assert in_the_index(store) == {first, second}
    read.clear()
    third = answers("3")
    assert in_the_index(store) == {first, second}  # a stage leaves it alone
    shutil.rmtree(store / "artifacts" / first)
    index.refresh(Workspace(store))
    assert (read, in_the_index(store)) == ([third], {second, third})
    # The same id, published anew: another manifest.
    shutil.rmtree(store / "artifacts" / second)
    assert answers("2") == second
    read.clear()
    fourth = answers("4")
    index.refresh(Workspace(store))
    assert sorted(read) == sorted([second, fourth])
    assert in_the_index(store) == {second, third, fourth}
