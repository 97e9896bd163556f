"""The report of records of every kind, and the verdict on two runs."""

import argparse
import dataclasses
import html.parser
import json
import re
import shutil

import numpy as np
import pytest
from matplotlib import image
from selenium import webdriver

from bench import compare, report
from bench.frames import by_shape
from bench.record import Record, Row

LOSSES = (
    "SparseCategoricalCrossentropy(from_logits=True)",
    "Huber()",
    "BinaryCrossentropy(from_logits=True)",
    "MeanSquaredError()",
)
PEERS = {"lossjax": 1.0, "keras": 2.5, "optax": 2.0, "torch": 4.0, "floor": 0.8}
SHAPES = ((2048, 4096), (256, 128))
TARGETS = ("tpu v5e", "h100")


def samples(center, rounds=25, noise=0.02, seed=0):
    rng = np.random.default_rng(seed)
    return [float(center * x) for x in np.exp(rng.normal(0, noise, rounds))]


def record(command, rows, **changed):
    device = {"platform": "cpu", "kind": "cpu", "count": 1, "cores": 2, "cpu": "Example <CPU>"}
    return Record(
        **{
            "command": command,
            "argv": [command, "--json", "FILE"],
            "started": "2026-01-02T03:04:05Z",
            "seconds": 12.5,
            "device": device,
            "versions": {"python": "3.11.0", "jax": "0.10.2"},
            "commit": "0123456789abcdef0123",
            "dirty": False,
            "flags": {},
            "missing": {"torch.compile": "No module named 'torch'"},
            "rows": rows,
            **changed,
        }
    )


def timings(name="seconds", losses=LOSSES, shapes=SHAPES, weightings=("none",), noise=0.02, slow=1):
    """Rows with samples; those of lossjax take `slow` times as long."""
    rows = []
    for index, (case, shape, weighting) in enumerate(
        (case, shape, weighting) for case in losses for shape in shapes for weighting in weightings
    ):
        for number, (peer, factor) in enumerate(PEERS.items()):
            factor *= slow if peer == "lossjax" else 1
            taken = samples(1e-9 * np.prod(shape) * factor, noise=noise, seed=index * 10 + number)
            rows.append(Row(case, weighting, shape, "float32", peer, "cpu", {name: taken}))
    return rows


def program_rows(targets, **values):
    return [
        Row(case, "none", SHAPES[0], "float32", peer, target, values)
        for case in LOSSES
        for target in targets
        for peer in ("lossjax", "keras")
    ]


