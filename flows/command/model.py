"""``diffbio model``: what models say of themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from diffbio_flows.command.options import FILE, json_option, show


@click.group()
def model() -> None:
    """Look at models."""


@model.command("show")
@click.argument("name", type=FILE, required=False, metavar="[DIR|NAME]")
@json_option
def show_model(*, name: Path | None, as_json: bool) -> None:
    """Print the card of a model, by default of the shipped one."""
    card = _card(name)
    show(card, "\n".join(card_lines(card)), as_json)


@model.command("list")
@json_option
def list_all(*, as_json: bool) -> None:
    """List the shipped model and those in the folder of models.

    The folder is named by the variable DIFFBIO_MODELS; it is ~/.local/share/diffbio/models if not set.
    """
    from diffbio_core.models import ModelError, list_models

    entries, lines = {}, []
    for name, card in list_models().items():
        if isinstance(card, ModelError):
            entries[name] = {"cannot be used": str(card)}
            lines.append(f"{name}: cannot be used: {card}")
            continue
        calls = _calls(card)
        entries[name] = {"parameters_sha256": card["parameters_sha256"], "f1": calls.get("F1"), "sets": _sets(card)}
        told = f", F1 {calls['F1']:.4f} on what was kept apart" if calls.get("F1") is not None else ""
        number = len(_sets(card))
        sets = "1 set" if number == 1 else f"{number} sets"
        lines.append(f"{name}: {card['parameters_sha256'][:12]}, {sets}{told}")
    show(entries, "\n".join(lines), as_json)


@model.command("compare")
@click.argument("first", type=FILE, metavar="DIR|NAME")
@click.argument("second", type=FILE, metavar="DIR|NAME")
@json_option
def compare(*, first: Path, second: Path, as_json: bool) -> None:
    """Print what the cards of two models say differently."""
    one, other = dict(_flat(_card(first))), dict(_flat(_card(second)))
    keys = [*one, *(key for key in other if key not in one)]
    differing = {key: [one.get(key), other.get(key)] for key in keys if one.get(key) != other.get(key)}
    lines = [f"{key}: {old} | {new}" for key, (old, new) in differing.items()]
    show(differing, "\n".join(lines) or "the cards say the same", as_json)


def _card(name: Path | None) -> dict[str, Any]:
    from diffbio_core.models import ModelError, find_model, load_card

    try:
        return load_card(find_model(name))
    except ModelError as error:
        raise click.UsageError(str(error)) from error


def _flat(card: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in card.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _calls(card: dict[str, Any]) -> dict[str, Any]:
    """hap.py's columns of the call of what was kept apart, of all variants; empty where there was none."""
    rows = card.get("metrics", {}).get("calls") or [{}]
    row = rows[-1]
    return {"F1": row.get("METRIC.F1_Score")}


def _sets(card: dict[str, Any]) -> list[str]:
    return list(card.get("training_data", {}))


def card_lines(card: dict[str, Any], indent: str = "") -> list[str]:
    """A card as indented lines."""
    lines: list[str] = []
    for name, value in card.items():
        if isinstance(value, dict):
            lines += [f"{indent}{name}:", *card_lines(value, indent + "  ")]
        else:
            lines.append(f"{indent}{name}: {value}")
    return lines
