"""Questions over the validation reports, and the sentences that answer them, marked by reading the reports.

A line: kind | cases | question | marks. A mark is a study's sentences, f of the findings and i of the
impression; after "?" come those that may be cited and need not be. "refuse" marks what no report answers; "say"
is what the text must hold where no sentence is cited. Names and numbers only: the reports lie in ../shared.
"""

TUNED = """
presence | valid_1098_a | Is there a pleural effusion? | valid_1098_a f3 f4 f5 i1 ? f6
presence | valid_101_b | Does this patient have cardiomegaly? | valid_101_b f5 i2
presence | valid_910_a | Is there a hiatal hernia? | valid_910_a f10 i2
presence | valid_7_b | Is there a port catheter? | valid_7_b f1
presence | valid_612_a | Is a mosaic attenuation pattern present? | valid_612_a f13 i1
presence | valid_60_c | Is there a rib fracture? | valid_60_c f20
presence | valid_125_a valid_366_a valid_910_a | Do any of these have coronary artery calcification? | valid_125_a f9 i2; valid_910_a f8 i1
absence | valid_366_a | Is there a pleural effusion? | valid_366_a f13
absence | valid_984_a | Is pericardial effusion absent? | valid_984_a f10
absence | valid_64_c | Was a bone fracture ruled out? | valid_64_c f18
absence | valid_4_a | Is there a pleural effusion on the left? | valid_4_a f2
absence | valid_53_a | Is there any lymphadenopathy? | valid_53_a f10 f13
location | valid_258_d | Where is the nodule? | valid_258_d f9 i1
location | valid_4_a | On which side is the pleural effusion? | valid_4_a f1 ? f2
location | valid_984_a | Where is the thyroid nodule? | valid_984_a f3 i3
location | valid_53_a | Where is the atelectasis? | valid_53_a f4 i2
location | valid_7_a | In which lobe is the ground-glass nodule? | valid_7_a f13
size | valid_1098_a | How thick is the pleural effusion? | valid_1098_a f5
size | valid_984_a | What is the size of the thyroid nodule? | valid_984_a f3
size | valid_125_a | What is the diameter of the ascending aorta? | valid_125_a f5
size | valid_163_d | How large is the largest nodule? | valid_163_d f11
size | valid_4_b | How big is the adrenal lesion? | valid_4_b f11
count | valid_53_a valid_910_a valid_366_a valid_64_c | How many of these cases have a hiatal hernia? | valid_53_a f11 i3; valid_910_a f10 i2; valid_64_c f7 | say 3 of 4
count | valid_101_b valid_163_d valid_664_a | How many had emphysema? | valid_101_b f12 ? f13; valid_163_d f8 f9 i2 | say 2 of 3
count | valid_538_b | How many newly developing mass lesions are there? | valid_538_b f3 ? f4 i1
comparison | valid_984_a valid_125_a valid_910_a | Which case has the widest ascending aorta? | valid_984_a f8; valid_125_a f5; valid_910_a f5 | say valid_984_a: 45 mm
comparison | valid_60_a valid_60_b valid_60_c | Which of these have a pleural effusion but no hiatal hernia? | valid_60_b f13 i2
comparison | valid_125_a valid_910_a | What do both cases have in common? | valid_125_a f7 f9 f14 i2 i3; valid_910_a f7 f8 f14 f15 i1 i4 ? f16 f25 i5
follow-up | valid_7_a valid_7_b | How many days are between the two studies? | say 11 days
follow-up | valid_60_a valid_60_b valid_60_c | Did the patient have a follow-up? | say day 60
follow-up | valid_4_a valid_4_b | Is the pleural effusion stable? | valid_4_b f7
unanswerable | valid_1098_a | What is the patient's blood pressure? | refuse
unanswerable | valid_366_a | What is the size of the nodule? | refuse
unanswerable | valid_910_a | Which medication does the patient take? | refuse
unanswerable | valid_612_a | Is the nodule malignant? | refuse
unanswerable | valid_53_a | What is the ejection fraction? | refuse
unanswerable | valid_64_c | Who signed the report? | refuse
unanswerable | valid_125_a valid_7_a | How many days are between the two studies? | refuse
unanswerable | valid_258_d | What caused the enlargement of the spleen? | refuse
unanswerable | | What does this scan show? | refuse
unanswerable | valid_85_a | Is there a rib fracture? | refuse
"""

