"""Words that say one thing of a finding, whatever it is: an organ and its adjective, a change and its names.

What is typed as "splenic enlargement" is written as "the spleen is larger than normal". Spelling, plurals and
endings are `encoders.plain_words`' and PostgreSQL's; what is only true within one finding is a wording of it
(`encoders.wordings`).
"""


def _families(text: str) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(line.split()) for line in text.replace(";", "\n").splitlines() if line.strip())


ANATOMY = _families(
    """
    heart cardiac; lung pulmonary; liver hepatic; spleen splenic; kidney renal; stomach gastric
    esophagus esophageal gullet; thymus thymic; breast mammary; rib costal costa; skin cutaneous
    vertebra vertebral vertebrae spine spinal backbone; bone bony osseous skeletal; pancreas pancreatic
    pericardium pericardial; pleura pleural; bronchus bronchi bronchial; trachea tracheal windpipe
    airway airways; aorta aortic; artery arterial; vein venous; bowel intestinal intestine; colon colonic
    diaphragm diaphragmatic; mediastinum mediastinal; node nodal; sternum sternal breastbone
    clavicle clavicular collarbone; scapula scapular; adrenal suprarenal; coronary coronaries; septa septal
    gallbladder cholecystic; thyroid; axilla axillary; hilum hilar hila; ventricle ventricular biventricular
    atrium atrial biatrial; larynx laryngeal; fissure fissural; gland glandular; muscle muscular
    peritoneum peritoneal
    """
)
"""An organ and its adjective."""

CHANGES = _families(
    """
    enlarged enlargement large larger big bigger swollen
    dilated dilatation dilation widened widening wider distended distension ectatic ectasia
    fractured fracture broken; calculus calculi stone lithiasis; implant prosthesis prosthetic
    tumor neoplasm; hernia herniation herniated herniating; collapse collapsed; scar scarring scarred
    opacity opacification opacified opaque; infiltrate infiltration; metastasis metastatic; cyst cystic
    fluid liquid water; aneurysm aneurysmal aneurysmatic; thickening thick thickness; air gas
    narrowing narrowed stenosis stenotic; obstruction obstructed obstructing occlusion occluded
    calcification calcium; cavity cavitary cavitation cavitating cavitated; embolism embolus emboli
    thrombus thrombosis thrombi; diverticulum diverticula diverticular; removal removed resection resected
    """
)
"""A change, and what else it is called."""

FAMILIES = (*ANATOMY, *CHANGES)
