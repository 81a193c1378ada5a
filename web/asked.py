"""A search as the web is asked for it, in a body or in an address, and its answer by the shared use cases."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from encoders.errors import SearchError
from retrieval.answers import Answer, SearchOptions
from retrieval.filters import Filters, parse_age, parse_label_source, parse_sex
from retrieval.service import CaseSearch
from retrieval.upload_questions import NotEncodedError
from web.access.caller import Caller
from web.desk import Desk
from web.problems import NotReadyError

MOST_HITS = 500
KINDS = ("text", "case", "report", "upload")


def _none_if_blank(value: Any) -> Any:
    """A form sends its empty fields too."""
    return None if isinstance(value, str) and not value.strip() else value


def _without_blanks(values: Any) -> Any:
    return [value for value in values if value != ""] if isinstance(values, list) else values


Word = Annotated[str | None, BeforeValidator(_none_if_blank)]
Words = Annotated[list[str], BeforeValidator(_without_blanks)]


class FilterFields(BaseModel):
    """Filters whose names are the same in a body and in an address."""

    model_config = ConfigDict(hide_input_in_errors=True)

    label_source: Word = Field(
        None,
        description="Whose labels count: manual, extractor, zero_shot; else the first of these that speaks.",
        examples=["extractor"],
    )
    sex: Word = Field(None, description="The patient's sex: F or M.", examples=["F"])
    age: Word = Field(
        None, description="Years, both ends included; 40: and :70 are open.", examples=["40:70"]
    )
    manufacturer: Word = Field(
        None, description="Of the scanner: the whole name, in any case.", examples=["Philips"]
    )
    split: Word = Field(None, description="A data set's split.", examples=["valid"])
    dataset_filter: Word = Field(None, description="Only cases from this data set.", examples=["ct-rate"])

    def filters(self, labels: Iterable[str], without_labels: Iterable[str]) -> Filters:
        """Return the filters.

        Raises:
            SearchError: one of them says nothing that can be matched.
        """
        return Filters(
            labels=tuple(labels),
            without_labels=tuple(without_labels),
            label_source=None if self.label_source is None else parse_label_source(self.label_source),
            sex=None if self.sex is None else parse_sex(self.sex),
            age=None if self.age is None else parse_age(self.age),
            manufacturer=self.manufacturer,
            split=self.split,
            dataset=self.dataset_filter,
        )


class FilterLink(FilterFields):
    """Filters in an address."""

    label: Words = Field(
        [], description="A finding that is known to be present; repeat for more.", examples=[["Lung nodule"]]
    )
    without_label: Words = Field(
        [],
        description="A finding that is known to be absent; unknown is not absent.",
        examples=[["Emphysema"]],
    )

    def to_filters(self) -> Filters:
        """Return the filters; see `FilterFields.filters`."""
        return self.filters(self.label, self.without_label)


class _Options(BaseModel):
    text: Word = Field(
        None,
        description="A finding or a few, in words.",
        examples=["bilateral pleural effusion without consolidation"],
    )
    case: Word = Field(None, description="The name of a stored volume or study.", examples=["valid_53_a_1"])
    dataset: Word = Field(
        None, description="Where `case` is from; the name is then exact.", examples=["ct-rate"]
    )
    upload: Word = Field(None, description="The id of an upload that is encoded.")
    k: int = Field(10, ge=1, le=MOST_HITS, description="How many hits.")
    collection: Word = Field(None, description="Where to look; `default`, or the only one there is.")
    exclude: Literal["same-study", "same-patient", "none"] = Field(
        "same-study", description="What of the case that asks is not to be found."
    )
    unit: Literal["study", "volume"] = Field(
        "study", description="What a hit is: a scan, or each of its reconstructions."
    )
    engine: Literal["auto", "faiss", "pgvector"] = Field("auto", description="What compares latents.")


class SearchBody(_Options, FilterFields):
    """A search, exactly one of `text`, `case`, `report` and `upload`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"text": "bilateral pleural effusion", "k": 5, "without_labels": ["Consolidation"]},
                {"case": "valid_53_a", "dataset": "ct-rate", "sex": "F", "age": "40:70"},
                {"report": "Findings: A 9 mm nodule in the left lung.\nImpression: Lung nodule."},
                {"upload": "c2Vjb25kbmF0dXJl", "exclude": "same-patient"},
            ]
        },
    )

    report: Word = Field(None, description="A report as text, with or without headings; at most 1 MB.")
    labels: Words = Field([], description="Findings that are known to be present.")
    without_labels: Words = Field(
        [], description="Findings that are known to be absent; unknown is not absent."
    )
    legs: list[Literal["text", "report", "volume"]] = Field(
        [], description="Search only these: what reports say, their latents, volumes' latents."
    )

    def to_options(self) -> SearchOptions:
        """Return how many, filters, unit, exclusion.

        Raises:
            SearchError: one of them says nothing that can be matched.
        """
        return SearchOptions(
            k=self.k,
            filters=self.filters(self.labels, self.without_labels),
            unit=self.unit,
            exclude=self.exclude,
            engine=self.engine,
            legs=tuple(self.legs),
        )

    def subject(self) -> tuple[str, str]:
        """Return which kind of question this is, and its value.

        Raises:
            SearchError: it is none, or more than one.
        """
        given = [(kind, value) for kind in KINDS if (value := getattr(self, kind)) is not None]
        if len(given) != 1:
            found = " and ".join(kind for kind, _ in given) or "none"
            raise SearchError(f"a search needs one of {', '.join(KINDS)}; found {found}")
        if self.dataset is not None and self.case is None:
            raise SearchError("dataset says where a case is from: name the case, or filter by dataset_filter")
        return given[0]


