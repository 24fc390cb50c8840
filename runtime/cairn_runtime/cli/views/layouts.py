"""Where boxes and lines stand in a layered drawing; pure arithmetic, no drawing.

After K. Sugiyama, S. Tagawa and M. Toda (1981), in its plainest form: layers by the longest path, a bend in
every layer that an edge crosses, order by the mean position of the neighbours (a few sweeps down and up),
then places as near to the neighbours as the order allows.
Good for what people draw: some dozens of steps; for hundreds it stays readable and fast, not beautiful.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

_SWEEPS = 12
_GAP = 28.0
_BEND_WIDTH = 10.0


@dataclass(frozen=True, slots=True)
class Place:
    """The middle of a box or bend on its layer."""

    layer: int
    x: float


@dataclass(frozen=True, slots=True)
class Layout:
    """Every box's place, and the bends of every edge from source to target; x runs from 0 to `width`."""

    places: dict[str, Place]
    routes: dict[tuple[str, str], tuple[Place, ...]]
    layers: int
    width: float


@dataclass(slots=True)
class _Layers:
    """Layers of names; a bend is the name `(source, target, layer)`."""

    rows: list[list[object]]
    widths: dict[object, float]
    above: dict[object, list[object]] = field(default_factory=dict)
    below: dict[object, list[object]] = field(default_factory=dict)

    def connect(self, upper: object, lower: object) -> None:
        """Note that two neighbours in adjacent layers are joined by a line."""
        self.below.setdefault(upper, []).append(lower)
        self.above.setdefault(lower, []).append(upper)


def layout(order: Sequence[str], forward: Mapping[str, Sequence[str]], widths: Mapping[str, float]) -> Layout:
    """Place boxes of the given widths; `order` is topological, `forward` has no cycle."""
    depth = _depths(order, forward)
    layers = _layered(order, forward, widths, depth)
    _order_rows(layers)
    xs = _place(layers)
    left = min((xs[n] - layers.widths[n] / 2 for row in layers.rows for n in row), default=0.0)
    right = max((xs[n] + layers.widths[n] / 2 for row in layers.rows for n in row), default=0.0)
    places = {name: Place(depth[name], xs[name] - left) for name in order}
    routes = {
        (source, target): tuple(
            Place(n, xs[source, target, n] - left) for n in range(depth[source] + 1, depth[target])
        )
        for source in order
        for target in forward[source]
    }
    return Layout(places, routes, len(layers.rows), right - left)


def _depths(order: Sequence[str], forward: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """The longest path from an entry to each box."""
    depth = dict.fromkeys(order, 0)
    for name in order:
        for target in forward[name]:
            depth[target] = max(depth[target], depth[name] + 1)
    return depth


def _layered(
    order: Sequence[str],
    forward: Mapping[str, Sequence[str]],
    widths: Mapping[str, float],
    depth: Mapping[str, int],
) -> _Layers:
    layers = _Layers([[] for _ in range(max(depth.values(), default=0) + 1)], dict(widths.items()))
    for name in order:
        layers.rows[depth[name]].append(name)
    for source in order:
        for target in forward[source]:
            upper: object = source
            for n in range(depth[source] + 1, depth[target]):
                bend = (source, target, n)
                layers.rows[n].append(bend)
                layers.widths[bend] = _BEND_WIDTH
                layers.connect(upper, bend)
                upper = bend
            layers.connect(upper, target)
    return layers


def _order_rows(layers: _Layers) -> None:
    """Sort each layer by the mean position of its neighbours, sweeping down and up; keep the best found."""
    best, fewest = [list(row) for row in layers.rows], _crossings(layers)
    for sweep in range(_SWEEPS):
        if not fewest:
            break
        down = sweep % 2 == 0
        rows = layers.rows[1:] if down else layers.rows[-2::-1]
        fixed = layers.rows[:-1] if down else layers.rows[:0:-1]
        for row, beside in zip(rows, fixed, strict=True):
            _sort_row(row, beside, layers.above if down else layers.below)
        crossings = _crossings(layers)
        if crossings < fewest:
            best, fewest = [list(row) for row in layers.rows], crossings
    layers.rows[:] = best


def _sort_row(row: list[object], beside: list[object], neighbours: dict[object, list[object]]) -> None:
    at = {name: n for n, name in enumerate(beside)}
    own = {name: n for n, name in enumerate(row)}

    def mean(name: object) -> float:
        near = [at[other] for other in neighbours.get(name, ())]
        return sum(near) / len(near) if near else own[name] * len(beside) / max(len(row), 1)

    row.sort(key=mean)


def _crossings(layers: _Layers) -> int:
    """Count the pairs of lines that cross between adjacent layers."""
    count = 0
    for upper, lower in zip(layers.rows, layers.rows[1:], strict=False):
        at = {name: n for n, name in enumerate(lower)}
        ends = [
            at[other] for name in upper for other in sorted(layers.below.get(name, ()), key=at.__getitem__)
        ]
        count += _inversions(ends)
    return count


def _inversions(numbers: list[int]) -> int:
    """Count pairs that stand in the wrong order, by merging."""
    if len(numbers) < 2:
        return 0
    middle = len(numbers) // 2
    left, right = numbers[:middle], numbers[middle:]
    count = _inversions(left) + _inversions(right)
    merged, taken = [], 0
    for number in left:
        while taken < len(right) and right[taken] < number:
            merged.append(right[taken])
            taken += 1
        merged.append(number)
        count += taken
    numbers[:] = merged + right[taken:]
    return count


def _place(layers: _Layers) -> dict[object, float]:
    """Give every name an x: packed first, then pulled to its neighbours, down and up."""
    xs: dict[object, float] = {}
    for row in layers.rows:
        edge = -sum(layers.widths[name] + _GAP for name in row) / 2
        for name in row:
            xs[name] = edge + (layers.widths[name] + _GAP) / 2
            edge += layers.widths[name] + _GAP
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        near = layers.above if down else layers.below
        for row in layers.rows if down else reversed(layers.rows):
            _pull(row, near, xs, layers.widths)
    return xs


def _pull(
    row: list[object], near: dict[object, list[object]], xs: dict[object, float], widths: dict[object, float]
) -> None:
    """Move a layer's names towards the mean of their neighbours, keeping order and distance.

    Names that push each other become one block, which stands where its members would stand on average: the
    pool-adjacent-violators method.
    """
    blocks: list[tuple[float, float, list[object]]] = []
    offset, before = 0.0, 0.0
    offsets: dict[object, float] = {}
    for n, name in enumerate(row):
        offset += 0.0 if n == 0 else (before + widths[name]) / 2 + _GAP
        before, offsets[name] = widths[name], offset
        wish = _wish(name, near, xs) - offset
        weight, members = 1.0, [name]
        while blocks and blocks[-1][0] > wish:
            other, other_weight, others = blocks.pop()
            wish = (wish * weight + other * other_weight) / (weight + other_weight)
            weight, members = weight + other_weight, [*others, *members]
        blocks.append((wish, weight, members))
    for wish, _, members in blocks:
        for name in members:
            xs[name] = wish + offsets[name]


def _wish(name: object, near: dict[object, list[object]], xs: dict[object, float]) -> float:
    others = near.get(name)
    return sum(xs[other] for other in others) / len(others) if others else xs[name]
