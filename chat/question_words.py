"""Words that tell where, how much, how many and what changed; and those that ask for nothing."""

import re

from chat.stems import canonical, word_stem
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
        suffer suffers suffering diagnosed diagnose were suggest suggested over under since during
        across among until because therefore situ place soon develop developed developing emerge emerged
        emerging side sides sided
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

NARROWING = frozenset(
    canonical(
        """
        loculated parapneumonic subpulmonic hemothorax chylothorax hemopericardium tamponade copd
        centrilobular paraseptal panlobular bullous bulky conglomerate metastatic atrial ventricular
        hypertrophy globular sliding paraesophageal intrathoracic micronodule solitary discoid subsegmental
        lobar infectious cicatricial mechanical carotid subclavian ascending descending arch supraaortic
        circumflex kerley cortical centriacinar
        """
    )
)
"""Stems that say more than the finding whose wordings have them: a loculated effusion is not any."""

SIDES = {side: frozenset(canonical(f"{side} bilateral bilaterally both")) for side in canonical("right left")}
"""Stems that a side is said by."""

SEVERITY = re.compile(
    r"\b(?:mild(?:ly)?|minimal(?:ly)?|moderate(?:ly)?|severe(?:ly)?|marked(?:ly)?|slight(?:ly)?"
    r"|extensive(?:ly)?|diffuse(?:ly)?|widespread|advanced|prominent|significant(?:ly)?|large|small|trace"
    r"|massive|millimetric|few|predominant(?:ly)?|more|focal|total|complete(?:ly)?|half|percent)\b"
    r"|\d ?%",
    re.IGNORECASE,
)
"""How reports say how much."""

ORGANS = frozenset(
    canonical(
        "heart aorta bone artery vein vessel mediastinum pleura lung trachea bronchus esophagus liver spleen"
        " kidney"
    )
)

ORGANS_WITH_LESIONS = frozenset(
    canonical(
        "liver spleen kidney adrenal thyroid breast gallbladder stomach pancreas lung bone vertebra rib"
        " sternum mediastinum pleura heart aorta esophagus omentum"
    )
)
"""Stems of organs that a lesion may be of."""

PARTS = {
    whole: frozenset(canonical(parts))
    for whole, parts in (("bone", "rib vertebra sternum clavicle scapula humerus femur"),)
}
"""What is affirmed of a part is affirmed of the whole: a rib is bone."""

NARROWER = PARTS | {
    kind: frozenset(canonical(narrower))
    for kind, narrower in (
        ("lesion", "mass nodule cyst tumor nodular adenoma metastasis"),
        ("coronar", "lad rca lmca circumflex"),
        ("lymph", "lymphadenopathy adenopathy lap"),
        ("node", "lymphadenopathy adenopathy lap"),
    )
}
"""Words that say as much as a wider one, and more."""

SMALL = frozenset(canonical("tiny small little millimetric submillimetric minimal minute"))
SMALL_MM = 5.0
"""What is called small, and the length in mm up to which it is."""

CHANGED = re.compile(
    r"\b(?:stable|unchanged|no (?:significant )?(?:difference|change)|new(?:ly)?|(?<!density )(?<!densities )"
    r"increas\w+(?! (?:in )?(?:density|densities|attenuation|aeration))"
    r"|decreas\w+(?! (?:in )?(?:density|densities))|regress\w+|progress\w+|previous|prior|earlier|comparison"
    r"|compared|follow[- ]up|developed|developing|appeared|disappear\w+|resol\w+|same|difference"
    r"|emerged|reduction|reduced|erased|faded"
    r"|diminish\w+|lessen\w*|grown|grew|shr[aiu]nk\w*|improv\w+|worsen\w*)\b",
    re.IGNORECASE,
)
"""How reports speak of change since an earlier study."""

NOT_BEFORE = (
    r"\bnot (?:seen|observed|present|available) (?:in|on|at) (?:the )?(?:previous|prior|old|last|earlier)\b"
)
"""How reports say that an earlier study lacked something; part of a regular expression."""

ONLY_NEW = re.compile(
    r"\bnew(?:ly)?\b|\b(?:just|recently) (?:appear|emerg|develop)\w*|\bemerged\b"
    rf"|{NOT_BEFORE}",
    re.IGNORECASE,
)
ONLY_STABLE = re.compile(
    r"\b(?:stable|unchanged|same|no (?:\w+ )?(?:difference|change)s?|did not (?:change|differ)"
    r"|does not differ)\b",
    re.IGNORECASE,
)
"""How they say that something is new, and that it is as it was."""

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
