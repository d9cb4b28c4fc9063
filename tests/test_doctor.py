"""The canaries sing on a good jaxlib, and the doctor fails when one does not."""

import ctmodels.doctor as surgery


def test_doctor_prints_versions_and_devices(capsys):
    assert surgery.doctor() == 0
    said = capsys.readouterr().out
    for word in ("python", "jaxlib", "diffrax", "devices: ", "x64: ", "ok vmapped matrix-vector"):
        assert word in said


def test_a_wrong_number_or_an_exception_fails_with_a_remedy(monkeypatch, capsys):
    def dies():
        raise FloatingPointError("no")

    monkeypatch.setitem(surgery.CANARIES, "scatter with duplicates", lambda: 3.0)
    monkeypatch.setitem(surgery.CANARIES, "linear solve", dies)
    assert surgery.doctor() == 1
    said = capsys.readouterr().out
    assert "FAILED scatter with duplicates: 3 wrong" in said and "FAILED linear solve" in said
    assert "pip install" in said
