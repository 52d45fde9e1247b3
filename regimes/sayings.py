"""What a run has found, said in plain sentences, the verdict first: made from its record, its tables and its claims."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Rows = Sequence[Mapping[str, str]]

SHOWN = 5
"""Up to so many curves or claims are told one by one."""
LINES = 6
"""Up to so many curves have a line of their own where there are several."""
NAMED = 2
"""So many claims that do not hold, or causes of failed cells, are named in the first sentence."""
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
        own_count = lines[:1] if any("claims hold" in line for line in lines[:1]) else []
        lines = [*_counted(claims, *own_count), *lines[len(own_count) :]]
    return tuple(lines) or ("No verdict was recorded with this run.",)


def sweep(experiment: str, summary: Any, errors: Sequence[tuple[str, int]] = ()) -> tuple[str, ...]:
    """Sentences about the store of a sweep.

    Args:
        experiment: its name.
        summary: what the store holds, in numbers.
        errors: what went wrong and in how many cells, most often first.
    """
    said = f"{_many(summary.done, 'cell')} of {experiment} {'is' if summary.done == 1 else 'are'} done, "
    said += f"{summary.failed} failed" if summary.failed else "none failed"
    if errors:
        named = [f"{' '.join(error.split()).rstrip('.')} ({_many(count, 'cell')})" for error, count in errors[:NAMED]]
        said += f": {'; '.join(named)}" + ("; and for other reasons" if len(errors) > NAMED else "")
    lines = [said + "."]
    if summary.claimed:
        lines.append(
            f"{_many(summary.claimed, 'cell')} more {'is' if summary.claimed == 1 else 'are'} claimed by runs that "
            "work on them, or were killed over them."
        )
    if summary.done:
        lines.append(f"All cells together took {summary.seconds:.3g} s, {summary.seconds / summary.done:.3g} s each.")
    return tuple(lines)


def _counted(claims: Sequence[Any], count: str = "") -> list[str]:
    """How many claims hold, and which do not: the first of them in the same breath.

    Args:
        claims: the claims.
        count: the sentence that counts them, if the run has its own.
    """
    judged = [one for one in claims if one.holds is not None]
    wrong = [one for one in judged if not one.holds]
    if not count and not judged:
        return [f"None of {_many(len(claims), 'claim')} could be decided."]
    if not count:
        count = f"{len(judged) - len(wrong)} of {_many(len(judged), 'claim')} hold"
        count += f"; {len(claims) - len(judged)} more could not be decided." if len(claims) > len(judged) else "."
    told = [
        f"{one.what} ({f'expected {one.expected}, ' if one.expected else ''}found {one.found})"
        if one.found
        else one.what
        for one in wrong
    ]
    lines = [count]
    if wrong:
        more = f"; and {_many(len(wrong) - NAMED, 'other')}" if len(wrong) > NAMED else ""
        lines[0] = f"{count.rstrip('.;: ')}. Does not hold: {'; '.join(told[:NAMED])}{more}."
        lines += [f"Does not hold: {one}." for one in told[NAMED:SHOWN]]
    return lines + ([f"And {_many(len(wrong) - SHOWN, 'other')} too."] if len(wrong) > SHOWN else [])


def _several(lines: Sequence[str], head: str = "", noun: str = "curve") -> list[str]:
    """One line per curve, where there are several with their number first; after LINES of them the table goes on."""
    if len(lines) == 1:
        return [*([head] if head else []), lines[0]]
    first = [f"{_many(len(lines), noun)}: {head}"] if head else [f"{_many(len(lines), noun)}; {lines[0]}"]
    rest = list(lines if head else lines[1:])
    room = LINES - (0 if head else 1)
    return [*first, *rest[:room], *([f"And {len(rest) - room} more: see the table."] if len(rest) > room else [])]


def _called(row: Mapping[str, Any], *until: str) -> str:
    """What a row calls its curve: the columns before the first of those named."""
    names = list(row)
    names = names[: min((names.index(name) for name in until if name in names), default=1)]
    told = [str(row[name]) if isinstance(row[name], str) else f"{name} = {row[name]}" for name in names]
    return ", ".join(told) or "the curve"


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
    power_law, reason = record["verdict"]["power_law"], record["verdict"]["reason"]
    bent = power_law is False  # then an exponent is that of one place, and not of the data
    reached = "" if last["loss"] is None else f"{_interval(last, 'loss')} at n = {last['n']:,.0f}"
    if bent:
        lines = [f"No power law, so that no exponent is quoted: {reason.removeprefix('no power law: ')}."]
        lines += [f"The loss is predicted to be {reached}."] if reached else []
    else:
        said = f"The loss is predicted to fall with the exponent {' and '.join(falls)}"
        lines = [said if falls else "No exponent of the loss could be read from these data"]
        lines[0] += (
            f", to {reached}." if reached and falls else f"; it is predicted to be {reached}." if reached else "."
        )
    lines.append(f"Data: {record['description']}.")
    read = [
        f"{name} = {_interval(quoted[name])}"
        for name in ("alpha", "beta", "noise")
        if name in quoted and not (bent and name != "noise")
    ]
    if read:
        lines.append(f"Read from the sample: {', '.join(read)}.")
    if not bent:
        lines.append(f"Is the spectrum a power law? {'Yes' if power_law else 'Undecided'}: {reason}.")
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
            if len(curves) == 1 and one.get("choice"):
                return [*lines, one["choice"]]
        lines = _several(lines)
    else:
        counts = Counter(one["status"] for one in curves)
        lines = [f"{len(curves)} curves: {', '.join(f'{many} {status}' for status, many in counts.most_common())}."]
        chosen = Counter(one["law"] for one in curves if one["law"] is not None).most_common(SHOWN)
        lines.append(f"Chosen most often: {', '.join(f'{law} ({many})' for law, many in chosen)}.")
    laws = record["laws"]
    if laws:
        first = next((one for one in laws if one["law"] != "tail"), laws[0])
        tail = next((one for one in laws if one["law"] == "tail" != first["law"]), None)
        several = len(curves) > 1
        lines.append(
            f"Over all curves, {first['law']} has the best rank of the laws on the sizes held out: {_scored(first)}. "
            "Each curve has the law chosen on its own sizes."
            if several
            else f"Of the laws, {first['law']} came closest to the sizes held out, with an error of "
            f"{first['median_error']:.3g} in the logarithm of the loss."
        )
        if tail is not None:
            error = _scored(tail) if several else f"error {tail['median_error']:.3g}"
            lines.append(
                f"The tail, a fit to the end of the curve alone and no law of all of it ({error}), makes the forecast "
                "where no law was asked for."
            )
    return lines


def _scored(row: Mapping[str, Any]) -> str:
    """How a law did over several curves."""
    return (
        f"mean rank {row['mean_rank']:.2f} over {_many(row['fitted'], 'curve')}, median error "
        f"{row['median_error']:.3g} in the logarithm of the loss"
    )


def _verdicts(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    lines, evidence = [], []
    names = [_called(row, "along", "regime") for row in rows]
    for row, called in zip(rows, names, strict=True):
        held = [f"{axis} = {row[axis]:g}" for axis in ("n", "k") if row.get(axis) is not None]
        name = ", ".join([called, *held]) if names.count(called) > 1 else called  # lines of one grid
        said = f"{name}: {row['regime']}"
        if row["regime"] == "undecided" and row.get("possible"):
            said += f" ({str(row['possible']).replace('; ', ' or ')})"
        if row.get("exponent") is not None:
            said += f", exponent {_ends(row['exponent'], row.get('low'), row.get('high'))}"
        lines.append(said + ".")
        evidence.append(f"Evidence, {name}: {row.get('evidence') or 'none'}.")
    if len(rows) > SHOWN:
        counts = Counter(str(row["regime"]) for row in rows).most_common()
        return _several(lines, ", ".join(f"{many} {regime}" for regime, many in counts) + ".", "verdict")
    return [*_several(lines), *evidence]


def _plan(record: Mapping[str, Any]) -> list[str]:
    rows, target = record["plans"], record["settings"]["target"]
    curves: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        curves.setdefault(_called(row, "law"), []).append(row)
    told = [_planned(mine, target) for mine in curves.values()]
    lines = _several([f"{curve}: {said}" for curve, (said, _) in zip(curves, told, strict=True)])
    notes = [f"{curve}, {note}." for curve, (_, mine) in zip(curves, told, strict=True) for note in mine]
    return [*lines, *(notes if len(curves) <= SHOWN else [])]


def _planned(rows: Sequence[Mapping[str, Any]], target: float) -> tuple[str, list[str]]:
    """What one curve needs, by the law that ranks first if that reaches the target; and notes on the laws named."""
    fitted = [row for row in rows if row["law"] != "-"]
    if not fitted:
        return f"no law could be fitted: {rows[0].get('note') or 'see the table'}.", []
    ranked = sorted(fitted, key=lambda row: math.inf if row.get("held_out_error") is None else row["held_out_error"])
    first, ranks = ranked[0], ranked[0].get("held_out_error") is not None
    reached = [row for row in ranked if row.get("reached") and _wanted(row)]
    if not reached:
        return f"no law that was fitted reaches a loss of {target:g}.", []
    best, count = reached[0], f"{len(reached)} of {_many(len(fitted), 'law')}"
    if not ranks:
        said = f"a loss of {target:g} needs {_wanted(best)} by {best['law']}; {count} reach it, none of them ranked."
    elif best is first:
        said = f"a loss of {target:g} needs {_wanted(best)} by {_erring(best)}, which ranks first; {count} reach it."
    else:
        only = f"only {_erring(best)} reaches it" if len(reached) == 1 else f"{_erring(best)} is the best that does"
        said = (
            f"a loss of {target:g} is not reached by {_erring(first)}, which ranks first; {only}, at {_wanted(best)}."
        )
    named = [best] if best is first or not ranks else [first, best]
    return said, [f"{row['law']}: {row['note']}" for row in named if row.get("note")]


def _erring(row: Mapping[str, Any]) -> str:
    """A law with its error on the sizes that were held out."""
    return f"{row['law']} (held-out error {row['held_out_error']:.3g})"


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
