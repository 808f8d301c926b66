"""Commands for casework: openset, evidence, identify, verify, explain."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.contract import run_files
from engine.contract.errors import UserError
from handreid_tui.casework import CASES
from handreid_tui.cli.options import Json, Run, Runs, Several, places

Evaluation = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Evaluation on other data: its folder in the run's `evaluations`.",
        show_default="the run's own test",
    ),
]
GroupBy = Annotated[
    str | None,
    typer.Option(
        metavar="LABELS",
        help="Split the rates by labels of the data set: sex, skin, age, or several separated by commas.",
        show_default="not split",
    ),
]
Cases = Annotated[Path, typer.Option(metavar="DIR", help="Folder of the cases.")]
Case = Annotated[str, typer.Argument(metavar="CASE", help="A number, a name, a folder, or `last`.")]


def openset(
    runs_: Several,
    fpir: Annotated[str, typer.Option(metavar="RATES", help="False positive identification rates.")] = "0.1,0.01",
    list_: Annotated[str, typer.Option("--list", metavar="LENGTHS", help="Lengths of candidate lists.")] = "1,5,20",
    size: Annotated[int | None, typer.Option(min=1, help="People in the gallery.", show_default="as tested")] = None,
    by: GroupBy = None,
    evaluation: Evaluation = None,
    as_json: Json = False,
    runs: Runs = None,
) -> None:
    """Measure how often a person in the gallery is missed, and how often a search for another gives a candidate.

    Examples: `handreid openset last` · `handreid openset 3 7 --size 20` · `handreid openset 3 --by sex,age`
    """
    from handreid_tui.cli.openset import OpenSetRequest, parse_ranks, parse_rates, show_open_set
    from handreid_tui.evidence.groups import parse_by

    asked = OpenSetRequest(parse_rates(fpir), parse_ranks(list_), size, parse_by(by) if by else [])
    show_open_set(places(None, runs), runs_, evaluation, asked, as_json)


def evidence(
    run: Run,
    images: Annotated[str, typer.Option(metavar="M:R", help="Number of probe and of reference images.")] = "1:1",
    population: Annotated[
        str,
        typer.Option(
            metavar="LABELS", help="Different people to compare with: all, or those of the same sex, skin or sex,skin."
        ),
    ] = "all",
    by: GroupBy = None,
    words: Annotated[bool, typer.Option("--words", help="Add verbal equivalents to the numbers.")] = False,
    evaluation: Evaluation = None,
    as_json: Json = False,
    runs: Runs = None,
) -> None:
    """Calibrate a run's scores as likelihood ratios on its test people, and measure how good these are.

    Examples: `handreid evidence last` · `handreid evidence 3 --images 5:3` · `handreid evidence 3 --population sex`
    """
    from handreid_tui.cli.evidence import EvidenceRequest, show_evidence
    from handreid_tui.evidence.evidence import parse_population, parse_shape
    from handreid_tui.evidence.groups import parse_by

    asked = EvidenceRequest(parse_shape(images), parse_population(population), parse_by(by) if by else [], words)
    show_evidence(places(None, runs), run, evaluation, asked, as_json)


def identify(
    run: Run,
    photos: Annotated[list[Path], typer.Argument(metavar="PHOTO...", help="Photos, all of one unknown person.")],
    gallery: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder that contains a folder of images for each known person.")
    ],
    calibration: Annotated[
        str | None,
        typer.Option(
            metavar="RUN|FILE",
            help=f"Run with an {run_files.EVIDENCE}, or that file.",
            show_default="that of RUN, if it has one",
        ),
    ] = None,
    aspect: Annotated[
        str,
        typer.Option(
            metavar="ASPECT",
            help="Aspect of the hand that the photos show, such as dorsal-right.",
            show_default="unknown",
        ),
    ] = "",
    length: Annotated[int, typer.Option("--list", min=1, help="Candidates to list.")] = 20,
    fpir: Annotated[
        float | None,
        typer.Option(metavar="RATE", help="Mark the threshold for this FPIR.", show_default="no threshold"),
    ] = None,
    name: Annotated[str, typer.Option(metavar="NAME", help="Name of the case.")] = "search",
    pictures: Annotated[
        bool, typer.Option("--pictures", help="Include small copies of the images in the report.")
    ] = False,
    features: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Keep the features of the gallery in this file.", show_default="in the case"),
    ] = None,
    cases: Cases = CASES,
    as_json: Json = False,
    runs: Runs = None,
) -> None:
    """Search a gallery for an unknown person, and keep the search as a case with a log.

    Pictures are copied only with --pictures; nothing is written into the gallery or beside the photos.

    Examples: `handreid identify 3 photo.jpg --gallery known --aspect dorsal-right`
    · `handreid identify 3 a.jpg b.jpg --gallery known --name "case 7"`
    """
    from handreid_tui.casework.identify import IdentifyRequest
    from handreid_tui.cli.identify import calibration_file, check_aspect, show_search
    from handreid_tui.runs.select import find_run

    if fpir is not None and not 0 < fpir < 1:
        raise UserError(f"--fpir takes a fraction between 0 and 1, but got {fpir:g}.")
    found = places(None, runs)
    directory = find_run(found.runs, run)
    source = calibration_file(found, directory, calibration)
    request = IdentifyRequest(
        run=directory,
        photos=photos,
        gallery=gallery,
        cases=cases,
        name=name.strip() or "search",
        calibration=source,
        aspect=check_aspect(aspect),
        length=length,
        fpir=fpir,
        pictures=pictures,
        features=features,
    )
    show_search(request, as_json)


def verify(
    case: Case,
    by: Annotated[
        str | None, typer.Option(metavar="NAME", help="Examiner who compared the images by eye.", show_default="none")
    ] = None,
    finding: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Finding of the examiner.", show_default="none")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Check that the log and the files are unchanged.")] = False,
    head: Annotated[
        str | None,
        typer.Option(
            metavar="HASH", help="With --check: a head of the log that was printed earlier.", show_default="none"
        ),
    ] = None,
    cases: Cases = CASES,
) -> None:
    """Add an examiner's finding to the log of a case (two people are expected), or check the log.

    Examples: `handreid verify last --by "A. Examiner" --finding "creases agree"` · `handreid verify 4 --check`
    """
    from handreid_tui.casework.folder import find_case
    from handreid_tui.cli.identify import add_verification, check_case

    folder = find_case(cases, case)
    if check == (by is not None or finding is not None):
        raise UserError("verify takes either --by NAME and --finding TEXT, or --check.")
    if check:
        check_case(folder, head)
    else:
        add_verification(folder, by or "", finding or "")


def explain(
    case: Case,
    rank: Annotated[int, typer.Argument(metavar="RANK", help="Rank of the candidate, from 1.")] = 1,
    cases: Cases = CASES,
) -> None:
    """Show what a candidate's score depends on, by hiding parts of the photo and of the reference.

    No map is shown if hiding the top quarter has no more effect than hiding a random one, or if the same model with
    random weights gives nearly the same map.

    Example: `handreid explain last 1`
    """
    from handreid_tui.casework.folder import find_case
    from handreid_tui.cli.explain import show_explanation

    show_explanation(find_case(cases, case), rank)
