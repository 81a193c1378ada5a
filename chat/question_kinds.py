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
    r"(?:(?:largest|biggest|longest|widest|thickest|greatest|highest|smallest|thinnest|least|oldest"
    r"|youngest)|(?:larger|bigger|wider|thicker|longer|greater|smaller|older|younger))"
)

KINDS: tuple[tuple[Kind, re.Pattern[str]], ...] = tuple(
    (kind, re.compile(pattern))  # type: ignore[misc]
    for kind, pattern in (
        (
            "days",
            r"\bfollow(?:ed)?[- ]?ups?\b(?! (?:of|for|due|with|breast|ca))|\bhow (?:many|much) (?:days?"
            r"|weeks?|months?|years?|time)\b|\bhow long (?:after|between|before|until|later|apart|did|was"
            r"|were|is)\b|\bhow soon\b|\b(?:days?|time|interval) (?:between|from|since)\b|\binterval\W*$"
            r"|\bwhen (?:was|were|did|is)\b.*\b(?:scan|study|studied|exam\w*"
            r"|taken|made|done|performed|follow\w*|imaged|ct)\b|\b(?:on )?(?:what"
            r"|which) day\b(?! of the)|\b(?:later|earlier|another|further|next|second) (?:study"
            r"|scan|exam\w*|ct)\b|\bdays? (?:apart|later)\b",
        ),
        (
            "person",
            r"\b(?:older|younger) than \d+\b|\bhow old\b(?!.*\b(?:scanner|lesions?|fractures?|reports?"
            r"|machine|hospital|images?|clot|scar)\b)|\bage of\b|\b(?:what|which) (?:is |was "
            r"|are )?(?:the )?(?:\w+(?:'s|s')? )?(?:age|sex|gender)s?\b|\b(?:sex|gender) of\b|\b(?:male"
            r"|man) or (?:a )?(?:female|woman)\b|\b(?:female|woman) or (?:a )?(?:male|man)\b",
        ),
        ("score", r"\bzero[- ]?shot\b|\bscores?\b|\bprobabilit(?:y|ies) (?:of|for)\b|\bhow likely\b"),
        (
            "largest",
            rf"\b{_MOST}\b.{{0,60}}\b(?:in|of|by) (?:which|whose|what) {_CASES}\b"
            rf"|\b(?:which|who|whose|what|in which)\b.{{0,60}}\b{_MOST}\b|\b(?:oldest|youngest) (?:patient"
            rf"|case)\b|\b(?:which|whose)\b.*\b(?:has|had|shows?|is|was|have)\b.*\b{_MOST}\b"
            r"|\bis\b.*\b(?:larger|bigger|wider|thicker|smaller)\b.* than\b(?! (?:before|previous|earlier"
            r"|prior|last|in the (?:previous|prior|last|earlier)|at the last))"
            r"|\b(?:is|are|was|were)\b.*\b(?:larger|bigger|wider|thicker|longer|smaller)\b.*\bin\b.*\bor\b",
        ),
        (
            "common",
            r"\bin common\b|\bcompar(?:e|ed|ing|ison)\b(?! (?:with|to) (?:the |a |any |its )?(?:previous"
            r"|prior|earlier|last|old))|\bdiffer(?:s|ences?|ent)?\b(?! (?:from"
            r"|to|with|since) (?:the |a |any )?(?:previous|prior|earlier|last|old)\b)"
            r"|\bversus\b|\bvs\b|\bsimilarit\w+"
            r"|\bshared? (?:by|findings?)\b|\bwhat do (?:these|both|they|all)\b.*\bshare\b",
        ),
        (
            "count",
            rf"\b(?:in )?how many (?:{_OF_THESE}|(?:have|had|has|show|showed|are|were|with|do|did)\b)"
            r"|\bin how many (?:is|was|does|can|could)\b"
            rf"|\bmore {_CASES}\b.*\bthan\b|\bnumber of {_CASES}\b|\bcount (?:the |of )?"
            rf"|\bwhat (?:proportion|fraction|percentage|share|percent)\b"
            r"|\bhow (?:common|frequent|often)\b",
        ),
        (
            "which",
            rf"\bwhich (?:of (?:these|those|the|them)\b|{_CASES}\b|(?:has|have|had|show|shows|showed)\b)"
            rf"|\bwho (?:has|had|have)\b|\b(?:list|name|show|find) (?:me )?(?:all |the "
            rf"|all the )?{_CASES}\b|\bin which (?:of (?:these|those|the)\b|{_CASES}\b)|\bwhose\b",
        ),
        (
            "change",
            r"(?<!tic )(?<!ous )(?<!ive )(?<!ela )(?<!lae )(?<!nal )\bchanges?\b|\b(?:stable|unchanged"
            r"|chang(?:ed|ing)|progress(?:ed|ion|ing|ive)?|regress(?:ed|ion)?|grow(?:n|th|ing|s)?|grew"
            r"|shr[aiu]nk(?:en)?|newly|improv\w+|worsen\w*|resolv\w+|evolv\w+|evolution)\b|\b(?:previous"
            r"|prior|earlier|last) (?:exam\w*|stud\w+|scan|ct|report)\b|\bover time\b"
            r"|\bwhat happened\b|\b(?:any|something"
            r"|anything|what(?:'s| is| are| was)?) (?:is |are )?new\b|\b(?:is|are|was|were)\b.*\bnew\s*$"
            r"|\b(?:get|gets|got|getting|become|became|gone)\b.*\b(?:larger|bigger|smaller|better|worse"
            r"|wider|thicker)\b|\bthan (?:before|previously|earlier|in the (?:previous|prior|last"
            r"|earlier))\b|\b(?:in|de)creased? (?:in size|since|compared|over)\b|\b(?:has|have|had)\b.*"
            r"\b(?:in|de)creased\b(?=\W*$|,| (?:in|since|and|or|over|from|at|by|on|after)\b)"
            r"|\bdid\b.*\b(?:in|de)crease\b",
        ),
        (
            "size",
            r"\bhow (?:large|big|small|thick|wide|long|tall|deep|extensive)\b|\b(?:size|diameter"
            r"|dimension|thickness|width|length|extent|calib(?:er|re)|measurement)s?\b"
            r"|\b(?:short|long)(?:est)?[- ]ax[ie]s\b|\bmeasur(?:e|es|ed|ing)\b"
            r"|\bhow (?:many|much) (?:mm|cm|millimet\w+|centimet\w+)\b|\b(?:mm|cm)\b",
        ),
        (
            "location",
            r"\bwhere(?:abouts)?\b|\blocat(?:ed|ion|ions|e)\b|\blocali[sz]\w*|\bsituated\b"
            r"|\bposition of\b|\b(?:in |on |at |of )?(?:which|what) (?:lobes?|lungs?|sides?|segments?"
            r"|zones?|regions?|areas?|parts?|kidneys?|organs?|ribs?|levels?|breasts?|hemithorax"
            r"|adrenals?(?: glands?)?|vertebrae?|vessels?|arter(?:y|ies)|stations?|structures?|places?"
            r"|sites?|bones?)\b|\b(?:left|right) or (?:the )?(?:left|right)\b",
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
            r"|something) (?:abnormal|wrong|suspicious)\b|\bnormal (?:scan|ct|study|exam\w*|chest)\b"
            r"|\b(?:scan|ct|study|exam\w*|everything) (?:is |was )?normal\b|\bsummar\w+|\boverview\b"
            r"|\b(?:impressions?|conclusions?|diagnos[ei]s)\b|\bwhat (?:was|is|were|are) (?:it|they|wrong"
            r"|(?:the )?(?:main |key |important )?(?:findings?|results?|problem))\b|\bwhat (?:did|do|does"
            r"|was|were)\b.*\b(?:have|had|show|find|found|reveal|say|said|reported|seen)\??$"
            r"|\bdescribe (?:the|this|these) (?:case|scan|study|report|patient|finding)s?\b"
            r"|\btell me (?:more )?about (?:the|this|these) (?:case|scan|study|report|patient"
            r"|finding)s?\b",
        ),
        (
            "presence",
            r"^(?:and |but |so |or |then |also )?(?:there (?:is|are|was|were)|is|are|was|were|does|do|did"
            r"|has|have|had|any|can|could|isn't|aren't|wasn't|doesn't|didn't|hasn't)\b|\b(?:present"
            r"|absent|ruled out|excluded)\b",
        ),
    )
)

