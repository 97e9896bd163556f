"""`python -m lossjax`: what it prints, its exit status, and its errors as text."""

import subprocess
import sys
import zipfile

import numpy as np
import pytest

from lossjax.__main__ import main

pytest.importorskip("rich")

MODULE = """
import jax.numpy as jnp
import lossjax

def good(y_true, y_pred):
    return jnp.mean(jnp.abs(y_true - y_pred), axis=-1)

def scalar(y_true, y_pred):
    return jnp.mean(y_true - y_pred)

class Scaled(lossjax.Loss):
    scale: float = 2.0

    def call(self, y_true, y_pred):
        return self.scale * good(y_true, y_pred)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "command_line_losses.py").write_text(MODULE)
    np.save("a.npy", np.zeros((3, 2), "float32"))
    np.savez("b.npz", p=np.full((3, 2), 2.0, "float32"), w=np.array([1.0, 0.0, 3.0]))
    yield tmp_path
    sys.modules.pop("command_line_losses", None)


DATA = ["--y-true", "a.npy", "--y-pred", "b.npz:p"]


def test_check_fails_on_errors_as_asked(folder, capsys):
    assert main(["check", "command_line_losses:scalar", *DATA]) == 1
    assert "One number for the whole batch" in " ".join(capsys.readouterr().out.split())
    assert main(["check", "command_line_losses:scalar", "--fail-on", "never"]) == 0


def test_explain_with_weights_and_hyperparameters(folder, capsys):
    weight = ["--sample-weight", "b.npz:w", "--set", "scale=5"]
    assert main(["explain", "command_line_losses:Scaled", *DATA, *weight]) == 0
    out = capsys.readouterr().out
    assert "Scaled(scale=5.0)" in out
    assert "13.3333" in out  # (10 + 30) / 3


def test_list_has_every_name(capsys):
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    for name in ("Huber", "mean_squared_error", "KLDivergence", "Tversky"):
        assert name in out


def test_plot_writes_a_file(folder, capsys):
    pytest.importorskip("matplotlib")
    assert main(["plot", "huber", "--set", "delta=[0.5, 1]", "-o", "huber.png"]) == 0
    assert capsys.readouterr().out == "huber.png\n"
    assert (folder / "huber.png").read_bytes().startswith(b"\x89PNG")
    assert main(["plot", "mse", *DATA, "-o", "batch.svg"]) == 0
    assert "<svg" in (folder / "batch.svg").read_text()


def test_compare(folder, capsys):
    assert main(["compare", "command_line_losses:good", "mae", *DATA]) == 0
    assert "0 of 3" in capsys.readouterr().out


ERRORS = [
    (["check", "hubr"], "Could not interpret loss identifier: 'hubr'. Did you mean"),
    (["check", "no_such_module:f"], "cannot import 'no_such_module': ModuleNotFoundError"),
    (["check", "command_line_losses:f"], "'command_line_losses' has no 'f'"),
    (["check", "mse", "--y-true", "a.npy"], "give y_true and y_pred, or neither"),
    (["check", "mse", "--y-true", "a.csv", "--y-pred", "a.npy"], "must be a .npy or .npz file"),
    (["check", "mse", "--y-true", "none.npy", "--y-pred", "a.npy"], "No such file"),
    (["check", "mse", "--y-true", "b.npz", "--y-pred", "a.npy"], "write one as b.npz:NAME"),
    (["check", "mse", "--y-true", "pickled.npy", "--y-pred", "a.npy"], "never unpickled"),
    (["check", "mse", "--y-true", "broken.npy", "--y-pred", "a.npy"], "it is damaged"),
    (["check", "mse", "--y-true", "broken.npz", "--y-pred", "a.npy"], "it is damaged"),
    (["explain", "huber", "--set", "delta"], "--set needs NAME=VALUE"),
    (["explain", "huber", "--set", "detla=1"], "unknown key 'detla'"),
    (["explain", "command_line_losses:good", "--set", "a=1"], "this is a plain function"),
    (["plot", "huber", "-o", "huber.xyz"], "Format 'xyz' is not supported"),
    (["plot", "huber", "-o", "no/folder/huber.png"], "cannot write no/folder/huber.png"),
]


@pytest.mark.parametrize(("argv", "text"), ERRORS, ids=range(len(ERRORS)))
def test_errors_are_text(folder, capsys, argv, text):
    np.save("pickled.npy", np.array([{}, 1], dtype=object), allow_pickle=True)
    (folder / "broken.npy").write_bytes(b"\x93NUMPY\x01")
    (folder / "broken.npz").write_bytes(b"PK\x03\x04 and no more")
    assert zipfile.is_zipfile("b.npz")
    assert main(argv) == 2
    captured = capsys.readouterr()
    assert text in captured.err
    assert captured.err.startswith(f"lossjax {argv[0]}: ")
    assert "Traceback" not in captured.err


def test_it_is_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "lossjax", "check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "required: LOSS" in done.stderr
