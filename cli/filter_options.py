"""The filters, as options that `search`, `score` and `cases list` have in common."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from retrieval.filters import Filters

LabelOption = Annotated[
    list[str] | None,
    typer.Option(
        "--label", metavar="FINDING", help="A finding that is known to be present; repeat for more."
    ),
]
WithoutLabelOption = Annotated[
    list[str] | None,
    typer.Option(
        "--without-label",
        metavar="FINDING",
        help="A finding that is known to be absent; unknown is not absent.",
    ),
]
LabelSourceOption = Annotated[
    str | None,
    typer.Option(
        metavar="manual|extractor|zero_shot", help="Whose labels count; else the first of these that speaks."
    ),
]
SexOption = Annotated[str | None, typer.Option(metavar="F|M", help="The patient's sex.")]
AgeOption = Annotated[
    str | None,
    typer.Option(metavar="40:70", help="Years, both included; 40: and :70 are open."),
]
ManufacturerOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="Of the scanner: the whole name, in any case.")
]
SplitOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="A data set's split, such as train or valid.")
]
DatasetOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="Where the case is from: ct-rate, rad-chestct, folder, dicom, phantom."
    ),
]


def filters_from(
    *,
    label: list[str] | None,
    without_label: list[str] | None,
    label_source: str | None,
    sex: str | None,
    age: str | None,
    manufacturer: str | None,
    split: str | None,
    dataset: str | None,
) -> "Filters":
    """Return what the options say.

    Raises:
        SearchError: one of them says nothing that can be matched.
    """
    from retrieval.filters import Filters, parse_age, parse_label_source, parse_sex

    return Filters(
        labels=tuple(label or ()),
        without_labels=tuple(without_label or ()),
        label_source=None if label_source is None else parse_label_source(label_source),
        sex=None if sex is None else parse_sex(sex),
        age=None if age is None else parse_age(age),
        manufacturer=manufacturer,
        split=split,
        dataset=dataset,
    )
