"""How reports and radiologists word findings: the 18 and others that are often asked for.

A wording is a few words that stand together in one sentence, in any order; a word with "-" before it must not
stand there ("nodule -thyroid"). Spelling, plurals and endings do not matter: `encoders.plain_words` and
PostgreSQL's stems make them one.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A finding and its wordings."""

    name: str
    said_as: tuple[str, ...]  # each is the finding
    kinds: tuple[str, ...] = ()  # so is each of these; asked for, it is asked for alone
    traces: tuple[str, ...] = ()  # not the finding, but whoever writes this does not rule it out
    ruled_out_by: tuple[str, ...] = ()  # affirmed, it says that the finding is not there
    surest: tuple[str, ...] = ()  # those that leave the least doubt; none given: all
    asked_as: tuple[str, ...] = ()  # in a question it is the finding; in a report it may be something else

    @property
    def every_wording(self) -> tuple[str, ...]:
        """All of the above."""
        return (
            *self.said_as,
            *self.kinds,
            *self.traces,
            *self.ruled_out_by,
            *self.surest,
            *self.asked_as,
        )


def wordings(text: str) -> tuple[str, ...]:
    """Return the wordings that semicolons and line ends part."""
    return tuple(line.strip() for line in text.replace(";", "\n").splitlines() if line.strip())


DEVICES = wordings(
    """
    pacemaker; pacing lead; pacing electrode; cardiac electrode; defibrillator; icd; catheter; picc
    chest port; venous port; port chamber; port reservoir; mediport; portacath; port a cath; picc line
    central line; venous line; hickman; drain; chest tube; thoracostomy tube; drainage tube; pigtail
    endotracheal tube; intubation tube; tracheal tube; nasogastric; ng tube; feeding tube
    orogastric tube; tracheostomy; tracheotomy; cannula; stent; endograft; suture; sutured; staple
    clip; surgical material; operation material; metallic material; sternal wire
    sternotomy; cerclage; prosthesis; prosthetic; valve replacement; mechanical valve; bioprosthetic
    valve prosthesis; implant; graft; coil; embolization material; vena cava filter; ivc filter; screw
    orthopedic hardware; fixation material; metallic fixator; osteosynthesis; bypass; shunt catheter
    cochlear; stimulator; gastric band
    """
)

