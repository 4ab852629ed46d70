"""How a CSV file that a block names is written: fields that specimens and measurements share."""

from __future__ import annotations

from typing import Any

from neml2fe.input.deck import Block, FieldValue

_DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t"}
_OPTIONS = {
    "comment": FieldValue.as_str,
    "skip_before": FieldValue.as_int,
    "skip_after": FieldValue.as_int,
    "encoding": FieldValue.as_str,
}
CSV_FIELDS = ("delimiter", *_OPTIONS)


def csv_options(block: Block) -> dict[str, Any]:
    """Those of a block, as `CSVTable` takes them."""
    found: dict[str, Any] = {n: read(v) for n, read in _OPTIONS.items() if (v := block.get(n))}
    if value := block.get("delimiter"):
        found["delimiter"] = _DELIMITERS.get(value.as_str(), value.as_str())
        if found["delimiter"] not in _DELIMITERS.values():
            known = ", ".join(_DELIMITERS)
            raise value.error(f"expected one of {known}, got '{value.as_str()}'")
    return found
