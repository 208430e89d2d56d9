"""The book as a reader meets it: the chapters as written, and the pages as built.

The pages are those of the last `make book` (`_build/html`, or the folder named in PHENOLIB_SITE).
"""

import ast
import functools
import itertools
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup

ROOT = Path(__file__).resolve().parent.parent
SITE = Path(os.environ.get("PHENOLIB_SITE") or ROOT / "_build" / "html")
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None
)

SECTIONS = ("What you will learn", "You need", "Parameters", "Check", "Exercise", "Take-aways", "References")
MACHINE_PATH = re.compile(
    r"(?<![\w./:+\-])/(?:home|root|work|tmp|Users|var/folders)/[\w.]|(?<![A-Za-z])[A-Z]:\\+\w|file:///"
)
LOADS = {
    "script": "src",
    "link": "href",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "video": "src",
    "object": "data",
}


# what can be wrong with a page: each of these returns a list of one-line findings, empty when all is well


@functools.lru_cache(maxsize=64)
def parsed(page):
    return BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")


def pages(site):
    return sorted(p for p in site.rglob("*.html") if "_static" not in p.relative_to(site).parts)


def error_outputs(page):
    soup = parsed(page)
    found = soup.select(".output.error, .output.stderr, .output.traceback, .system-message, .problematic")
    found += [o for o in soup.select(".cell_output") if "Traceback (most recent call last)" in o.get_text()]
    return [f"{page.name}: {element.get_text()[:80]!r}" for element in found]


def images_without_alt(page):
    def empty(alt):
        return not alt.strip() or re.search(
            r"\.(png|svg|jpe?g|gif|webp)$", alt.strip(), re.IGNORECASE
        )  # Sphinx puts the path

    return [
        f"{page.name}: {img.get('src', '')[:60]}"
        for img in parsed(page).find_all("img")
        if empty(img.get("alt", ""))
    ]


def broken_links(page):
    problems = []
    targets = [(a["href"], True) for a in parsed(page).find_all("a", href=True)]
    targets += [
        (e[key], False) for tag, key in LOADS.items() for e in parsed(page).find_all(tag) if e.get(key)
    ]
    for href, anchors in targets:
        parts = urlsplit(href)
        if parts.scheme or parts.netloc:
            continue
        target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
        target = target / "index.html" if target.is_dir() else target
        if not target.is_file():
            problems.append(f"{page.name}: {href} is not there")
        elif anchors and parts.fragment and target.suffix == ".html":
            name = unquote(parts.fragment)
            if not parsed(target).find(attrs={"id": name}) and not parsed(target).find(attrs={"name": name}):
                problems.append(f"{page.name}: {href} has no such anchor")
    return problems


def loads_from_elsewhere(page):
    problems = []
    for tag, key in LOADS.items():
        for element in parsed(page).find_all(tag):
            if urlsplit(element.get(key) or "").netloc and element.get("rel") != ["canonical"]:
                problems.append(f"{page.name}: <{tag}> {element[key]}")
    for style in parsed(page).find_all("style"):
        problems += [
            f"{page.name}: <style> {u}"
            for u in re.findall(r"(?:url\(|@import)\s*['\"]?((?:https?:)?//[^)'\"]+)", style.text)
        ]
    return problems


def unresolved(page):
    soup = parsed(page)
    problems = [
        f"{page.name}: reference {e.get_text()!r}" for e in soup.select(".xref") if not e.find_parent("a")
    ]
    for cite in soup.find_all(string=re.compile(r"\[[^\[\]]*\?\s*\]|\{cite")):
        if not cite.find_parent(["code", "pre", "script", "style", "textarea"]):
            problems.append(f"{page.name}: citation {str(cite)[:60]!r}")
    return problems


