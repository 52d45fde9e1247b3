"""What a run has found, said in plain sentences, the verdict first: made from its record, its tables and its claims."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Rows = Sequence[Mapping[str, str]]

SHOWN = 5
"""Up to so many curves or claims are told one by one."""
_REGIMES = {
    "resolution_n": "resolution-limited in n",
    "resolution_k": "resolution-limited in k",
    "variance_n": "variance-limited in n",
    "variance_k": "variance-limited in k",
}
_MARKS = (": holds", ": does not hold", ": undecided", ": not judged")


def verdict(
    experiment: str, record: Mapping[str, Any], tables: Mapping[str, Rows], claims: Sequence[Any]
) -> tuple[str, ...]:
    """Sentences about a run.

    Args:
        experiment: its name.
        record: what its `run.json` holds.
        tables: rows of its tables by name, the cells as text.
        claims: with `what`, `expected`, `found` and `holds`.
    """
    own: dict[str, Callable[[], list[str]]] = {
        "four_regimes": lambda: _four_regimes(tables["exponents"], tables.get("duality", ()), claims),
        "prediction": lambda: _prediction(record),
        "fit": lambda: _fit(record),
        "verdicts": lambda: _verdicts(record["verdicts"]),
        "plan": lambda: _plan(record),
    }
    if experiment in own:
        try:
            return tuple(own[experiment]())
        except (KeyError, TypeError, ValueError, AttributeError, IndexError):
            return ("No verdict: a part of the record or of its tables is missing or is not as it was written.",)
    summary = record.get("summary")
    lines = [line.strip() for line in summary.splitlines() if line.strip()] if isinstance(summary, str) else []
    if claims:
        lines = [line for line in lines if not line.endswith(_MARKS)]  # they are in the table of claims
        if not any("claims hold" in line for line in lines[:1]):
            lines = [*_counted(claims), *lines]
    return tuple(lines) or ("No verdict was recorded with this run.",)


def sweep(experiment: str, summary: Any) -> tuple[str, ...]:
    """Sentences about the store of a sweep, given its summary."""
    said = f"{_many(summary.done, 'cell')} of {experiment} {'is' if summary.done == 1 else 'are'} done, "
    said += f"{summary.failed} failed" if summary.failed else "none failed"
    lines = [said + "."]
    if summary.claimed:
        lines.append(
            f"{_many(summary.claimed, 'cell')} more {'is' if summary.claimed == 1 else 'are'} claimed by runs that "
            "work on them, or were killed over them."
        )
    if summary.done:
        lines.append(f"All cells together took {summary.seconds:.3g} s, {summary.seconds / summary.done:.3g} s each.")
    return tuple(lines)


def _counted(claims: Sequence[Any]) -> list[str]:
    """How many claims hold, and which do not."""
    judged = [one for one in claims if one.holds is not None]
    wrong = [one for one in judged if not one.holds]
    if not judged:
        return [f"None of {_many(len(claims), 'claim')} could be decided."]
    lines = [f"{len(judged) - len(wrong)} of {_many(len(judged), 'claim')} hold."]
    if len(claims) > len(judged):
        lines[0] = f"{lines[0][:-1]}; {len(claims) - len(judged)} more could not be decided."
    lines += [
        f"Does not hold: {one.what}" + (f"; expected {one.expected}, found {one.found}." if one.found else ".")
        for one in wrong[:SHOWN]
    ]
    return lines + ([f"And {len(wrong) - SHOWN} others do not hold."] if len(wrong) > SHOWN else [])


def _four_regimes(rows: Rows, duality: Rows, claims: Sequence[Any]) -> list[str]:
    agree = sum(row["verdict"] == "agrees" for row in rows)
    lines = [f"{agree} of {len(rows)} measured regimes agree with what the spectrum predicts."]
    judged = [one.holds for one in claims if one.holds is not None]
    if judged:
        lines[0] = f"{lines[0][:-1]}; {sum(judged)} of {len(judged)} checks of the duality of n and k hold."
    for task in dict.fromkeys(row["task"] for row in rows):
        mine = [row for row in rows if row["task"] == task]
        good = [_REGIMES.get(row["regime"], row["regime"]) for row in mine if row["verdict"] == "agrees"]
        lines.append(f"{task}: {', '.join(good) if good else 'no regime'} as predicted.")
        lines += [
            f"{task}, {_REGIMES.get(row['regime'], row['regime'])}: {row['verdict']}; predicted "
            f"{float(row['predicted']):.3f}, measured {float(row['measured']):.3f} "
            f"[{float(row['measured_low']):.3f}, {float(row['measured_high']):.3f}]."
            for row in mine
            if row["verdict"] != "agrees"
        ]
        lines += [
            f"{task}, duality: {row['expected']}; {row['found']}."
            for row in duality
            if row["task"] == task and row["what"] == "reason"
        ]
    return lines


def _prediction(record: Mapping[str, Any]) -> list[str]:
    quoted = {row["quantity"]: row for row in record["exponents"] if row["default"]}
    falls = [
        f"{_interval(quoted[f'resolution_{axis}'])} in {axis}" for axis in ("n", "k") if f"resolution_{axis}" in quoted
    ]
    last = record["curve"][-1]
    lines = [
        f"The loss is predicted to fall with the exponent {' and '.join(falls)}."
        if falls
        else "No exponent of the loss could be read from these data."
    ]
    if last["loss"] is not None:
        lines[0] = f"{lines[0][:-1]}, to {_interval(last, 'loss')} at n = {last['n']:,.0f}."
    lines.append(f"Data: {record['description']}.")
    read = [f"{name} = {_interval(quoted[name])}" for name in ("alpha", "beta", "noise") if name in quoted]
    if read:
        lines.append(f"Read from the sample: {', '.join(read)}.")
    reason = record["verdict"]["reason"]
    answer = {True: "Yes", False: "No"}.get(record["verdict"]["power_law"], "Undecided")
    lines.append(f"Is the spectrum a power law? {answer}: {reason}.")
    held = record["held_out"]
    if held is not None and held["median_error"] is not None:
        lines.append(
            f"Tried out on the data: forecast from {held['samples']:.0f} samples, the losses at all larger sizes came "
            f"within {held['median_error']:.1%} (median), {held['inside']:.0%} of them inside the band."
        )
    return lines


def _fit(record: Mapping[str, Any]) -> list[str]:
    curves = record["curves"]
    level = record["settings"]["level"]
    if len(curves) <= SHOWN:
        lines = []
        for one in curves:
            if one["law"] is None:
                lines.append(f"{one['name']}: no law could be fitted. {'; '.join(one['notes'])}")
                continue
            read = ", ".join(f"{name} = {_ends(*ends)}" for name, ends in one["parameters"].items())
            doubt = "" if one["status"] == "converged" else f" The fit is {one['status']}: {'; '.join(one['notes'])}."
            lines.append(
                f"{one['name']}: of the laws tried, {one['law']} is chosen, with {read} ({level:.0%} intervals, "
                f"{one['points']} points).{doubt}"
            )
    else:
        counts = Counter(one["status"] for one in curves)
        lines = [f"{len(curves)} curves: {', '.join(f'{many} {status}' for status, many in counts.most_common())}."]
        chosen = Counter(one["law"] for one in curves if one["law"] is not None).most_common(SHOWN)
        lines.append(f"Chosen most often: {', '.join(f'{law} ({many})' for law, many in chosen)}.")
    laws = record["laws"]
    if laws:
        best, an = laws[0], "a median" if len(curves) > 1 else "an"
        lines.append(
            f"On the sizes that were held out {best['law']} came closest, with {an} "
            f"error of {best['median_error']:.3g} in the logarithm of the loss"
            + (f" (mean rank {best['mean_rank']:.2f} over {best['fitted']} curves)." if len(curves) > 1 else ".")
        )
        if best["law"] == "tail":
            lines.append(
                "The tail, a fit to the end of the curve alone, makes the forecast and is no law of the whole."
            )
    return lines


def _verdicts(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    if len(rows) > SHOWN:
        counts = Counter(str(row["regime"]) for row in rows)
        return [f"{len(rows)} verdicts: {', '.join(f'{many} {regime}' for regime, many in counts.most_common())}."]
    lines, evidence = [], []
    for row in rows:
        name = str(next(iter(row.values())))
        said = f"{name}: {row['regime']}"
        if row["regime"] == "undecided" and row.get("possible"):
            said += f" ({str(row['possible']).replace('; ', ' or ')})"
        if row.get("exponent") is not None:
            said += f", exponent {_ends(row['exponent'], row.get('low'), row.get('high'))}"
        lines.append(said + ".")
        evidence.append(f"Evidence, {name}: {row.get('evidence') or 'none'}.")
    return lines + evidence


def _plan(record: Mapping[str, Any]) -> list[str]:
    rows, target = record["plans"], record["settings"]["target"]
    taken = {"law", "held_out_error", "reached", "note"}
    key = next((name for name in rows[0] if name not in taken), "")
    lines = []
    for curve in dict.fromkeys(str(row.get(key)) for row in rows):
        mine = [row for row in rows if str(row.get(key)) == curve]
        ranked = sorted(mine, key=lambda row: math.inf if row.get("held_out_error") is None else row["held_out_error"])
        reached = [row for row in ranked if row.get("reached") and _wanted(row)]
        if not reached:
            lines.append(f"{curve}: no law that was fitted reaches a loss of {target:g}.")
            continue
        first = reached[0]
        lines.append(
            f"{curve}: a loss of {target:g} needs {_wanted(first)} by {first['law']}, which has the least error on the "
            f"held-out sizes of the {len(reached)} of {_many(len(mine), 'law')} that reach it."
        )
        if first.get("note"):
            lines.append(f"{curve}, {first['law']}: {first['note']}.")
    if len(lines) > 2 * SHOWN:
        lines = [*lines[: 2 * SHOWN], f"And {len(lines) - 2 * SHOWN} more: see the table."]
    return lines


def _wanted(row: Mapping[str, Any]) -> str:
    """The scales of a plan, or nothing where it has none."""
    names = [name[:-4] for name in row if name.endswith("_low")]
    return ", ".join(
        f"{name} = {_ends(row[name], row[f'{name}_low'], row.get(f'{name}_high'))}"
        for name in names
        if row.get(name) is not None
    )


def _interval(row: Mapping[str, Any], name: str = "value") -> str:
    return _ends(row[name], row.get("low"), row.get("high"))


def _ends(value: float, low: float | None = None, high: float | None = None) -> str:
    """A number with its interval."""
    if low is None and high is None:
        return f"{value:.4g}"
    ends = [f"{one:.4g}" if one is not None else "∞" for one in (low, high)]
    return f"{value:.4g}" if low == high else f"{value:.4g} [{ends[0]}, {ends[1]}]"


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