FRAMES: dict[Kind, re.Pattern[str]] = {
    "size": re.compile(
        r"\b(?:how|large|largest|big|biggest|small|smallest|thick|wide|long|tall|deep|extensive|sizes?"
        r"|diameters?|dimensions?|thickness|widths?|lengths?|extent|calib(?:er|re)|measurements?"
        r"|measur\w+|many|much|mm|cm|millimet\w+|centimet\w+|short|axis|point|thickest|widest|longest"
        r"|maxim\w+|approximate\w*|exact)\b"
    ),
    "location": re.compile(
        r"\b(?:where(?:abouts)?|locat\w+|locali[sz]\w*|situated|position|which|what|lobes?|lungs?|sides?"
        r"|segments?|zones?|regions?|areas?|parts?|organs?|levels?|stations?|structures?|places?|sites?"
        r"|lie|lies|ends?|ending|terminat\w+|tip|left|right|or|largest|biggest|widest|thickest|longest|greatest)\b"
    ),
    "degree": re.compile(
        r"\b(?:how|severe|bad|much|advanced|marked|pronounced|serious|severity|degree|grade|extent)\b"
    ),
    "number": re.compile(r"\b(?:how many|number|single|multiple|solitary|several)\b"),
    "count": re.compile(
        r"\b(?:how many|number|count|more|fewer|than|what (?:proportion|fraction|percentage|share"
        r"|percent)|how (?:common|frequent|often)|many|total)\b"
    ),
    "largest": re.compile(
        rf"\b(?:{_MOST}|than|more|most|sizes?|diameters?|thickness|dimensions?|measur\w+|compared)\b"
    ),
    "change": re.compile(
        r"\b(?:stable|unchanged|chang\w+|progress\w*|regress\w*|grow\w*|grew|shr[aiu]nk\w*|newly|new"
        r"|improv\w+|worsen\w*|resolv\w+|evolv\w+|evolution|previous|prior|earlier|last|exam\w*|over time"
        r"|increas\w+|decreas\w+|get|gets|got|getting|become|became|gone|larger|bigger|smaller|better"
        r"|worse|wider|thicker|since|compar\w+|follow\w*|ups?|happened|differ\w*|something|anything|time|size|how|develop\w*|than|before"
        r"|previously)\b"
    ),
    "days": re.compile(
        r"\b(?:follow\w*|ups?|how|many|much|days?|weeks?|months?|years?|time|long|later|after|before"
        r"|between|from|until|interval|apart|first|second|last|next|two|both|another|further|taken|made|done"
        r"|performed|imaged|passed|lie|elapsed|earlier|exam\w*|stud\w+|intervals?|ever|come|came|back)\b"
    ),
    "common": re.compile(
        r"\b(?:common|compar\w+|differ\w*|versus|vs|similarit\w+|shared?|both|all|two|three|each|other"
        r"|how|between)\b"
    ),
    "score": re.compile(r"\b(?:zero|shot|scores?|probabilit\w+|likely|how|model|much)\b"),
    "person": re.compile(r"\b(?:how|old|ages?|sex|gender|years?|male|man|female|woman|is|or)\b"),
    "overview": re.compile(
        r"\b(?:list|name|give|any|abnormal\w*|normal|wrong|suspicious|summar\w+|overview|impressions?"
        r"|conclusions?|diagnos[ei]s|main|key|important|results?|problem|describe|tell|more|about"
        r"|say|said|reported|me|final|briefly|short)\b"
    ),
}
"""What is taken out of a question of this kind before its topics are read."""

