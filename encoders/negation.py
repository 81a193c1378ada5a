"""Whether a sentence only denies: cues and their scope, for the English that radiologists write.

The idea is NegEx's (Chapman et al. 2001, J Biomed Inform 34:301): a cue denies what lies in its scope, and
pseudo-cues ("no significant change", "cannot be excluded") deny nothing. A sentence counts as a denial when
some cue has a scope and nothing outside the scopes affirms a finding: "Nodule without calcification" is none.
"""

import hashlib
import re
from dataclasses import dataclass
from itertools import pairwise

_Span = tuple[int, int]

_AUXILIARY = r"(?:is|are|was|were|be|been|has|have|had|do|does|did|can|could|will|would|may|might)"
_SEEN = (
    r"(?:seen|observed|detected|noted|identified|found|visuali[sz]ed|demonstrated|present|available|watched"
    r"|followed|monitored|selected|encountered|noticed|recorded|described|considered|thought|shown)"
)
_DEGREE = (
    r"(?:significant(?:ly)?|obvious(?:ly)?|evident|interval|appreciable|remarkable|notable|clear(?:ly)?|relevant"
    r"|substantial(?:ly)?|major|marked(?:ly)?|apparent|definite|dimensional|size|any|much|other|gross)"
)
_GONE = r"(?:resolved|regressed|resorbed|disappeared|absorbed|cleared)"
LONGEST_SENTENCE = 2000  # characters: anything longer is no sentence, and denies and affirms at once
_EARLIER = r"(?:previous|prior|old|earlier|last)"
_NOT_ASSESSED = (
    r"(?:excluded?|ruled? out|evaluated?(?! in favou?r)|assess(?:ed)?|characteri[sz]ed?"
    r"|differentiated?|determined?|defined|made|interpreted|separated|examined|performed|measured"
    r"|optimal(?:ly)?|included?|given|administered|used|possible|certain|clear|specific|only|necessarily|known|required|needed|typical|suitable|diagnostic"
    r"|enter(?:ed)?|distinguish between|fully|completely|clearly|well)"
)
_PSEUDO_CUES = re.compile(
    r"\b(?:"
    rf"no (?:{_DEGREE} )*(?:\w+ )?(?:difference|progression|regression)s?\b"
    rf"|no (?:{_DEGREE} )*(?:change|alteration)s?\b"
    rf"|no (?:{_DEGREE} )*(?:increase|decrease|reduction|growth) (?:\w+ ){{0,3}}?in (?:the |its |their )?"
    r"(?:sizes?|numbers?|dimensions?|extent|diameters?)\b"
    rf"|without (?:{_DEGREE} )*(?:change|difference)s?\b"
    rf"|not (?:{_DEGREE} )*(?:changed?|differ(?:ent)?)\b"
    rf"|{_AUXILIARY} not (?:show |demonstrate )(?:{_DEGREE} )*(?:change|difference)s?\b"
    rf"|(?:can ?not|can't|could not|couldn't|may not|might not|not) (?:be )?(?:\w+ly )?{_NOT_ASSESSED}\b"
    r"|no (?:contrast|previous|prior|old|earlier|comment|evaluation|comparison|doubt|need|further)\b"
    r"|no distinction\b"
    r"|(?:without|lack of|absence of) (?:any )?(?:the )?(?:(?:use|administration) of )?"
    r"(?:i\.?v\.? |intravenous |oral )*contra[sc]t"
    r"|not (?:contra[sc]ted|enhanced)\b"
    rf"|(?:not|no [^,;.]{{0,80}}) {_SEEN} (?:in|on|at) (?:[\w']+ ){{0,2}}{_EARLIER}\b"
    r"|(?:not|no) (?:exceed(?:ing)?|larger|bigger|greater|more|smaller|less|wider)\b"
    r"|not to (?:exceed|mention)\b"
    r"|rather than\b"
    r")"
)
_CLAUSE_CUES = re.compile(
    rf"\b(?:{_AUXILIARY} (?:\w+ly )?not\b|can ?not\b|\w+n't\b|no longer\b|not (?:\w+ly )?reach(?:ed|ing)?\b"
    rf"|not {_SEEN}\b|(?:is|are|was|were) (?:\w+ly )?(?:absent|excluded|ruled out)\b|neither\b|none\b|never\b"
    r"|(?:has|have|had) (?:\w+ly )?(?:resolved|disappeared)\b|absent\b(?=\W*$)"
    rf"|(?:completely|totally|entirely|fully) {_GONE}\b|{_GONE} (?:completely|totally|entirely|fully)\b"
    r"|(?:complete|total) (?:resolution|regression|resorption|disappearance)\b)"
)
_FORWARD_CUES = re.compile(
    r"\b(?:(?:there (?:is|are|was|were) )?no\b(?!\. ?\d)|without\b|absence of\b|lack of\b|free (?:of|from)\b"
    r"|negative for\b|devoid of\b|not\b|nor\b|denies\b|rules? out\b)"
)
_SHARED_DENIAL = re.compile(  # "Effusion - no thickening was detected": translated lists that one verb denies
    rf"^[^,]* ?[-–] ?no\b.* (?:is|are|was|were) {_SEEN}\b"
)
_NOW_GONE = re.compile(
    rf"\b{_EARLIER}\b.*\bnot (?:\w+ly )?{_SEEN} (?:in|on|at) (?:the )?(?:current|present|this)\b"
)
_TERMINATORS = re.compile(
    r"[;:]|\b(?:but|however|although|though|except(?: for)?|apart from|aside from|other than|besides|yet"
    r"|while|whereas|nevertheless|still)\b|\b(?:that|which|who|whose|where)\b(?= \w+)"
)
_NEW_SUBJECT = re.compile(
    r"(?:a few|several|multiple|millimetric|minimal|mild|moderate|trace|scattered"
    r"|small (?:left|right|bilateral)|there (?:is|are|was|were))\b(?! no\b)(?! (?:and|or|to) )"
)
_ASKED = re.compile(r"\([^()]*\?[^()]*\)?")
_DOUBT = re.compile(
    r"\?|\b(?:may|might|could be|possibl[ey]|probabl[ey]|suspicious|suspect(?:ed)?|suspicion|questionable"
    r"|equivocal|in terms of"
    r"|recommended (?:for|to (?:rule out|exclude))|likely|suggest\w*"
    r"|(?:can ?not|could not|not) be (?:\w+ly )?(?:excluded|ruled out))\b"
)
_JOINTS = re.compile(r",(?: and| or)?\s|\band\b")
_FINITE_VERB = re.compile(
    rf"\b(?:is|are|was|were|has|have|had|shows?|showed|measures?|measured|appears?|remains?|contains?"
    rf"|demonstrates?|reveals?|draws?|do|does|did|cannot|could|{_SEEN})\b"
)
_BARE_VERB = re.compile(r"(?:is|are|was|were)\b")
_AFFIRMING_VERB = re.compile(
    rf"\b(?:(?:is|are|was|were|been) (?:also |again |still |\w+ly ){{0,2}}{_SEEN}"
    r"|there (?:is|are|was|were)\b(?! no\b)|(?:has|have) (?:an?|several|multiple|some|a few)\b)"
)
_NORMAL = re.compile(
    r"\b(?:normal|natural|open|preserved|patent|clear|unremarkable|regular|intact|usual|ordinary|symmetrical?)\b"
)
_ORDINARY_NODES = re.compile(  # lymph nodes are anatomy; "not of pathological size" denies lymphadenopathy
    r"\b(?:there (?:is|are|were) (?:also |again |still )?)?"
    r"(?:an? few |several |multiple |some |small |millimetric )*lymph nodes?\b"
)
_FINDING = re.compile(
    r"\b(?:micro|macro|peri|para|broncho|hydro|hepato|spleno|pseudo|poly|cholecysto"
    r"|nephro|uro|osteo|athero)*"
    r"(?:nodul|mass\b|masses|lesion|effusion|thicken|atelecta|emphysem|consolidat|opacit|opacif"
    r"|ground[- ]glass|infiltrat|calcif|calcific|plaque|atheroma|herni|cardiomegal|dilat|ectasi|bronchiecta"
    r"|enlarg|increas|larger|wider|stenos|narrowing|fractur|cyst|pneumothora|pneumon|fibros|fibrot|sequel"
    r"|adenopath|lymphadenopath|metasta|tumou?r|malignan|aneurysm|embol|thromb|edema|oedema|reticul|honeycomb|mosaic"
    r"|septal|bud\b|budding|crazy|stone|calcul|lithiasis|steato|adipos|scolio|kypho|phyte|degenerat|abscess|cavit|catheter|stent"
    r"|pacemaker|prosthe|suture|sternotom|trapping|bulla|bleb|collection|hypodens|hyperdens|densit|recession"
    r"|retraction|bronchiolit|abnormal|suspicious|covid|infection|infecti|hypertroph|atroph|deviation|megaly"
    r"|surg|operat|resect|ectomy|ostomy|volume loss)"
)


