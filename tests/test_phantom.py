"""Phantoms: deterministic, drawn as they are labelled, reported as they are drawn."""

import re
from dataclasses import replace

import numpy as np
import pytest

from encoders.abnormalities import ABNORMALITIES
from encoders.errors import DatasetError
from retrieval.datasets.phantom import (
    TRAINING_SEEDS,
    describe_cohort,
    draw_volume,
    find_scan,
    parse_source,
    phantom_case,
    phantom_cohort,
)
from retrieval.datasets.phantom.anatomy import Anatomy
from retrieval.datasets.phantom.canvas import Canvas, Frame, Segments, texture
from retrieval.datasets.phantom.findings import TENDENCIES, Disposition, Finding
from retrieval.datasets.phantom.patients import patient_scans
from retrieval.datasets.phantom.placement import place
from retrieval.datasets.phantom.report import write_report
from retrieval.datasets.phantom.scan import PhantomScan, draw_scan

SPACING_MM = (5.0, 3.0, 3.0)
COHORT = list(phantom_cohort(400, 11))


def healthy_scan(patient: int = 1) -> PhantomScan:
    scan = patient_scans(11, patient)[0]
    ratio = min(scan.anatomy.heart_ratio, 0.46)
    return replace(scan, findings={}, anatomy=replace(scan.anatomy, heart_ratio=ratio))


def with_finding(scan: PhantomScan, name: str, seed: int = 0) -> tuple[PhantomScan, Finding]:
    finding = place(name, scan.anatomy, np.random.default_rng(seed))
    return replace(scan, findings={name: finding}), finding


def drawn(scan: PhantomScan, frame: Frame | None = None) -> np.ndarray:
    return draw_scan(scan, frame or scan.frame(SPACING_MM))


def litres(mask: np.ndarray, frame: Frame) -> float:
    return float(mask.sum() * frame.voxel_mm3 / 1e6)


# --- the cohort -------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_cases_and_voxels() -> None:
    assert list(phantom_cohort(30, 11)) == COHORT[:30]
    uri = COHORT[3].volumes[0].file.uri
    first, _ = draw_volume(uri)
    draw_volume(COHORT[4].volumes[0].file.uri)  # another one in between: nothing of it may stay
    again, _ = draw_volume(uri)
    np.testing.assert_array_equal(first, again)


def test_another_seed_gives_other_patients() -> None:
    here = {(c.reports[0].findings, c.volumes[0].acquisition.pixel_mm) for c in COHORT[:50]}
    there = {(c.reports[0].findings, c.volumes[0].acquisition.pixel_mm) for c in phantom_cohort(50, 12)}
    assert not here & there


def test_names_tell_patient_study_and_reconstruction_as_those_of_ct_rate_do() -> None:
    for case in COHORT:
        assert re.fullmatch(r"phantom_11_\d+", case.patient)
        assert case.study.rsplit("_", 1)[0] == case.patient
        assert [v.name.rsplit("_", 1) for v in case.volumes] == [
            [case.study, str(number)] for number in range(1, len(case.volumes) + 1)
        ]
        assert [r.name for r in case.reports] == [case.study]


def test_some_patients_come_back_and_nearly_all_scans_have_two_reconstructions() -> None:
    patients = {case.patient for case in COHORT}
    assert 0.6 < len(patients) / len(COHORT) < 0.85
    assert 0.88 < np.mean([len(case.volumes) == 2 for case in COHORT]) < 0.99
    for case in COHORT:
        assert case.day == 0 if case.study.endswith("_a") else case.day > 0


def test_a_follow_up_shows_the_same_chest_with_other_findings() -> None:
    follow_ups = [scans for p in range(1, 200) if len(scans := patient_scans(11, p)) > 1]
    for scans in follow_ups:
        first, second = scans[0].anatomy, scans[1].anatomy
        assert (first.height, first.half_width, first.seed) == (second.height, second.half_width, second.seed)
        assert scans[0].incidentals == scans[1].incidentals
    assert np.mean([s[0].findings != s[1].findings for s in follow_ups]) > 0.5
    kept = [s[1].labels["Hiatal hernia"] for s in follow_ups if s[0].labels["Hiatal hernia"]]
    assert np.mean(kept) > 0.6  # what does not heal stays


