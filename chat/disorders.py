"""Disorders that an impression names, worded as `encoders.wordings` words findings."""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache

from chat.finding_words import stand_near, stemmed
from encoders.label_rules import WordingIndex, stemmed_wording
from encoders.sentences import Sentence
from encoders.wordings import wordings

DISORDERS: Mapping[str, tuple[str, ...]] = {
    "COVID-19 pneumonia": wordings(
        "covid pneumonia; covid 19; covid; corona virus; coronavirus; sars cov; viral pneumonia covid"
    ),
    "viral pneumonia": wordings("viral pneumonia -covid; viral infection -covid"),
    "pneumonia": wordings("pneumonia -covid -viral -aspiration; pneumonic infiltration -covid -viral"),
    "aspiration pneumonia": wordings("aspiration pneumonia"),
    "tuberculosis": wordings("tuberculosis; tbc"),
    "bronchiolitis": wordings("bronchiolitis"),
    "bronchitis": wordings("bronchitis"),
    "chronic obstructive pulmonary disease": wordings("copd; chronic obstructive pulmonary disease"),
    "small airway disease": wordings("small airway disease"),
    "interstitial lung disease": wordings("interstitial lung disease; interstitial pneumonia; uip; nsip"),
    "pulmonary fibrosis": wordings("pulmonary fibrosis; lung fibrosis; interstitial fibrosis"),
    "sarcoidosis": wordings("sarcoidosis"),
    "pulmonary edema": wordings("pulmonary edema; lung edema"),
    "heart failure": wordings("heart failure; cardiac failure; cardiac decompensation; congestive heart"),
    "pulmonary hypertension": wordings("pulmonary hypertension"),
    "pulmonary embolism": wordings("pulmonary embolism; pulmonary embolus; pulmonary thromboembolism"),
    "pulmonary infarct": wordings("pulmonary infarct; lung infarct"),
    "pneumothorax": wordings("pneumothorax -hydropneumothorax"),
    "empyema": wordings("empyema"),
    "lung abscess": wordings("lung abscess; pulmonary abscess"),
    "lung cancer": wordings("lung cancer; lung carcinoma; bronchogenic carcinoma; lung malignancy; lung ca"),
    "metastasis": wordings("metastasis; metastatic"),
    "lymphoma": wordings("lymphoma"),
    "lymphangitis carcinomatosa": wordings("lymphangitis; lymphangitic"),
    "mesothelioma": wordings("mesothelioma"),
    "hydatid cyst": wordings("hydatid; cyst hydatid"),
    "aortic aneurysm": wordings("aorta aneurysm; aortic aneurysm; ascending aneurysm"),
    "hepatic steatosis": wordings(
        "hepatic steatosis; liver steatosis; hepatosteatosis; fatty liver; adiposity liver"
    ),
    "gallstones": wordings("cholelithiasis; gallstone; gallbladder stone; gallbladder calculus"),
    "kidney stones": wordings("nephrolithiasis; kidney stone; renal stone; renal calculus"),
    "scoliosis": wordings("scoliosis"),
    "osteoporosis": wordings("osteoporosis; osteopenia"),
    "spondylosis": wordings("spondylosis; degenerative spine; degenerative vertebra; osteophyte vertebra"),
    "goiter": wordings("goiter"),
}
"""Each disorder and its wordings; in an answer it is written as here."""

_NARROWER: Mapping[str, tuple[str, ...]] = {  # named, a disorder says all that the wider ones say
    "COVID-19 pneumonia": ("viral pneumonia", "pneumonia"),
    "viral pneumonia": ("pneumonia",),
    "aspiration pneumonia": ("pneumonia",),
}
_MAYBE = re.compile(  # an affirmed sentence that only leads to a disorder
    r"(?:can|may|could) (?:also )?be seen in|differential|considered|first plan|initially|in favou?r of"
    r"|rule out",
    re.IGNORECASE,
)


def named_disorders(sentences: Iterable[Sentence]) -> Iterator[tuple[str, bool]]:
    """Yield the disorders of the impression, and whether each is only thought possible; denied ones never."""
    names, index = tuple(DISORDERS), _disorder_index()
    said: dict[str, set[str]] = {"affirmed": set(), "hedged": set(), "denied": set()}
    for sentence in sentences:
        for part, here in said.items():
            words = stemmed(getattr(sentence.said, part))
            if sentence.section == "impression" or part == "denied":
                leads = part == "affirmed" and _MAYBE.search(sentence.text)
                (said["hedged"] if leads else here).update(
                    names[index.wordings[number].finding]
                    for number in index.found(words)
                    if stand_near(index.wordings[number].words, words)
                )
    named = (said["affirmed"] | said["hedged"]) - said["denied"]
    told = {wider for name in named for wider in _NARROWER.get(name, ())}
    for name in names:
        if name in named - told:
            yield name, name in said["hedged"]


@lru_cache(maxsize=1)
def _disorder_index() -> WordingIndex:
    return WordingIndex(
        [stemmed_wording(place, text) for place, said_as in enumerate(DISORDERS.values()) for text in said_as]
    )
