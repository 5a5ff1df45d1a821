"""The presets: each is valid and has the paper's constants."""

from typing import Any

import pytest

from seal_cli.settings import PRESETS, SECTIONS, Settings

# research: the paper's §4, its appendix and the released code and results.
CONSTANTS: dict[str, dict[str, dict[str, Any]]] = {
    "paper-knowledge-n1": {
        "generate": {"samples": 5, "temperature": 1.0, "top_p": 0.95, "max_tokens": 8192},
        "adapt": {
            "rank": 32, "alpha": 64, "targets": "default", "epochs": 10, "learning_rate": 1e-3,
            "batch_size": 1, "repeats": 3, "max_sequences": 31, "pad_targets": "official",
        },
        "score": {"answer_tokens": 64},
        "filter": {"rule": "best-of-n"},
        "update": {
            "rank": 64, "alpha": 128, "targets": "all-linear", "epochs": 2, "learning_rate": 3e-4,
            "batch_size": 10,
        },
        "loop": {"rounds": 2, "limit": 50, "samples": 5, "repeats": 3},
        "eval": {"regime": "single", "samples": 1, "repeats": 1, "limit": 200},
    },
    "paper-knowledge-n200": {
        "cpt": {
            "full": True, "lines": False, "epochs": 1, "learning_rate": 7e-5, "batch_size": 8,
            "warmup": 0.03, "questions": 500,
        },
        "eval": {"regime": "cpt", "samples": 5, "limit": 200},
    },
    "paper-knowledge-n2067": {
        "cpt": {
            "full": True, "lines": False, "epochs": 1, "learning_rate": 7e-5, "batch_size": 8,
            "warmup": 0.03, "questions": 500,
        },
        "eval": {"regime": "cpt", "samples": 5, "limit": 0},
    },
    "paper-continual": {
        "adapt": {"rank": 32, "alpha": 64, "epochs": 10, "learning_rate": 1e-3, "batch_size": 1},
        "continual": {
            "edits": 8, "sequences": 64, "separate": False, "replay": 0.0, "gate": None,
        },
        "eval": {"regime": "continual", "samples": 1, "limit": 0},
    },
    "paper-arc": {
        "generate": {"samples": 15, "temperature": 0.8, "max_tokens": 128},
        "adapt": {
            "rank": 128, "alpha": 16, "targets": "q_proj,v_proj,gate_proj,up_proj,down_proj",
            "batch_size": 2, "max_steps": 375, "max_length": 8192, "over_length": "drop",
            "max_sequences": 250, "schedule": "cosine", "warmup_steps": 11,
        },
        "arc": {
            "grids": "lists", "system_message": True, "reorder": True, "colours": "unused",
            "own_first": True,
        },
        "score": {"answer_tokens": 2048, "voting": True},
        "update": {"rank": 16, "alpha": 16, "epochs": 8, "learning_rate": 5e-5, "batch_size": 5},
        "loop": {"rounds": 1, "limit": 11, "samples": 15},
        "eval": {"regime": "fewshot", "samples": 5, "limit": 0},
    },
}  # fmt: skip


def test_every_preset_has_its_constants_here() -> None:
    assert set(CONSTANTS) == set(PRESETS)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_valid(name: str) -> None:
    settings = Settings(None, environ={}, preset=name)
    for cls in SECTIONS.values():
        settings.resolve(cls)


@pytest.mark.parametrize("name", CONSTANTS)
def test_the_constants_are_the_papers(name: str) -> None:
    settings = Settings(None, environ={}, preset=name)
    for section, expected in CONSTANTS[name].items():
        config = settings.resolve(SECTIONS[section])
        assert {key: getattr(config, key) for key in expected} == expected, section
