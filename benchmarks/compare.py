"""A change against its base: saved runs of one machine, made in turn."""

from typing import Any

from .measure import geometric_mean

OURS = ("compiled", "plain")


Costs = dict[tuple[str, str, str], float]


def compare(bases: list[dict[str, Any]], heads: list[dict[str, Any]], fail_over: float) -> tuple[str, bool]:
    """A table of head / base by group and implementation, and whether one of them is slower than `fail_over` times.

    What is compared is the best round of all runs, in floors of the same contest: a machine that has slowed down in
    between has slowed the floor down too.
    """
    before, after = _best(bases), _best(heads)
    groups: dict[tuple[str, str], dict[str, float]] = {}
    for (group, subject, message), cost in after.items():
        if (group, subject, message) in before:
            groups.setdefault((group, subject), {})[message] = cost / before[group, subject, message]
    if not groups:
        raise ValueError("the two runs have no case in common")
    rows = [f"{'group':12}{'':10}{'head / base':>12}  worst message"]
    slower = False
    for (group, subject), ratios in groups.items():
        mean, worst = geometric_mean(ratios.values()), max(ratios, key=lambda name: ratios[name])
        mark = "  SLOWER" if mean > fail_over else ""
        slower = slower or mean > fail_over
        rows.append(f"{group:12}{subject:10}{mean:12.2f}  {worst} {ratios[worst]:.2f}{mark}")
    return "\n".join(rows), slower


def _best(runs: list[dict[str, Any]]) -> Costs:
    best: Costs = {}
    for run in runs:
        for case, cost in _costs(run).items():
            best[case] = min(cost, best.get(case, cost))
    return best


def _costs(saved: dict[str, Any]) -> Costs:
    costs: Costs = {}
    for result in saved["results"]:
        group, subject, message = result["group"], result["subject"], result["message"]
        if subject in OURS:
            costs[group, subject, message] = result["ns"]["best"] / result.get("floor_ns", 1.0)
    return costs