CASE_WORDS = re.compile(
    r"\b(?:(?:the |these |those |this |that |all |any |each |most )*(?:\d+ |one |two |three |four |five "
    r"|six |seven |eight"
    rf" |nine |ten )?(?:(?:most )?similar |nearest |retrieved |found |first |second |third |fourth "
    rf"|fifth |last |top )*{_CASES}"
    r"(?: (?:number )?\d+)?|(?:the|these|those) (?:two|three|four|five|six|seven|eight|nine|ten|\d+)\b"
    r"|these|those|them|they|of|both|it|its|which|who|whose|list|me|give|please|some|other)\b"
)

IMAGE = re.compile(
    r"\b(?:this|my|uploaded|attached) (?:\w+ )?(?:image|images|picture|volume|scan|ct|slice|slices|series"
    r"|upload|file|chest|patient's (?:ct|scan))\b|\bthe (?:image|images|picture|upload|uploaded \w+"
    r"|volume shown)\b|\b(?:do|can|what) (?:do )?you see\b|\blook at\b|<image>"
)
"""A question about pixels rather than about what reports say."""

AGENT = re.compile(
    r"\bby whom\b|\bwho\b(?! (?:has|have|had|shows?|showed|(?:is|was) (?:\w+er|the \w+est|male|female))\b)"
)
"""A question after a person who did something: no names are stored."""

OTHER_EXAMINATION = re.compile(
    r"\b(?:mri|mr|pet|ultraso\w+|sonograph\w*|usg|x-?rays?|radiographs?|scintigraph\w*|biops\w+|bronchoscop\w*"
    r"|endoscop\w*|echocardiograph\w*|echo|laborator\w*|blood tests?|pathology report)\b"
)
"""An examination that is no CT of the chest."""

AHEAD = re.compile(r"\bwill\b(?! you)|\bgoing to\b|\bprognos\w+|\bin the future\b|\blife expectancy\b")
"""What no report can say."""
