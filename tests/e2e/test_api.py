"""`seal_cli.api` beside the shell: the same ids, and nothing read that was not given."""

import os
from pathlib import Path
from typing import Any

import pytest

from seal_cli.api import Seal
from seal_cli.results import Made
from stages.errors import ConfigError, InputError

DEMO = Path(__file__).parents[2] / "examples" / "demo.py"
LOOP = {"rounds": 1, "limit": 2, "samples": 2, "eval_limit": 2}
SMALL = {"epochs": 1, "rank": 2, "max_sequences": 3}


def flags(settings: dict[str, int]) -> list[object]:
    return [arg for k, v in settings.items() for arg in (f"--{k.replace('_', '-')}", v)]


def artifacts(store: Path) -> set[str]:
    return {path.name for path in (store / "artifacts").iterdir()}


def test_the_demos_loop_gives_the_ids_of_the_shell(forks: Any, tmp_path: Path) -> None:
    shell = forks("loop", "--contexts", "tiny", *flags(LOOP), store=tmp_path / "shell")
    rounds = Seal(tmp_path / "python").loop("tiny", **LOOP)
    assert rounds.id == shell.id
    assert artifacts(tmp_path / "python") == artifacts(tmp_path / "shell")
    first, last = rounds.records()
    assert (first["number"], first["gain"], last["number"]) == (0, None, 1)
    assert last["policy"] == rounds.id
    assert last["gain"] == pytest.approx(last["accuracy"] - first["accuracy"])


def test_the_stages_give_the_ids_of_the_shell(
    seal: Any, passages: Path, random_model: Path, tmp_path: Path
) -> None:
    api, made = Seal(tmp_path / "python"), []
    made.append(api.import_contexts(passages, limit=2))
    made.append(api.generate(made[-1], random_model, samples=2, engine="scripted"))
    made.append(api.adapt(made[-1], **SMALL))
    made.append(api.score(made[-1]))
    made.append(api.filter(made[-1], rule="top-k", keep=2))
    made.append(api.update(made[-1], rank=2))
    made.append(api.eval(made[-1], made[0], engine="scripted", **SMALL))

    shell = [seal("import", "contexts", passages, "--limit", 2).id]
    scripted = ["--engine", "scripted"]
    shell.append(
        seal(
            "generate", "-", "--policy", random_model, "--samples", 2, *scripted, stdin=shell[-1]
        ).id
    )
    shell.append(seal("adapt", "-", *flags(SMALL), stdin=shell[-1]).id)
    shell.append(seal("score", "-", stdin=shell[-1]).id)
    shell.append(seal("filter", "-", "--rule", "top-k", "--keep", 2, stdin=shell[-1]).id)
    shell.append(seal("update", "-", "--rank", 2, stdin=shell[-1]).id)
    shell.append(seal("eval", "-", shell[0], *scripted, *flags(SMALL), stdin=shell[-1]).id)
    assert [one.id for one in made] == shell
    assert api.artifact(f"@latest:{made[3].stage}").id == made[3].id


def test_nothing_is_read_that_was_not_given(
    passages: Path, random_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("seal.toml").write_text("[generate]\nsamples = 4\n")
    monkeypatch.setenv("SEAL_GENERATE_TEMPERATURE", "0.5")
    monkeypatch.setenv("SEAL_STORE", "elsewhere")
    store = tmp_path / "store"

    def written(seal: Seal, **settings: Any) -> tuple[int, float]:
        made = seal.generate(contexts, random_model, engine="scripted", limit=1, **settings)
        config = made.artifact.manifest["config"]["generate"]
        return config["samples"], config["temperature"]

    contexts = Seal(store).import_contexts(passages)
    assert written(Seal(store)) == (5, 1.0)
    assert written(Seal(store, "seal.toml")) == (4, 1.0)
    assert written(Seal(store, {"generate": {"samples": 3}}, environ=os.environ)) == (3, 0.5)
    assert written(Seal(store, "seal.toml", environ=os.environ), samples=2) == (2, 0.5)
    assert not Path("elsewhere").exists()
    assert contexts.artifact.manifest["argv"] == []  # pytest's are not ours to keep


def test_what_cannot_be_done_says_what_can(passages: Path, tmp_path: Path) -> None:
    seal = Seal(tmp_path / "store")
    with pytest.raises(InputError, match="no store"):
        seal.sql("SELECT 1")
    contexts = seal.import_contexts(passages)
    with pytest.raises(ConfigError, match="takes no 'sample'") as refused:
        seal.generate(contexts, "tiny", sample=3)
    assert refused.value.__notes__[0].startswith("Did you mean samples?")
    with pytest.raises(InputError, match="holds contexts"):
        seal.filter(contexts)
    with pytest.raises(ConfigError, match="a file, not a store"):
        Seal(passages)
    with pytest.raises(ConfigError, match="there are 2 of them"):
        _ = Made([contexts.artifact, contexts.artifact]).id
    with pytest.raises(ConfigError, match=r"unknown key 'sample' in \[generate\]"):
        Seal(tmp_path / "store", {"generate": {"sample": 3}})


def test_results_are_arrow_pandas_or_records(passages: Path, tmp_path: Path) -> None:
    seal = Seal(tmp_path / "store")
    contexts = seal.import_contexts(passages)
    records = contexts.records()
    assert [row["title"] for row in records] == contexts.pandas()["title"].tolist()
    assert contexts.arrow("questions").num_rows == 6
    assert contexts.title.startswith(f"{contexts.id}: contexts 3, questions 6")
    with pytest.raises(InputError):
        contexts.arrow("rewards")
    asked = "SELECT count(*) AS n FROM questions WHERE artifact_id = $made"
    assert seal.sql(asked, made=contexts).records() == [{"n": 6}]
    assert repr(seal.sql("SELECT chr(27) AS text")).count("\x1b") == 0


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv("SEAL_STORE", str(tmp_path / "store"))
    small = ", ".join(f"{name}={value}" for name, value in LOOP.items())
    page = DEMO.read_text()
    for whole, part in (
        ("rounds=2", small),
        ("samples=5, limit=8, offset=16", "samples=2, limit=1"),
    ):
        assert whole in page
        page = page.replace(whole, part)
    exec(compile(page, DEMO, "exec"), {})
    printed = capsys.readouterr().out
    assert "examples learned" in printed
    assert "deviation" in printed
