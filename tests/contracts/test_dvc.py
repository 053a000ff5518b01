"""dvc.yaml says what is true: each stage depends on all the code that it imports."""

from tests.contracts.imports import ROOT, rewrite


def test_code_dependencies_are_complete_and_exact() -> None:
    text = (ROOT / "dvc.yaml").read_text()
    assert rewrite(text) == text, "run `make deps` and commit dvc.yaml"


def test_a_dependency_taken_out_is_noticed() -> None:
    text = (ROOT / "dvc.yaml").read_text()
    line = "      - MLOps/data/adjust.py\n"
    assert line in text
    assert rewrite(text.replace(line, "")) == text
