"""What a question asks for, told by its wording; and the frame that its topics stand in."""

import re
from typing import Literal

Kind = Literal[
    "days",
    "person",
    "score",
    "count",
    "largest",
    "common",
    "which",
    "change",
    "size",
    "location",
    "degree",
    "number",
    "overview",
    "presence",
    "free",
]
"""What is asked for; the first whose wording is found is taken."""

_CASES = r"(?:cases?|patients?|stud(?:y|ies)|scans?|reports?|exam(?:ination)?s?|cts?|hits?|ones?)"
_OF_THESE = rf"(?:of (?:the|these|those|them)\b|(?:the |these |those |similar |\d+ |\w+ )?{_CASES}\b)"
_MOST = (
    r"(?:(?:largest|biggest|longest|widest|thickest|greatest|highest|smallest|thinnest|least|oldest|youngest)"
    r"|(?:larger|bigger|wider|thicker|longer|greater|smaller|older|younger))"
)

KINDS: tuple[tuple[Kind, re.Pattern[str]], ...] = tuple(
    (kind, re.compile(pattern))  # type: ignore[misc]
    for kind, pattern in (
        (
            "days",
            r"\bfollow(?:ed)?[- ]?ups?\b(?! (?:of|for|due|with|breast|ca))|\bhow (?:many|much) (?:days?"
            r"|weeks?|months?|years?|time)\b"
            r"|\bhow long (?:after|between|before|until|later|apart|did|was|were|is)\b|\b(?:days?|time"
            r"|interval) between\b"
            r"|\bwhen (?:was|were|did|is)\b.*\b(?:scan|study|studied|exam\w*|taken|made|done|performed"
            r"|follow\w*|imaged|ct)\b"
            r"|\b(?:on )?(?:what|which) day\b|\bhow many days\b|\b(?:later|earlier|another|further|next"
            r"|second) (?:study|scan|exam\w*|ct)\b"
            r"|\bdays? (?:apart|later)\b",
        ),
        (
            "person",
            r"\bhow old\b(?!.*\b(?:scanner|lesions?|fractures?|reports?|machine|hospital|images?|clot"
            r"|scar)\b)|\bage of\b|\b(?:what|which) (?:is |was |are )?(?:the )?(?:\w+(?:'s"
            r"|s')? )?(?:age|sex|gender)s?\b"
            r"|\b(?:sex|gender) of\b|\b(?:male|man) or (?:a )?(?:female|woman)\b|\b(?:female"
            r"|woman) or (?:a )?(?:male|man)\b",
        ),
        ("score", r"\bzero[- ]?shot\b|\bscores?\b|\bprobabilit(?:y|ies) (?:of|for)\b|\bhow likely\b"),
        (
            "largest",
            rf"\b(?:which|who|whose|what|in which)\b.{{0,60}}\b{_MOST}\b|\b(?:oldest"
            rf"|youngest) (?:patient|case)\b"
            rf"|\b(?:which|whose)\b.*\b(?:has|had|shows?|is|was|have)\b.*\b{_MOST}\b"
            r"|\bis\b.*\b(?:larger|bigger|wider|thicker|smaller)\b.* than\b(?! (?:before|previous"
            r"|earlier|prior|last|in the (?:previous|prior|last|earlier)|at the last))",
        ),
        (
            "common",
            r"\bin common\b|\bcompar(?:e|ed|ing|ison)\b(?! (?:with|to) (?:the |a |any "
            r"|its )?(?:previous|prior|earlier|last|old))|\bdiffer(?:s|ences?|ent)?\b|\bversus\b|\bvs\b"
            r"|\bsimilarit\w+|\bshared? (?:by|findings?)\b|\bwhat do (?:these|both|they|all)\b.*\bshare\b",
        ),
        (
            "count",
            rf"\b(?:in )?how many (?:{_OF_THESE}|(?:have|had|has|show|showed|are|were|with|do|did)\b)"
            rf"|\bnumber of {_CASES}\b|\bcount (?:the |of )?|\bwhat (?:proportion|fraction|percentage"
            rf"|share|percent)\b"
            r"|\bhow (?:common|frequent|often)\b",
        ),
        (
            "which",
            rf"\bwhich (?:of (?:these|those|the|them)\b|{_CASES}\b|(?:has|have|had|show|shows|showed)\b)"
            rf"|\bwho (?:has|had|have)\b|\b(?:list|name|show|find) (?:me )?(?:all |the |all the )?{_CASES}\b"
            rf"|\bin which (?:of (?:these|those|the)\b|{_CASES}\b)|\bwhose\b",
        ),
        (
            "change",
            r"\b(?:stable|unchanged|chang(?:e|ed|es|ing)|progress(?:ed|ion|ing|ive)?|regress(?:ed|ion)?"
            r"|grow(?:n|th|ing|s)?|grew|shr[aiu]nk(?:en)?|newly|improv\w+|worsen\w*|resolv\w+|evolv\w+"
            r"|evolution)\b"
            r"|\b(?:previous|prior|earlier|last) (?:exam\w*|stud\w+|scan|ct|report)\b|\bover time\b"
            r"|\b(?:any|something|anything|what(?:'s| is| are| was)?) (?:is |are )?new\b|\b(?:is|are"
            r"|was|were)\b.*\bnew\s*$"
            r"|\b(?:get|gets|got|getting|become|became|gone)\b.*\b(?:larger|bigger|smaller|better|worse"
            r"|wider|thicker)\b"
            r"|\bthan (?:before|previously|earlier|in the (?:previous|prior|last|earlier))\b"
            r"|\b(?:in|de)creased? (?:in size|since|compared|over)\b|\bhas\b.*\b(?:in|de)creased\b",
        ),
        (
            "size",
            r"\bhow (?:large|big|small|thick|wide|long|tall|deep|extensive)\b|\b(?:size|diameter"
            r"|dimension|thickness"
            r"|width|length|extent|calib(?:er|re)|measurement)s?\b|\bmeasur(?:e|es|ed|ing)\b"
            r"|\bhow (?:many|much) (?:mm|cm|millimet\w+|centimet\w+)\b|\b(?:mm|cm)\b",
        ),
        (
            "location",
            r"\bwhere(?:abouts)?\b|\blocat(?:ed|ion|ions|e)\b|\blocali[sz]\w*|\bsituated\b|\bposition of\b"
            r"|\b(?:in |on |at |of )?(?:which|what) (?:lobes?|lungs?|sides?|segments?|zones?|regions?"
            r"|areas?|parts?"
            r"|kidneys?|organs?|ribs?|levels?|breasts?|hemithorax|adrenals?(?: glands?)?|vertebrae?|vessels?"
            r"|arter(?:y|ies)|stations?|structures?|places?|sites?|bones?)\b|\b(?:left"
            r"|right) or (?:the )?(?:left|right)\b",
        ),
        (
            "degree",
            r"\bhow (?:severe|bad|much|advanced|marked|pronounced|serious)\b|\b(?:severity|degree|grade"
            r"|extent) of\b",
        ),
        ("number", r"\bhow many\b|\bnumber of\b|\bsingle or multiple\b|\bsolitary or\b"),
        (
            "overview",
            r"\b(?:list|name|give)(?: me)?(?: all)?(?: the| of the)?(?: abnormal| main| key)? findings\b"
            r"|\b(?:any|an|the|what|which)\b.*\babnormalit(?:y|ies)\b|\b(?:anything"
            r"|something) (?:abnormal|wrong|suspicious)\b"
            r"|\bnormal (?:scan|ct|study|exam\w*|chest)\b|\b(?:scan|ct|study|exam\w*|everything) (?:is "
            r"|was )?normal\b"
            r"|\bsummar\w+|\boverview\b|\b(?:impressions?|conclusions?|diagnos[ei]s)\b"
            r"|\bwhat (?:was|is|were|are) (?:it|they|wrong|(?:the )?(?:main |key "
            r"|important )?(?:findings?|results?|problem))\b"
            r"|\bwhat (?:did|do|does|was|were)\b.*\b(?:have|had|show|find|found|reveal|say|said"
            r"|reported|seen)\??$"
            r"|\bdescribe (?:the|this|these) (?:case|scan|study|report|patient|finding)s?\b"
            r"|\btell me (?:more )?about (?:the|this|these) (?:case|scan|study|report|patient|finding)s?\b",
        ),
        (
            "presence",
            r"^(?:and |but |so |or |then |also )?(?:there (?:is|are|was|were)|is|are|was|were|does|do"
            r"|did|has|have|had|any|can|could|isn't"
            r"|aren't|wasn't|doesn't|didn't|hasn't)\b|\b(?:present|absent|ruled out|excluded)\b",
        ),
    )
)

