"""The files of the page, their headers, and who gets the page instead of JSON."""

import re
from pathlib import Path

import pytest

from node.explorer import serving
from node.explorer.serving import ASSETS, prefers_page
from tests.node.http_api.talking import Client

FOLDER = Path(serving.__file__).parent / "page"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "is_page"),
    [
        (BROWSER, True),
        ("text/html", True),
        ("TEXT/HTML;Q=0.9", True),
        ("text/html;q=0.9, application/json;q=0.8", True),
        ("text/html;q=0.8, application/json;q=0.9", False),
        ("text/html, application/json", False),
        ("application/json", False),
        ("application/json, text/plain, */*", False),
        ("application/*", False),
        ("application/json;q=0.5, */*;q=0.9", True),
        ("application/json;q=x", True),
        ("*/*", True),
        ("", True),
    ],
)
def test_a_client_gets_the_page_unless_it_prefers_json(accept: str, is_page: bool) -> None:
    assert prefers_page(accept) is is_page


async def test_the_root_answers_with_the_page_or_with_json(client: Client) -> None:
    page = await client.get("/", {"Accept": "*/*"})
    pointer = await client.get("/", {"Accept": "application/json"})

    assert (page.status, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert pointer.json()["openapi"] == "openapi.json"
    assert page.headers["Vary"] == pointer.headers["Vary"] == "Accept"


@pytest.mark.parametrize("accept", [BROWSER, "application/json"])
@pytest.mark.parametrize("path", ["/?utm_source=x", "/?fbclid=1&a=b&a=c", "/?%FF", "/explorer/main.js?v=2"])
async def test_the_pages_own_addresses_ignore_unknown_parameters(client: Client, path: str, accept: str) -> None:
    """Links in mails and on other sites often carry parameters for somebody's statistics."""
    answer = await client.get(path, {"Accept": accept})

    assert (answer.status, answer.body) == (200, (await client.get(path.partition("?")[0], {"Accept": accept})).body)


def test_the_page_names_no_absolute_path() -> None:
    """Behind a proxy with a path prefix, an absolute path leads to somebody else."""
    for path in sorted(FOLDER.iterdir()):
        assert re.findall(r"""["'`(]/[a-z][^"'`)]*""", path.read_text()) == [], path.name


@pytest.mark.parametrize("path", ["/", "/explorer/main.js", "/explorer/tokens.css", "/explorer/icon.svg"])
async def test_the_policy_forbids_foreign_scripts_and_inline_scripts(client: Client, path: str) -> None:
    answer = await client.get(path, {"Accept": BROWSER})

    policy = dict(each.split(" ", 1) for each in answer.headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert policy["require-trusted-types-for"] == "'script'"
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize("path", ["/", "/explorer/main.js"])
async def test_a_file_that_the_browser_has_is_not_sent_again(client: Client, path: str) -> None:
    first = await client.get(path, {"Accept": BROWSER})

    again = await client.get(path, {"Accept": BROWSER, "If-None-Match": first.headers["ETag"]})
    other = await client.get(path, {"Accept": BROWSER, "If-None-Match": '"other"'})

    assert (again.status, again.body, again.headers["ETag"]) == (304, b"", first.headers["ETag"])
    assert first.headers["Cache-Control"] == "no-cache"
    assert (other.status, other.body) == (200, first.body)


@pytest.mark.parametrize("name", ["nothing.js", "index.html", "..%2Fserving.py", "%2e%2e%2fserving.py", "main.js%00"])
async def test_only_files_of_the_page_are_served(client: Client, name: str) -> None:
    assert (await client.get(f"/explorer/{name}")).refusal == (404, "unknown_route")


def test_the_page_names_exactly_its_own_files() -> None:
    """A module that nothing imports is dead. A module that is imported and absent breaks the page."""
    html = (FOLDER / "index.html").read_text()
    named, waiting = {"index.html"}, re.findall(r'"explorer/([\w.]+)"', html)
    while waiting:
        name = waiting.pop()
        if name not in named:
            named.add(name)
            waiting += re.findall(r'from "\./([\w.]+)"', (FOLDER / name).read_text())

    assert named == set(ASSETS) == {path.name for path in FOLDER.iterdir()}


def test_the_page_holds_no_inline_script_style_or_listener() -> None:
    html = (FOLDER / "index.html").read_text()

    assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|javascript:", html) == []


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.js")), ids=lambda path: path.name)
def test_no_module_turns_text_into_markup_or_names_another_host(path: Path) -> None:
    text = path.read_text()

    assert (
        re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\b|new Function", text)
        == []
    )
    assert set(re.findall(r"\w+://[\w.]+", text)) <= {"http://www.w3.org", "http://127.0.0.1"}
    assert len(text.splitlines()) <= 300
    assert max(map(len, text.splitlines())) <= 120
