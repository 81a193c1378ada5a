"""Capitalised words of reports that are no names, and those of them that are surnames too."""

import re

ORDINARY_WORDS = frozenset(
    re.findall(
        r"\w+",
        """
        a abdomen abdominal able abnormal about above abscess absent according active acute additional
        adenopathy adjacent admission adrenal after age aged air airway all also although an and
        angiogram angiography anterior any aorta aortic apart apex apical april are area arm arterial
        artery as ascending assessment at atelectasis august available axial back background basal base
        be because bed been before below benign best bilateral biopsy bird black blood body bone both
        brain branch breast bright bronchial brown but by calcified can carcinoma cardiac cardiology
        care case cases cavity cell center central centre chest child chronic clear clinic clinical
        clinician close cold colon comment compared comparison complete conclusion consolidation
        consultant contact contrast control coronary correlation cough covid cross ct cyst data date day
        days december deep degenerative density department dependent descending diagnosis diameter
        diffuse disease distal doctor doctors due during early edema effusion elective emergency
        emphysema employee end endoscopy enlarged er evaluation exam examination examiner except
        external family far fat february female fever few field film findings fine first fluid focal
        follow following foot for former foundation fracture free friday from full gas gastric general
        gland good grade gray great green grey ground group grown had hand has he head healthy heart
        help her here hernia high hilar hill hilum him his history hospital however icu id if image
        images imaging impression in increased indication infection inferior information intensive
        internal is it item its january joint july june kerley key kidney known large largest last
        lateral left legacy less level light limited liver lobe local long low lower lung lungs lymph
        lymphoma main major male malignancy management march mass may measured measurement medial
        mediastinum medical medicine metastasis method mild minimal minor miss monday most motion mri
        multiple muscle name neck needle negative neoplasm nephrology neurology new newly night no nodal
        node nodes nodular nodule nodules none normal north not note noted november now number nurse
        nursing obstetrics october of office old on oncology only open operation or orthopedics other
        our out outpatient outside over overall pain pancreas parenchyma park part partial past patient
        patients pediatric pelvis perhaps pericardial peripheral pet phone physician physicians plain
        plaque please pleura pleural pneumonia point poor port position possible post posterior prepared
        presence present previous primary prior probable procedure prominent protocol provider pulmonary
        radiologist radiology rapid reason recent recommended record reference referral referring region
        related renal report request resident respiratory rest result results review rib ribs rich right
        room rose round saturday scan scans screening secondary section see seen segment sepsis
        september series service several sex sharp short should shown side sign signs since single size
        skin slight small smoker smoking soft some sounds south specialist spectroscopy spine spleen
        stable staff stage star status stent stomach stone stones strong studies study subject
        suboptimal such summer sunday superior surgeon surgery surgical swallow symptoms target team
        technique technologist than that the their then there these they thickening thin this thoracic
        thorax those three thursday thyroid tissue to today total trachea trauma tube tuesday tumor
        tumour two type ultrasound under unit unknown up upper urgent urology us valve various vascular
        vein ventricle very vessel view views viral visit vital wall ward was water we wednesday weight
        well were west when where which while white who wide window winter with within without wood
        wound year years yellow yes young zone
        """,
    )
)

SURNAMES_TOO = frozenset(
    re.findall(
        r"\w+",
        """
        april august best bird black bone branch bright brown case cold cross day days field fine foot
        fox friday gray great green grey hand head heart hill june key king light little long low major
        march may miller miner night noble north page park point poor price rich rose round sharp short
        small south star stone strong summer swallow target wall ward waters wells west white winter
        wood young
        """,
    )
)
"""After "Mr" or "Dr." these are names all the same."""
