"""Every spec of the pinned commands, run once for the tests that look at them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pinned
import pytest
from endpoint import Server

from seal_cli.execution.runner import Runner
from seal_cli.execution.spec import StageSpec
from seal_cli.store.artifact import Artifact
from seal_cli.store.workspace import Workspace

ASKED = {  # what a server answers, besides what is pinned
    "endpoint": ["generate", "{contexts}", "--engine", "openai", "--policy", "m", "--samples", 1],
    "judge": ["regrade", "{score}", "--grader", "judge:m"],
}


class Runs:
    """Every spec that was run, by the id of what it made."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.store = Workspace(folder / "store")
        self.specs: dict[str, StageSpec] = {}
        whole = Runner.run

        def note(runner: Runner, spec: StageSpec, *check: Any) -> Artifact:
            made = whole(runner, spec, *check)
            self.specs[made.id] = spec
            return made

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Runner, "run", note)
            patch.chdir(folder)
            patch.setattr(pinned, "COMMANDS", pinned.COMMANDS | _asked(server))
            self.left = pinned.run(folder)


def _asked(server: Server) -> dict[str, list[object]]:
    where = ["--base-url", server.url]
    return {name: [*command, *where] for name, command in ASKED.items()}


@pytest.fixture(scope="package")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    folder = tmp_path_factory.mktemp("runs")
    server = Server(folder / "server.log")
    server.start()
    yield Runs(folder, server)
    server.stop()
