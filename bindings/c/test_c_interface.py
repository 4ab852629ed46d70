"""What a library holds, and what it answers to wrong calls."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from c_calls import FIELDS, PARAMETERS, STATE, Library
from c_reference import Reference

from neml2fe import load_input
from neml2fe.errors import InputError
from neml2fe.export import Exported, build_library
from neml2fe.material import Material


def test_names_and_sizes(library: Library, deck: Path) -> None:
    names = ["elastic", "steel", "rubber", "soft", "hasty"]
    assert library.names() == names and library.names(library.path) == names
    steel = library.material("steel")
    assert [steel.size(role) for role in range(5)] == [6, 6, 19, 1, len(steel.parameters())]
    assert list(steel.variables(FIELDS)) == ["temperature"]
    state = steel.variables(STATE)
    assert state["equivalent_plastic_strain"][0] == "Scalar"
    assert [*state] == [*Reference.of(deck, "steel").material.state_spec]
    assert not steel.initial_state(3).any()
    text = library.path.with_suffix(".txt").read_text()
    for name, (_, place) in state.items():
        assert (
            f"{place.start + 1} to {place.stop}  {name}" in text or f"{place.stop}  {name}" in text
        )
    measures = {n: library.measure(library.material(n).handle).decode() for n in names}
    assert measures == {
        "elastic": "small strain",
        "steel": "small strain",
        "hasty": "small strain",
        "rubber": "PK1",
        "soft": "CAUCHY",
    }


def test_parameters_are_those_of_the_deck(library: Library, deck: Path) -> None:
    law, reference = library.material("steel"), Reference.of(deck, "steel").material
    expected = {n: p.reshape(-1).tolist() for n, p in reference.parameters.items()}
    values = law.parameters()
    assert {n: values[p].tolist() for n, (_, p) in law.variables(PARAMETERS).items()} == expected


def test_errors_of_loading(library: Library, tmp_path: Path) -> None:
    def message(path: Path | None, name: str | None) -> str:
        given = [None if x is None else str(x).encode() for x in (path, name)]
        assert library.load(*given) is None
        return library.last_error().decode()

    assert "cannot load" in message(tmp_path / "none.so", "steel")
    assert "none.so" in message(tmp_path / "none.so", None)
    unlike = tmp_path / "text.so"
    unlike.write_text("no library")
    assert "cannot load" in message(unlike, "steel")
    assert "neml2fe compile --library" in message(Path("libm.so.6"), "steel")
    text = message(None, "stele")
    assert "no material 'stele'" in text and "elastic, steel, rubber, soft, hasty" in text
    assert "name one: elastic, steel" in message(library.path, None)
    assert library.material_name(str(unlike).encode(), 0) is None
    assert library.material_name(None, -1) is None


def test_errors_of_calls(library: Library) -> None:
    law = library.material("steel")
    rows = [np.zeros(64) for _ in range(9)]
    good = [r.ctypes.data for r in rows]

    def message(handle: int | None, n: int, missing: int | None = None) -> str:
        given = [None if k == missing else p for k, p in enumerate(good)]
        assert library.update(handle, n, 1.0, 1.0, *given) == -1
        return library.last_error().decode()

    assert "no material" in message(None, 1)
    assert "negative" in message(law.handle, -1)
    assert "'temperature'" in message(law.handle, 1, missing=1)
    for place in (0, 3, 4, 5):
        assert "must not be NULL" in message(law.handle, 1, missing=place)
    assert (
        library.update(
            law.handle, 1, 1.0, 1.0, *[good[k] if k in (0, 1, 3, 4, 5) else None for k in range(9)]
        )
        == 0
    )


def test_no_material_is_no_crash(library: Library) -> None:
    law = library.material("steel")
    assert library.size(None, STATE) == 0
    assert library.size(law.handle, 5) == library.size(law.handle, -1) == 0
    assert not library.variable_at(None, STATE, 0)
    assert not library.variable_at(law.handle, 5, 0)
    assert not library.variable_at(law.handle, STATE, -1)
    assert library.measure(None) is None
    library.initial_state(None, 1, None)
    library.default_parameters(None, None)


def test_refused_when_built(deck: Path, tmp_path: Path) -> None:
    law = Exported("a", Material(load_input(deck).get_model("elastic")))
    with pytest.raises(InputError, match="different names"):
        build_library([law, Exported("A", law.material)], tmp_path / "a.so")
    with pytest.raises(InputError, match="different names"):
        build_library([], tmp_path / "a.so")
    with pytest.raises(InputError, match="folder that is there"):
        build_library([law], tmp_path / "none" / "a.so")
