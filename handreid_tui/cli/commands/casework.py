"""Commands for casework: openset, evidence, identify, verify, explain."""

from __future__ import annotations

from typing import Annotated

import typer

from handreid_tui.cli.options import Json, Run, Runs, Several, places

Evaluation = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Evaluation on other data, as `handreid evaluate` stores it.",
        show_default="that of the run itself",
    ),
]
GroupBy = Annotated[
    str | None,
    typer.Option(
        metavar="LABELS",
        help="Rates by the labels of the data set: sex, skin, age, or several with commas.",
        show_default="not split",
    ),
]


def openset(
    runs_: Several,
    fpir: Annotated[str, typer.Option(metavar="RATES", help="False positive identification rates.")] = "0.1,0.01",
    list_: Annotated[str, typer.Option("--list", metavar="LENGTHS", help="Candidate lists.")] = "1,5,20",
    size: Annotated[int | None, typer.Option(min=1, help="People enrolled.", show_default="as tested")] = None,
    by: GroupBy = None,
    evaluation: Evaluation = None,
    as_json: Json = False,
    runs: Runs = None,
) -> None:
    """Show how often a person in the gallery is missed, and how often one who is not in it gives a candidate.

    Examples: `handreid openset last` · `handreid openset 3 7 --size 20` · `handreid openset 3 --by sex,age`
    """
    from handreid_tui.cli.openset import Asked, parse_ranks, parse_rates, show_open_set
    from handreid_tui.evidence.groups import parse_by

    asked = Asked(parse_rates(fpir), parse_ranks(list_), size, parse_by(by) if by else [])
    show_open_set(places(None, runs), runs_, evaluation, asked, as_json)


def evidence(
    run: Run,
    images: Annotated[str, typer.Option(metavar="M:R", help="Images of a probe and of a reference.")] = "1:1",
    population: Annotated[
        str, typer.Option(help="Who the other person may be: all, sex, skin or sex,skin (the same as the one's).")
    ] = "all",
    by: GroupBy = None,
    words: Annotated[bool, typer.Option("--words", help="Verbal equivalents beside the numbers.")] = False,
    evaluation: Evaluation = None,
    as_json: Json = False,
    runs: Runs = None,
) -> None:
    """How strong the evidence of a run's scores is: likelihood ratios, calibrated and bounded by its test people.

    Examples: `handreid evidence last` · `handreid evidence 3 --images 5:3` · `handreid evidence 3 --population sex`
    """
    from handreid_tui.cli.evidence import Asked, show_evidence
    from handreid_tui.evidence.evidence import parse_population, parse_shape
    from handreid_tui.evidence.groups import parse_by

    asked = Asked(parse_shape(images), parse_population(population), parse_by(by) if by else [], words)
    show_evidence(places(None, runs), run, evaluation, asked, as_json)
