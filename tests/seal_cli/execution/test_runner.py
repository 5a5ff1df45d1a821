"""Hits, forced attempts and retries of what failed."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import stored
from reading import tables_of, weights_of

from seal_cli.execution import attempt
from seal_cli.execution.attempt import RunOptions
from seal_cli.execution.spec import Batch, Job, StageSpec, Work
from seal_cli.store.files import read_sealed
from seal_cli.store.journal import Journal
from seal_cli.store.workspace import Workspace
from stages.engines import Completion, Request
from stages.engines.scripted import ScriptedEngine, some_sentences
from stages.errors import OutOfTime, RowFailure
from stages.records import Context, Record


@pytest.fixture
def contexts(seal: Any, passages: Path) -> str:
    return str(seal("import", "contexts", passages).id)


class Flaky:
    """An engine that fails on one passage until it is repaired, and counts what it was asked."""

    broken = True
    asked: list[str]

    def __init__(self) -> None:
        self.asked = []

    def complete(self, requests: Sequence[Request], loras: object = ()) -> list[Completion]:
        self.asked += [request.prompt for request in requests]
        return ScriptedEngine(self.write).complete(requests)

    def rest(self) -> None:
        """It holds no memory."""

    def used(self) -> None:
        """No server is asked."""

    def write(self, request: Request) -> str:
        if self.broken and "Harbour Vik" in request.prompt:
            raise RowFailure("the engine is down")
        return some_sentences(request)


@pytest.fixture
def flaky(monkeypatch: pytest.MonkeyPatch) -> Flaky:
    engine = Flaky()
    monkeypatch.setattr("stages.engines.scripted.ScriptedEngine", lambda: engine)
    return engine


def write(seal: Any, contexts: str, model: Path, *options: object) -> Any:
    scripted = ["--engine", "scripted", "--samples", 2]
    return seal("generate", contexts, "--policy", model, *scripted, *options)


def test_failed_rows_are_published_and_retried(
    seal: Any, contexts: str, random_model: Path, flaky: Flaky, tmp_path: Path
) -> None:
    first = write(seal, contexts, random_model)
    assert first.code == 0
    assert "2 failed rows" in first.err
    statuses = seal(
        "sql", "select status, reason, count(*) from self_edits group by all", "-f", "csv"
    )
    assert "failed,the engine is down,2" in statuses.out
    assert write(seal, contexts, random_model).id == first.id  # a plain rerun is a hit all the same
    strict = write(seal, contexts, random_model, "--strict")
    assert strict.code == 4
    assert "Run again with --retry-failed" in strict.err

    flaky.broken, flaky.asked = False, []
    retried = write(seal, contexts, random_model, "--retry-failed")
    assert retried.id != first.id
    assert len(flaky.asked) == 2  # what had worked was not asked again
    assert "failed" not in retried.err
    assert write(seal, contexts, random_model).id == retried.id  # the highest attempt
    again = write(seal, contexts, random_model, "--retry-failed")
    assert again.id == retried.id
    assert "has no failed rows" in again.err

    store = tmp_path / "store/artifacts"
    order = [row["context_id"] for row in tables_of(store / contexts)[""]]
    rows = [(row["context_id"], row["sample"]) for row in tables_of(store / retried.id)[""]]
    assert rows == [(context_id, sample) for context_id in order for sample in (0, 1)]


def test_force_gives_another_attempt(seal: Any, contexts: str, random_model: Path) -> None:
    first = write(seal, contexts, random_model)
    forced = write(seal, contexts, random_model, "--force")
    twice = write(seal, contexts, random_model, "--force")
    assert len({first.id, forced.id, twice.id}) == 3
    assert write(seal, contexts, random_model).id == twice.id


def test_an_attempt_goes_on_the_way_it_was_begun(
    seal: Any, contexts: str, random_model: Path, flaky: Flaky, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With --force and with --retry-failed it has the same id, and other rows."""
    write(seal, contexts, random_model)
    append = Journal.append

    def once(self: Journal, *batch: Any) -> None:
        append(self, *batch)
        raise OSError(28, "no space left")

    with monkeypatch.context() as full:
        full.setattr(Journal, "append", once)
        assert write(seal, contexts, random_model, "--force").code == 5
    other = write(seal, contexts, random_model, "--retry-failed")
    assert other.code == 2
    assert "was begun without --retry-failed" in other.err
    assert write(seal, contexts, random_model, "--force").code == 0