EIGHTEEN: tuple[Finding, ...] = (
    Finding(
        name="Medical material",
        said_as=wordings(
            """
            medical material; medical device; medical hardware; foreign material; foreign body
            support device; implanted device; indwelling device; lines tubes; postsurgical material
            surgical hardware; metallic artifact -motion; medical apparatus; device; hardware
            implanted hardware; implanted material; prosthetic material
            """
        ),
        kinds=DEVICES,
        surest=wordings(
            """
            catheter; pacemaker; stent; venous port; tube; clip; prosthesis; suture material; sternotomy
            valve replacement; medical device
            """
        ),
    ),
    Finding(
        name="Arterial wall calcification",
        said_as=wordings(
            """
            arterial wall calcification; artery wall calcification -coronary
            arterial calcification -coronary; aorta calcification -valve -node
            aortic calcification -valve -node; vascular calcification; aorta atheroma; aortic atheroma
            aorta atherosclerosis; aortic atherosclerosis; aorta plaque; aortic plaque
            arch calcification -node; arterial plaque; artery plaque -coronary -lad
            atherosclerosis -coronary -lad -rca; atheroma -coronary -lad -rca
            calcification vessel wall; supraaortic calcification; arterial atherosclerosis -coronary
            carotid calcification; subclavian calcification; mural calcification aorta
            """
        ),
        asked_as=wordings(
            """
            calcification artery wall -coronary; hardening artery; hardened artery
            hardened aorta; sclerotic aorta; aorta sclerosis
            """
        ),
    ),
    Finding(
        name="Cardiomegaly",
        said_as=wordings(
            """
            cardiomegaly; heart enlarged; heart enlargement; cardiac enlargement; heart size increase
            heart dimension increase; heart larger; heart larger normal; large heart; big heart
            heart big; cardiothoracic increase; cto increase; ctr increase; cardiac silhouette enlarged
            cardiac silhouette enlargement; cardiac size increase; heart size upper limit exceed
            cardiac chamber enlarged; cardiac chamber dilated; dilated heart; ventricle dilated
            atrium dilated; cardiac dilatation; cardiac hypertrophy; globular heart; cardiomeali
            """
        ),
        ruled_out_by=wordings(
            """
            heart size normal; heart size natural; heart dimension normal; heart dimension natural
            cardiothoracic normal; cardiothoracic natural; heart normal size; cardiac size normal
            heart contour normal; heart unremarkable; cardiac silhouette normal
            """
        ),
        surest=wordings(
            """
            cardiomegaly; heart size increase; heart enlarged; heart larger; cardiothoracic increase
            """
        ),
        asked_as=wordings(
            """
            heart bigger; cardiothoracic -normal -natural -surgery
            """
        ),
    ),
    Finding(
        name="Pericardial effusion",
        said_as=wordings(
            """
            pericardial effusion; pericardial fluid; pericardium fluid; hemopericardium
            pericardial smear; fluid pericardial sac; pericardial space effusion; pericardial collection
            pericardial tamponade; hydropericardium; effusion around heart; fluid around heart
            """
        ),
    ),
    Finding(
        name="Coronary artery wall calcification",
        said_as=wordings(
            """
            coronary artery wall calcification; coronary calcification; coronary atheroma
            coronary plaque; coronary atherosclerosis; coronary calcium; cac; cacs
            coronary artery disease; lad calcification; lad plaque
            left anterior descending calcification; left anterior descending plaque; lad atheroma
            rca calcification; circumflex calcification; coronary sclerosis; lmca calcification
            """
        ),
        traces=wordings("coronary stent; coronary bypass; cabg"),
    ),
    Finding(
        name="Hiatal hernia",
        said_as=wordings(
            """
            hiatal hernia; sliding hernia; hiatal herniation; esophageal hernia; esophagus hernia
            paraesophageal hernia; gastric hernia; stomach hernia; intrathoracic stomach; hernia hiatus
            gastroesophageal hernia; stomach herniation; hh type 1
            """
        ),
        asked_as=wordings(
            """
            hernia -inguinal -umbilical -abdominal -diaphragm -bochdalek -morgagni -disc; hernia hiatus
            """
        ),
    ),
    Finding(
        name="Lymphadenopathy",
        said_as=wordings(
            """
            lymphadenopathy; adenopathy; lap; lymphadenomegaly; adenomegaly; lymph node enlarged
            lymph node enlargement; lymph node pathological; lymph node increase; lymph node prominent
            lymph node metastasis; lymph node conglomerate; bulky node; node enlarged; pathological node
            enlarged gland; lymph gland enlarged
            """
        ),
        traces=wordings("lymph node; nodal; lymphoma"),
        surest=wordings(
            """
            lymphadenopathy; lymph node enlarged; lymph node increase; lymph node pathological
            lymphadenomegaly; adenopathy
            """
        ),
        asked_as=wordings(
            """
            enlarged node; node swollen; gland swollen; node conglomerate
            """
        ),
    ),
    Finding(
        name="Emphysema",
        said_as=wordings(
            """
            emphysema -subcutaneous -skin -mediastinal -muscle; centrilobular emphysema
            paraseptal emphysema; panlobular emphysema; bullous disease; bullous; copd emphysema
            """
        ),
        kinds=wordings("bulla; bleb"),
        traces=wordings("air cyst; hyperinflation; overinflation; aeration increase; copd"),
        asked_as=wordings(
            """
            emphysematous
            """
        ),
    ),
    Finding(
        name="Atelectasis",
        said_as=wordings(
            """
            atelectasis; atelectatic; lung collapse; lobar collapse; collapsed lung
            collapsed lobe; segment collapse; discoid atelectasis; subsegmental collapse; lung collapsed
            collapse consolidation; atelectases
            """
        ),
        traces=wordings("fibroatelectasis; fibroatelectatic; volume loss"),
        asked_as=wordings(
            """
            collapse -vertebra -tracheal -spine; lobe collapse
            """
        ),
    ),
    Finding(
        name="Lung nodule",
        said_as=wordings(
            """
            lung nodule; pulmonary nodule; parenchymal nodule -liver -thyroid -kidney; spn; micronodule
            nodule -thyroid -adrenal -liver -kidney -breast -schmorl -spleen -subcutaneous -skin -isthmus
            subpleural nodule; nodule lobe -thyroid -liver; pulmonary nodular lesion
            lung nodular lesion; solitary pulmonary nodule; nodulus
            """
        ),
        traces=wordings(
            """
            nodular; coin lesion; lung mass; lung metastasis; pulmonary metastasis; nodule lung
            """
        ),
    ),
    Finding(
        name="Lung opacity",
        said_as=wordings(
            """
            lung opacity; pulmonary opacity; opacity; opacification; airspace opacity
            parenchymal opacity; infiltrate -muscle -fat -mass -skin; pulmonary infiltration; airspace disease
            hazy density; patchy density; parenchymal density increase; opacified lung; lung infiltrate
            shadowing
            """
        ),
        kinds=wordings(
            """
            ground glass; ggo; frosted glass; ground glass opacity; crazy paving; pneumonic infiltration
            infiltration lung; pneumonic; pneumonia
            """
        ),
        traces=wordings(
            """
            consolidation; density increase; infiltration; density lobe; density lung
            """
        ),
        surest=wordings("ground glass; frosted glass; opacity"),
        asked_as=wordings(
            """
            infiltrate; increased density lung; hazy; haziness
            """
        ),
    ),
    Finding(
        name="Pulmonary fibrotic sequela",
        said_as=wordings(
            """
            pulmonary fibrotic sequela; fibrotic sequela; sequela fibrosis; fibrotic change
            fibrotic band; fibrotic density; parenchymal band; pleuroparenchymal sequela
            pleuroparenchymal band; sequela change; sequela density; sequela parenchymal; lung sequela
            fibrotic recession; fibrotic retraction; fibrosis -retroperitoneal -liver; fibrotic
            pulmonary fibrosis; lung fibrosis; fibrous band; lung scar; lung scarring; parenchymal scar
            parenchymal scarring; apical scarring; apical scar; scarring; linear scar
            post infectious scar; cicatricial; fibrous sequela; residual fibrosis
            sequela -fracture -calcification -liver -granuloma -rib
            """
        ),
        kinds=wordings("honeycombing; honeycomb; interstitial fibrosis"),
        traces=wordings("fibroatelectasis; fibroatelectatic; retraction; recession; distortion"),
        surest=wordings(
            """
            sequela change; sequela fibrosis; fibrotic; fibrosis; pleuroparenchymal sequela
            parenchymal band
            """
        ),
        asked_as=wordings(
            """
            scar; fibrous; sequela
            """
        ),
    ),
    Finding(
        name="Pleural effusion",
        said_as=wordings(
            """
            pleural effusion; pleural fluid; pleura effusion; pleura fluid; hydrothorax; hemothorax
            hemithorax effusion; hemithorax fluid; bilateral effusion -pericardial
            parapneumonic effusion; pleural space fluid; loculated effusion; subpulmonic effusion
            pleural collection; chylothorax
            """
        ),
        kinds=wordings("empyema; hydropneumothorax; pyothorax"),
        traces=wordings("effusion -pericardial -pericardium"),
        asked_as=wordings(
            """
            effusion -pericardial; fluid lung; fluid around lung; fluid chest; fluid thorax
            pleural liquid; fluid pleural cavity; effusion pleural cavity
            """
        ),
    ),
    Finding(
        name="Mosaic attenuation pattern",
        said_as=wordings(
            """
            mosaic attenuation; mosaic perfusion; mosaic pattern; mosaic lung; mosaic appearance; mosaic
            mosaicism; heterogeneous attenuation lung; mosaic density
            """
        ),
        traces=wordings("air trapping; small airway disease; gas trapping"),
        asked_as=wordings("mosaic ventilation; mosaic type"),
    ),
    Finding(
        name="Peribronchial thickening",
        said_as=wordings(
            """
            peribronchial thickening; bronchial wall thickening; bronchial thickening
            peribronchial cuffing; bronchial wall thickness increase; peribronchial wall thickening
            peribronchial thickness increase; peribronchial thickness; bronchus wall thickening
            bronchi wall thickening; bronchus wall thickness increase; bronchi wall thickness
            bronchi thickening; airway wall thickening; bronchiole wall thickening
            peribronchovascular thickening; airway thickening; peribronchial infiltration
            bronchial cuffing; bronchial wall thick; bronchovascular thickening
            peribronchovascular cuffing
            """
        ),
        traces=wordings("peribronchial; bronchitis; peribronchovascular"),
        surest=wordings(
            """
            peribronchial thickening; peribronchial thickness; peribronchial cuffing
            """
        ),
        asked_as=wordings(
            """
            bronchitis; bronchitis thickening; bronchi thick; airway wall thick; bronchial wall thick
            """
        ),
    ),
    Finding(
        name="Consolidation",
        said_as=wordings(
            """
            consolidation; consolidative; consolidated; airspace consolidation; consolidated lung
            lobar pneumonia; dense airspace opacity
            """
        ),
    ),
    Finding(
        name="Bronchiectasis",
        said_as=wordings(
            """
            bronchiectasis; bronchiectatic; bronchial dilatation; bronchial dilation; bronchi dilated
            dilated bronchus; bronchi dilatation; bronchus dilatation; bronchial ectasis
            bronchi ectasis; bronchoectasis; dilated airway; airway dilatation; bronchial widening
            bronchiolectasis; dilated bronchial; signet ring sign; ectasis bronchus
            """
        ),
        asked_as=wordings(
            """
            airway dilated; bronchi wide; bronchi enlarged; airway enlarged
            """
        ),
    ),
    Finding(
        name="Interlobular septal thickening",
        said_as=wordings(
            """
            interlobular septal thickening; septal thickening -nasal; interlobular thickening
            interlobular septal thickness increase; septal thickness; interlobular thickness; kerley
            septal line; kerley line; interlobular septal prominent; interlobular septal prominence
            interseptal thickening; interseptal thickness; thickening interlobular septal
            interlobular septal
            """
        ),
        traces=wordings("interstitial thickening; interstitial edema; septal; crazy paving"),
        surest=wordings(
            """
            interlobular septal thickening; interlobular septal thickness; interlobular thickness
            """
        ),
        asked_as=wordings(
            """
            septa thick -nasal; septal line
            """
        ),
    ),
)