class SearchLink(_Options, FilterLink):
    """A search in an address. It takes no report: addresses are kept in logs and histories."""

    leg: list[Literal["text", "report", "volume"]] = Field(
        [],
        description="Search only this: what reports say, their latents, volumes' latents; repeat for more.",
    )

    @property
    def is_asked(self) -> bool:
        """Whether there is anything to search for."""
        return not (self.text is None and self.case is None and self.upload is None)

    def to_body(self) -> SearchBody:
        """Return the same search as a body."""
        same = self.model_dump(exclude={"label", "without_label", "leg"})
        return SearchBody(**same, labels=self.label, without_labels=self.without_label, legs=self.leg)


def service_for(desk: Desk, caller: Caller) -> CaseSearch:
    """Return the use cases as this caller may use them: paths and hospital names are for admins."""
    return desk.search.on_behalf_of(caller.name, opens_sealed=caller.may("admin"))


def answer_search(desk: Desk, caller: Caller, asked: SearchBody) -> Answer:
    """Answer a search by the use cases that the command line has too.

    Raises:
        SearchError: the question cannot be answered as it was put.
        NotReadyError: the upload that asks is not encoded yet.
    """
    kind, value = asked.subject()
    service, options, where = service_for(desk, caller), asked.to_options(), asked.collection
    if kind == "text":
        return service.search_by_text(value, options, collection=where)
    if kind == "report":
        return service.search_by_report_text(value, options, collection=where)
    if kind == "case":
        return service.search_by_case(value, options, collection=where, dataset=asked.dataset)
    owner = None if caller.may("admin") else caller.name
    try:
        return service.search_by_upload(value, options, collection=where, actor=owner)
    except NotEncodedError as error:
        raise NotReadyError(str(error), job=error.job) from error


def answer_document(answer: Answer, caller: Caller) -> dict[str, Any]:
    """Return what `ctsearch search --json` prints, each hit with its dataset; paths are for admins alone."""
    document = answer.to_json()
    for hit in document["hits"]:
        hit["dataset"] = hit["metadata"]["dataset"]
    if not caller.may("admin"):
        document["query"].pop("source", None)
        for hit in document["hits"]:
            hit["metadata"].pop("source", None)
    return document


def subjects_of(answer: Answer) -> list[str]:
    """Return the studies that an answer shows, as the audit names them."""
    return [f"{hit.metadata['dataset']}/{hit.study}" for hit in answer.hits]
