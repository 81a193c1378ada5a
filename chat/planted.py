"""What was planted in a report for a program to obey: it is read as nothing, and obeyed by nobody.

It stays stored and is quoted as it stands where a sentence holds it beside something of a patient.
"""

import re

_ADDRESSED = re.compile(  # what nobody writes of a chest: it is meant for a program that reads the report
    r"\b(?:ignore|disregard|forget|override|bypass)\b[^.]{0,40}\b(?:instruction|prompt|rule|previous"
    r"|above|prior"
    r"|evidence|context|everything|all)"
    r"|\b(?:system|assistant|user|developer|ai|model|bot|llm|chatgpt|chatbot)\s*(?:prompt|message|note)?\s*:"
    r"|\b(?:new|updated|following|hidden|important) instructions?\b"
    r"|\b(?:you are|you're|act as|pretend|you must|you should|you will)\b"
    r"|\b(?:answer|reply|respond|say|print|output|write|tell|state|claim|cite|conclude|report|always"
    r"|never)\s+"
    r"(?:only|with|that|always|never|exactly|just|in|to|the (?:user|word|following|radiologist)|answer|yes|no"
    r"|['\"“‘])"
    r"|\bto (?:the |any )?(?:ai|assistant|model|language model|llm|chatbot)\b"
    r"|\b(?:ai|language) model\b|\bas an ai\b|\bin your (?:answer|reply|response)\b|\bthe (?:correct"
    r"|right) answer\b"
    r"|^\W*(?:please |now |then |instead,? |also )*(?:say|answer|reply|respond|print|output|write|tell"
    r"|state|claim|cite"
    r"|conclude|list|reveal|repeat|translate|act|pretend|report (?:an?|the|that|only)|do not|don't)\b"
    r"|\bsay so\b|\boverrid\w+\b|\b(?:system|hidden) prompt\b"
    r"|<\|?/?\w+\|?>|\[/?inst\]|\[/?system\]|#{2,}|```|https?://|\bjailbreak|\bprompt injection",
    re.IGNORECASE,
)
_MARKED = re.compile(  # turns of a chat template, and citations: a report has none
    r"<\|[^|>]*start[^|>]*\|>.*?(?:<\|[^|>]*end[^|>]*\|>|$)|\[inst\].*?(?:\[/inst\]|$)"
    r"|<<sys>>.*?(?:<</sys>>|$)"
    r"|<\|[^|>]*\|>|\[[^\[\]]* (?:findings|impression) \d+\]",
    re.IGNORECASE | re.DOTALL,
)
_MACHINE = re.compile(f"{_ADDRESSED.pattern}|{_MARKED.pattern}", re.IGNORECASE | re.DOTALL)
_STRETCHES = re.compile(r"(?<=[.!?>\]:”])\s+(?=[A-Z“])")


def readable(text: str) -> str:
    """Return what a sentence says of a patient, without stretches that speak to a machine."""
    if not _MACHINE.search(text):
        return text
    bare = _MARKED.sub(". ", text)
    return " ".join(piece for piece in _STRETCHES.split(bare) if not _ADDRESSED.search(piece))
