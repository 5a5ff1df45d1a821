"""A signal at any moment: the right code, one sentence, and a rerun that ends the same."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from rounds import STAGES, Pipeline, copy_inputs, same, same_stores

CODES = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGHUP: 129}
SAID = "interrupted"
ROOT = Path(__file__).parent.parent.parent


class Undisturbed:
    """What each command leaves when nothing disturbs it, and how long it takes."""

    def __init__(self, pipeline: Pipeline, calm: tuple[Path, dict[str, str]], place: Path) -> None:
        self.pipeline, self.calm, self.place = pipeline, calm, place
        self.found: dict[str, tuple[Path, float]] = {}

    def store(self, stage: str, name: str) -> Path:
        """A store with what a stage needs."""
        path = self.place / name
        copy_inputs(self.calm[0], stage if stage in STAGES else "generate", self.calm[1], path)
        return path

    def __call__(self, stage: str) -> tuple[Path, float]:
        if stage not in self.found:
            store = self.store(stage, f"calm-{stage}")
            start = time.monotonic()
            assert self.pipeline.run(stage, self.calm[1], store).code == 0
            self.found[stage] = store, time.monotonic() - start
        return self.found[stage]


def disturb(undisturbed: Undisturbed, n_signals: int, seed: int) -> dict[str, int]:
    """Send signals to every command until so many ended one; how many did, by command."""
    chance, pipeline = random.Random(seed), undisturbed.pipeline
    stages = [*STAGES, "quiz", "loop"]
    hit = dict.fromkeys(stages, 0)
    for turn in range(20 * n_signals):
        if sum(hit.values()) >= n_signals:
            break
        stage = stages[turn % len(stages)]
        expected, seconds = undisturbed(stage)
        store = undisturbed.store(stage, f"{seed}-{turn}")
        number = chance.choice(list(CODES))
        moment = chance.uniform(0.01, 0.9 * seconds)
        ended = pipeline.run(stage, undisturbed.calm[1], store, kill_after=moment, signal=number)
        where = f"{stage} at {moment:.2f} s of {seconds:.2f}, {number!r}: {ended}"
        assert ended.code in (0, CODES[number]), where
        assert "Traceback" not in ended.err, where
        if ended.code != 0:
            hit[stage] += 1
            assert ended.err.count(SAID) == (number != signal.SIGKILL), where
            assert pipeline.run(stage, undisturbed.calm[1], store).code == 0, where
        same_stores(store, expected)
        assert not any((store / "work").iterdir()), where
        shutil.rmtree(store)
    return hit


@pytest.fixture(scope="module")
def undisturbed(
    pipeline: Pipeline,
    calm: tuple[Path, dict[str, str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Undisturbed:
    return Undisturbed(pipeline, calm, tmp_path_factory.mktemp("signals"))


def test_twenty_signals_over_all_commands(undisturbed: Undisturbed) -> None:
    assert sum(disturb(undisturbed, 20, seed=1).values()) == 20


@pytest.mark.soak
def test_two_hundred_signals_over_all_commands(undisturbed: Undisturbed) -> None:
    hit = disturb(undisturbed, 200, seed=2)
    print(hit)
    assert sum(hit.values()) == 200
    assert min(hit.values()) >= 5


@contextmanager
def started(*argv: object) -> Iterator[subprocess.Popen[str]]:
    """`seal` in a process of its own that has reached the first line of its module."""
    program = (
        "import signal, sys\n"
        "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"  # these tests may run under nohup
        "sys.stderr.write('here\\n'); sys.stderr.flush()\n"
        "from seal_cli.__main__ import main; main()"
    )
    command = [sys.executable, "-c", program, *map(str, argv)]
    process = subprocess.Popen(
        command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        assert process.stderr is not None
        assert process.stderr.readline() == "here\n"
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("moment", [0.05, 0.15, 0.3, 0.5, 0.8, 1.2])
def test_a_signal_while_modules_are_loaded_is_a_sentence(
    calm: tuple[Path, dict[str, str]], moment: float
) -> None:
    number = random.Random(moment).choice([signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
    with started("--store", calm[0], "sql", "select count(*) from range(20000000000)") as process:
        time.sleep(moment)
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert process.returncode == CODES[number], err
    assert out == ""
    assert err.count(SAID) == 1
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "query",
    ["select count(*) from range(1000000000000)", "select md5(repeat('a', 4000000000))"],
    ids=["rows", "one-call"],
)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_inside_a_query_is_a_sentence(
    calm: tuple[Path, dict[str, str]], query: str, number: int
) -> None:
    with started("--store", calm[0], "sql", query) as process:
        time.sleep(2)
        process.send_signal(number)
        start = time.monotonic()
        out, err = process.communicate(timeout=40)
    assert out == ""
    assert "Traceback" not in err
    if "needs more than" in err:  # the one call was too large before the signal came
        assert process.returncode == 5
    else:
        assert (process.returncode, err.count(SAID)) == (CODES[signal.Signals(number)], 1), err
        assert time.monotonic() - start < 15


def test_a_signal_inside_a_rule_is_a_sentence(
    calm: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    store, ids = tmp_path / "store", calm[1]
    copy_inputs(calm[0], "filter", ids, store)
    rule = tmp_path / "mine.sql"
    rule.write_text("SELECT 'e' || count(*) AS self_edit_id FROM range(1000000000000)")
    named = ["filter", ids["score"], "--rule", "sql", "--query", rule]
    with started("--store", store, *named) as process:
        wait_for(process, lambda: any(store.glob("work/*/attempt.json")))
        time.sleep(2)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=40)
    assert (process.returncode, out, err.count(SAID)) == (143, "", 1), err
    assert "Traceback" not in err


def wait_for(process: subprocess.Popen[str], there: Callable[[], bool]) -> None:
    """Until something is there, as long as the process lives."""
    deadline = time.monotonic() + 60
    while not there():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)


@contextmanager
def stopped(process: subprocess.Popen[str], until: Path) -> Iterator[None]:
    """The process, stopped once a file is there."""
    wait_for(process, until.exists)
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def test_eight_commands_run_while_a_lock_holder_is_stopped(
    pipeline: Pipeline, calm: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    store, ids = tmp_path / "store", calm[1]
    copy_inputs(calm[0], "update", ids, store)
    shutil.rmtree(store / "artifacts" / ids["adapt"])
    rule = tmp_path / "mine.sql"
    rule.write_text("SELECT self_edit_id FROM rewards WHERE sample = 0")
    beside: list[tuple[list[object], int]] = [
        (["ls"], 0),
        (["show", ids["score"]], 0),
        (["log", ids["filter"]], 0),
        (["sql", "select count(*) from rewards join lineage using (artifact_id)"], 0),
        (pipeline.command("filter", ids), 0),
        (["filter", ids["score"], "--rule", "sql", "--query", rule], 0),
        (["report", "cost"], 0),
        (pipeline.command("adapt", ids), 75),
    ]
    with started("--store", store, *pipeline.command("adapt", ids)) as holder:
        attempt = store / "work" / ids["adapt"] / "attempt.json"
        with stopped(holder, attempt), index_locked(store):
            for command, code in beside:
                start = time.monotonic()
                ended = pipeline.forks(*command, store=store, kill_after=60)
                assert ended.code == code, (command, ended)
                assert "Traceback" not in ended.err
                assert time.monotonic() - start < 30
        out, err = holder.communicate(timeout=120)
    assert out.strip() == ids["adapt"], err
    same(store / "artifacts" / ids["adapt"], calm[0] / "artifacts" / ids["adapt"])


@contextmanager
def index_locked(store: Path) -> Iterator[None]:
    """The lock of the index, held by a process that does not run."""
    program = (
        "import fcntl, os, signal, sys; f = open(sys.argv[1], 'a'); "
        "fcntl.flock(f, fcntl.LOCK_EX); print('held', flush=True); "
        "os.kill(os.getpid(), signal.SIGSTOP)"
    )
    lock = store / "locks" / "index.lock"
    command = [sys.executable, "-c", program, str(lock)]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        os.utime(store / "artifacts")
        yield
    finally:
        holder.kill()
        holder.communicate()


def test_a_hang_up_is_not_heard_under_nohup(calm: tuple[Path, dict[str, str]]) -> None:
    def ignore() -> Any:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    program = "from seal_cli.__main__ import main; main()"
    query = "select count(*) from range(3000000000)"
    command = [sys.executable, "-c", program, "--store", str(calm[0]), "sql", query]
    process = subprocess.Popen(
        command, cwd=ROOT, text=True, stdout=subprocess.PIPE, preexec_fn=ignore
    )
    time.sleep(0.8)
    process.send_signal(signal.SIGHUP)
    out, _ = process.communicate(timeout=100)
    assert process.returncode == 0
    assert "3000000000" in out
