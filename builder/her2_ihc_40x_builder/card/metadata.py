"""The YAML at the top of a card, read as strictly as the Hub reads it; a card may be anybody's."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub.repocard import REGEX_YAML_BLOCK

_MAX_BYTES = 1 << 20
#: PyYAML reads some fifty thousand characters a second; ours has six thousand.
_MAX_CHARACTERS = 200_000


def read_metadata(path: Path) -> dict[Any, Any]:
    """Read a card's metadata; none is an empty mapping.

    Args:
        path: the card.

    Raises:
        OSError, ValueError, RecursionError, yaml.YAMLError: it is too long, no mapping, or no YAML.
    """
    if path.stat().st_size > _MAX_BYTES:
        raise ValueError(f"{path.stat().st_size} bytes, more than {_MAX_BYTES}")
    match = REGEX_YAML_BLOCK.search(path.read_text(encoding="utf-8-sig"))
    if match and len(match[2]) > _MAX_CHARACTERS:
        raise ValueError(f"{len(match[2])} characters, more than {_MAX_CHARACTERS}")
    try:
        metadata = yaml.load(match[2], _StrictLoader) if match else {}  # noqa: S506 (a SafeLoader)
    except (ArithmeticError, AttributeError, LookupError, TypeError) as error:
        # Of a value that is not what its tag says, as `!!bool x`, or of an impossible character.
        raise ValueError(f"a value that cannot be read, {type(error).__name__}: {error}") from error
    if not isinstance(metadata, dict):
        raise ValueError("no mapping")
    return metadata


class _StrictLoader(yaml.SafeLoader):
    """Refuses a key that is there twice, as the Hub does; PyYAML would take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if len(set(keys)) < len(keys):
            raise yaml.constructor.ConstructorError(None, None, "a key that is there twice", node.start_mark)
        return super().construct_mapping(node, deep)