HELD_OUT = """
presence | valid_1016_d | Does the patient have emphysema? | valid_1016_d f14
presence | valid_333_a | Are there signs of COVID-19 pneumonia? | valid_333_a f9 i1
presence | valid_600_a | Are there any stones in the gallbladder? | valid_600_a f8 i1
presence | valid_362_a | Has the patient had a sternotomy? | valid_362_a f44
presence | valid_850_e | Any bronchiectasis? | valid_850_e f6 f7 i1
presence | valid_824_a valid_380_a valid_547_a | Did any of them have emphysema? | valid_824_a f3 i3; valid_547_a f10 i1
presence | valid_362_a | Has the liver been transplanted? | valid_362_a f33
presence | valid_790_a | Is there a nodule in the right lower lobe? | valid_790_a f13 ? i1
absence | valid_915_c | Is there pericardial fluid? | valid_915_c f7
absence | valid_380_a | Is the heart enlarged? | valid_380_a f6
absence | valid_1173_a | Is there bronchiectasis? | valid_1173_a f9
absence | valid_600_a | Does the report exclude a pleural effusion? | valid_600_a f5
absence | valid_850_e | Is there consolidation? | valid_850_e f12 i2
absence | valid_362_a valid_824_a | Which of these have no pathological lymph nodes? | valid_362_a f10; valid_824_a f12 f15
location | valid_333_a | Where is the kidney stone? | valid_333_a f13 i3
location | valid_1016_d | Where is the mass located? | valid_1016_d f10 i1
location | valid_86_a | Which lobe has the cavitating nodule? | valid_86_a f10 ? i1
location | valid_824_a | In which parts of the lungs is the atelectasis? | valid_824_a f4 i2
location | valid_981_a | Where is the nodule? | valid_981_a f9 i2
size | valid_1016_d | How large is the mass? | valid_1016_d f11
size | valid_1016_d | What is the diameter of the largest nodule? | valid_1016_d f16
size | valid_547_a | How wide is the ascending aorta? | valid_547_a f4
size | valid_483_a | What size are the liver lesions? | valid_483_a f12
size | valid_362_a | How thick is the pleural effusion on the left? | valid_362_a f28
size | valid_333_a | How big is the accessory spleen? | valid_333_a f14
count | valid_1016_d valid_600_a valid_981_a valid_547_a | In how many of these is a gallstone reported? | valid_600_a f8 i1; valid_547_a f18 i3 | say 2 of 4
count | valid_362_a valid_380_a valid_981_a valid_915_c | How many have a mosaic attenuation pattern? | valid_362_a f14 i7; valid_981_a f8 i1 | say 2 of 4
count | valid_850_e valid_790_a valid_86_a | How many of these patients have no lymphadenopathy? | valid_850_e f4; valid_86_a f7; valid_790_a ? f9 | say 3 of 3
comparison | valid_547_a valid_850_e valid_362_a | Which patient has the largest ascending aorta? | valid_547_a f4; valid_850_e f1 | say valid_547_a
comparison | valid_86_a valid_1173_a valid_981_a | Which case shows the biggest lung nodule? | valid_86_a f10; valid_1173_a f14; valid_981_a f9 | say valid_86_a: 7 mm
comparison | valid_1016_d valid_824_a | What do these two cases share? | valid_1016_d f7 f14 f15 f16 i1; valid_824_a f3 f4 f5 f10 i2 i3 i4 i5
follow-up | valid_215_a valid_215_b valid_215_c | How long after the first scan was the last one made? | say 707 days
follow-up | valid_96_a valid_96_b | When was the second study made? | say 985
follow-up | valid_362_a | Which nodules are new compared with the previous examination? | valid_362_a f19 f26 f27 i1 ? f16
follow-up | valid_790_a | Is the nodule in the right lower lobe new? | valid_790_a f13 ? i1
unanswerable | valid_915_c | What is the patient's oxygen saturation? | refuse
unanswerable | valid_380_a | How large is the pleural effusion? | refuse
unanswerable | valid_981_a | Does the patient smoke? | refuse
unanswerable | valid_600_a | Is the gallbladder stone causing pain? | refuse
unanswerable | valid_547_a | What is the creatinine level? | refuse
unanswerable | valid_1173_a | Has the nodule grown since 2019? | refuse
unanswerable | valid_86_a | Which antibiotic was given? | refuse
unanswerable | valid_333_a | Where is the rib fracture? | refuse
unanswerable | valid_1122_a | What is the name of the patient? | refuse
unanswerable | valid_824_a | Is the bladder cancer metastatic to the brain? | refuse
unanswerable | valid_96_a valid_215_a | How many days lie between these scans? | refuse
unanswerable | | Is there a nodule in this image? | refuse
unanswerable | valid_915_c | Describe the findings in valid_9999_a. | refuse
unanswerable | valid_850_e | When will the patient die? | refuse
"""
