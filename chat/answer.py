"""The answer: a draft, checked against what is stored, with its citations; or a refusal, decided in code."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from chat.backends import Asked, Backend
from chat.citations import Checked, Checker, sentences
from chat.draft import NOT_IN_CASES
from chat.evidence import Quote
from chat.extractive import COMPUTED, Extractive, asked_parts
from chat.question import Part
from encoders.errors import SearchError
from retrieval.text_query import LONGEST_QUESTION

NO_IMAGE = (
    f"{NOT_IN_CASES}: the question is about an image, and neither a volume nor a single case was given."
)
NO_CASE = f"{NOT_IN_CASES}: there is no case to answer from."
FROM_VOLUME = "[model]"
FROM_VOLUME_NOTE = (
    f"\n{FROM_VOLUME}: the model read it from the volume; no report says so and nothing checks it."
)
UNSUPPORTED = f"{NOT_IN_CASES}: nothing that was drafted could be traced to a sentence of a report."


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is shown: text whose every quote is stored so, or a refusal."""

    text: str
    refused: bool
    backend: str
    citations: tuple[Quote, ...] = ()
    dropped: int = 0  # sentences of the draft that nothing stored supports

    def to_json(self) -> dict[str, Any]:
        """What `ctsearch ask --json` prints."""
        return {
            "answer": self.text,
            "refused": self.refused,
            "backend": self.backend,
            "citations": [
                {
                    "study": q.name or q.study,
                    "dataset": q.dataset,
                    "section": q.section,
                    "sentence": q.sentence,
                    "quote": q.text,
                }
                for q in self.citations
            ],
        }


def check_question(question: str) -> None:
    """Refuse what is no question.

    Raises:
        SearchError: it is empty, or longer than LONGEST_QUESTION.
    """
    if not any(character.isalnum() for character in question):
        raise SearchError("the question is empty; ask as in 'Is there a pleural effusion?'")
    if len(question) > LONGEST_QUESTION:
        raise SearchError(f"the question has {len(question)} characters; ask in at most {LONGEST_QUESTION}")


def answer(asked: Asked, backend: Backend, on_text: Callable[[str], None] | None = None) -> Answer:
    """Answer a question from its evidence.

    Counts, comparisons, days and ages are worked out from the data, whatever the backend; the rest it drafts.

    Args:
        asked: the question and what it may be answered from.
        backend: what drafts.
        on_text: is given each sentence as soon as it is checked.

    Raises:
        SearchError: the question is empty or too long.
        BackendError: the backend is down, too slow, or returns what is no answer.
    """
    check_question(asked.question)
    parts = asked_parts(asked)
    refusal = _refusal(asked, parts)
    if refusal is not None:
        if on_text is not None:
            on_text(refusal)
        return Answer(text=refusal, refused=True, backend=backend.name)
    texts: list[str] = []
    citations: dict[Quote, None] = {}
    dropped = 0
    for checked in _checked(asked, backend, parts):
        if checked is None:
            dropped += 1
            continue
        texts.append(checked.text)
        citations.update(dict.fromkeys(checked.citations))
        if on_text is not None:
            on_text(checked.text)
    text = "".join(texts).strip()
    if not text and on_text is not None:
        on_text(UNSUPPORTED)
    return Answer(
        text=text or UNSUPPORTED,
        refused=not text or _only_refuses(text, citations),
        backend=backend.name,
        citations=tuple(citations),
        dropped=dropped,
    )


def _refusal(asked: Asked, parts: tuple[Part, ...]) -> str | None:
    """Return why a question is refused before any backend sees it."""
    evidence = asked.evidence
    of_image = asked.mode == "report_generation" or any(part.about_image for part in parts)
    if of_image and not evidence.has_volume and len(evidence.cases) != 1:
        return NO_IMAGE
    return NO_CASE if not evidence.cases and not evidence.has_volume else None


def _checked(asked: Asked, backend: Backend, parts: tuple[Part, ...]) -> Iterator[Checked | None]:
    """Yield the sentences of the draft, None for each that does not hold."""
    checker = Checker(asked.evidence.cases)
    own = Extractive()
    if backend.name == own.name:
        yield from _lines(own, asked, checker)
        return
    computed = [part.text for part in parts if part.kind in COMPUTED]
    left = [part.text for part in parts if part.kind not in COMPUTED]
    if computed and asked.mode != "report_generation":
        yield from _lines(own, replace(asked, question="? ".join(computed)), checker)
        if not left:
            return
        asked = replace(asked, question="? ".join(left))
        yield Checked("\n", ())
    yield from _claims(backend, asked, checker)


def _lines(own: Extractive, asked: Asked, checker: Checker) -> Iterator[Checked | None]:
    for line in own.stream(asked):
        yield checker.computed(line)


def _claims(backend: Backend, asked: Asked, checker: Checker) -> Iterator[Checked | None]:
    """Check what a model drafts; what it reads from a volume it was shown cites nothing, and is marked so."""
    shown = backend.takes_volumes and bool(asked.volume_tokens)
    unseen = False
    for sentence in _drafted(backend, asked):
        if shown and sentence.strip() and not checker.cites(sentence):
            unseen = True
            whole = asked.mode == "report_generation"
            yield Checked(sentence if whole else f"{sentence.rstrip()} {FROM_VOLUME} ", ())
        else:
            yield checker.claimed(sentence)
    if unseen:
        yield Checked(FROM_VOLUME_NOTE, ())


def _drafted(backend: Backend, asked: Asked) -> Iterator[str]:
    rest = ""
    for piece in backend.stream(asked):
        finished, rest = sentences(rest + piece)
        yield from finished
    if rest.strip():
        yield rest


def _only_refuses(text: str, citations: dict[Quote, None]) -> bool:
    lines = [line for line in text.splitlines() if line.strip()]
    return (
        not citations
        and any(line.startswith(NOT_IN_CASES) for line in lines)
        and all(line.startswith(NOT_IN_CASES) or " was read as " in line for line in lines)
    )