@dataclass(frozen=True, slots=True)
class Said:
    """A sentence by what it says of its words, each in lower case; together they hold every word."""

    affirmed: str
    hedged: str  # thought possible, asked, not excluded
    denied: str

    @property
    def length(self) -> int:
        """How many words it has."""
        return len(f"{self.affirmed} {self.hedged} {self.denied}".split())

    @property
    def fingerprint(self) -> int | None:
        """A number of 64 bits that sentences share which say the same in the same words; None if empty."""
        if not self.length:
            return None
        digest = hashlib.sha256("\0".join((self.affirmed, self.hedged, self.denied)).encode()).digest()
        return int.from_bytes(digest[:8], "big", signed=True)


def is_denial(sentence: str) -> bool:
    """Whether a sentence denies a finding and affirms none.

    Args:
        sentence: one sentence as written.

    Returns:
        True for "No effusion was observed."; False for what is affirmed, uncertain, normal or not assessed.
    """
    text = _without_pseudo_cues(_lowered(sentence))
    text = _ORDINARY_NODES.sub(_blank, text) if "patholog" in text else text
    if len(text) > LONGEST_SENTENCE:
        return False
    scopes = _scopes(text)
    if all(denied is None for _, denied in scopes):
        return False
    return not any(_affirms(text, clause, denied) for clause, denied in scopes)