def test_retried_adapters_bring_their_weights(
    seal: Any, contexts: str, random_model: Path, flaky: Flaky, tmp_path: Path
) -> None:
    edits = write(seal, contexts, random_model)
    small = ["--rank", 2, "--epochs", 1, "--repeats", 1]
    adapters = seal("adapt", edits.id, *small)
    assert "2 failed rows" in adapters.err  # what could not be written cannot be trained on
    rewards = seal("score", adapters.id)
    null = "select count(*) from rewards where reward is null and status = 'failed'"
    assert seal("sql", null, "-f", "csv").out.splitlines()[1] == "2"
    assert rewards.code == 0
    retried = seal("adapt", edits.id, *small, "--retry-failed")
    folders = [tmp_path / "store/artifacts" / a.id for a in (adapters, retried)]
    assert weights_of(folders[0]) == weights_of(folders[1]) != {}
    assert seal("score", retried.id).code == 0


def test_json_says_what_was_made(seal: Any, contexts: str, random_model: Path) -> None:
    made = json.loads(write(seal, contexts, random_model, "--json").out)
    assert made["kind"] == "self_edits"
    assert made["tables"]["self_edits"] == {"rows": 6, "status": {"ok": 6}}
    assert made["inputs"] == [contexts]


def test_quiet_says_nothing(seal: Any, contexts: str, random_model: Path) -> None:
    assert write(seal, contexts, random_model, "--quiet").err == ""


def test_what_is_volatile_is_not_in_the_key(seal: Any, contexts: str, random_model: Path) -> None:
    first = write(seal, contexts, random_model)
    for options in (["--decode-batch", 3], ["--device", "cpu"], ["--dtype", "float32"]):
        assert write(seal, contexts, random_model, *options).id == first.id
    for options in (["--seed", 1], ["--max-tokens", 7], ["--prompt", "rewrite"]):
        assert write(seal, contexts, random_model, *options).id != first.id


