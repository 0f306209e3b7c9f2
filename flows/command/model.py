"""``diffbio model``: what models say of themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from diffbio_flows.command.options import FILE, json_option, show


@click.group()
def model() -> None:
    """Look at models."""


@model.command("show")
@click.argument("directory", type=FILE, required=False)
@json_option
def show_model(*, directory: Path | None, as_json: bool) -> None:
    """Print the card of a model, by default of the shipped one."""
    from diffbio_core.models import ModelError, default_model_path, load_card

    try:
        card = load_card(directory or default_model_path())
    except ModelError as error:
        raise click.UsageError(str(error)) from error
    show(card, "\n".join(card_lines(card)), as_json)


def card_lines(card: dict[str, Any], indent: str = "") -> list[str]:
    """A card as indented lines."""
    lines: list[str] = []
    for name, value in card.items():
        if isinstance(value, dict):
            lines += [f"{indent}{name}:", *card_lines(value, indent + "  ")]
        else:
            lines.append(f"{indent}{name}: {value}")
    return lines
