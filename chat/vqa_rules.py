"""Questions that rules answer from a report: short answers, multiple choice, the report itself.

Every draw comes from a generator that is seeded by the set's seed, the study and the kind, so a study's
questions do not change with the studies around it.
"""

import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from chat import vqa_pools
from chat.locations import LOBES
from chat.report_facts import Located, ReportFacts, read_facts
from chat.vqa import RULE_KINDS, Entry, RuleKind
from encoders.abnormalities import ABNORMALITIES
from encoders.reports import EMPTY_SECTION
from retrieval.cases import Case, Report

_LETTERS = "ABCD"
_WHOLE_LUNG = re.compile(r"(?:the )?(?:right|left|both|bilateral) lungs?(?: parenchyma)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleQuestions:
    """How many questions of each kind a study gets at most, and of which seed."""

    kinds: tuple[RuleKind, ...] = RULE_KINDS
    presence: int = 2  # with the answer yes, and as many with no; one with no where nothing is present
    location: int = 2
    abnormality: int = 1
    choice: int = 2
    seed: int = 0


def rule_entries(case: Case, questions: RuleQuestions) -> Iterator[Entry]:
    """Yield the questions that a study's report answers without doubt.

    Args:
        case: one without a report yields nothing; labels that it has must agree with the report.
        questions: how many of what.
    """
    report = one_report(case)
    if report is None:
        return
    facts = read_facts(report, case.labels)
    images = tuple(volume.name for volume in case.volumes) or (case.study,)
    makers: dict[RuleKind, Callable[[], Iterator[tuple[str, str]]]] = {
        "presence": lambda: _presence(facts, questions, rng),
        "location": lambda: _location(facts, questions, rng),
        "abnormality": lambda: _abnormality(facts, questions, rng),
        "disorder": lambda: _disorder(facts, rng),
        "choice": lambda: _choice(facts, questions, rng),
        "report": lambda: _report(report, rng),
    }
    for kind in questions.kinds:
        rng = random.Random(f"{questions.seed}/{case.study}/{kind}")  # noqa: S311
        for number, pair in enumerate(makers[kind](), start=1):
            image = rng.choice(images)
            yield Entry(id=f"{case.study}_{kind}_{number}", kind=kind, image=image, turns=(pair,))


def one_report(case: Case) -> Report | None:
    """Return what a study's reports say together; None where they say nothing."""
    findings = "\n".join(dict.fromkeys(filter(None, (_given(one.findings) for one in case.reports))))
    impression = "\n".join(dict.fromkeys(filter(None, (_given(one.impression) for one in case.reports))))
    if not findings and not impression:
        return None
    return Report(name=case.study, findings=findings, impression=impression)


def _given(section: str) -> str:
    text = " ".join(section.split())
    return "" if text.rstrip(".").lower() == EMPTY_SECTION else text


def _asked_as(finding: str) -> str:
    return finding[0].lower() + finding[1:]


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:].rstrip(".") + "."


def _presence(facts: ReportFacts, questions: RuleQuestions, rng: random.Random) -> Iterator[tuple[str, str]]:
    yes = rng.sample(facts.present, min(questions.presence, len(facts.present)))
    no = rng.sample(facts.absent, min(max(len(yes), 1), len(facts.absent), questions.presence))
    pairs = [(finding, "Yes.") for finding in yes] + [(finding, "No.") for finding in no]
    rng.shuffle(pairs)
    for finding, answer in pairs:
        yield rng.choice(vqa_pools.PRESENCE).format(_asked_as(finding)), answer


def _location(facts: ReportFacts, questions: RuleQuestions, rng: random.Random) -> Iterator[tuple[str, str]]:
    told = _placed(facts)
    for finding in rng.sample(sorted(told), min(questions.location, len(told))):
        answer = _sentence("; ".join(_different(told[finding])))
        yield rng.choice(vqa_pools.LOCATION).format(_asked_as(finding)), answer


def _placed(facts: ReportFacts) -> dict[str, list[Located]]:
    """Findings of which every sentence that tells a place was read."""
    told: dict[str, list[Located]] = {}
    for one in facts.located:
        if one.finding not in facts.unplaced:
            told.setdefault(one.finding, []).append(one)
    return told


def _different(told: Sequence[Located]) -> list[str]:
    """Places in the report's order, each once; "both lungs" says nothing beside the lobes that were named."""
    kept: dict[object, str] = {}
    for one in told:
        kept.setdefault(one.lobes or one.place.lower(), one.place)
    narrower = [place for place in kept.values() if not _WHOLE_LUNG.fullmatch(place)]
    return list(dict.fromkeys(narrower or kept.values()))


def _abnormality(
    facts: ReportFacts, questions: RuleQuestions, rng: random.Random
) -> Iterator[tuple[str, str]]:
    by_lobe: dict[str, set[str]] = {}
    for one in facts.located:
        for lobe in one.lobes or ():
            by_lobe.setdefault(lobe, set()).add(one.finding)
    asked = [lobe for lobe in LOBES if lobe in by_lobe]
    for lobe in rng.sample(asked, min(questions.abnormality, len(asked))):
        names = [name for name in ABNORMALITIES if name in by_lobe[lobe]]
        answer = _sentence(", ".join(map(_asked_as, names)))
        yield rng.choice(vqa_pools.ABNORMALITY).format(lobe), answer


def _disorder(facts: ReportFacts, rng: random.Random) -> Iterator[tuple[str, str]]:
    named = [*facts.disorders, *(f"possibly {name}" for name in facts.possible_disorders)]
    if named:
        yield rng.choice(vqa_pools.DISORDER), _sentence(", ".join(named))


def _choice(facts: ReportFacts, questions: RuleQuestions, rng: random.Random) -> Iterator[tuple[str, str]]:
    made = []
    if facts.present and len(facts.absent) >= 3:
        made.append(_options(rng, vqa_pools.CHOICE_PRESENT, facts.present, facts.absent))
    if facts.absent and len(facts.present) >= 3:
        made.append(_options(rng, vqa_pools.CHOICE_ABSENT, facts.absent, facts.present))
    made += _which_lobe(facts, rng)
    yield from rng.sample(made, min(questions.choice, len(made)))


def _which_lobe(facts: ReportFacts, rng: random.Random) -> Iterator[tuple[str, str]]:
    for finding, told in sorted(_placed(facts).items()):
        lobes = [one.lobes or frozenset() for one in told]
        if all(len(one) == 1 for one in lobes) and len(frozenset().union(*lobes)) == 1:
            right = tuple(lobes[0])
            others = tuple(lobe for lobe in LOBES if lobe not in right)
            questions = tuple(text.format(_asked_as(finding)) for text in vqa_pools.CHOICE_LOBE)
            yield _options(rng, questions, right, others)


def _options(
    rng: random.Random, questions: Sequence[str], right: Sequence[str], wrong: Sequence[str]
) -> tuple[str, str]:
    """Return a question with four options, of which one of `right` is the answer."""
    answer = rng.choice(right)
    options = [answer, *rng.sample(wrong, 3)]
    rng.shuffle(options)
    lines = [f"({letter}) {_asked_as(option)}" for letter, option in zip(_LETTERS, options, strict=True)]
    return "\n".join([rng.choice(questions), *lines]), lines[options.index(answer)]


def _report(report: Report, rng: random.Random) -> Iterator[tuple[str, str]]:
    sections = (("Findings", report.findings), ("Impression", report.impression))
    text = " ".join(f"{name}: {' '.join(section.split())}" for name, section in sections if section)
    yield rng.choice(vqa_pools.REPORT), text