def test_slots_are_decided_once_and_kept_on_going_on(
    seal: Any,
    contexts: str,
    random_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from stages.training.batched import BatchedTrainer

    edits = write(seal, contexts, random_model).id
    work = tmp_path / "store/work"
    used: list[int] = []
    make, append = BatchedTrainer.__init__, Journal.append
    small = ["--rank", 2, "--epochs", 1, "--repeats", 6]

    def once(self: Journal, *batch: Any) -> None:
        if self.finished():
            raise OSError(28, "no space left")
        append(self, *batch)

    def note(self: BatchedTrainer, lm: Any, slots: int) -> None:
        used.append(slots)
        make(self, lm, slots)

    monkeypatch.setattr(BatchedTrainer, "__init__", note)
    with monkeypatch.context() as full:
        full.setattr(attempt, "GRAIN", 0.0)  # each batch by itself
        full.setattr(Journal, "append", once)
        assert seal("adapt", edits, *small, "--slots", 3).code == 5
    (begun,) = work.glob("*/attempt.json")
    # Six adapters of each of two self-edits a context: two contexts have eight times three.
    recorded = {"batch": 2, "slots": 3, "before": None, "inputs": [edits], "shards": []}
    assert read_sealed(begun) == recorded
    going_on = seal("adapt", edits, *small, "--slots", 5)
    first = going_on.id
    assert used == [3, 3]
    assert "going on with 3 slots, as it was begun" in going_on.err
    assert seal("adapt", edits, *small, "--slots", 1).id == first  # how it ran is not in the key


def test_a_loop_gives_its_slots_to_its_stages(
    seal: Any, contexts: str, random_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stages.training.batched import BatchedTrainer

    used: set[int] = set()
    make = BatchedTrainer.__init__

    def note(self: BatchedTrainer, lm: Any, slots: int) -> None:
        used.add(slots)
        make(self, lm, slots)

    monkeypatch.setattr(BatchedTrainer, "__init__", note)
    small = ["generate.engine=scripted", "adapt.rank=2", "adapt.epochs=1", "update.rank=2"]
    options = [part for name in small for part in ("--set", name)]
    loop = ["loop", "--contexts", contexts, "--policy", random_model, "--rounds", 1, *options]
    assert seal(*loop, "--samples", 1, "--repeats", 1, "--slots", 2).code == 0
    assert used == {1, 2}  # of `update`, which trains one


def test_the_manifest_holds_no_environment(
    seal: Any, contexts: str, random_model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary-1234")
    monkeypatch.setenv("HF_TOKEN", "hf_canary_1234")
    write(seal, contexts, random_model)
    for file in (tmp_path / "store").rglob("*"):
        assert not file.is_file() or b"canary" not in file.read_bytes()


class Bare(StageSpec):
    """A run of no settings, models or inputs."""

    STAGE, KIND = "import", "contexts"

    def key(self) -> dict[str, Any]:
        return {}

    def config(self) -> dict[str, Any]:
        return {}

    def models(self) -> dict[str, dict[str, str]]:
        return {}

    def inputs(self) -> tuple[str, ...]:
        return ()


class Timed(Bare):
    """Ten contexts, each a batch that takes a second, or fails."""

    def __init__(self, clock: dict[str, float], fails: str = "") -> None:
        self.clock, self.fails, self.worked = clock, fails, [""][:0]

    def phases(self, store: Workspace) -> tuple[tuple[str, ...], ...]:
        return (tuple("abcdefghij"),)

    def open(self, runtime: Any, store: Workspace, job: Job) -> Work:
        def work(batch: Batch, made: Any) -> list[Record]:
            if batch.items[0] == self.fails:
                raise OSError(28, "no space left")
            self.clock["now"] += 1
            self.worked.extend(batch.items)
            return [Context(i, 0, "knowledge", "train", "", i) for i in batch.items]

        return work


def test_quick_batches_go_into_the_journal_together_and_none_is_lost_by_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = {"now": 0.0}
    monkeypatch.setattr(attempt.time, "monotonic", lambda: clock["now"])
    monkeypatch.setattr(attempt, "GRAIN", 3)
    broken = Timed(clock, fails="i")
    with pytest.raises(OSError, match="no space"):
        stored.run(broken, tmp_path)
    assert broken.worked == list("abcdefgh")
    (work,) = (tmp_path / "work").iterdir()
    folders = sorted(path.name for path in (work / "batches").iterdir())
    assert folders == ["000000", "000003", "000006"]  # the last with the two before the error
    again = Timed(clock)
    made = stored.run(again, tmp_path)
    assert again.worked == ["i", "j"]
    assert [row.text for row in made.rows(Context)] == list("abcdefghij")
    assert not work.exists()


def test_no_batch_is_begun_after_the_deadline_and_what_is_done_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = {"now": 0.0}
    monkeypatch.setattr(attempt.time, "monotonic", lambda: clock["now"])
    worked: list[str] = []

    class Slow(Bare):
        def phases(self, store: Workspace) -> tuple[tuple[str, ...], ...]:
            return (("a", "b", "c", "d"),)

        def open(self, runtime: Any, store: Workspace, job: Job) -> Work:
            clock["now"] += 1  # the model is loaded

            def work(batch: Batch, made: Any) -> list[Record]:
                clock["now"] += 10
                worked.extend(batch.items)
                return [Context(i, 0, "knowledge", "train", "", i) for i in batch.items]

            return work

    def run(deadline: float | None) -> Any:
        return stored.run(Slow(), tmp_path, RunOptions(deadline=deadline))

    with pytest.raises(OutOfTime, match="with 0 of 4 batches of import done"):
        run(deadline=0)
    assert worked == []
    with pytest.raises(OutOfTime, match="with 1 of 4 batches"):
        run(deadline=0.5)  # spent while the model was loaded: one batch, so that it does go on
    with pytest.raises(OutOfTime, match="with 3 of 4 batches"):
        run(deadline=clock["now"] + 15)
    assert [row.text for row in run(deadline=clock["now"] + 5).rows(Context)] == worked
    assert worked == ["a", "b", "c", "d"]
    assert run(deadline=0).id.startswith("import-")  # it is there: no time is needed