def split_by_polarity(sentence: str) -> Said:
    """Tell what a sentence affirms from what it only thinks possible and from what it denies.

    "Nodule without calcification" affirms the nodule; "effusion (loculated?)" asks whether it is loculated.

    Args:
        sentence: one sentence as written; one longer than LONGEST_SENTENCE is taken as affirmed.
    """
    text = _lowered(sentence)
    if len(text) > LONGEST_SENTENCE:
        return Said(affirmed=text, hedged="", denied="")
    affirmed, hedged, denied = [], [], []
    for (start, end), span in _scopes(_without_pseudo_cues(text)):
        first, last = span or (end, end)
        denied.append(text[first:last])
        for piece in (text[start:first], text[last:end]):
            sure, asked = _split_by_doubt(piece)
            affirmed.append(sure)
            hedged.append(asked)
    return Said(*(" ".join(" ".join(pieces).split()) for pieces in (affirmed, hedged, denied)))


def _lowered(sentence: str) -> str:
    return " ".join(sentence.lower().split())


def _blank(match: re.Match[str]) -> str:
    return " " * len(match[0])


def _without_pseudo_cues(text: str) -> str:
    return _PSEUDO_CUES.sub(lambda match: "~" * len(match[0]), text)


def _split_by_doubt(piece: str) -> tuple[str, str]:
    """Take out what stands in parentheses with a question mark, and all of it where a word leaves it open."""
    asked = [match[0] for match in _ASKED.finditer(piece)]
    rest = _ASKED.sub(" ", piece)
    if _DOUBT.search(rest):
        return "", piece
    return rest, " ".join(asked)


def _scopes(text: str) -> list[tuple[_Span, _Span | None]]:
    """Return the clauses of a text, each with where it denies, as positions in the text."""
    gone = _NOW_GONE.search(text)
    if gone is not None:
        rest = [(gone.end(), len(text))] if gone.end() < len(text) else []
        return [((0, gone.end()), (0, gone.end())), *((clause, None) for clause in rest)]
    return [(clause, _denied_span(text, clause)) for clause in _clauses(text)]


def _clauses(text: str) -> list[_Span]:
    """Cut where a cue's scope ends: at contrasts, and where both sides of a joint have a verb."""
    clauses: list[_Span] = []
    edges = [0, *(match.start() for match in _TERMINATORS.finditer(text)), len(text)]
    for first, last in pairwise(edges):
        start = first
        for joint in _JOINTS.finditer(text, first, last):
            if _ends_a_clause(text[start : joint.start()], text[joint.end() : last], joint[0]):
                clauses.append((start, joint.start()))
                start = joint.end()
        clauses.append((start, last))
    return clauses


def _ends_a_clause(left: str, right: str, joint: str) -> bool:
    if _FINITE_VERB.search(left):
        goes_on = _FINITE_VERB.search(right) and not _BARE_VERB.match(right)
        return bool(goes_on or _NEW_SUBJECT.match(right))
    return joint.startswith(",") and bool(_NEW_SUBJECT.match(right)) and not _FINITE_VERB.search(right)


def _denied_span(text: str, clause: _Span) -> _Span | None:
    """Return where the clause's cues deny, or None where nothing is denied."""
    start, end = clause
    said = text[start:end]
    if _CLAUSE_CUES.search(said) or _SHARED_DENIAL.search(said):
        return clause
    cue = _FORWARD_CUES.search(said)
    return None if cue is None else (start + cue.start(), end)


def _affirms(text: str, clause: _Span, denied: _Span | None) -> bool:
    start, end = clause
    first, last = denied or (end, end)
    outside = text[start:first] + " " + text[last:end]
    if _NORMAL.search(outside) and not _FINDING.search(outside):
        return False
    return bool(_FINDING.search(outside) or _AFFIRMING_VERB.search(outside))
