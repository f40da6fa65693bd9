from itertools import combinations

from simulations.scanners import COARSE_MATRIX, COARSE_SLICE, SCANNERS, scanner_of


def test_the_first_four_hospitals_differ_in_maker_noise_shading_gain_contrast_and_syntax():
    scanners = [scanner_of(hospital) for hospital in range(4)]

    for trait in ("manufacturer", "noise", "bias", "gain", "contrast", "syntax", "protocols"):
        values = [getattr(scanner, trait) for scanner in scanners]
        assert all(a != b for a, b in combinations(values, 2)), trait


def test_a_fourth_hospital_has_a_machine_that_none_of_the_first_three_has():
    assert scanner_of(3).model not in {scanner_of(hospital).model for hospital in range(3)}


def test_later_hospitals_have_the_same_machines_set_up_in_their_own_way():
    scanners = [scanner_of(hospital) for hospital in range(12)]

    assert scanners[5].model == scanners[1].model
    assert len({(s.gain, s.noise, s.bias, s.contrast) for s in scanners}) == 12
    assert scanner_of(7) == scanner_of(7)


def test_some_scanner_takes_each_plane_and_some_takes_thin_slices():
    protocols = [protocol for scanner in SCANNERS for protocol in scanner.protocols]

    assert {protocol.plane for protocol in protocols} == {"axial", "sagittal", "coronal"}
    assert min(protocol.thickness for protocol in protocols) == 1.0
    assert max(protocol.thickness for protocol in protocols) == 6.0
    assert all(protocol.step >= protocol.thickness for protocol in protocols)


def test_a_field_of_view_holds_a_head():
    for scanner in SCANNERS:
        for protocol in scanner.protocols:
            assert 215 <= protocol.matrix * protocol.pixel <= 260


def test_a_coarse_scanner_keeps_its_habits_and_its_thick_planes_but_takes_3d_sequences_as_axial_slices():
    for hospital in range(4):
        full, coarse = scanner_of(hospital), scanner_of(hospital, coarse=True)
        assert (coarse.syntax, coarse.numbering, coarse.slope) == (full.syntax, full.numbering, full.slope)
        for before, after in zip(full.protocols, coarse.protocols, strict=True):
            assert (after.matrix, after.step, after.pixel) == (COARSE_MATRIX, COARSE_SLICE, 1.875)
            assert after.plane == (before.plane if before.thickness > 1.6 else "axial")
            assert after.description == before.description


def test_protocols_are_found_by_sequence():
    assert scanner_of(0).protocol("T1wCE").description == "t1_mprage_tra_iso_KM"
    assert scanner_of(2).protocol("FLAIR").plane == "coronal"
