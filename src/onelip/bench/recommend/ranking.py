"""A ranking as a table."""

from __future__ import annotations

from onelip.bench.recommend.answer import Answer, Ranked
from onelip.bench.recommend.judging import Constraint, Judgement
from onelip.bench.recommend.options import Missing, Number
from onelip.bench.recommend.quantities import Quantity
from onelip.bench.recommend.words import CONSTANT, asked, is_constant, margin_text, spread
from onelip.bench.report.cells import Column, Line, Table, TableCell, text_cell

STATUSES = {"meets": "meets all", "unknown": "not all known", "fails": "fails"}


def ranking_table(answer: Answer, *, everything: bool = False) -> Table:
    """One line per method, its best choice; or all choices."""
    shown = answer.ranking if everything else answer.per_method
    objective = answer.question.objective
    columns = [Column(title=objective.title, note="spread")]
    columns += [Column(title=constraint.text, note="margin") for constraint in answer.question.constraints]
    columns += [Column(title="All in all", numeric=False), Column(title="Pareto front", numeric=False)]
    lines = [
        Line(
            head=one.choice.label,
            cells=(
                _number_cell(one.objective, objective, best=one.status == "meets" and one is answer.ranking[0]),
                *map(_judged_cell, one.judgements),
                TableCell(text=_status(one), note=CONSTANT if is_constant(one, answer) else ""),
                TableCell(text="yes" if one.on_front else ""),
            ),
            muted=one.status == "fails",
        )
        for one in shown
    ]
    return Table(caption=asked(answer), head="Method, size, budget", columns=tuple(columns), lines=tuple(lines))


def _status(one: Ranked) -> str:
    return STATUSES[one.status] if one.choice.seeds else "training failed"


def _number_cell(number: Number, quantity: Quantity, *, best: bool) -> TableCell:
    if isinstance(number, Missing):
        return text_cell("", number.reason)
    return TableCell(text=quantity.format(number.value), note=spread(number, quantity), best=best)


def _judged_cell(judged: Judgement) -> TableCell:
    if not isinstance(judged.constraint, Constraint):
        reason = judged.number.reason if isinstance(judged.number, Missing) else ""
        return text_cell({"meets": "yes", "fails": "no", "unknown": ""}[judged.status], reason)
    if judged.number is None or isinstance(judged.number, Missing) or judged.margin is None:
        return text_cell("", judged.number.reason if isinstance(judged.number, Missing) else "")
    note = f"{margin_text(judged)}, {spread(judged.number, judged.constraint.quantity)}"
    note += f", {judged.doubt}" * bool(judged.doubt)
    return TableCell(text=judged.constraint.quantity.format(judged.number.value), note=note)