FRAMES: dict[Kind, re.Pattern[str]] = {
    "size": re.compile(
        r"\b(?:how|large|largest|big|biggest|small|smallest|thick|wide|long|tall|deep|extensive|sizes?"
        r"|diameters?"
        r"|dimensions?|thickness|widths?|lengths?|extent|calib(?:er|re)|measurements?|measur\w+|many"
        r"|much|mm|cm"
        r"|millimet\w+|centimet\w+|short|axis|point|thickest|widest|longest|largest|maxim\w+"
        r"|approximate\w*|exact)\b"
    ),
    "location": re.compile(
        r"\b(?:where(?:abouts)?|locat\w+|locali[sz]\w*|situated|position|which|what|lobes?|lungs?"
        r"|sides?|segments?"
        r"|zones?|regions?|areas?|parts?|organs?|levels?|stations?|structures?|places?|sites?|lie|lies"
        r"|left|right|or)\b"
    ),
    "degree": re.compile(
        r"\b(?:how|severe|bad|much|advanced|marked|pronounced|serious|severity|degree|grade|extent)\b"
    ),
    "number": re.compile(r"\b(?:how many|number|single|multiple|solitary|several)\b"),
    "count": re.compile(
        r"\b(?:how many|number|count|what (?:proportion|fraction|percentage|share|percent)"
        r"|how (?:common|frequent"
        r"|often)|many|total)\b"
    ),
    "largest": re.compile(
        rf"\b(?:{_MOST}|than|more|most|sizes?|diameters?|thickness|dimensions?|measur\w+|compared)\b"
    ),
    "change": re.compile(
        r"\b(?:stable|unchanged|chang\w+|progress\w*|regress\w*|grow\w*|grew|shr[aiu]nk\w*|newly|new"
        r"|improv\w+"
        r"|worsen\w*|resolv\w+|evolv\w+|evolution|previous|prior|earlier|last|exam\w*|over time"
        r"|increas\w+|decreas\w+"
        r"|get|gets|got|getting|become|became|gone|larger|bigger|smaller|better|worse|wider|thicker"
        r"|since|compar\w+|something|anything|time|size|how|develop\w*|than|before|previously)\b"
    ),
    "days": re.compile(
        r"\b(?:follow\w*|ups?|how|many|much|days?|weeks?|months?|years?|time|long|later|after|before"
        r"|between|until"
        r"|interval|apart|first|second|last|next|two|both|another|further|taken|made|done|performed"
        r"|imaged|passed|lie"
        r"|elapsed|earlier|exam\w*|stud\w+|intervals?|ever|come|came|back)\b"
    ),
    "common": re.compile(
        r"\b(?:common|compar\w+|differ\w*|versus|vs|similarit\w+|shared?|both|all|two|three|each|other"
        r"|how|between)\b"
    ),
    "score": re.compile(r"\b(?:zero|shot|scores?|probabilit\w+|likely|how|model|much)\b"),
    "person": re.compile(r"\b(?:how|old|ages?|sex|gender|years?|male|man|female|woman|is|or)\b"),
    "overview": re.compile(
        r"\b(?:list|name|give|any|abnormal\w*|normal|wrong|suspicious|summar\w+|overview|impressions?"
        r"|conclusions?|diagnos[ei]s|main|key|important|results?"
        r"|problem|wrong"
        r"|describe|tell|more|about|say|said|reported|me|final|briefly|short)\b"
    ),
}
"""What is taken out of a question of this kind before its topics are read."""

