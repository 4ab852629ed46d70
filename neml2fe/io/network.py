"""A picture of a graph: boxes in columns from left to right, arrows between them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from neml2fe.io.canvas import INK, figure

_ACROSS, _DOWN = 2.3, 0.62  # inches from column to column and from box to box
_FILL = {"model": "#eef3f8", "solve": "#fbe9d7", "input": "#ffffff", "output": "#ffffff"}

Nodes = Sequence[tuple[str, str, str]]  # label, type, kind
Edges = Mapping[tuple[int, int], Sequence[str]]


def network(path: str | os.PathLike[str], nodes: Nodes, edges: Edges, title: str = "") -> Path:
    """Draw nodes (label, type, kind) and edges with their names.

    Edges from a later node to an earlier one are the way back of an iteration: dashed, below
    the others, and without influence on the columns. Raises as all figures do.
    """
    at = _columns(nodes, edges)
    joints, segments, ends = _lanes(at, edges)
    places = _places(joints, segments)
    rows = 1 + max(max(y for _, y in places) - min(y for _, y in places), 1.0)
    with figure(path, (_ACROSS * (max(at) + 1), _DOWN * rows + 0.6)) as page:
        axes = page.add_subplot()
        axes.set_axis_off()
        axes.set_title(title)
        low = min(y for _, y in places) - 1.5
        axes.set(xlim=(-0.5, max(at) + 0.5), ylim=(low, max(y for _, y in places) + 0.6))
        texts = [_box(axes, place, *node) for node, place in zip(nodes, places, strict=False)]
        page.draw_without_rendering()  # now the boxes have their sizes
        boxes = [_extent(axes, text) for text in texts]
        boxes += [(x, x, y) for x, y in places[len(nodes) :]]
        walls = [max(b[1] for b, c in zip(boxes, joints, strict=True) if c == n) for n in set(at)]
        for source, target in segments:
            (_, start, _), (end, _, _) = boxes[source], boxes[target]
            line = (start, places[source][1]), (end, places[target][1])
            _arrow(axes, *line, head=target < len(nodes))
            names = ends.get((source, target))
            if names:
                _names(axes, *line, names, 0.5 * (walls[joints[source]] + end))
        for source, target in edges:
            if target < source:
                under = [(places[k][0], boxes[k][2]) for k in (source, target)]
                _way_back(axes, under[0], under[1])
    return Path(path)


def _columns(nodes: Nodes, edges: Edges) -> list[int]:
    """The column of each node: to the right of what leads to it, outputs rightmost."""
    at = [0] * len(nodes)
    for target in range(len(nodes)):
        at[target] = max((at[s] + 1 for s, t in edges if t == target and s < t), default=0)
    for k, (_, _, kind) in enumerate(nodes):
        if kind == "output":
            at[k] = max(at)
        elif kind == "input":  # just before the first that takes it
            at[k] = max(min((at[t] for s, t in edges if s == k), default=1) - 1, 0)
    return at


def _lanes(
    at: list[int], edges: Edges
) -> tuple[list[int], list[tuple[int, int]], dict[tuple[int, int], str]]:
    """Edges in segments from column to column, so that none passes behind a box.

    All edges of one source share a lane. Returns the columns of nodes and joints, the segments,
    and the names of the edges by the segments that end them.
    """
    joints = list(at)
    segments: dict[tuple[int, int], None] = {}
    ends = {}
    for source in range(len(at)):
        lane = {at[source]: source}
        targets = sorted((t for s, t in edges if s == source and t > s), key=lambda t: at[t])
        for target in targets:
            for column in range(at[source] + 1, at[target]):
                if column not in lane:
                    lane[column] = len(joints)
                    joints.append(column)
                    segments[lane[column - 1], lane[column]] = None
            last = lane[max(at[target] - 1, at[source])]
            segments[last, target] = None
            ends[last, target] = ", ".join(edges[source, target])
    return joints, list(segments), ends


def _places(joints: list[int], segments: list[tuple[int, int]]) -> list[tuple[float, float]]:
    """Each column is sorted by the mean height of the neighbours, forth and back a few times."""
    columns = [[k for k, c in enumerate(joints) if c == n] for n in range(max(joints) + 1)]
    near: dict[int, list[int]] = {k: [] for k in range(len(joints))}
    for source, target in segments:
        near[source].append(target)
        near[target].append(source)
    height = {k: 0.5 * (len(c) - 1) - i for c in columns for i, k in enumerate(c)}
    for sweep in range(12):
        for column in columns if sweep % 2 == 0 else columns[::-1]:
            mean = {
                k: sum(height[n] for n in near[k]) / len(near[k]) if near[k] else height[k]
                for k in column
            }
            for i, k in enumerate(sorted(column, key=lambda k: -mean[k])):
                height[k] = 0.5 * (len(column) - 1) - i
    return [(float(c), height[k]) for k, c in enumerate(joints)]


def _extent(axes: Any, text: Any) -> tuple[float, float, float]:
    """Left, right and lower edge of a box, in the units of the axes."""
    size = text.get_bbox_patch().get_window_extent()
    found = size.transformed(axes.transData.inverted())
    return found.x0, found.x1, found.y0


def _box(axes: Any, place: tuple[float, float], label: str, type_: str, kind: str) -> Any:
    text = label if type_ in ("", label) else f"{label}\n{type_}"
    frame = {
        "boxstyle": "round,pad=0.3",
        "facecolor": _FILL.get(kind, "#ffffff"),
        "edgecolor": "#8a8a8a" if kind in ("model", "solve") else "none",
        "linewidth": 0.7,
    }
    weight = "normal" if kind in ("model", "solve") else "bold"
    return axes.text(*place, text, ha="center", va="center", fontsize=6, bbox=frame, weight=weight)


def _arrow(axes: Any, start: tuple[float, float], end: tuple[float, float], head: bool) -> None:
    """From edge to edge; without a head at a joint."""
    style = {"arrowstyle": "-|>" if head else "-", "shrinkA": 0, "shrinkB": 0}
    _line(axes, start, end, **style, color="#8a8a8a")


def _names(
    axes: Any, start: tuple[float, float], end: tuple[float, float], names: str, at: float
) -> None:
    """On the line where it passes `at`, between the boxes of two columns and above all else."""
    part = min(max((at - start[0]) / (end[0] - start[0]), 0.3), 0.8)
    place = (start[0] + part * (end[0] - start[0]), start[1] + part * (end[1] - start[1]))
    frame = {"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none"}
    text = names.replace(", ", "\n")
    style = {"ha": "center", "va": "center", "fontsize": 4.5, "color": INK, "bbox": frame}
    axes.text(*place, text, zorder=5, **style)


def _way_back(axes: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    bent = {"arrowstyle": "-|>", "connectionstyle": "arc3,rad=-0.2", "shrinkA": 0, "shrinkB": 0}
    _line(axes, start, end, **bent, color="#b07030", linestyle="--")


def _line(axes: Any, start: tuple[float, float], end: tuple[float, float], **style: Any) -> None:
    style |= {"linewidth": 0.7, "mutation_scale": 8}
    line = axes.annotate("", xy=end, xytext=start, arrowprops=style, zorder=1)
    line.set_in_layout(False)  # the page has its layout