def test_the_kernels_of_a_scan_differ_in_noise_alone() -> None:
    case = next(c for c in COHORT if len(c.volumes) == 2)
    sharp, soft = (draw_volume(v.file.uri)[0] for v in case.volumes)
    liver = np.s_[4:7, 30:45, 40:55]
    assert np.corrcoef(sharp.ravel(), soft.ravel())[0, 1] > 0.98
    assert sharp[liver].std() > 1.2 * soft[liver].std()
    assert case.volumes[0].acquisition.kernel != case.volumes[1].acquisition.kernel


def test_each_finding_occurs_about_as_often_as_it_is_said_to() -> None:
    rng = np.random.default_rng(0)
    count = 6000
    marks = [Disposition.draw(rng).present_on(Disposition.draw(rng)) for _ in range(count)]
    for name, tendency in TENDENCIES.items():
        share = np.mean([mark[name] for mark in marks])
        spread = (tendency.prevalence * (1 - tendency.prevalence) / count) ** 0.5
        assert abs(share - tendency.prevalence) < 4 * spread, name


def test_findings_that_go_together_in_patients_do_so_in_phantoms() -> None:
    marks = np.array([[case.labels[n] for n in ABNORMALITIES] for case in COHORT], dtype=float)
    phi = np.corrcoef(marks.T)

    def together(one: str, other: str) -> float:
        return float(phi[ABNORMALITIES.index(one), ABNORMALITIES.index(other)])

    assert together("Arterial wall calcification", "Coronary artery wall calcification") > 0.5
    assert together("Pleural effusion", "Pericardial effusion") > 0.2
    assert together("Lung opacity", "Consolidation") > 0.2


def test_a_cohort_describes_itself_and_says_that_it_is_not_clinical() -> None:
    text = describe_cohort(40, 11)
    assert "40 phantom scans" in text
    assert "not clinical" in text
    assert all(name in text for name in ABNORMALITIES)


@pytest.mark.parametrize(("source", "expected"), [("200", (200, 7)), ("200:8", (200, 8)), ("1:0", (1, 0))])
def test_a_source_is_a_number_of_scans_and_a_seed(source: str, expected: tuple[int, int]) -> None:
    assert parse_source(source) == expected


@pytest.mark.parametrize("source", ["", "many", "0", "-3", "200:", "200:x", "3.5", "200:7:8", "²"])
def test_another_source_is_refused(source: str) -> None:
    with pytest.raises(DatasetError, match="phantom cohort"):
        parse_source(source)


def test_an_archive_of_training_phantoms_is_refused() -> None:
    with pytest.raises(DatasetError, match="trained on"):
        parse_source(f"200:{TRAINING_SEEDS.start + 5}")
    assert phantom_case(TRAINING_SEEDS.start, 1, 0).split == "train"
    assert phantom_case(7, 1, 0).split == "valid"


@pytest.mark.parametrize(
    "uri",
    [
        "phantom:7/1_a/3",
        "phantom:7/1_a/0",
        "phantom:7/1_z/1",
        "phantom:7/0_a/1",
        "phantom:x/1_a/1",
        "/a.nii.gz",
        "",
    ],
)
def test_a_uri_that_names_no_phantom_is_refused(uri: str) -> None:
    with pytest.raises(DatasetError, match="names no phantom"):
        draw_volume(uri)


# --- voxels -----------------------------------------------------------------------------------------------


