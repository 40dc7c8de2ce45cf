"""Checkpoints in one file that the tests share."""

from pathlib import Path

import pytest

from tests.export.sources.single_file.twins import (
    FAMILIES,
    ldm_yaml,
    save,
    write_yaml,
)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    """A checkpoint and its YAML for each family."""
    root = tmp_path_factory.mktemp("ldm")
    return {
        family: (
            save(family, root / f"{family}.safetensors"),
            write_yaml(root / f"{family}.yaml", ldm_yaml(family)),
        )
        for family in FAMILIES
    }
