"""`python -m lossjax`: what it prints, its exit status, and its errors as text."""

import io
import os
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

class Unfinished(lossjax.Loss):
    pass

def raises(y_true, y_pred):
    raise KeyError("no such thing")

def leaves(y_true, y_pred):
    raise SystemExit(0)

def interrupted(y_true, y_pred):
    raise KeyboardInterrupt
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
    (["plot", "huber", "-o", "huber"], "-o must end in .png, .svg or .pdf, got huber."),
    *(
        (["plot", "huber", "-o", "huber.png", "--set", f"delta={values}"], text)
        for values, text in (
            ("[]", "delta must be numbers in a list, one for each curve, got []"),
            ("[[1], [2]]", "delta must be numbers in a list, one for each curve, got [[1], [2]]"),
            ("[1, [2]]", "delta must be numbers in a list"),
            ('["a"]', "delta must be numbers in a list"),
            (f"[{'9' * 400}]", "delta must be numbers in a list"),
            ("[1, -1]", "delta must be in the interval [0, inf], got -1.0"),
        )
    ),
    *(
        (["explain", "huber", "--set", setting], text)
        for setting, text in (
            ("delta=" + "[" * 10**5, "--set needs NAME=VALUE"),
            ("delta=" + "9" * 10**6, "--set needs NAME=VALUE"),
            ("delta=" + "9" * 400, "got a whole number of 1329 bits"),
            ("delta=NaN", "delta must be in the interval [0, inf], got nan"),
            ('delta={"a": 1}', "delta must be a number"),
            ('delta="\udcff"', "delta must be a number"),
            ("=5", "unknown key ''"),
            ("x" * 10**6 + "=5", "unknown key 'xxx"),
            ('dtype="' + "(" * 10**5 + '"', "dtype must be a floating point type"),
        )
    ),
    (["check", "x" * 10**6], "Could not interpret loss identifier: 'xxx"),
    (["check", "\udcff\udcfe"], "Could not interpret loss identifier: '\\udcff\\udcfe'"),
    (["check", "x" * 10**6 + ":f"], "cannot import 'xxx"),
    (["check", "command_line_losses:" + "x" * 10**6], "'command_line_losses' has no 'xxx"),
    (["check", ":f"], "cannot import '': ValueError"),
    (["check", ".losses:f"], "cannot import '.losses': TypeError"),
    (["check", "raises_when_imported:f"], "'raises_when_imported': KeyError: 'xxx"),
    (["check", "ends_when_imported:f"], "cannot import 'ends_when_imported': SystemExit: 0"),
    (["check", "command_line_losses:jnp"], "Could not interpret loss identifier"),
    (["check", "mse", "--y-true", "x" * 10**6 + ".npy", "--y-pred", "a.npy"], "File name too long"),
    (["explain", "command_line_losses:Unfinished"], "NotImplementedError: Unfinished must over"),
    (["explain", "command_line_losses:raises"], "KeyError: 'no such thing' ("),
    (["explain", "command_line_losses:leaves"], "SystemExit: 0 ("),
]


@pytest.mark.parametrize(("argv", "text"), ERRORS, ids=range(len(ERRORS)))
def test_errors_are_text(folder, capsys, argv, text):
    np.save("pickled.npy", np.array([{}, 1], dtype=object), allow_pickle=True)
    (folder / "broken.npy").write_bytes(b"\x93NUMPY\x01")
    (folder / "broken.npz").write_bytes(b"PK\x03\x04 and no more")
    (folder / "raises_when_imported.py").write_text("raise KeyError('x' * 10**6)")
    (folder / "ends_when_imported.py").write_text("import sys; sys.exit(0)")
    assert zipfile.is_zipfile("b.npz")
    assert main(argv) == 2
    captured = capsys.readouterr()
    assert text in captured.err
    assert captured.err.startswith(f"lossjax {argv[0]}: ")
    assert "Traceback" not in captured.err
    assert len(captured.err) <= 400
    assert captured.err.count("\n") == 1


def npy(descr, shape, data=b""):
    """The bytes of a file whose header says so, whatever the data."""
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data