def test_a_uri_draws_the_same_scan_at_any_spacing() -> None:
    uri = COHORT[0].volumes[0].file.uri
    coarse, spacing_mm = draw_volume(uri)
    assert spacing_mm == (7.5, 3.75, 3.75)
    fine, finer_mm = draw_volume(uri, spacing_mm=(3.75, 1.875, 1.875))
    assert finer_mm == (3.75, 1.875, 1.875)
    slices = 2 * min(len(coarse), len(fine) // 2)
    blocks = fine[:slices, :192, :192].reshape(slices // 2, 2, 96, 2, 96, 2).mean((1, 3, 5))
    assert np.abs(blocks - coarse[: slices // 2]).mean() < 60
    assert np.corrcoef(blocks.ravel(), coarse[: slices // 2].ravel())[0, 1] > 0.97


def test_a_shape_of_ones_own_is_cut_about_the_middle() -> None:
    uri = COHORT[0].volumes[0].file.uri
    scan, _ = find_scan(uri)
    hu, _ = draw_volume(uri, spacing_mm=(2.0, 1.0, 1.0), shape=(1, 300, 260))
    assert hu.shape == (1, 300, 260)
    whole = scan.scan.frame()
    assert scan.scan.frame((2.0, 1.0, 1.0), (1, 300, 260)).axis(0)[0] == pytest.approx(
        whole.axis(0).mean(), abs=0.01
    )


@pytest.mark.parametrize("patient", [1, 2, 3, 4, 5, 6])
def test_a_healthy_phantom_has_the_attenuation_and_the_lungs_of_a_chest(patient: int) -> None:
    scan = healthy_scan(patient)
    frame = scan.frame(SPACING_MM)
    hu = drawn(scan, frame)
    z, x, y = np.meshgrid(*(frame.axis(n) for n in range(3)), indexing="ij")
    inside = scan.anatomy.lung_depth(np.stack([z, x, y], -1).reshape(-1, 3)).reshape(hu.shape) > 2
    lungs = inside & (hu < -700)
    assert 2.0 < litres(lungs, frame) < 7.0
    assert 0.7 < litres(inside & (x < 0), frame) / litres(inside & (x > 0), frame) < 1.8
    assert -900 < np.median(hu[lungs]) < -800
    assert (hu < -950).mean() > 0.15  # the air around
    soft = (hu > 0) & (hu < 80)
    assert 0.1 < soft.mean() < 0.6
    assert ((hu > 150) & (hu < 1200)).mean() > 0.005  # bone
    liver = hu[2:6, int((100 - 45) / 200 * hu.shape[1]), :]
    assert np.isfinite(hu).all()
    assert liver.max() < 1300


def test_the_heart_lies_left_the_liver_right_and_the_spine_behind() -> None:
    scan = healthy_scan(2)
    frame = scan.frame(SPACING_MM)
    hu = drawn(scan, frame)
    x, y = frame.axis(1), frame.axis(2)
    heart = hu[np.abs(frame.axis(0) - scan.anatomy.heart_centre[0]).argmin()]
    blood = (
        (np.abs(heart - scan.anatomy.blood_hu) < 3) & (np.abs(y)[None, :] < 50) & (np.abs(x)[:, None] < 90)
    )
    assert blood[x > 0].sum() > 1.3 * blood[x < 0].sum()
    low = hu[np.abs(frame.axis(0) - (scan.anatomy.bottom + 20)).argmin()]
    liver = np.abs(low - scan.anatomy.liver_hu) < 1.0
    assert liver[x < 0].sum() > 3 * liver[x > 0].sum()
    bone = (hu > 150).sum((0, 1))
    assert y[bone.argmax()] > 20


def test_an_ellipsoid_keeps_its_volume_on_fine_and_coarse_grids() -> None:
    expected = 4 / 3 * np.pi * 6 * 5 * 4
    for spacing in ((1.0, 1.0, 1.0), (7.5, 3.75, 3.75)):
        canvas = Canvas.of_air(Frame.centred((0, 0, 0), spacing, (40, 40, 40)))
        canvas.ellipsoid((1.3, -0.7, 2.2), (6, 5, 4), 0.0)
        found = ((canvas.hu + 1000) / 1000).sum() * canvas.frame.voxel_mm3
        assert found == pytest.approx(expected, rel=0.06)


def test_a_tube_keeps_its_volume_on_fine_and_coarse_grids() -> None:
    expected = np.pi * 2.0**2 * 60
    for spacing in ((1.0, 1.0, 1.0), (7.5, 3.75, 3.75)):
        canvas = Canvas.of_air(Frame.centred((0, 0, 0), spacing, (90, 90, 90)))
        canvas.tubes(Segments.along([(-20.0, -20.0, -10.0), (20.0, 20.0, 10.0)], 2.0), 0.0)
        found = ((canvas.hu + 1000) / 1000).sum() * canvas.frame.voxel_mm3
        assert found == pytest.approx(expected, rel=0.08)


def test_a_texture_belongs_to_the_scene_and_not_to_the_grid() -> None:
    fine = Frame.centred((0, 0, 0), (2.0, 2.0, 2.0), (21, 21, 21))
    coarse = Frame.centred((0, 0, 0), (4.0, 4.0, 4.0), (11, 11, 11))
    everything = (slice(None),) * 3
    one = texture(fine, everything, seed=5, cell_mm=15)
    other = texture(coarse, everything, seed=5, cell_mm=15)
    np.testing.assert_allclose(one[::2, ::2, ::2], other, atol=1e-4)


# --- what is drawn is what is labelled --------------------------------------------------------------------


def change(name: str, seed: int = 0, patient: int = 1) -> tuple[np.ndarray, Frame, PhantomScan, Finding]:
    """Voxels with a finding less those without it."""
    scan = healthy_scan(patient)
    ill, finding = with_finding(scan, name, seed)
    frame = scan.frame(SPACING_MM)
    return drawn(ill, frame) - drawn(scan, frame), frame, ill, finding


@pytest.mark.parametrize("name", [n for n in ABNORMALITIES if n != "Cardiomegaly"])
def test_every_finding_changes_the_voxels(name: str) -> None:
    for seed in range(2):
        difference, frame, _, _ = change(name, seed)
        assert (np.abs(difference) > 40).sum() * frame.voxel_mm3 > 20, (name, seed)


@pytest.mark.parametrize("seed", range(3))
def test_a_pleural_effusion_is_fluid_behind_the_lung_on_its_side(seed: int) -> None:
    difference, frame, ill, finding = change("Pleural effusion", seed)
    hu = drawn(ill, frame)
    new = (difference > 300) & (hu > -20) & (hu < 40)
    x, y = frame.axis(1)[None, :, None] + 0 * new, frame.axis(2)[None, None, :] + 0 * new
    sides = {lesion.side for lesion in finding.lesions}
    assert np.median(y[new]) > 25
    for side, mine in (("right", x < 0), ("left", x > 0)):
        assert (litres(new & mine, frame) > 0.02) == (side in sides)


def test_a_thicker_effusion_holds_more_fluid() -> None:
    scan = healthy_scan()
    _, finding = with_finding(scan, "Pleural effusion")
    volumes = []
    for thickness in (10.0, 25.0, 50.0):
        lesions = tuple(replace(lesion, size_mm=thickness) for lesion in finding.lesions)
        ill = replace(scan, findings={"Pleural effusion": replace(finding, lesions=lesions)})
        frame = scan.frame(SPACING_MM)
        volumes.append(litres((drawn(ill, frame) - drawn(scan, frame)) > 300, frame))
    assert volumes[0] < volumes[1] < volumes[2]
    assert volumes[2] > 0.25


def heart_width_mm(anatomy: Anatomy, scan: PhantomScan) -> float:
    """From the heart's rightmost to its leftmost point, over all levels, as on a radiograph."""
    frame = scan.frame(SPACING_MM)
    hu = drawn(replace(scan, anatomy=anatomy), frame)
    cz, cx, cy = anatomy.heart_centre
    rz, _, ry = anatomy.heart_radii
    middle = np.abs(frame.axis(1) - cx).argmin()
    first, last = middle, middle
    for level in np.flatnonzero(np.abs(frame.axis(0) - cz) < 0.5 * rz):
        for line in np.flatnonzero(np.abs(frame.axis(2) - cy) < 0.5 * ry):
            away = np.abs(hu[level, :, line] - anatomy.blood_hu) > 3
            if not away[middle]:  # the run of blood that the heart's middle lies in
                first = min(first, middle - away[:middle][::-1].argmax())
                last = max(last, middle + away[middle:].argmax() - 1)
    return float((last - first + 1) * frame.spacing_mm[1])


def test_cardiomegaly_widens_the_heart_beyond_half_the_chest() -> None:
    scan = healthy_scan()
    chest = 2 * scan.anatomy.half_width
    _, finding = with_finding(scan, "Cardiomegaly")
    enlarged = replace(scan.anatomy, heart_ratio=finding.size_mm / 100)
    assert heart_width_mm(scan.anatomy, scan) / chest == pytest.approx(scan.anatomy.heart_ratio, abs=0.04)
    assert heart_width_mm(enlarged, scan) / chest == pytest.approx(finding.size_mm / 100, abs=0.04)
    assert heart_width_mm(enlarged, scan) / chest > 0.5


@pytest.mark.parametrize("size_mm", [6.0, 12.0, 25.0])
def test_a_solid_nodule_of_a_size_has_that_size(size_mm: float) -> None:
    scan = healthy_scan()
    _, finding = with_finding(scan, "Lung nodule")
    middle = scan.anatomy.places(np.random.default_rng(1), 1, margin_mm=22.0)[0]
    lesion = replace(
        finding.lesions[0], size_mm=size_mm, nature="ground-glass", centre_mm=tuple(float(v) for v in middle)
    )
    ill = replace(scan, findings={"Lung nodule": replace(finding, lesions=(lesion,))})
    frame = Frame.centred(lesion.centre_mm, (1.0, 1.0, 1.0), (41, 41, 41))
    plain, nodule = drawn(scan, frame), drawn(ill, frame)
    lung = plain < -780  # not where a vessel runs through it
    filled = np.where(lung, (nodule - plain) / (-560 - plain), 0)
    whole = np.pi / 6 * size_mm**3
    assert 0.6 * whole < filled.sum() < 1.1 * whole


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("Consolidation", 0.0, 80.0),
        ("Lung opacity", -720.0, -350.0),
        ("Emphysema", -1000.0, -920.0),
        ("Coronary artery wall calcification", 130.0, 800.0),  # Agatston: 130 HU and more is calcium
        ("Medical material", 800.0, 3071.0),
    ],
)
def test_a_finding_has_its_attenuation(name: str, low: float, high: float) -> None:
    scan = healthy_scan()
    ill, finding = with_finding(scan, name, 1)
    middle = (50.0, 0.0, 0.0) if name in ("Emphysema", "Medical material") else finding.lesions[0].centre_mm
    frame = Frame.centred(middle, (2.0, 1.25, 1.25), (20, 200, 130))
    hu = drawn(ill, frame)
    difference = hu - drawn(scan, frame)
    strongest = np.abs(difference) > 0.8 * np.percentile(np.abs(difference)[np.abs(difference) > 30], 90)
    assert low <= np.median(hu[strongest]) <= high


def test_a_pericardial_effusion_lies_around_the_heart() -> None:
    difference, frame, ill, _ = change("Pericardial effusion", 1)
    z, x, y = np.meshgrid(*(frame.axis(n) for n in range(3)), indexing="ij")
    changed = np.abs(difference) > 30
    centre = ill.anatomy.heart_centre
    apart = np.sqrt(sum((a - c) ** 2 for a, c in zip((z, x, y), centre, strict=True)))
    assert np.percentile(apart[changed], 2) > 25
    assert np.percentile(apart[changed], 98) < 130


# --- sizes and places -------------------------------------------------------------------------------------


SIZE_RANGES_MM = {  # docs/phantom.md, with the sources
    "Pericardial effusion": (4.0, 30.0),
    "Hiatal hernia": (20.0, 80.0),
    "Lymphadenopathy": (10.0, 35.0),
    "Lung opacity": (30.0, 120.0),
    "Lung nodule": (3.0, 30.0),
    "Pleural effusion": (5.0, 80.0),
    "Peribronchial thickening": (1.5, 4.0),
    "Bronchiectasis": (4.0, 20.0),
    "Cardiomegaly": (51.0, 70.0),  # percent of the chest's width
}


@pytest.mark.parametrize("name", ABNORMALITIES)
def test_sizes_are_within_what_radiology_calls_typical(name: str) -> None:
    for patient in range(1, 40):
        anatomy = healthy_scan(patient).anatomy
        finding = place(name, anatomy, np.random.default_rng(patient), growth=1.0 + 0.5 * (patient % 3 - 1))
        sizes = [lesion.size_mm for lesion in finding.lesions]
        assert sizes == sorted(sizes, reverse=True)
        low, high = SIZE_RANGES_MM.get(name, (0.0, 100.0))
        assert all(low <= size <= high for size in sizes), (name, sizes)


@pytest.mark.parametrize(
    "name", ["Lung nodule", "Lung opacity", "Consolidation", "Atelectasis", "Bronchiectasis"]
)
def test_a_lesion_lies_in_the_lobe_it_is_said_to_lie_in(name: str) -> None:
    for patient in range(1, 15):
        anatomy = healthy_scan(patient).anatomy
        for lesion in place(name, anatomy, np.random.default_rng(patient)).lesions:
            points = np.float32([lesion.centre_mm])
            side, lobe = anatomy.lobe(points)
            assert lesion.site == f"{side[0]} {lobe[0]} lobe"
            assert lesion.side == side[0] == ("right" if lesion.centre_mm[1] < 0 else "left")
            assert anatomy.lung_depth(points)[0] > 0


def test_only_the_right_lung_has_a_middle_lobe() -> None:
    anatomy = healthy_scan().anatomy
    side, lobe = anatomy.lobe(anatomy.places(np.random.default_rng(0), 2000, margin_mm=1.0))
    assert set(lobe[side == "right"]) == {"upper", "middle", "lower"}
    assert set(lobe[side == "left"]) == {"upper", "lower"}
    assert (lobe[side == "right"] == "middle").mean() < (lobe[side == "right"] == "lower").mean()


# --- reports ----------------------------------------------------------------------------------------------


WORDS = {  # how a reader would recognise each finding
    "Medical material": r"catheter|pacemaker|sternotomy|medical material|implanted device",
    "Arterial wall calcification": r"^(?!.*coronary).*(aort.*calcif|calcif.*aort|plaques.*aort|atheroscl)",
    "Cardiomegaly": r"cardiomegaly|heart size has increased|larger than normal",
    "Pericardial effusion": r"pericardial effusion",
    "Coronary artery wall calcification": r"coronary",
    "Hiatal hernia": r"hiatal hernia",
    "Lymphadenopathy": r"lymph",
    "Emphysema": r"emphysem",
    "Atelectasis": r"atelecta",
    "Lung nodule": r"nodul",
    "Lung opacity": r"ground-glass (?!nodul)",  # a nodule may be of ground-glass attenuation
    "Pulmonary fibrotic sequela": r"sequela|fibrotic",
    "Pleural effusion": r"pleural effusion",
    "Mosaic attenuation pattern": r"mosaic",
    "Peribronchial thickening": r"peribronchial",
    "Consolidation": r"consolidat",
    "Bronchiectasis": r"bronchiecta",
    "Interlobular septal thickening": r"interlobular sept",
}
DENIES = re.compile(r"\b(no|not)\b", re.IGNORECASE)


def affirmed(text: str, pattern: str) -> bool:
    """Whether some sentence has the words and no negation, read without the generator's own bookkeeping."""
    sentences = re.split(r"(?<=\.)\s", text)
    return any(re.search(pattern, s, re.IGNORECASE) and not DENIES.search(s) for s in sentences)


def test_reports_affirm_what_is_present_and_nothing_else() -> None:
    for case in COHORT:
        report = case.reports[0]
        for section in (report.findings, report.impression):
            if section == report.impression and not any(case.labels.values()):
                continue
            for name, present in case.labels.items():
                assert affirmed(section, WORDS[name]) == present, (case.study, name, section)


def test_every_finding_is_denied_in_some_report() -> None:
    texts = [(case.labels, case.reports[0].findings) for case in COHORT]
    for name, pattern in WORDS.items():
        denials = [
            s
            for labels, text in texts
            if not labels[name]
            for s in re.split(r"(?<=\.)\s", text)
            if re.search(pattern, s, re.IGNORECASE) and DENIES.search(s)
        ]
        assert denials or name == "Cardiomegaly", name  # whose denial is a normal heart


def test_reports_name_size_side_and_lobe() -> None:
    named = 0
    for case in COHORT:
        scan = patient_scans(11, int(case.patient.rsplit("_", 1)[1]))["abc".index(case.study[-1])]
        text = " ".join([case.reports[0].findings, case.reports[0].impression])
        for name in ("Lung nodule", "Consolidation", "Lung opacity"):
            if name in scan.findings:
                assert all(site in text for site in scan.findings[name].sites)
        nodule = scan.findings.get("Lung nodule")
        if nodule:
            assert f"{round(nodule.size_mm)} mm" in text
            named += 1
        effusion = scan.findings.get("Pleural effusion")
        if effusion and effusion.side != "bilateral":
            other = "left" if effusion.side == "right" else "right"
            mine = " ".join(s for s in re.split(r"(?<=\.)\s", text) if "leural effusion" in s)
            assert effusion.side in mine.lower()
            assert other not in mine.lower()
    assert named > 100


def test_reports_vary_in_words_and_order() -> None:
    normal = [c.reports[0].findings for c in COHORT if not any(c.labels.values())]
    assert len(set(normal)) == len(normal) > 10
    assert len({text.split(".")[0] for text in normal}) > 3


def test_no_report_has_a_gap_or_a_double_blank() -> None:
    for case in COHORT:
        text = f"{case.reports[0].findings} {case.reports[0].impression}"
        assert not re.search(r"[{}]|\s{2}| ,| \.|\.\.", text), text
        assert all(s[0].isupper() for s in re.split(r"(?<=\.)\s", text)), text


def test_the_statements_of_a_report_know_what_they_say() -> None:
    for patient in range(1, 60):
        scan = patient_scans(11, patient)[0]
        for statement in write_report(scan).statements:
            for name, present in statement.says:
                assert scan.labels[name] == present
