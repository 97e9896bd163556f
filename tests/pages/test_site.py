"""The site: it is built in strict mode, and a browser shows its pages."""

import functools
import html
import http.server
import json
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from selenium import webdriver

import formulas

ROOT = Path(__file__).parents[2]


def test_a_formula_has_slanted_names_indices_and_powers():
    found = formulas.typeset("mean((y_pred - y_true)² - p_t^gamma * 2), e = -1.")
    assert found.startswith('<p class="formula"><math>')
    assert "<msub><mi>y</mi><mi>pred</mi></msub>" in found
    assert re.search(r"<msup><mo [^>]*>\)</mo><mn>2</mn></msup>", found)
    assert "<msup><msub><mi>p</mi><mrow><mi>t</mi></mrow></msub><mrow><mi>gamma</mi>" in found
    assert found.endswith('<mo form="prefix">−</mo><mn>1</mn></mrow></math></p>')
    assert found.count("<math>") == 3


def test_words_of_a_formula_stay_words():
    found = formulas.typeset("binary cross-entropy over `axis`; tp is a product, e ≤ 1 < 2")
    assert '<mi>binary</mi><mspace width="0.3em"/><mtext>cross-entropy</mtext>' in found
    assert "<mi>axis</mi>" in found
    assert "<mi>t</mi><mi>p</mi>" in found
    assert "<mo>&lt;</mo>" in found


@pytest.fixture
def hooks():
    pytest.importorskip("mkdocs")
    import site_hooks

    return site_hooks


def test_links_of_the_repository_lead_to_pages(hooks):
    assert hooks.relinked("docs/nan.md", "README.md", "index.md") == "nan.md"
    assert hooks.relinked("../README.md", "docs/nan.md", "nan.md") == "index.md"
    found = hooks.relinked("../examples/09_counts.py", "docs/nan.md", "nan.md")
    assert found == "examples/09_counts.md"
    assert hooks.relinked("../safety/nan.md", "docs/api/x.md", "api/x.md") == "../safety/nan.md"


def test_a_folder_of_the_navigation_is_its_pages(hooks):
    nav = [{"A": "a.md"}, {"B": ["b.md", {"C": "c/"}]}, {"D": "d/"}]
    found = hooks.expanded(nav, ["a.md", "b.md", "c/z.md", "c/README.md", "c/hinge.md", "c/x/y.md"])
    of_c = ["c/README.md", {"hinge": "c/hinge.md"}, "c/z.md"]
    assert found == [{"A": "a.md"}, {"B": ["b.md", {"C": of_c}]}]


