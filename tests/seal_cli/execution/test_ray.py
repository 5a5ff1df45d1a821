"""What is refused before a cluster is looked for; tests/machines has the clusters."""

from pathlib import Path
from typing import Any


def test_a_server_is_asked_by_one_process(seal: Any, passages: Path) -> None:
    contexts = seal("import", "contexts", passages).id
    ray, server = ["--executor", "ray"], ["--base-url", "http://127.0.0.1:9"]
    written = seal("generate", contexts, "--engine", "openai", "--policy", "t", *server, *ray)
    edits = seal("generate", contexts, "--policy", "tiny", "--engine", "scripted").id
    judged = seal("score", edits, "--grader", "judge:j", *server, *ray)
    for result, name in ((written, "openai"), (judged, "judge:j")):
        assert result.code == 2, result.err
        assert f"--executor ray is not for {name}: a server is asked by one process" in result.err
