from infgrand_dgl.present.console import Reporter, Silent


def report_all(report):
    report.line("a line")
    report.warn("a warning")
    with report.timed("a stage", 2) as bar:
        bar.update(1)
    assert bar.result.endswith(" s")


def test_lines_of_a_reporter(capsys):
    report_all(Reporter())
    out, err = capsys.readouterr()
    assert out.startswith("a line\na stage  ") and err == "infgrand-dgl: warning: a warning\n"


def test_a_quiet_one_warns_and_a_silent_one_does_not(capsys):
    report_all(Reporter(quiet=True))
    assert capsys.readouterr() == ("", "infgrand-dgl: warning: a warning\n")
    report_all(Silent())
    assert capsys.readouterr() == ("", "")


def test_tables_are_results(capsys):
    for report in (Reporter(quiet=True), Silent()):
        report.table(["model", "test"], [["mlp", "60"], ["teacher", "7"]])
        assert capsys.readouterr().out == "model    test\nmlp        60\nteacher     7\n"
