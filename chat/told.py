"""What is stored beside the reports: days since a patient's first study, age, sex, scores."""

from collections.abc import Iterator, Sequence

from chat.draft import Line, few, listed, silent
from chat.evidence import CaseEvidence
from chat.question import Part
from chat.question_words import FOLLOWED
from chat.sentence_reading import known_findings
from chat.verdicts import mentions, verdict


def days(part: Part, cases: Sequence[CaseEvidence]) -> Iterator[Line]:
    """Say how many days lie between studies of one patient; those of different patients are not compared."""
    strange = [topic for topic in part.topics if not any(any(mentions(case, topic)) for case in cases)]
    if strange and all(topic.finding is None for topic in strange):
        yield silent(f"the reports do not mention {strange[0].name.lower()}")
        return
    patients: dict[str, list[CaseEvidence]] = {}
    for case in cases:
        patients.setdefault(case.patient, []).append(case)
    followed = {patient: studies for patient, studies in patients.items() if len(studies) > 1}
    dated = {
        patient: sorted((case for case in studies if case.day is not None), key=_day)
        for patient, studies in followed.items()
    }
    if not any(len(studies) > 1 for studies in dated.values()):
        yield _undated(cases, followed=bool(followed), asks_after=bool(FOLLOWED.search(part.text)))
        return
    for patient, studies in dated.items():
        if len(studies) > 1:
            yield _interval(patient, studies)
            yield from _on_follow_up(part, studies)
    alone = [case.study for patient, studies in patients.items() if len(studies) == 1 for case in studies]
    if alone:
        yield Line(f"No other study of the patient is among these cases for {listed(alone)}.")


def person(part: Part, cases: Sequence[CaseEvidence]) -> Iterator[Line]:
    """Say the age and sex that are stored."""
    lowered = part.text.lower()
    wants_age = "age" in lowered or "old" in lowered
    told = []
    for case in cases:
        known = [f"{case.age:g} years"] if wants_age and case.age is not None else []
        if (not wants_age or "sex" in lowered or "gender" in lowered) and case.sex is not None:
            known.append("female" if case.sex == "F" else "male")
        if known:
            told.append(f"{case.study}: {', '.join(known)}")
    yield Line(f"By the stored metadata, {'; '.join(told)}.") if told else silent("it is not stored")


def scores(part: Part, cases: Sequence[CaseEvidence]) -> Iterator[Line]:
    """Say the zero-shot probabilities that are stored for the findings asked for."""
    names = [known_findings()[topic.finding].name for topic in part.topics if topic.finding is not None]
    told = [
        f"{name} in {case.study}: {case.scores[name]:.2f}"
        for case in cases
        for name in (names or case.scores)
        if name in case.scores
    ]
    if told:
        yield Line(f"By zero-shot score, which is no diagnosis: {'; '.join(told)}.")
    else:
        yield silent("no score of it is at hand")


def _undated(cases: Sequence[CaseEvidence], *, followed: bool, asks_after: bool) -> Line:
    if followed:
        return silent("the days of these studies are not stored")
    if len(cases) == 1 and cases[0].day is not None:
        made = f"{cases[0].study} was made on day {cases[0].day} since the first study of the patient."
        return Line(f"No other study of the patient is among these cases; {made}" if asks_after else made)
    return silent("days are counted within one patient, and no two of these studies are of one patient")


def _interval(patient: str, studies: Sequence[CaseEvidence]) -> Line:
    if len(studies) == 2:
        first, second = studies
        apart = _day(second) - _day(first)
        return Line(f"{patient}: {second.study} was made {apart} days after {first.study}.")
    told = ", ".join(f"{case.study} on day {_day(case)}" for case in studies)
    apart = _day(studies[-1]) - _day(studies[0])
    return Line(f"{patient}: {told}; {apart} days from the first to the last.")


def _on_follow_up(part: Part, studies: Sequence[CaseEvidence]) -> Iterator[Line]:
    """Say what later studies report of the topics."""
    for topic in part.topics:
        for case in studies[1:]:
            judged = verdict(case, topic)
            if judged.quotes:
                said = "yes" if judged.is_there else "no" if judged.status == "absent" else "as reported"
                yield Line(f"- {topic.name} in {case.study}, {said}:", few(judged.quotes, studies))
            else:
                yield Line(f"- {case.study} mentions no {topic.name.lower()}.")


def _day(case: CaseEvidence) -> int:
    return case.day or 0
