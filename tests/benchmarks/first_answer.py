"""How long the first words of an answer take, over ten cases of an archive of phantoms.

    python -m tests.benchmarks.first_answer

Each question is asked in a conversation of its own: evidence is gathered from PostgreSQL, the question is
read, and the clock stops at the first checked sentence. The first question also reads the wordings of all
findings.
"""

import os
import sys
import tempfile
import time

from chat.context import Context, Subject
from chat.conversation import Conversation
from chat.extractive import Extractive
from retrieval.datasets import open_source
from retrieval.migrate import open_archive
from retrieval.postgres import embedded_server
from retrieval.store import Store
from tests.datasets import cases_of

CASES = 10
SEED = 7
QUESTIONS = (
    "How many of these have emphysema?",
    "Is there a lung nodule?",
    "Where are the nodules?",
    "Which case has the largest nodule?",
    "Compare these cases.",
    "What was it in these cases?",
)


def main() -> None:
    """Fill an archive, ask, and print milliseconds."""
    with tempfile.TemporaryDirectory(prefix="ctsearch-ask-") as folder:
        os.environ["CTSEARCH_HOME"] = folder
        os.environ.pop("CTSEARCH_DATABASE", None)
        engine = open_archive()
        try:
            cases = cases_of(open_source(f"{CASES}:{SEED}", format="phantom"))[:CASES]
            Store(engine).save_cases(cases)
            subject = Subject(names=tuple(case.study for case in cases))
            for question in QUESTIONS:
                first, whole = _asked(Conversation(Context(engine), subject, Extractive()), question)
                sys.stdout.write(f"{question:<40} first {first:6.1f} ms, whole {whole:6.1f} ms\n")
        finally:
            engine.dispose()
            embedded_server().stop()


def _asked(conversation: Conversation, question: str) -> tuple[float, float]:
    start = time.perf_counter()
    heard: list[float] = []
    conversation.ask(question, lambda _: heard.append(time.perf_counter()))
    end = time.perf_counter()
    return (heard[0] - start) * 1000, (end - start) * 1000


if __name__ == "__main__":
    main()
