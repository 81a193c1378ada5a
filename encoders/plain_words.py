"""Text as words that can be compared: one spelling, and no punctuation.

PostgreSQL's parser takes "nodule/mass" for a path, "aorta.The" for a host and "5-8" for a negative number.
What is stored and what is asked goes through here, so that both become the same words; stems are
PostgreSQL's.
"""

import re
import unicodedata

_JOINED = re.compile(  # "peri-bronchial" is written with and without its hyphen
    r"\b(peri|inter|intra|micro|macro|hydro|hemo|haemo|pneumo|hepato|spleno|cardio|broncho|tracheo|athero|fibro"
    r"|pleuro|pseudo|lympho)-(?=[a-z])"
)
_SPELLINGS = tuple(
    (re.compile(british), american)
    for british, american in (
        (r"\boe(?=dem|soph|str)", "e"),
        (r"tumour", "tumor"),
        (r"colour", "color"),
        (r"favour", "favor"),
        (r"calibre", "caliber"),
        (r"centre\b", "center"),
        (r"fibre", "fiber"),
        (r"grey", "gray"),
        (r"litre", "liter"),
        (r"haem", "hem"),
        (r"gynaec", "gynec"),
        (r"\baetiol", "etiol"),
        (r"\bazygous\b", "azygos"),
        (r"\bgoitre", "goiter"),
        (r"\banaes", "anes"),
        (r"\barteriosclero\w*|\batherosclero\w*", "atherosclerosis"),
        (r"(?<=an)aem", "em"),
        (r"ischaem", "ischem"),
        (r"leuk?c?aem", "leukem"),
        (r"(?<=[lmnrt])is(?=(?:ed|ing|ations?)\b)", "iz"),
        (r"\bground ?glass", "ground glass"),
        (r"\bhiatus hern", "hiatal hern"),
        (r"\batherom\w*", "atheroma"),
        (r"\bcalcif(?:ic|ied|ications?|y|ying)\b", "calcification"),
        (r"\b(emphysem|edem)atous\b", r"\1a"),
        (r"(atelecta|ecta)(?:tic|ses|sic|sia|sias|tases|tasia)\b", r"\1sis"),
        (r"\bthicken(?:ed|ings?|s)?\b", "thickening"),
        (r"\bmilli?met(?:ric|rical|rically|re|er|eric)\b", "millimetric"),
        (r"\bbullae?\b", "bulla"),
        (r"\bsept(?:um|a|al)\b", "septal"),
        (r"\bsequel(?:a|ae|aes|as|e|s)\b", "sequela"),
    )
)
_WORD = re.compile(r"\d+(?:\.\d+)?(?:x\d+(?:\.\d+)?)*(?=[^\w]|$|mm\b|cm\b)|[^\W_]+")


def plain_words(text: str) -> tuple[str, ...]:
    """Return the words of a text, in order: lower case, American spelling, without accents or signs.

    A decimal keeps its point. Forms that snowball keeps apart though they say one thing ("calcified" and
    "calcification", "septum" and "septal") become one.
    """
    decomposed = unicodedata.normalize("NFKD", text.lower().replace("’", "'"))
    plain = "".join(character for character in decomposed if not unicodedata.combining(character))
    lowered = _JOINED.sub(r"\1", plain)
    spaced = re.sub(r"[-‐–—/_]", " ", lowered)
    for found, written in _SPELLINGS:
        spaced = found.sub(written, spaced)
    return tuple(_WORD.findall(spaced))