def records():
    """One of each command; a row of each that failed."""
    sizes = [(2**power // 64, 64) for power in (10, 12, 14)]
    memory = {"temp_bytes": 4096, "residual_bytes": 33_554_432}
    device = {"bytes": 4.1e8, "floor_bytes": 4e8, "temp_bytes": 0, "kernels": 2}
    found = {
        "losses": timings(weightings=("none", "mask")),
        "scaling": timings(shapes=sizes),
        "memory": program_rows(["cpu"], **memory),
        "compile": timings("first_call_seconds", shapes=SHAPES[1:]),
        "devices": program_rows(TARGETS, **device, estimated_seconds=1e-4, flops=1e9),
    }
    for command, rows in found.items():
        reason = f"{command} is <broken>"
        failed = dataclasses.replace(rows[0], implementation="optax", values={"error": reason})
        rows.append(failed)
    return {command: record(command, rows) for command, rows in found.items()}


class Page(html.parser.HTMLParser):
    """Checks that what is opened is closed, and collects what is there."""

    VOID = ("meta", "br", "img", "link", "hr", "input")

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.texts, self.scripts = [], [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        (self.scripts if self.open[-1:] == ["script"] else self.texts).append(data)

    @property
    def text(self):
        return " ".join(self.texts)


def written(tmp_path, *found):
    paths = []
    for index, one in enumerate(found):
        paths.append(str(tmp_path / f"{index}.json"))
        one.save(paths[-1])
    return paths


def run(module, *arguments):
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    return module.run(parser.parse_args([str(argument) for argument in arguments]))


def rendered(tmp_path, *found):
    path = tmp_path / "report.html"
    assert run(report, *written(tmp_path, *found), "-o", path) == 0
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    return rendered(tmp_path_factory.mktemp("full"), *records().values())


def test_a_page_of_every_command(full):
    page = Page(full)
    for case in LOSSES:
        assert case.removesuffix("()") in page.text
    for command in records():
        assert f"python -m bench {command} --json FILE" in page.text
    for said in ("Example <CPU>, 2 cores", "jax 0.10.2", "0123456789ab", "2026-01-02T03:04:05Z"):
        assert said in page.text
    assert "torch.compile: No module named 'torch'" in page.text
    assert "devices is <broken>" in page.text
    assert "estimate" in page.text
    assert "nan" not in re.findall(r"[a-z]+", page.text.lower())


def test_a_page_loads_nothing(full):
    """What its script does is `test_a_browser_shows_the_page`'s to see."""
    page = Page(full)
    assert "@import" not in full
    assert not {"link", "iframe", "img", "object"} & set(page.tags)
    urls = [value for name, value in page.attributes if name in ("href", "src", "xlink:href")]
    assert urls
    assert all(url.startswith("#") for url in urls)
    (policy,) = [value for _, value in page.attributes if "default-src" in str(value)]
    assert policy.startswith("default-src 'none';")
    assert "http" not in policy


def test_names_inside_a_page_are_unique_and_there(full):
    attributes = Page(full).attributes
    names = [value for name, value in attributes if name == "id"]
    assert len(names) == len(set(names))
    assert {value[1:] for name, value in attributes if name == "href"} <= set(names)


@pytest.fixture(scope="module")
def wanted():
    """The name of each panel's plot, its numbers, and its rows' names and failures."""
    found = []
    for section in report.sections([*records().values()]):
        for plot in (figure.plot for figure in section.figures if figure.plot):
            for _, some in plot.points.groupby("panel", sort=False):
                good = int(some["value"].notna().sum())
                texts = 0 if plot.x_axis else len(plot.rows) + len(some) - good
                found.append([plot.name, good, texts])
    assert all(points for _, points, _ in found)
    return found


@pytest.fixture(scope="module")
def chromium():
    """A browser that keeps what it logs and what it asks the network for."""
    paths = shutil.which("chromium"), shutil.which("chromedriver")
    if None in paths:
        pytest.skip("needs chromium and chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = paths[0]
    for argument in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage"):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(paths[1]))
    driver.set_script_timeout(60)
    yield driver
    driver.quit()


DRAWN = """
const [done] = arguments, wait = () => {
  const charts = [...document.querySelectorAll(".chart")];
  if (!charts.every(chart => chart.querySelector("svg"))) return setTimeout(wait, 50);
  const marks = (chart, role) => chart.querySelectorAll(`[aria-roledescription="${role}"]`).length;
  done([
    document.documentElement.scrollWidth,
    charts.map(c => [c.dataset.plot, marks(c, "point"), marks(c, "text mark")]),
  ]);
};
wait();
"""


def opened(chromium, path, width, scheme):
    """The width of the page, the marks of its charts, its messages, its requests."""
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    chromium.get(path.as_uri())
    wide, marks = chromium.execute_async_script(DRAWN)
    messages = [entry["message"] for entry in chromium.get_log("browser")]
    events = (json.loads(entry["message"])["message"] for entry in chromium.get_log("performance"))
    sent = [e["params"]["request"]["url"] for e in events if e["method"].endswith("BeSent")]
    return wide, marks, messages, sent


@pytest.mark.thorough
@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (360, "dark")])
def test_a_browser_shows_the_page(full, wanted, chromium, tmp_path, width, scheme):
    path = tmp_path / "report.html"
    path.write_text(full, encoding="utf-8")
    wide, marks, messages, sent = opened(chromium, path, width, scheme)
    assert wide <= width
    assert messages == []
    assert sent == [path.as_uri()]
    assert marks == wanted
    inks = chromium.execute_script(
        "return [...document.querySelectorAll('.vega-embed text')]"
        ".map(text => getComputedStyle(text).fill)"
    )
    light, dark = (
        {"rgb(102, 112, 133)", "rgb(31, 36, 48)"},
        {"rgb(154, 163, 178)", "rgb(230, 232, 238)"},
    )
    assert set(inks) & (light | dark) == (light if scheme == "light" else dark)


@pytest.mark.thorough
def test_a_name_of_the_legend_shows_its_series_alone(full, chromium, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(full, encoding="utf-8")
    opened(chromium, path, 1200, "light")
    seen = chromium.execute_async_script("""
      const [done] = arguments, figure = document.querySelector("figure");
      const seen = () => [...figure.querySelectorAll('[aria-roledescription="point"]')]
        .map(mark => mark.getAttribute("opacity") ?? getComputedStyle(mark).opacity);
      const button = figure.querySelector("button");
      button.click();
      setTimeout(() => {
        const alone = seen();
        button.click();
        setTimeout(() => done([button.value, alone, seen()]), 300);
      }, 300);
    """)
    assert seen[0] == "keras"
    assert sorted(set(seen[1])) == ["0.1", "1"]
    assert set(seen[2]) == {"1"}


@pytest.mark.thorough
def test_the_browser_would_tell(chromium, tmp_path):
    """An error, and a request that the page forbids: what the test above would see."""
    path = tmp_path / "wrong.html"
    path.write_text(
        """<meta http-equiv="Content-Security-Policy" content="img-src 'none'">
        <img src="http://localhost:9/a.png"><script>nonsense()</script>"""
    )
    _, marks, messages, _ = opened(chromium, path, 360, "light")
    assert marks == []
    assert any("nonsense" in message for message in messages)
    assert any("Content Security Policy" in message for message in messages)


@pytest.mark.parametrize(
    ("command", "titles"),
    [
        ("losses", ["Speed-up over other libraries", "Time over the floor"]),
        ("scaling", ["Scaling"]),
        ("memory", ["Memory"]),
        ("compile", ["First call"]),
        ("devices", ["Devices: estimates"]),
    ],
)
def test_sections_without_numbers_are_left_out(command, titles):
    found = report.sections([records()[command]])
    assert [section.title for section in found] == titles
    assert all(any(figure.plot for figure in section.figures) for section in found)


def test_a_page_without_timings(tmp_path):
    page = Page(rendered(tmp_path, records()["memory"]))
    assert page.tags.count("section") == 1
    assert "times as fast" not in page.text


def test_numbers_are_those_of_the_samples(tmp_path):
    rows = [
        Row("Huber()", "none", (8, 5), "float32", name, "cpu", {"seconds": seconds})
        for name, seconds in {
            "lossjax": [1.0, 2.0, 4.0],
            "keras": [3.0, 6.0, 4.0],
            "floor": [0.5, 2.0, 1.6],
        }.items()
    ]
    page = Page(rendered(tmp_path, record("losses", rows)))
    assert "3.00 (1.00 to 3.00)" in page.text  # over keras: of 3, 3 and 1
    assert "2.00 (1.00 to 2.50)" in page.text  # over the floor: of 2, 1 and 2.5


def test_a_page_has_all_its_colours(full):
    """Each ink that the page or a plot names has one colour for light pages and one for dark."""
    inks = dict(re.findall(r"--(\w+): light-dark\((.*?)\);", full))
    assert all(len(set(pair.split(", "))) == 2 for pair in inks.values())
    plain = "".join(part for part in re.split(r"(?s)(<script>.*?</script>)", full) if "--" in part)
    assert set(re.findall(r"var\(--(\w+)\)", plain)) <= set(inks)


def test_two_runs_show_what_changed(tmp_path):
    old = record("losses", timings(losses=LOSSES[:2]))
    new = record("losses", timings(losses=LOSSES[:2], slow=1.3), started="2026-02-02T03:04:05Z")
    page = Page(rendered(tmp_path, new, old))
    assert "What changed: losses" in page.text
    assert "4 worse" in page.text
    other = dataclasses.replace(new, device={**new.device, "cores": 4})
    assert [section.title for section in report.sections([other, old])][2:] == []


def test_pictures(tmp_path):
    found = records()
    paths = written(tmp_path, record("losses", timings(shapes=SHAPES[:1])), found["scaling"])
    assert run(report, *paths, "--png", tmp_path / "png") == 0
    names = sorted(path.stem for path in (tmp_path / "png").glob("*.png"))
    assert names == ["floor", "scaling", "speedup"]
    for path in (tmp_path / "png").glob("*.png"):
        pixels = image.imread(path)[..., :3]
        assert 1700 < pixels.shape[1] < 2200
        assert np.unique(pixels[::9, ::9].reshape(-1, 3), axis=0).shape[0] > 20
        assert 0.003 < (pixels.min(-1) < 0.5).mean() < 0.5


def test_report_says_what_it_needs(tmp_path):
    (path,) = written(tmp_path, records()["losses"])
    with pytest.raises(ValueError, match="bench: report needs -o FILE or --png FOLDER"):
        run(report, path)
    (empty,) = written(tmp_path, record("losses", []))
    with pytest.raises(ValueError, match="bench: the records hold no row with numbers"):
        run(report, empty, "-o", tmp_path / "report.html")


def test_losses_with_shapes_of_their_own_share_a_panel():
    keys = [(name, shape) for name in "abc" for shape in SHAPES]
    place, notes = by_shape([*keys, ("pairs", (1024, 64)), ("pairs", (256, 64)), ("steps", (9, 9))])
    assert place["a", SHAPES[1]] == ("256 × 128", "a")
    assert place["pairs", (1024, 64)] == ("2048 × 4096", "pairs†")
    assert place["pairs", (256, 64)] == ("256 × 128", "pairs†")
    assert place["steps", (9, 9)] == ("2048 × 4096", "steps†")
    assert notes == ["† at shapes of its own: pairs at 1024 × 64 and 256 × 64; steps at 9 × 9."]


def test_a_shape_that_few_losses_have_has_a_panel():
    keys = [(name, SHAPES[0]) for name in "abcd"]
    place, notes = by_shape([*keys, ("a", SHAPES[1])])
    assert place["a", SHAPES[1]] == ("256 × 128", "a")
    assert notes == []


def verdicts(old, new, tolerance=compare.TOLERANCE):
    return {*compare.changes(old, new, tolerance)["verdict"]}


@pytest.mark.parametrize(
    ("slow", "noise", "verdict"),
    [
        (1.10, 0.02, "worse"),
        (1.01, 0.05, "unchanged"),
        (1.00, 0.05, "unchanged"),
        (1 / 1.3, 0.02, "better"),
    ],
)
def test_the_verdict_on_times(tmp_path, capsys, slow, noise, verdict):
    old = record("losses", timings(noise=noise))
    # Other samples of the same program, in a run in which everything takes twice as long.
    rows = timings(noise=noise, slow=slow, losses=(*LOSSES[1:], LOSSES[0]))
    twice = [{"seconds": [2 * s for s in row.values["seconds"]]} for row in rows]
    rows = [dataclasses.replace(r, values=v) for r, v in zip(rows, twice, strict=True)]
    new = record("losses", rows)
    assert verdicts(old, new) == {verdict}
    status = run(compare, *written(tmp_path, old, new))
    assert status == (verdict == "worse")
    assert f"8 {verdict}." in capsys.readouterr().out


def test_more_tolerance_forgives():
    old, new = record("losses", timings()), record("losses", timings(slow=1.1))
    assert verdicts(old, new, 0.2) == {"unchanged"}


def test_noise_is_not_taken_for_a_regression():
    """Runs of one program: 100 rows without a change, at a noise of 5 %."""
    losses = [f"Loss{i}()" for i in range(50)]
    old = record("losses", timings(losses=losses, noise=0.05))
    new = record("losses", timings(losses=losses[::-1], noise=0.05))
    found = [*compare.changes(old, new)["verdict"]]
    assert len(found) == 100
    assert found.count("worse") <= 1


@pytest.mark.parametrize(
    ("name", "before", "after", "verdict"),
    [
        ("temp_bytes", 10_000_000, 20_000_000, "worse"),
        ("temp_bytes", 20_000_000, 10_000_000, "better"),
        ("temp_bytes", 0, 33_554_432, "worse"),
        ("temp_bytes", 0, 64, "unchanged"),
        ("bytes", 4.0e8, 4.1e8, "unchanged"),
        ("bytes", 4.0e8, 5.0e8, "worse"),
    ],
)
def test_the_verdict_on_bytes(tmp_path, name, before, after, verdict):
    command = "memory" if name == "temp_bytes" else "devices"
    old, new = (record(command, program_rows(["cpu"], **{name: n})) for n in (before, after))
    assert verdicts(old, new) == {verdict}
    assert run(compare, *written(tmp_path, old, new)) == (verdict == "worse")


def test_a_program_that_fails_is_a_regression(tmp_path):
    old = record("devices", program_rows(TARGETS, bytes=1e8))
    new = record("devices", program_rows(TARGETS, error="does not compile"))
    assert verdicts(old, new) == {"fails now"}
    assert verdicts(new, old) == {"works now"}
    assert run(compare, *written(tmp_path, old, new)) == 1
    assert run(compare, *written(tmp_path, new, old)) == 0


def test_only_in_one(capsys, tmp_path):
    old = record("losses", timings(losses=LOSSES[:3]))
    new = record("losses", timings(losses=LOSSES[1:]))
    assert verdicts(old, new) == {"unchanged", "only in old", "only in new"}
    assert run(compare, *written(tmp_path, old, new)) == 0
    assert "2 only in old" in capsys.readouterr().out


def compared(tmp_path, old, new, *arguments):
    return run(compare, *written(tmp_path, old, new), *arguments)


def test_another_device_needs_force(tmp_path):
    old = record("losses", timings())
    new = dataclasses.replace(old, device={**old.device, "cpu": "Another", "cores": 8})
    with pytest.raises(ValueError, match=r"cpu: .* and Another; device cores: 2 and 8.*--force"):
        compared(tmp_path, old, new)
    assert compared(tmp_path, old, new, "--force") == 0


def test_another_dtype_needs_force(tmp_path):
    old = record("losses", timings())
    rows = [dataclasses.replace(row, dtype="bfloat16") for row in timings(slow=1.3)]
    new = record("losses", rows)
    with pytest.raises(ValueError, match=r"bench: .*dtype: float32 and bfloat16.*--force"):
        compared(tmp_path, old, new)
    assert compared(tmp_path, old, new, "--force") == 1


def test_programs_for_absent_devices_compare_across_hosts(tmp_path):
    old = record("devices", program_rows(TARGETS, bytes=1e8))
    new = dataclasses.replace(old, device={**old.device, "cores": 8})
    assert compared(tmp_path, old, new) == 0


def test_what_cannot_be_judged(tmp_path):
    old = record("losses", timings())
    few = [
        dataclasses.replace(row, values={"seconds": row.values["seconds"][:3]}) for row in old.rows
    ]
    with pytest.raises(ValueError, match="fewer than 6 rounds"):
        compared(tmp_path, old, record("losses", few))
    bare = [row for row in old.rows if row.implementation != "floor"]
    with pytest.raises(ValueError, match="no floor to divide by"):
        compared(tmp_path, old, record("losses", bare))
    with pytest.raises(ValueError, match="must share cases of lossjax, got none"):
        compared(tmp_path, old, record("losses", timings(losses=["Other()"])))
    with pytest.raises(ValueError, match="command: losses and scaling"):
        compared(tmp_path, old, record("scaling", timings()))
    with pytest.raises(ValueError, match="--tolerance must be 0 or more, got -1"):
        compared(tmp_path, old, old, "--tolerance", "-1")
    (tmp_path / "none.json").write_text(json.dumps({"schema": 1}))
    with pytest.raises(ValueError, match=r"bench: none\.json"):
        run(compare, tmp_path / "none.json", tmp_path / "none.json")