DAMAGED = {
    "a huge shape": (npy("'<f4'", (10**6, 10**9)), "not all of it is there"),
    "too short": (npy("'<f4'", (3, 2), bytes(20)), "not all of it is there"),
    "too long": (npy("'<f4'", (3, 2), bytes(28)), "not all of it is there"),
    "nothing, in a huge shape": (npy("'<f4'", (0, 10**30)), "it is damaged"),
    "nothing, many times": (npy("'|V0'", (10**15,)), "in place of numbers"),
    "negative": (npy("'<f4'", (-2, -2), bytes(16)), "it is damaged"),
    "huge entries": (npy("('<f4', (10**9, 1000))", (1,)), "it is damaged"),
    "brackets": (npy("(" * 4000 + ")" * 4000, (1,)), "it is damaged"),
    "code": (npy("__import__('os')", (1,)), "it is damaged"),
    "letters": (npy("'<U1'", (1,), bytes(4)), "dtype('<U1') in place of numbers"),
    "objects": (npy("'|O'", (1,), bytes(8)), "objects are never unpickled"),
    "empty": (b"", "it is damaged"),
    "text": (b"hello" * 100, "it is damaged"),
}


@pytest.mark.parametrize(("content", "text"), DAMAGED.values(), ids=DAMAGED.keys())
@pytest.mark.parametrize("packed", [False, True], ids=["npy", "npz"])
def test_damaged_and_hostile_files(folder, capsys, content, text, packed):
    """As files, and as parts of an archive whose directory is in order."""
    if packed:
        with zipfile.ZipFile("bad.npz", "w", zipfile.ZIP_DEFLATED) as parts:
            parts.writestr("p.npy", content)
    else:
        (folder / "bad.npy").write_bytes(content)
    name = "bad.npz" if packed else "bad.npy"
    assert main(["explain", "mse", "--y-true", "a.npy", "--y-pred", name]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"lossjax explain: cannot read {name}: ")
    assert text in error


def test_archives_that_unpack_to_too_much(folder, capsys, monkeypatch):
    """A compressed array may have 2 GiB, more only if its file has as much."""
    np.savez_compressed("small.npz", p=np.zeros((3, 2), "float32"))
    arguments = ["explain", "mse", "--y-true", "a.npy", "--y-pred", "small.npz"]
    assert main(arguments) == 0
    np.savez_compressed("large.npz", p=np.zeros((3, 200_000), "float32"))
    monkeypatch.setattr("lossjax.__main__._UNPACKED", 10**6)
    assert main([*arguments[:-1], "large.npz"]) == 2
    text = "it unpacks to 2,400,128 bytes, more than 1,000,000. Write it with numpy.save."
    assert text in capsys.readouterr().err
    np.savez("large.npz", p=np.zeros((3, 200_000), "float32"))
    assert main([*arguments[:-1], "large.npz"]) == 2
    assert "need equal shapes" in capsys.readouterr().err


def test_folders_archives_and_other_damage(folder, capsys):
    (folder / "folder.npy").mkdir()
    with zipfile.ZipFile("none.npz", "w"):
        pass
    np.savez("many.npz", **{f"array_{i}": 0 for i in range(100)})
    np.savez_compressed("flipped.npz", p=np.zeros((30, 20), "float32"))
    content = bytearray((folder / "flipped.npz").read_bytes())
    content[60] ^= 255
    (folder / "flipped.npz").write_bytes(content)
    for name, text in (
        ("folder.npy", "cannot read folder.npy: Is a directory."),
        ("none.npz", "none.npz holds []"),
        ("many.npz", "many.npz holds ['array_0', 'array_1', 'array_2', 'array_3', ...]; write one"),
        ("many.npz:none", "many.npz holds ["),
        ("flipped.npz", "cannot read flipped.npz: it is damaged"),
    ):
        assert main(["explain", "mse", "--y-true", "a.npy", "--y-pred", name]) == 2
        assert text in capsys.readouterr().err


@pytest.mark.parametrize("argv", [["x" * 10**6], ["check", "mse", "--domain", "x" * 10**6]])
def test_arguments_that_argparse_refuses(capsys, argv):
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert ended.value.code == 2
    assert len(capsys.readouterr().err) < 2000


def test_an_interrupt_is_no_traceback(folder, capsys):
    assert main(["explain", "command_line_losses:interrupted"]) == 130
    assert capsys.readouterr().err == ""


def test_nobody_reads_the_output(folder, monkeypatch):
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as out:
        monkeypatch.setattr(sys, "stdout", out)
        assert main(["list"]) == 141
        print("the rest, when Python exits", flush=True)


def test_an_output_without_greek(monkeypatch):
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", out)
    assert main(["list"]) == 0
    assert b"\\u03a3" in out.buffer.getvalue()


def test_a_batch_of_nan_can_be_drawn(folder, capsys):
    pytest.importorskip("matplotlib")
    np.save("nan.npy", np.full((3, 2), np.nan, "float32"))
    data = ["--y-true", "a.npy", "--y-pred", "nan.npy"]
    assert main(["plot", "mse", *data, "-o", "nan.svg"]) == 0
    assert capsys.readouterr().err == ""


def test_it_is_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "lossjax", "check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "required: LOSS" in done.stderr
