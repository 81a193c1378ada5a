"""How alike answers and references are in words: BLEU-1, ROUGE-L, METEOR and CIDEr, each by a library.

rouge-score and sacrebleu come with `ctsearch[scores]`, METEOR and CIDEr with `ctsearch[coco]`; METEOR needs
Java besides. All read one reference an answer.
"""

import re
import shutil
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from chat.answers_file import Answered
from chat.measures import Measure, mean_of
from encoders.errors import ConfigError
from retrieval.evaluation.resampling import Values

_WORD = re.compile(r"\w+(?:[.,]\d+)*")
_LETTER = re.compile(r"\s*(?:\(([a-d])\)|([a-d])(?:[).:]|\s*$))", re.IGNORECASE)
_JAVA_FAILED = "METEOR was left out: Java is there and does not run its jar, see that `java -version` works"


def text_measures(answers: Sequence[Answered], warnings: list[str]) -> dict[str, Measure]:
    """Return the measures that the installed libraries make.

    Args:
        answers: of one task.
        warnings: gets a sentence for each measure that is missing, with what would make it.

    Raises:
        ConfigError: rouge-score or sacrebleu is not installed.
    """
    found = {"bleu_1": bleu_1(answers), "rouge_l": mean_of(rouge_l(answers))}
    for name, scores in (("meteor", meteor), ("cider", cider)):
        try:
            found[name] = mean_of(scores(answers))
        except ConfigError as error:
            warnings.append(str(error))
    if answers and answers[0].task in ("short_answer", "multiple_choice"):
        found["exact"] = mean_of(np.array([is_right(one) for one in answers], dtype=np.float64))
    return found


def bleu_1(answers: Sequence[Answered]) -> Measure:
    """BLEU with words alone, over all answers together, with the penalty for brevity.

    Source:
        Papineni et al. 2002; sacrebleu, its tokeniser "13a", lower case.
    """
    try:
        from sacrebleu.metrics.bleu import BLEU
    except ImportError as error:
        raise _missing("BLEU", "sacrebleu", "scores") from error
    metric = BLEU(lowercase=True, max_ngram_order=1, effective_order=True)
    counted = [metric.sentence_score(one.answer, [one.reference]) for one in answers]
    sums = [(score.counts[0], score.totals[0], score.ref_len) for score in counted]
    return Measure(np.array(sums, dtype=np.float64).reshape(-1, 3), _bleu_of_sums)


def rouge_l(answers: Sequence[Answered]) -> Values:
    """F of the longest common subsequence of words, an answer each.

    Source:
        Lin 2004; rouge-score, without stems.
    """
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError as error:
        raise _missing("ROUGE-L", "rouge-score", "scores") from error
    scorer = RougeScorer(["rougeL"])
    return np.array([scorer.score(one.reference, one.answer)["rougeL"].fmeasure for one in answers])


def meteor(answers: Sequence[Answered]) -> Values:
    """METEOR 1.5 of each answer.

    Source:
        Denkowski and Lavie 2014, the jar of pycocoevalcap (LGPL), which runs in a process of its own.
    """
    try:
        import pycocoevalcap.meteor.meteor  # noqa: F401
    except ImportError as error:
        raise _missing("METEOR", "pycocoevalcap", "coco") from error
    if shutil.which("java") is None:
        raise ConfigError("METEOR was left out: it needs Java, which is not installed or not on the PATH")
    told = [place for place, one in enumerate(answers) if words(one.answer) and words(one.reference)]
    scores = np.zeros(len(answers))
    if told:
        try:
            scores[told] = _meteor().compute_score(*_by_number([answers[place] for place in told]))[1]
        except (OSError, ValueError) as error:  # the process ended, or wrote what is no number
            _meteor.cache_clear()
            raise ConfigError(_JAVA_FAILED) from error
    return scores


@lru_cache(maxsize=1)  # its tables take seconds to load
def _meteor() -> Any:
    from pycocoevalcap.meteor.meteor import Meteor

    return Meteor()


def cider(answers: Sequence[Answered]) -> Values:
    """CIDEr-D of each answer, 0 to 10; what is rare is told from the references of all these answers.

    Source:
        Vedantam et al. 2015; pycocoevalcap.
    """
    try:
        from pycocoevalcap.cider.cider import Cider
    except ImportError as error:
        raise _missing("CIDEr", "pycocoevalcap", "coco") from error
    return np.array(Cider().compute_score(*_by_number(answers))[1], dtype=np.float64)


def words(text: str) -> str:
    """Return a text as METEOR and CIDEr read it: lower case, on one line, without punctuation."""
    return " ".join(_WORD.findall(text.lower()))


def _by_number(answers: Sequence[Answered]) -> tuple[dict[int, list[str]], dict[int, list[str]]]:
    references = {place: [words(one.reference)] for place, one in enumerate(answers)}
    return references, {place: [words(one.answer)] for place, one in enumerate(answers)}


def is_right(answered: Answered) -> bool:
    """Whether an answer is the reference: its letter in multiple choice, else its words."""
    if answered.task == "multiple_choice" and (right := _letter(answered.reference)):
        return _letter(answered.answer) == right
    return words(answered.reference) == words(answered.answer)


def _letter(text: str) -> str:
    found = _LETTER.match(text)
    return "" if found is None else (found[1] or found[2]).lower()


def _bleu_of_sums(sums_RS: Values) -> Values:
    """BLEU-1 from matching words, words of the answers and words of the references."""
    correct, answered, reference = sums_RS.T
    with np.errstate(divide="ignore", invalid="ignore"):
        penalty = np.where(answered < reference, np.exp(1 - reference / answered), 1.0)
        precision = correct / answered
    bleu: Values = np.where(answered > 0, penalty * precision, 0.0)
    return bleu


def _missing(measure: str, library: str, extra: str) -> ConfigError:
    return ConfigError(f"{measure} needs {library}, which is not installed: pip install 'ctsearch[{extra}]'")
