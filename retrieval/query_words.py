"""Words of a question that no report is looked up by, and words that only tell its findings apart."""

import re

FUNCTION = frozenset(
    re.findall(
        r"\w+",
        """
        a an and any also are as at be been being but by can case cases could did do does either
        evidence for from had has have having her his if in into is it its me may might neither no
        non nor not of off on or other patient patients per please s scan scans search show shows
        showing than that the their them then there these they this those to was were what when
        where which while who whose will with within without would absence absent lack lacking free
        negative denies rule rules ruled out never none longer exclude excluded finding findings
        observe observed detect detected see seen note noted identify identified visualized
        demonstrate demonstrated present presence find found image images ct chest thorax thoracic
        report reports compatible consistent suggestive evaluate evaluated examine examined
        examination section sections favor sign signs appearance appearances all known status post
        between both due through around along into within toward towards
        isn aren wasn weren doesn didn don hasn haven hadn can t visible invisible detectable
        appreciated perceptible apparent demonstrable unseen undetected undetectable whatsoever unable
        definite definitely obvious obviously evident clear clearly cannot couldn nothing look looks looking
        seem seems appear appears suggest suggesting suggests suspected suspicion suspicious indicating
        indicate indicates discernible appreciable demonstrates reveal reveals revealed someone somebody
        anyone man woman people person who history hx
        """,
    )
)
"""What any report and any question has: grammar, and the verbs and nouns of seeing."""

MODIFIERS = frozenset(
    re.findall(
        r"\w+",
        """
        right left bilateral unilateral side sided upper lower middle mid lobe lobes lobar lung
        lungs pulmonary hemithorax segment segments segmental subsegmental apical apex basal base
        bases anterior posterior lateral medial superior inferior central peripheral proximal distal
        lingula lingular region area areas zone zones level parenchyma parenchymal mild moderate
        severe minimal slight massive large small tiny big multiple few several single solitary some
        many diffuse focal patchy scattered widespread local stable new newly old acute chronic
        previous prior increase increased increasing decrease decreased size sizes diameter thick
        thickness mm cm millimetric measuring approximately nonspecific specific normal natural
        significant pathological change changes structure structures wall bone bones soft tissue
        common more most less prominent vein artery vessel vessels heart aorta mediastinum
        mediastinal pleura pleural hilar smooth irregular linear band bandlike plate platelike like
        round rounded oval ill well defined faint dense extensive marked subtle trace gross widened
        broad thin advanced early late residual minor major hazy difference differences pattern patterns
        configuration type process disease disorder involvement amount degree wispy confluent amorphous
        tiny sized space spaces thin walls hila hilum number numbers due secondary situ place old
        """,
    )
)
"""Where, how large, how many, how much: reports that say these too come before others."""
