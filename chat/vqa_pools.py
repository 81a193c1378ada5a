"""The ways in which the questions of the VQA set are put; `{}` stands for a finding or a place."""

PRESENCE = (
    "Is {} present in this chest CT?",
    "Does this chest CT show {}?",
    "Can {} be seen in this volume?",
    "Is there evidence of {} on this CT?",
    "Does the patient have {} on this scan?",
)
LOCATION = (
    "Where is the {} located?",
    "In which part of the lungs is the {} seen?",
    "What is the location of the {} in this chest CT?",
    "Where in the lungs does this volume show {}?",
)
ABNORMALITY = (
    "Which abnormality is seen in the {}?",
    "What abnormality does the {} show in this chest CT?",
    "Name an abnormality of the {} in this volume.",
)
DISORDER = (
    "Which disorder does this chest CT suggest?",
    "What condition are the findings of this volume compatible with?",
    "Which diagnosis would this scan support?",
)
CHOICE_PRESENT = (
    "Which of these findings is present in this chest CT?",
    "Which one of the following does this volume show?",
    "Choose the finding that can be seen on this scan.",
)
CHOICE_ABSENT = (
    "Which of these findings is not present in this chest CT?",
    "Which one of the following does this volume not show?",
)
CHOICE_LOBE = (
    "In which lobe is the {} seen?",
    "Which lobe does the {} lie in?",
)
REPORT = (
    "Please provide the radiology report for this chest CT volume.",
    "Write the radiology report of this chest CT.",
    "Can you generate the report for the following chest CT volume?",
    "What would the radiology report of this scan say?",
    "Produce findings and impression for this volume.",
    "Report this chest CT.",
    "Give a full radiology report for the CT shown.",
    "Describe this chest CT as a radiologist's report.",
    "Please write findings and impression for this chest CT volume.",
    "Generate a radiology report from this volume.",
    "Draft the radiology report for this volume.",
    "Create a detailed report for this chest CT scan.",
)
DESCRIPTION = (
    "Describe this chest CT in detail.",
    "What does this volume show? Describe everything of note.",
    "Please give a detailed description of this chest CT.",
    "Walk me through the findings of this scan.",
    "Explain what can be seen in this chest CT volume.",
)
