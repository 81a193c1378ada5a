"""Where labels in CT-RATE's manner part from how radiologists word a finding (`encoders.wordings`).

An annotator of CT-RATE ticks "Lymphadenopathy" for any lymph node that is described, and "Peribronchial
thickening" for nothing but that; a search should do neither. Wordings are written as there.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from encoders.wordings import wordings


@dataclass(frozen=True, slots=True, kw_only=True)
class Convention:
    """How a label departs from the wordings of its finding."""

    counted: tuple[str, ...] = ()  # too
    not_counted: tuple[str, ...] = ()  # alone, though the finding may be worded so


CONVENTIONS: Mapping[str, Convention] = {
    "Medical material": Convention(
        counted=wordings("metallic density"),
        not_counted=wordings(
            """
            sternotomy; bypass; implant; implanted material; metallic artifact; screw; graft
            operation material; surgical material; surgical hardware
            """
        ),
    ),
    "Lymphadenopathy": Convention(counted=wordings("lymph node -intrapulmonary")),
    "Lung opacity": Convention(
        counted=wordings("dependent density"),
        not_counted=wordings(
            """
            pneumonia; pneumonic; pneumonic infiltration; pulmonary infiltration; infiltration lung
            infiltrate; lung infiltrate; pulmonary infiltrate; parenchymal density increase; crazy paving
            """
        ),
    ),
    "Pulmonary fibrotic sequela": Convention(
        counted=wordings("fibroatelectasis; fibroatelectatic"),
        not_counted=wordings("honeycombing; honeycomb; interstitial fibrosis"),
    ),
    "Pleural effusion": Convention(
        counted=wordings("effusion lung -pericardial; effusion adjacent lung -pericardial"),
    ),
    "Peribronchial thickening": Convention(
        not_counted=wordings(
            """
            bronchial wall thickening; bronchial thickening; bronchial wall thickness increase
            bronchus wall thickening; bronchi wall thickening; bronchus wall thickness increase
            bronchi wall thickness; bronchi thickening; airway wall thickening; airway thickening
            bronchiole wall thickening; bronchial wall thick
            """
        ),
    ),
}