CASE_WORDS = re.compile(
    r"\b(?:(?:the |these |those |this |that |all |any |each |most )*(?:\d+ |one |two |three |four "
    r"|five |six |seven |eight"
    rf" |nine |ten )?(?:(?:most )?similar |nearest |retrieved |found |first |second |third |fourth "
    rf"|fifth |last |top )*{_CASES}"
    r"(?: (?:number )?\d+)?|(?:the|these|those) (?:two|three|four|five|six|seven|eight|nine|ten|\d+)\b"
    r"|these|those|them|they|of|both|it|its|which|who|whose|list|me|give|please"
    r"|some|other)\b"
)

IMAGE = re.compile(
    r"\b(?:this|my|uploaded|attached) (?:\w+ )?(?:image|images|picture|volume|scan|ct|slice|slices|series"
    r"|upload|file|chest|patient's (?:ct|scan))\b|\bthe (?:image|images|picture|upload|uploaded \w+"
    r"|volume shown)\b"
    r"|\b(?:do|can|what) (?:do )?you see\b|\blook at\b|<image>"
)
"""A question about pixels rather than about what reports say."""

WHY = re.compile(
    r"\bwhy\b|\bcaus(?:e|ed|es|ing)\b|\bshould\b|\btreat(?:ed|ment|ing|s)?\b|\bwill\b|\bwould\b"
    r"|\bdate\b|\bprognos\w+"
    r"|\brisk\b|\badvise\b|\bsurviv\w+|\bhow (?:dangerous|serious|likely)\b|\blife expectancy\b"
)
"""What no sentence answers unless it uses these words itself."""