def test_a_notebook_is_a_page_with_its_outputs(hooks, monkeypatch):
    outputs = [
        {"output_type": "stream", "text": ["1\n", "2\n"]},
        {"output_type": "display_data", "data": {"image/png": "iVBO\n", "text/plain": ["Figure"]}},
    ]
    cells = [
        {"cell_type": "markdown", "source": ["# It\n", "words"]},
        {"cell_type": "code", "source": ["print(1)"], "outputs": outputs},
    ]
    monkeypatch.setattr(hooks, "read", lambda name: json.dumps({"cells": cells}))
    assert hooks.notebook("it.ipynb").split("\n\n") == [
        "# It\nwords",
        "```python\nprint(1)\n```",
        "```\n1\n2\n```",
        "![output](data:image/png;base64,iVBO)\n",
    ]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the site, which must be built without a warning."""
    pytest.importorskip("mkdocstrings_handlers.python")
    pytest.importorskip("material")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr[-3000:]
    return folder


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def address(site):
    serve = functools.partial(Quiet, directory=site)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


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
    driver.set_script_timeout(30)
    yield driver
    driver.quit()


SEEN = """
const images = [...document.images].filter(image => image.closest("article"));
const math = [...document.querySelectorAll("article math")];
return {
  wide: document.documentElement.scrollWidth,
  words: document.querySelector("article").innerText.length,
  broken: images.filter(image => !image.naturalWidth && image.loading !== "lazy")
    .map(image => image.src),
  images: images.length,
  math: math.filter(one => one.getBoundingClientRect().height > 3).length,
  formulas: math.length,
  paper: getComputedStyle(document.body).backgroundColor,
  overflowing: [...document.querySelectorAll("article *")]
    .filter(one => one.getBoundingClientRect().right > innerWidth + 1).slice(0, 3)
    .map(one => one.textContent.slice(0, 50)),
};
"""


def opened(chromium, url, width, scheme):
    """What a browser makes of the page, its messages, its requests."""
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    chromium.get(url)
    seen = chromium.execute_script(SEEN)
    messages = [entry["message"] for entry in chromium.get_log("browser")]
    events = (json.loads(entry["message"])["message"] for entry in chromium.get_log("performance"))
    sent = [e["params"]["request"]["url"] for e in events if e["method"].endswith("BeSent")]
    return seen, messages, sent


def pages(site):
    """The addresses of all pages, from the search index."""
    index = json.loads((site / "search" / "search_index.json").read_text())
    return sorted({entry["location"].partition("#")[0] for entry in index["docs"]})


@pytest.mark.thorough
@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (360, "dark")])
def test_a_browser_shows_every_page(site, address, chromium, width, scheme):
    found = pages(site)
    assert {"", "start/", "gallery/regression/", "api/losses/regression/", "design/"} <= {*found}
    alike = ("examples", "safety", *(("gallery", "api/losses") if width > 500 else ()))
    folders = {page: page.rstrip("/").rpartition("/")[0] for page in found}
    found = {folder if folder in alike else page: page for page, folder in folders.items()}.values()
    shown = {"images": 0, "formulas": 0}
    for page in found:
        seen, messages, sent = opened(chromium, f"{address}/{page}", width, scheme)
        assert messages == [], page
        assert all(url.startswith((address, "data:", "blob:")) for url in sent), page
        assert seen["wide"] <= width, (page, seen["overflowing"])
        assert seen["words"] > 100, page
        assert seen["broken"] == [], page
        assert seen["math"] == seen["formulas"], page
        red, green, blue = map(int, re.findall(r"\d+", seen["paper"])[:3])
        assert (red + green + blue > 600) == (scheme == "light"), page
        shown = {name: shown[name] + seen[name] for name in shown}
    assert all(shown.values())


@pytest.mark.thorough
def test_search_finds_a_loss(address, chromium):
    opened(chromium, f"{address}/", 1200, "light")
    results = chromium.execute_async_script("""
      const [done] = arguments;
      document.querySelector("#__search").checked = true;
      const input = document.querySelector("input.md-search__input");
      input.focus();
      input.value = "huber";
      input.dispatchEvent(new Event("keyup", { bubbles: true }));
      input.dispatchEvent(new Event("input", { bubbles: true }));
      const wait = () => {
        const found = [...document.querySelectorAll(".md-search-result__link")];
        return found.length ? done(found.map(link => link.href)) : setTimeout(wait, 50);
      };
      wait();
    """)
    assert any(re.search(r"gallery/regression/.*#huber$", link) for link in results[:3])


@pytest.mark.thorough
def test_signatures_have_types_and_defaults(site):
    page = (site / "api" / "losses" / "regression" / "index.html").read_text(encoding="utf-8")
    words = "".join(html.unescape(re.sub(r"<[^>]*>", "", page)).split())
    assert 'delta:Hyper=1.0,*,reduction:Reduction="sum_over_batch_size"' in words


@pytest.mark.thorough
def test_a_broken_link_is_told(tmp_path):
    """What the builds above would say."""
    pytest.importorskip("mkdocs")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text("[nowhere](nowhere.md)")
    (tmp_path / "mkdocs.yml").write_text("site_name: It\nstrict: true\n")
    command = [sys.executable, "-m", "mkdocs", "build"]
    built = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert built.returncode != 0
    assert "nowhere.md" in built.stderr
