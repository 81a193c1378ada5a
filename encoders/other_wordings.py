"""Findings beyond the 18 that are often asked for, and what is typed for short; see `encoders.wordings`."""

from encoders.wordings import Finding, wordings

OTHERS: tuple[Finding, ...] = (
    Finding(
        name="ground-glass opacity",
        said_as=wordings(
            """
            ground glass; ground glass opacity; ground glass density; frosted glass; ggo; ggos; ggn
            ground glass attenuation; ground glass infiltrate; ground glass appearance
            frosted glass density
            """
        ),
    ),
    Finding(
        name="air trapping",
        said_as=wordings("air trapping; gas trapping; expiratory trapping"),
    ),
    Finding(
        name="bulla",
        said_as=wordings("bulla; bullous; bleb"),
    ),
    Finding(
        name="crazy paving",
        said_as=wordings("crazy paving; crazy pavement; paving stone"),
    ),
    Finding(
        name="tree-in-bud",
        said_as=wordings("tree bud; budding tree; budded tree; tib opacity"),
    ),
    Finding(
        name="honeycombing",
        said_as=wordings("honeycombing; honeycomb"),
    ),
    Finding(
        name="PICC",
        said_as=wordings(
            """
            picc; picc line; peripherally inserted central catheter; peripheral central catheter
            """
        ),
        traces=wordings("central venous catheter; catheter vena cava; central catheter"),
    ),
    Finding(
        name="central venous catheter",
        said_as=wordings(
            """
            central venous catheter; central line; cvc; venous catheter; catheter vena cava
            central catheter; jugular catheter; subclavian catheter; port catheter; dialysis catheter
            hickman; permcath
            """
        ),
    ),
    Finding(
        name="port catheter",
        said_as=wordings(
            """
            port catheter; venous port; chest port; port a cath; portacath; mediport; chemoport
            port chamber
            """
        ),
    ),
    Finding(
        name="pacemaker",
        said_as=wordings(
            """
            pacemaker; cardiac pacemaker; pace maker; pacing lead; pacing device; icd; defibrillator
            pacemaker lead
            """
        ),
    ),
    Finding(
        name="sternotomy",
        said_as=wordings(
            """
            sternotomy; sternotomy wire; median sternotomy; sternal wire; sternal suture; sternum suture
            sternal cerclage; sternum wire; suture material sternum
            """
        ),
    ),
    Finding(
        name="prosthetic valve",
        said_as=wordings(
            """
            prosthetic valve; valve replacement; valve prosthesis; mechanical valve; artificial valve
            tavi; tavr
            """
        ),
    ),
    Finding(
        name="endotracheal tube",
        said_as=wordings("endotracheal tube; ett; intubation tube; tracheal tube; intubated"),
    ),
    Finding(
        name="nasogastric tube",
        said_as=wordings(
            """
            nasogastric tube; nasogastric; ng tube; ngt; feeding tube; orogastric tube
            """
        ),
    ),
    Finding(
        name="chest tube",
        said_as=wordings(
            """
            chest tube; thorax tube; thoracic tube; thoracostomy tube; pleural drain; pleural catheter
            chest drain; drainage catheter hemithorax
            """
        ),
    ),
    Finding(
        name="rib fracture",
        said_as=wordings(
            """
            rib fracture; costal fracture; fracture rib; fractured rib; costa fracture
            """
        ),
    ),
    Finding(
        name="vertebral fracture",
        said_as=wordings(
            """
            vertebral fracture; vertebra fracture; compression fracture; vertebral compression
            vertebral height loss; vertebra height loss; spinal fracture; vertebral collapse
            """
        ),
    ),
    Finding(
        name="pulmonary embolism",
        said_as=wordings(
            """
            pulmonary embolism; pulmonary embolus; pulmonary emboli; pulmonary thromboembolism
            filling defect pulmonary artery; pte; pulmonary artery thrombus; pulmonary embolic
            """
        ),
    ),
    Finding(
        name="hepatic steatosis",
        said_as=wordings(
            """
            hepatosteatosis; hepatic steatosis; steatosis liver; steatosis; fatty liver; adiposity liver
            fatty infiltration liver; liver fat; fattening liver
            """
        ),
    ),
    Finding(
        name="gallstone",
        said_as=wordings(
            """
            gallstone; cholelithiasis; gallbladder stone; gallbladder calculus; gallbladder calculi
            cholecystolithiasis; gall stone
            """
        ),
    ),
    Finding(
        name="kidney stone",
        said_as=wordings(
            """
            kidney stone; renal stone; nephrolithiasis; renal calculus; renal calculi; kidney calculi
            kidney calculus; urolithiasis; nephrolith
            """
        ),
    ),
    Finding(
        name="renal cyst",
        said_as=wordings("renal cyst; kidney cyst; renal cortical cyst; cyst kidney pole"),
    ),
    Finding(
        name="hepatic cyst",
        said_as=wordings("hepatic cyst; liver cyst"),
    ),
    Finding(
        name="aortic aneurysm",
        said_as=wordings(
            """
            aortic aneurysm; aorta aneurysm; aorta aneurysmatic; aneurysmal aorta
            aneurysm ascending aorta
            """
        ),
        traces=wordings("aorta dilatation; aortic dilatation; aorta ectasis; aorta ectasia"),
    ),
    Finding(
        name="aortic dilatation",
        said_as=wordings(
            """
            aorta dilatation; aortic dilatation; dilated aorta; aorta dilated; aorta ectasis
            aortic ectasis; aorta ectatic; aorta ectasia; aortic ectasia; aorta diameter increase
            aorta aneurysm; aorta aneurysmatic; aortic dilation; aorta dilation; aorta widening
            aorta wider
            """
        ),
    ),
    Finding(
        name="dilated pulmonary artery",
        said_as=wordings(
            """
            pulmonary artery dilatation; pulmonary artery dilated; dilated pulmonary artery
            pulmonary artery enlarged; pulmonary trunk dilated; pulmonary artery diameter increase
            pulmonary trunk diameter increase; enlarged pulmonary artery; pulmonary hypertension
            pulmonary artery wider; pulmonary arterial hypertension
            """
        ),
    ),
    Finding(
        name="cavity",
        said_as=wordings(
            """
            cavity -thoracic -abdominal -pleural; cavitary; cavitation; cavitating; cavitated
            """
        ),
    ),
    Finding(
        name="COVID-19 pneumonia",
        said_as=wordings(
            """
            covid; covid 19; coronavirus; sars cov; covid pneumonia; viral pneumonia covid
            """
        ),
    ),
    Finding(
        name="pneumonia",
        said_as=wordings("pneumonia; pneumonic; pneumonic infiltration; bronchopneumonia"),
    ),
    Finding(
        name="thyroid nodule",
        said_as=wordings("thyroid nodule; thyroid nodular; thyroid gland nodule"),
    ),
    Finding(
        name="metastasis",
        said_as=wordings(
            """
            metastasis; metastases; metastatic; mets; secondary deposit; metastatitic
            """
        ),
    ),
    Finding(
        name="adrenal adenoma",
        said_as=wordings("adrenal adenoma"),
        traces=wordings("adrenal nodule; adrenal nodular; adrenal lesion; adrenal mass"),
    ),
    Finding(
        name="adrenal lesion",
        said_as=wordings("adrenal nodule; adrenal nodular; adrenal lesion; adrenal mass"),
        kinds=wordings("adrenal adenoma"),
    ),
    Finding(
        name="pleural thickening",
        said_as=wordings(
            """
            pleural thickening; pleura thickening; pleural thickness increase; thickening pleura
            """
        ),
    ),
    Finding(
        name="pleural plaque",
        said_as=wordings("pleural plaque; pleura plaque; pleural calcification"),
    ),
    Finding(
        name="subcutaneous emphysema",
        said_as=wordings(
            """
            subcutaneous emphysema; subcutaneous air; skin emphysema; surgical emphysema
            """
        ),
    ),
    Finding(
        name="pneumomediastinum",
        said_as=wordings("pneumomediastinum; mediastinal air; pneonomediastinum"),
    ),
    Finding(
        name="pulmonary edema",
        said_as=wordings(
            """
            pulmonary edema; lung edema; interstitial edema; alveolar edema; cardiac stasis; stasis
            """
        ),
    ),
    Finding(
        name="ascites",
        said_as=wordings(
            """
            ascites; abdominal free fluid; perihepatic fluid; intraabdominal fluid
            """
        ),
    ),
    Finding(
        name="hydropneumothorax",
        said_as=wordings(
            "hydropneumothorax; pneumothorax effusion; air fluid level pleural; hemopneumothorax"
        ),
        traces=wordings("pneumothorax"),
    ),
    Finding(
        name="enlarged thyroid",
        said_as=wordings("thyroid enlarged; thyroid size increase; goiter; goitre; struma; thyroid larger"),
    ),
    Finding(
        name="splenomegaly",
        said_as=wordings("splenomegaly; spleen enlarged; spleen size increase; spleen larger; spleen bigger"),
    ),
    Finding(
        name="hepatomegaly",
        said_as=wordings("hepatomegaly; liver enlarged; liver size increase; liver larger; liver bigger"),
    ),
    Finding(
        name="scoliosis",
        said_as=wordings("scoliosis; kyphoscoliosis; scoliotic"),
    ),
    Finding(
        name="degenerative changes of the spine",
        said_as=wordings(
            """
            spondylosis; degenerative vertebra; degenerative spine; degenerative change vertebra
            """
        ),
        kinds=wordings("osteophyte; osteophytic"),
    ),
    Finding(
        name="osteophyte",
        said_as=wordings("osteophyte; osteophytic; bridging osteophyte; bone spur"),
        traces=wordings("spondylosis"),
    ),
    Finding(
        name="mastectomy",
        said_as=wordings("mastectomy; breast operated; breast removed; breast resection"),
    ),
)

