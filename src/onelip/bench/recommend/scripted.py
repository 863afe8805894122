"""An answer for a script."""

from __future__ import annotations

from onelip.bench.recommend.answer import Answer, Ranked
from onelip.bench.recommend.judging import Constraint
from onelip.bench.recommend.options import Missing, Number
from onelip.bench.recommend.words import details, headline


def facts(answer: Answer) -> dict[str, object]:
    """The answer for a script; numbers in base units."""
    return {
        "question": {
            "objective": answer.question.objective.key,
            "constraints": [
                {"key": one.key, "limit": one.limit if isinstance(one, Constraint) else True}
                for one in answer.question.constraints
            ],
        },
        "answer": headline(answer),
        "decided": answer.decided,
        "tied": [_name(one) for one in answer.tied],
        "rivals": [_name(one) for one in answer.rivals],
        "unsought": [one.method for one in answer.unsought],
        "alone": answer.alone,
        "possible": None if answer.possible is None else _name(answer.possible),
        "ranking": [_ranked_facts(one) for one in answer.ranking],
        "front": [_name(one) for one in answer.ranking if one.on_front],
        "rules_out": [
            {
                "constraint": blame.constraint.key,
                "fails": blame.ruled_out,
                "alone": blame.alone,
                "unknown": blame.unknown,
                "without": None if blame.without is None else _name(blame.without),
                "nearest": None if blame.nearest is None else _name(blame.nearest),
            }
            for blame in answer.blames
        ],
        "details": list(details(answer)),
    }


def _name(one: Ranked) -> dict[str, object]:
    choice = one.choice
    return {
        "label": choice.label,
        "method": choice.method,
        "size": choice.size,
        "kernel_size": choice.kernel_size,
        "padding": choice.padding,
        "budget": choice.budget,
        "source": choice.source,
        "place": choice.place,
    }


def _ranked_facts(one: Ranked) -> dict[str, object]:
    choice = one.choice
    return _name(one) | {
        "title": choice.title,
        "data": choice.data,
        "seeds": choice.seeds,
        "failed_seeds": choice.failed,
        "images": choice.images,
        "records": list(choice.records),
        "orthogonal": choice.orthogonal,
        "certifies_more_than_constant": choice.learned,
        "status": one.status,
        "objective": _number_facts(one.objective),
        "meets": [judged.constraint.key for judged in one.judgements if judged.status == "meets"],
        "fails": [judged.constraint.key for judged in one.judgements if judged.status == "fails"],
        "unknown": [judged.constraint.key for judged in one.judgements if judged.status == "unknown"],
        "judgements": {
            judged.constraint.key: {
                "status": judged.status,
                "margin": judged.margin,
                "sure": judged.sure,
                "doubt": judged.doubt,
                **({} if judged.number is None else _number_facts(judged.number)),
            }
            for judged in one.judgements
        },
        "on_front": one.on_front,
    }


def _number_facts(number: Number) -> dict[str, object]:
    if isinstance(number, Missing):
        return {"value": None, "reason": number.reason, "remedy": number.remedy, "settled": number.settled}
    return {
        "value": number.value,
        "low": number.low,
        "high": number.high,
        "basis": number.basis,
        "evidence": number.evidence,
    }