def raw_math(page):
    soup = parsed(page)
    problems = []
    if soup.select(".math"):
        sources = [s["src"] for s in soup.find_all("script", src=True) if "mathjax" in s["src"].lower()]
        if not sources or urlsplit(sources[0]).netloc:
            problems.append(f"{page.name}: equations, but no script of ours that sets them")
    article = soup.find("article") or soup
    for text in article.find_all(string=re.compile(r"\$\$|\\begin\{|\\frac|(?<!\\)\$\\?[A-Za-z]")):
        if not text.find_parent(class_="math") and not text.find_parent(["code", "pre", "script", "style"]):
            problems.append(f"{page.name}: {str(text).strip()[:60]!r}")
    return problems


def machine_paths(site):
    problems = []
    for path in sorted(
        p for p in site.rglob("*") if p.suffix in {".html", ".js", ".ipynb", ".md", ".txt", ".json"}
    ):
        if "_static" in path.relative_to(site).parts:
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        for found in [m.group(0) for m in MACHINE_PATH.finditer(text)] + [str(ROOT)] * (str(ROOT) in text):
            problems.append(f"{path.relative_to(site)}: {found}")
    return problems


def out_of_order(positions):
    """What a chapter lacks, or has in the wrong place, given (name, position or None) in the wanted order."""
    problems = [f"no {name}" for name, at in positions if at is None]
    present = [(name, at) for name, at in positions if at is not None]
    problems += [f"{b} before {a}" for (a, i), (b, j) in itertools.pairwise(present) if j < i]
    return problems


def chapter_page(page):
    elements = list((parsed(page).find("article") or parsed(page)).find_all(True))

    def first(wanted):
        return next((i for i, e in enumerate(elements) if wanted(e)), None)

    def titled(words):
        def wanted(e):
            title = re.match(r"h[1-6]$", e.name) or "admonition-title" in e.get("class", [])
            return bool(title) and words.lower() in e.get_text().lower()

        return wanted

    def of_class(*names):
        return lambda e: set(names) <= set(e.get("class", []))

    order = [
        ("What you will learn", first(titled("What you will learn"))),
        ("You need", first(titled("You need"))),
        ("parameters cell", first(of_class("cell", "tag_parameters"))),
        ("check", first(lambda e: "cell_input" in e.get("class", []) and "report.check(" in e.get_text())),
        ("exercise", first(of_class("exercise"))),
        ("Take-aways", first(titled("Take-aways"))),
        ("References", first(titled("References"))),
    ]
    problems = out_of_order(order)
    if first(of_class("solution", "dropdown")) is None:
        problems.append("no solution that opens on a click")
    if not any(e.name == "img" for e in elements):
        problems.append("no figure")
    return [f"{page.name}: {problem}" for problem in problems]


# what can be wrong with a chapter as written


def source(cell):
    return "".join(cell["source"])