ABBREVIATIONS: dict[str, str] = {
    "pe": "pulmonary embolism",  # also short for either effusion: the answer says how it was read
    "ptx": "pneumothorax",
    "pnx": "pneumothorax",
    "pna": "pneumonia",
    "ild": "interstitial lung disease",
    "ipf": "pulmonary fibrosis",
    "ln": "lymph node",
    "lns": "lymph node",
    "lad": "lymphadenopathy",
    "hh": "hiatal hernia",
    "cad": "coronary artery disease",
    "lul": "left upper lobe",
    "lll": "left lower lobe",
    "rul": "right upper lobe",
    "rml": "right middle lobe",
    "rll": "right lower lobe",
    "lt": "left",
    "rt": "right",
    "bilat": "bilateral",
    "svc": "vena cava superior",
    "ivc": "vena cava inferior",
    "cabg": "coronary bypass",
    "ppm": "pacemaker",
    "aicd": "defibrillator",
    "ett": "endotracheal tube",
    "ngt": "nasogastric tube",
    "ogt": "orogastric tube",
    "cvc": "central venous catheter",
    "cvl": "central venous catheter",
    "avr": "valve replacement",
    "mvr": "valve replacement",
    "tb": "tuberculosis",
    "bx": "biopsy",
    "fx": "fracture",
    "mets": "metastasis",
    "atx": "atelectasis",
    "atel": "atelectasis",
    "consol": "consolidation",
    "emph": "emphysema",
    "eff": "effusion",
    "calc": "calcification",
    "calcs": "calcification",
    "nod": "nodule",
    "nods": "nodule",
    "bwt": "bronchial wall thickening",
    "ilst": "interlobular septal thickening",
    "ggos": "ggo",
    "gg": "ground glass",
    "ctr": "cardiothoracic",
    "aaa": "aortic aneurysm",
    "taa": "aortic aneurysm",
}
"""Typed for short. "LAD" is lymphadenopathy, but beside a vessel's words a coronary artery."""
