"""Commands for casework: openset, evidence, identify, verify, explain."""

from __future__ import annotations

from typing import Annotated

import typer

from handreid_tui.cli.options import Json, Runs, Several, places

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
