"""Questions as they are typed, rewritten so that `retrieval.negation` reads what they deny.

Reports deny in sentences ("No effusion was observed"); whoever types into a search box writes "effusion
absent", "emphysema: none", "heart not enlarged", "-effusion", and means by "rule out effusion" that it is
looked for. Nothing here touches what is stored of reports.
"""

import re

from encoders.word_families import ANATOMY
from retrieval.query_words import MODIFIERS

_LONGEST = 200  # characters: what is longer was not typed into a search box
_SHORTHAND = ((r"\bw/o\b", "without"), (r"\bs/p\b", "status post"), (r"\bw/(?=\s|\w)", "with "))
_LOOKED_FOR = (  # "rule out X" asks for X; "ruled out" denies it
    r"\br/o\b|\b(?:rule|rules|ruling) out(?= )|^(?:query|please|any|is there|are there)\b(?! no\b)"
    r"|\b(?:evaluat\w+|assess|look\w*|search\w*) for\b"
)
_THERE = r"(?:(?:is|are|was|were|has|have|had|been|being|clearly|completely|entirely|totally|all)\s+)*"
_GONE = (
    r"(?:absent|negative|nil|none(?: (?:seen|found|identified|detected|noted|present))?|not (?:there|present)"
    r"|nonexistent|lacking|missing|excluded|ruled out|resolved|unlikely|denied|invisible)"
)
_WITHOUT = (
    r"(?:non-?\s?(?:visuali[sz]|demonstrat|identif|detect|exist)\w* of|non-?visuali[sz]ed|nonexistent|absent"
    r"|nil|zero|(?<!false )negative (?:\w+ )?for|(?<!false )negative(?! (?:for|hu|value|pressure)\b)"
    r"|lack(?:s|ing|ed)?(?: of)?|absence of|minus|sans|exclud(?:ing|ed|es?)|except(?: for)?|ruled out"
    r"|(?:clear|clean|devoid) of|spared (?:of|by)|never(?: had| any)?|other than|apart from"
    r"|(?:no|without) (?:any )?(?:sign|evidence|suspicion|indication|trace|suggestion|hint|feature|finding)s?"
    r" (?:of|for))"
)
_PIECE = r"(?:(?!\b(?:but|with|without|no|not|nor|neither|while|whereas)\b)[^,;:.()?+&/])+?"
_ORGANS = "|".join(sorted({f"{word}s?" for family in ANATOMY for word in family}, key=len, reverse=True))
_WHERE = "|".join(sorted(map(re.escape, MODIFIERS | {"the", "both", "all", "spaces", "space", "walls"})))
_RULES = tuple(
    (re.compile(found), written)
    for found, written in (
        *_SHORTHAND,
        (_LOOKED_FOR, " "),
        (r"(?<![\w-])-(?=[a-z]{3})", "no "),  # the minus of search engines
        (r"\b([a-z]{4,})-free\b", r"no \1"),
        (
            rf"({_PIECE})(?:\s*[:–(-]\s*|\s+){_THERE}{_GONE}\)?(?=\s*(?:$|[,;.)+&]|\b(?:but|and|with)\b))",
            r"no \1",
        ),
        (rf"({_PIECE})\s*\(-\)", r"no \1"),
        (rf"\b{_WITHOUT}\s+(?=\w)", "no "),
        (
            rf"(^|[,;+&]\s*|\b(?:and|but|with)\s+)((?:(?:{_WHERE})\s+)*(?:{_ORGANS})(?:\s+(?:{_ORGANS}|{_WHERE}))*)"
            rf"\s*:?\s+(?:(?:is|are)\s+)?(?:free (?:of|from)|without|not|no)\s+",
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
    if len(text) > _LONGEST:
        return text
    for found, written in _RULES:
        text = found.sub(written, text)
    return " ".join(text.split())
