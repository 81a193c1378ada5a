"""Questions as they are typed, rewritten so that `encoders.negation` reads what they deny.

Reports deny in sentences ("No effusion was observed"); whoever types into a search box writes "effusion
absent", "emphysema: none", "heart not enlarged", "-effusion", and means by "rule out effusion" that it is
looked for. Nothing here touches what is stored of reports.
"""

import re

from encoders.word_families import ANATOMY, CHANGES
from retrieval.query_words import MODIFIERS

_LONGEST = 200  # characters: what is longer was not typed into a search box
_ORGANS = "|".join(sorted({f"{word}s?" for family in ANATOMY for word in family}, key=len, reverse=True))
_WHERE = "|".join(sorted(map(re.escape, MODIFIERS | {"the", "both", "all"})))
_CHANGED = "|".join(sorted({word for family in CHANGES for word in family}))
_LEFT_OPEN = re.compile(
    r"\b(?:not|can ?not|can't|couldn't) (?:be )?(?:\w+ly )?"
    r"(?:excluded?|ruled? out|evaluated?|assess(?:ed)?|characteri[sz]ed?|differentiated?|distinguish(?:ed)?)"
    r"\b"
)
_LOOKED_FOR = (  # "rule out X" asks for X; "ruled out" denies it
    r"\br/o\b|\brul(?:e|es|ing) out(?= )|^(?:query|please|any|is there|are there)\b(?! no\b)"
    r"|\b(?:evaluat\w+|assess|look\w*|search\w*) for\b"
)
_PIECE = r"(?<!\w)(?=\w)((?:(?!\b(?:but|with|without|no|not|nor|neither|while|whereas)\b)[^,;:.()?+/])+?)"
_THERE = r"(?:(?:is|are|was|were|has|have|had|been|being|clearly|completely|entirely|totally|all)\s+)*"
_NOT_SEEN = (  # whatever is not done to a finding ("not appreciable"), unless it is what a finding is
    r"(?:not|never|cannot|can't|couldn't) (?:be |been )?(?:\w+ly )?"
    rf"(?!(?:{_CHANGED}|increased|decreased|calcified|consolidated)\b)"
    r"(?:seen|shown|found|there|present|evident|apparent|\w+(?:ed|able|ible))"
)
_GONE = (
    rf"(?:{_NOT_SEEN}|none(?: (?:seen|found|identified|detected|noted|present))?"
    r"|absent|(?<!false )negative|nil|nowhere(?: (?:seen|found|to be seen))?|nonexistent"
    r"|unseen|invisible|undetect\w+|lacking|missing|excluded|ruled out"
    r"|resolved|unlikely|denied|free)"
)
_WITHOUT = (
    r"(?:non-?\s?(?:visuali[sz]|demonstrat|identif|detect|exist)\w* of|non-?visuali[sz]ed|nonexistent|absent"
    r"|nil|zero|(?<!false )negative (?:\w+ )?for|(?<!false )negative(?! (?:for|hu|value|pressure)\b)"
    r"|lack(?:s|ing|ed)?(?: of)?|absence of|minus|sans|exclud(?:ing|ed|es?)|except(?: for)?|ruled out"
    r"|(?:clear|clean|devoid) of|spared (?:of|by)|(?:unremarkable|normal) for|not known (?:to have|for)"
    r"|never(?: had| any)?|other than|apart from"
    r"|no (?:more|longer(?: an?y?)?)(?!.*\bthan\b)|(?:unable|impossible|fail\w*) to \w+"
    r"|nothing(?: to)?(?: (?:suggest|indicat|support|show|compatible|consistent|resembl|in favou?r)\w*)?"
    r"(?: (?:like|of|with|for))?"
    r"|(?:no|without) (?:any )?(?:sign|evidence|suspicion|indication|trace|suggestion|hint|feature|finding)s?"
    r" (?:of|for))"
)
_ENDS = r"(?=\s*(?:$|[,;.)+]|\b(?:but|and|with|on|in|at)\b))"
_RULES = tuple(
    (re.compile(found), written)
    for found, written in (
        (r"\bw/o\b", "without"),
        (r"\bs/p\b", "status post"),
        (r"\bw/(?=\s|\w)", "with "),
        ("&", " and "),
        (r"\bnon-exist", "nonexist"),
        (_LOOKED_FOR, " "),
        (r"(?<![\w-])-(?=[a-z]{3})(?!(?:type|sided|like|shaped|glass|style)\b)", "no "),  # "nodule -effusion"
        (r"\b([a-z]{4,})-free\b", r"no \1"),
        (rf"{_PIECE}(?:\s*[:–(-]\s*|\s+){_THERE}{_GONE}\)?{_ENDS}", r"no \1"),
        (rf"{_PIECE}\s*(?:\(-\)|[:=–(-]\s*(?:no|n|0)\)?(?=\s*(?:$|[,;.])))", r"no \1"),
        (rf"\b{_WITHOUT}\s+(?=\w)", "no "),
        (  # "pleural spaces free of fluid": where it is denied goes with what is denied
            r"(^|[,;+]\s*|\b(?:and|but|with)\s+)"
            rf"((?:(?:{_WHERE})\s+)*(?:{_ORGANS})(?:\s+(?:{_ORGANS}|{_WHERE}))*)"
            r"\s*:?\s+(?:(?:is|are)\s+)?(?:free (?:of|from)|without|not|no)\s+",
            r"\1no \2 ",
        ),
        (r"\bno\s+(?:no|any|the|a|an)\s+", "no "),
    )
)


def in_sentences(question: str) -> str:
    """Return one sentence of a question in lower case, its denials written as reports write them.

    "Nodule, effusion absent" becomes "nodule, no effusion"; "pleural spaces free of fluid" denies it there.
    """
    text = " ".join(question.lower().split())
    if len(text) > _LONGEST or _LEFT_OPEN.search(text):
        return text
    for found, written in _RULES:
        text = found.sub(written, text)
    return " ".join(text.split())
