"""Questions in words: full text over the real reports, repeated until every study has one."""

import csv
import time
from dataclasses import dataclass, replace
from statistics import quantiles

from sqlalchemy import Engine

from retrieval.cases import Report
from retrieval.schema import partition_name
from retrieval.search import SearchOptions
from retrieval.service import CaseSearch
from retrieval.sessions import own_session
from retrieval.store import Store
from tests.benchmarks.archive import REAL_LABELS, Archive
from tests.benchmarks.asked import K
from tests.benchmarks.loading import COLLECTION

REAL_REPORTS = REAL_LABELS.with_name("validation_reports.csv")
QUESTIONS = (
    "pleural effusion",
    "no pleural effusion",
    "lung nodule without emphysema",
    "ground-glass opacities and consolidation in both lungs",
    "tree-in-bud",
    "azygos fissure",
    "sternotomy wires",
    "coronary artery calcification, hiatal hernia",
    "fluid around the heart",
    "Millimetric nonspecific nodules in both lungs.",
)
_REPEATS = 4

# What PostgreSQL's own full text answers, polarity aside: the sentences with all the words, by rank.
_BARE = f"""
SELECT report_id, max(ts_rank_cd(said, asked)) AS rank
FROM report_sentence, websearch_to_tsquery('radiology', %s) AS asked
WHERE said @@ asked GROUP BY report_id ORDER BY rank DESC LIMIT {K}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class WordsTime:
    """Milliseconds a question, through `CaseSearch` and by plain full-text SQL."""

    question: str
    reports: int
    p50_ms: float
    p95_ms: float
    bare_ms: float


def with_reports(archive: Archive) -> Archive | None:
    """Return an archive whose studies have the real reports in turn; None where these are missing."""
    if not REAL_REPORTS.exists():
        return None
    with REAL_REPORTS.open(newline="", encoding="utf-8") as stream:
        reports = [
            Report(name="", findings=row["Findings_EN"], impression=row["Impressions_EN"])
            for row in csv.DictReader(stream)
        ]
    told = tuple(
        replace(reports[number % len(reports)], name=study) for number, study in enumerate(archive.study)
    )
    return replace(archive, report=told)


def words_times(engine: Engine) -> list[WordsTime]:
    """Ask each question several times."""
    info = Store(engine).collection(COLLECTION)
    service, options = CaseSearch(engine), SearchOptions(k=K, legs=("text",))
    times = []
    with own_session(engine) as session:
        [(reports,)] = session.execute("SELECT count(*) FROM report")
        session.execute(f"ANALYZE report_sentence, report, {partition_name(info.id)}")
        for question in QUESTIONS:
            service.search_by_text(question, options)
            ours, bare = [], []
            for _ in range(_REPEATS):
                start = time.perf_counter()
                service.search_by_text(question, options)
                between = time.perf_counter()
                session.execute(_BARE, (question,)).fetchall()
                ours.append(1000 * (between - start))
                bare.append(1000 * (time.perf_counter() - between))
            times.append(
                WordsTime(
                    question=question,
                    reports=reports,
                    p50_ms=quantiles(ours, n=100, method="inclusive")[49],
                    p95_ms=quantiles(ours, n=100, method="inclusive")[94],
                    bare_ms=quantiles(bare, n=100, method="inclusive")[49],
                )
            )
    return times
