"""Words that tell where, how much, how many and what changed; and those that ask for nothing."""

import re

from chat.sentence_reading import canonical, word_stem
from retrieval.query_words import FUNCTION

SILENT = frozenset(
    word_stem(word)
    for word in FUNCTION.union(
        re.findall(
            r"\w+",
            """
        you i we us whether radiologist doctor physician performed done carried made taken wondering
        want would like affirm call called consider considered describe described mention mentioned say says
        said state stated know known tell told report reported reports get got ever just really
        actually still already exactly again case about there document documented contain
        contains contained concern concerning regard regarding related kind type what how much
        many word words thing things item currently here everything whole entire visible visibly
        affect affected affects involve involved involves exist exists existing occur occurs
        anything something nothing he she him hers undergone undergo underwent received sort
        suffer suffers suffering diagnosed diagnose were suggest suggested
        """,
        )
    )
)
"""Stems of function words and of verbs of saying: they ask for nothing."""

PLACES = frozenset(
    first
    for word in re.findall(
        r"\w+",
        """
        right left bilateral bilaterally both upper lower middle lobe lobes lobar segment
        segments segmental apex apices apical apicoposterior base bases basal basals basis
        posterobasal laterobasal anterobasal mediobasal anteromediobasal lingula lingular
        anterior posterior lateral medial superior inferior zone zones level central peripheral
        hilar hilum perihilar subpleural paratracheal pretracheal prevascular subcarinal carina
        aortopulmonary paraaortic mediastinal mediastinum axilla axillary supraclavicular
        retroareolar paracardiac fissure fissural hemithorax hemithoraces pole crus corpus
        fundus isthmus ascending descending arch esophagogastric junction retrocrural
        diaphragmatic diaphragm vertebra vertebral thoracic lumbar cervical rib ribs sternum
        scapula clavicle quadrant dome bronchus trachea peribronchial peribronchovascular caudal
        centrilobular parenchymal parenchyma gland vena cava atrium ventricle jugular subclavian
        pleura aorta coronary kidney liver spleen breast thyroid adrenal gallbladder stomach
        abdomen abdominal interlobar intercostal subcutaneous prebronchial infrahilar suprahilar
        retrosternal
        """,
    )
    for first in canonical(word)
)
"""Stems of words that say where."""

SIDES = {side: frozenset(canonical(f"{side} bilateral bilaterally both")) for side in canonical("right left")}
"""Stems that a side is said by."""

SEVERITY = re.compile(
    r"\b(?:mild(?:ly)?|minimal(?:ly)?|moderate(?:ly)?|severe(?:ly)?|marked(?:ly)?|slight(?:ly)?"
    r"|extensive(?:ly)?|diffuse(?:ly)?|widespread|advanced|prominent|significant(?:ly)?|large|small|trace"
    r"|massive|millimetric|few|predominant(?:ly)?|more|focal|total|complete(?:ly)?)\b",
    re.IGNORECASE,
)
"""How reports say how much."""

ORGANS = frozenset(
    canonical(
        "heart aorta bone artery vein vessel mediastinum pleura lung trachea bronchus esophagus liver spleen"
        " kidney"
    )
)

CHANGED = re.compile(
    r"\b(?:stable|unchanged|no (?:significant )?(?:difference|change)|new(?:ly)?|increas\w+|decreas\w+"
    r"|regress\w+|progress\w+|previous|prior|earlier|comparison|compared|follow[- ]up|developed"
    r"|developing|appeared|disappear\w+|resol\w+|same|difference|emerged|reduction|reduced)\b",
    re.IGNORECASE,
)
"""How reports speak of change since an earlier study."""

SINCE_BEFORE = re.compile(
    r"\b(?:stable|unchanged|new(?:ly)?|regress\w+|progress(?:ed|ion|ing)|resol(?:ved|ution)|disappear\w+"
    r"|emerged|no (?:significant |obvious )?(?:change|difference)s?|(?:previous|prior|old|earlier"
    r"|last) (?:\w+ )?(?:exam\w*|ct|scans?|stud\w+|reviews?|reports?|imaging)|compared|in comparison)\b",
    re.IGNORECASE,
)
"""How they do where nothing else is asked: an enlarged heart is no change."""

FOLLOWED = re.compile(r"\bfollow|\b(?:later|earlier|another|next|previous|prior)\b", re.IGNORECASE)
"""How a question asks for other studies of a patient."""

QUANTITY = re.compile(
    r"\b(?:\d+|an?|one|two|three|four|five|six|seven|eight|nine|ten|few|several|multiple|single|solitary"
    r"|numerous|many|some|both|bilateral|couple|diffuse|widespread)\b",
    re.IGNORECASE,
)
"""How reports say how many."""