def chapter_source(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = [c for c in cells if c["cell_type"] == "code"]
    problems = [
        f"cell {i} has outputs"
        for i, c in enumerate(code)
        if c["outputs"] or c["execution_count"] is not None
    ]
    problems += [f"path {m.group(0)}" for c in cells for m in MACHINE_PATH.finditer(source(c))]
    problems += parameter_lines(cells)

    def first(pattern, kind=None, tag=None):
        def wanted(c):
            right_kind = kind in (None, c["cell_type"]) and (
                tag is None or tag in c["metadata"].get("tags", [])
            )
            return right_kind and re.search(pattern, source(c), re.MULTILINE)

        return next((i for i, c in enumerate(cells) if wanted(c)), None)

    def title(words):
        return first(rf"^(#+|[:`]{{3,}}\{{\w+\}}).*{words}", kind="markdown")

    problems += out_of_order(
        [
            ("What you will learn", title("What you will learn")),
            ("You need", title("You need")),
            ("parameters cell", first("", kind="code", tag="parameters")),
            ("recorded result", first(r"report\.record\(", kind="code")),
            ("check", first(r"report\.check\(", kind="code")),
            ("exercise", first(r"\{exercise(-start)?\}", kind="markdown")),
            ("Take-aways", title("Take-aways")),
            ("References", title("References")),
        ]
    )
    text = "\n".join(source(c) for c in cells if c["cell_type"] == "markdown")
    for label in re.findall(r"\{exercise\}[^\n]*\n(?:\s*:[^\n]*\n)*?\s*:label:\s*(\S+)", text):
        if not re.search(
            rf"\{{solution\}}\s*{re.escape(label)}\s*\n(?:\s*:[^\n]*\n)*?\s*:class:.*dropdown", text
        ):
            problems.append(f"exercise {label} has no solution that opens on a click")
    for call in ast_calls(code, "show"):
        if not any(k.arg == "alt" for k in call.keywords):
            problems.append(f"a figure without alt text: {ast.unparse(call)[:60]}")
    return [f"{path.name}: {problem}" for problem in problems]


def parameter_lines(cells):
    tagged = [source(c) for c in cells if "parameters" in c["metadata"].get("tags", [])]
    if len(tagged) != 1:
        return [f"{len(tagged)} cells tagged parameters, not one"]
    problems = []
    for statement in ast.parse(tagged[0]).body:
        line = tagged[0].splitlines()[statement.end_lineno - 1]
        if not isinstance(statement, ast.AnnAssign) or statement.value is None:
            problems.append(f"parameter line without type or value: {line}")
        elif not re.search(r"#\s*\S+", line):
            problems.append(f"parameter line without meaning: {line}")
    return problems


def ast_calls(code, name):
    for cell in code:
        lines = [line for line in source(cell).splitlines() if not line.lstrip().startswith(("%", "!"))]
        for node in ast.walk(ast.parse("\n".join(lines))):
            if (
                isinstance(node, ast.Call)
                and getattr(node.func, "attr", getattr(node.func, "id", "")) == name
            ):
                yield node


def cited(text):
    return [k.strip() for keys in re.findall(r"\{cite(?::\w+)?\}`([^`]+)`", text) for k in keys.split(",")]


# the chapters as written


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_chapter_as_written(path):
    "Every chapter has its parts in order, commented parameters, no stored outputs and no path of a machine."
    assert chapter_source(path) == []


def test_every_citation_has_an_entry():
    "Every key that a page or a chapter cites stands in references.bib, once."
    bibliography = re.findall(
        r"^@\w+\{([^,\s]+)", (ROOT / "book" / "references.bib").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert len(bibliography) == len(set(bibliography))
    texts = {p.name: p.read_text(encoding="utf-8") for p in (ROOT / "book").rglob("*.md")}
    for path in NOTEBOOKS:
        texts[path.name] = "\n".join(source(c) for c in json.loads(path.read_text(encoding="utf-8"))["cells"])
    missing = [
        f"{name}: {key}" for name, text in texts.items() for key in cited(text) if key not in bibliography
    ]
    assert missing == []


def test_glossary_is_in_order():
    "The glossary holds at least 35 terms in alphabetical order, each explained."
    body = (
        (ROOT / "book" / "glossary.md")
        .read_text(encoding="utf-8")
        .split(":::{glossary}\n")[1]
        .split("\n:::")[0]
    )
    entries = [entry.split("\n", 1) for entry in body.strip().split("\n\n")]
    terms = [entry[0] for entry in entries]
    assert all(len(entry) == 2 and entry[1].startswith("  ") for entry in entries)
    assert len(terms) >= 35
    assert terms == sorted(terms, key=str.casefold)


def test_readme_points_to_files_that_exist():
    "Every file that the README links or shows is there, and its picture has a description."
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert all(alt.strip() for alt in re.findall(r"!\[([^\]]*)\]", text))
    local = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if not urlsplit(link).scheme]
    assert [link for link in local if not (ROOT / link).exists()] == []


# the pages as built


@pytest.fixture(scope="module")
def site():
    if not (SITE / "index.html").is_file():
        pytest.skip("the book is not built here; run `make book` first, or name its folder in PHENOLIB_SITE")
    return SITE


def findings(site, find):
    return [finding for page in pages(site) for finding in find(page)]


def test_every_chapter_has_a_page(site):
    "Every chapter in notebooks/ was built to a page."
    assert [p.stem for p in NOTEBOOKS if not (site / "notebooks" / f"{p.stem}.html").is_file()] == []


def test_no_page_shows_an_error(site):
    "No page holds a traceback, a warning on stderr or a message of the builder."
    assert findings(site, error_outputs) == []


def test_every_figure_is_described(site):
    "Every image has a text that describes it."
    assert findings(site, images_without_alt) == []


def test_every_link_leads_somewhere(site):
    "Every internal link and anchor is there."
    assert findings(site, broken_links) == []


def test_every_reference_is_resolved(site):
    "No citation and no cross-reference is left open."
    assert findings(site, unresolved) == []


def test_nothing_is_loaded_from_elsewhere(site):
    "A page loads no script, style or image from another host, so that it reads the same without a network."
    assert findings(site, loads_from_elsewhere) == []


def test_no_equation_is_raw(site):
    "Equations are marked up, and the script that sets them is ours."
    assert findings(site, raw_math) == []


def test_no_path_of_a_machine(site):
    "No page, source or index holds a path of the machine that built it."
    assert machine_paths(site) == []


def test_chapters_as_built(site):
    "Every chapter page has goals, needs, parameters, check, exercise with solution, take-aways, references."
    assert [f for page in sorted((site / "notebooks").glob("[0-9]*.html")) for f in chapter_page(page)] == []


@pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome to render a page with")
def test_equations_render_without_a_network(site, tmp_path):
    "In a browser that can reach no host, every equation of the notation page is set."
    page = site / "book" / "notation.html"
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"]
    command += ["--disable-background-networking", "--host-resolver-rules=MAP * ~NOTFOUND"]
    command += [f"--user-data-dir={tmp_path}", "--virtual-time-budget=15000", "--dump-dom", page.as_uri()]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    soup = BeautifulSoup(done.stdout, "html.parser")
    equations = soup.select("article .math")
    assert equations, done.stderr[-500:]
    assert [e.get_text()[:60] for e in equations if not e.find("mjx-container")] == []
    assert soup.find_all("mjx-merror") == []


# the tests above see what they are meant to see

GOOD = """<html><head><script src="mathjax.js"></script></head><body><article>
<h1 id="top">A chapter</h1><h2>What you will learn</h2><h2>You need</h2>
<div class="cell tag_parameters"><div class="cell_input">threshold: float = 0.2</div></div>
<p>See <a href="#top">above</a> and <a href="https://example.org">there</a>, costs of 5 $.</p>
<span class="math">\\(a\\)</span><img src="a.png" alt="Greenness rises in May">
<div class="cell"><div class="cell_input">ph.report.check("x", at_most=5)</div>
<div class="cell_output">held</div></div>
<div class="exercise admonition">Why?</div><div class="solution dropdown admonition">So.</div>
<h2>Take-aways</h2><h2>References</h2></article></body></html>"""

BAD = [
    (error_outputs, "held", "Traceback (most recent call last): ..."),
    (error_outputs, 'class="cell_output"', 'class="output stderr"'),
    (images_without_alt, "Greenness rises in May", " "),
    (images_without_alt, "Greenness rises in May", "../_images/0f3a.png"),
    (broken_links, "#top", "#nowhere"),
    (broken_links, "#top", "missing.html"),
    (broken_links, 'src="a.png"', 'src="b.png"'),
    (loads_from_elsewhere, "mathjax.js", "https://cdn.example.org/mathjax.js"),
    (loads_from_elsewhere, "a.png", "//example.org/a.png"),
    (loads_from_elsewhere, "<head>", "<head><style>@import 'https://fonts.example.org/a.css'</style>"),
    (unresolved, "A chapter", 'A chapter <span class="xref myst">lost</span>'),
    (unresolved, "A chapter", "A chapter [nobody1999?]"),
    (raw_math, "mathjax.js", "other.js"),
    (raw_math, "Why?", "Why is $\\alpha$ small?"),
    (chapter_page, "<h2>You need</h2>", ""),
    (chapter_page, "tag_parameters", "tag_other"),
    (chapter_page, "report.check", "report.record"),
    (chapter_page, "solution dropdown", "solution"),
    (chapter_page, "<h2>Take-aways</h2><h2>References</h2>", "<h2>References</h2><h2>Take-aways</h2>"),
]


@pytest.fixture
def planted(tmp_path):
    def write(html=GOOD):
        parsed.cache_clear()
        (tmp_path / "page.html").write_text(html, encoding="utf-8")
        for name in ("a.png", "mathjax.js", "other.js"):
            (tmp_path / name).write_bytes(b"")
        return tmp_path / "page.html"

    return write


def test_a_good_page_passes(planted):
    "Nothing is found on a page that is as it should be."
    page = planted()
    assert [f for find in {find for find, *_ in BAD} for f in find(page)] == []
    assert machine_paths(page.parent) == []


@pytest.mark.parametrize(
    ("find", "old", "new"), BAD, ids=[f"{f.__name__}-{i}" for i, (f, *_) in enumerate(BAD)]
)
def test_a_planted_fault_is_found(planted, find, old, new):
    "Each fault that is planted in a good page is found by the test that is meant to find it."
    assert old in GOOD
    assert find(planted(GOOD.replace(old, new))) != []


@pytest.mark.parametrize(
    "path", ["/home/ada/book", "/tmp/x1", "/root/a", "C:\\\\Users\\\\ada", "file:///srv/a"]
)
def test_a_planted_path_is_found(planted, path):
    "A path of a machine is found in pages and in the search index."
    page = planted(GOOD.replace("Why?", f"Why {path}?"))
    assert machine_paths(page.parent) != []
    (planted().parent / "searchindex.js").write_text(f'Search({{"a": "{path}"}})', encoding="utf-8")
    assert machine_paths(page.parent) != []


def test_a_planted_fault_in_a_chapter_is_found(tmp_path):
    "Stored outputs, an untyped parameter, a lost solution or section, a figure without text are found."

    def markdown(text):
        return {"cell_type": "markdown", "metadata": {}, "source": text}

    def code(text, **more):
        return {
            "cell_type": "code",
            "metadata": {},
            "source": text,
            "outputs": [],
            "execution_count": None,
        } | more

    good = [
        markdown("# T\n## What you will learn\n"), markdown("## You need\n"),
        code("threshold: float = 0.2   # share of the amplitude [-]", metadata={"tags": ["parameters"]}),
        code('ph.plots.show(figure, alt="A curve")'), code('ph.report.record("x", 1, "days")'),
        code('ph.report.check("x", at_most=5)'), markdown("```{exercise}\n:label: ex-a\nWhy?\n```"),
        markdown("```{solution} ex-a\n:class: dropdown\nSo.\n```"),
        markdown("## Take-aways\n"), markdown("## References\n"),
    ]  # fmt: skip

    def problems(replacements):
        cells = [replacements.get(i, cell) for i, cell in enumerate(good)]
        path = tmp_path / "99_planted.ipynb"
        path.write_text(json.dumps({"cells": [c for c in cells if c]}), encoding="utf-8")
        return chapter_source(path)

    parameters = {"tags": ["parameters"]}
    assert problems({}) == []
    assert problems({3: code('ph.plots.show(figure, alt="A")', execution_count=3)})
    assert problems({2: code("threshold = 0.2  # share [-]", metadata=parameters)})
    assert problems({2: code("threshold: float = 0.2", metadata=parameters)})
    assert problems({3: code("ph.plots.show(figure)")})
    assert problems({5: code('open("/home/ada/x.csv")')})
    assert problems({7: None})
    assert problems({8: None})
    assert problems({8: good[9], 9: good[8]})
