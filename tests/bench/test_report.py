"""The arithmetic of the benchmarks, without a clock: tables, ratios, goals, the plot, the form of an upload."""

import io
import xml.etree.ElementTree as ElementTree

import boto3
import pytest
from packaging.utils import is_normalized_name
from werkzeug.formparser import parse_form_data

from bench import aws_scale, growth, plot, report, results
from bench.load import links, uploads
from bench.results import medians
from bench.rounds import better_half
from bench.rows import PAGE, ROWS
from bench.servers import NGINX, NGINX_LOGIN
from bench.tables import markdown, number, times
from elasticpypi.storage.aws.dynamodb import DynamoIndex
from tests.support import ROOT
from tests.support.moto_aws import TABLE

PEERS = {
    "date": "2026-01-02",
    "machine": "2 cores",
    "elasticpypi": "1.0",
    "rounds": "3 rounds of 3 s",
    "servers": {"elasticpypi": "granian", "nginx": "static files", "proxpi": "gunicorn", "devpi": "waitress"},
    "values": {
        "root-html": {
            "elasticpypi": [9000.0, 2000.0, 4000.0],
            "nginx": [10000.0, None],
            "proxpi": [200.0],
            "devpi": [500.0],
        },
        "uv": {"elasticpypi": [0.5], "nginx": [0.25], "nginx-password": [0.5], "proxpi": [1.0], "devpi": [2.0]},
        "start": {"elasticpypi": [0.4], "nginx": [0.1], "proxpi": [0.8], "devpi": [6.0]},
        "upload": {"elasticpypi": [40.0], "nginx": [None], "proxpi": [None], "devpi": [10.0]},
    },
}


def lines(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


def test_table_writer() -> None:
    assert markdown(["", "a", "b"], [["row", "1", "2"]]) == "|  | a | b |\n| --- | ---: | ---: |\n| row | 1 | 2 |\n"


@pytest.mark.parametrize(
    ("value", "told"),
    [(None, "-"), (12345.6, "12,346"), (100.4, "100"), (12.34, "12.3"), (1.234, "1.23"), (0.0449, "0.04")],
)
def test_numbers_have_as_many_digits_as_mean_something(value: float | None, told: str) -> None:
    assert number(value) == told


@pytest.mark.parametrize(("ratio", "told"), [(None, "-"), (43.2, "43x"), (9.96, "10.0x"), (0.456, "0.46x")])
def test_ratios(ratio: float | None, told: str) -> None:
    assert times(ratio) == told


def test_a_median_leaves_out_rounds_that_failed() -> None:
    assert medians(PEERS["values"], "root-html") == {"elasticpypi": 4000, "nginx": 10000, "proxpi": 200, "devpi": 500}
    assert medians(PEERS["values"], "upload") == {"elasticpypi": 40, "devpi": 10}


def test_of_many_turns_the_better_half_counts() -> None:
    rows = {row.key: row for row in ROWS}
    assert better_half(rows["uv"], [3.0, 1.0, 2.0, 9.0]) == 1.5
    assert better_half(rows["root-html"], [3.0, 1.0, 2.0]) == 2.5
    assert better_half(rows["uv"], [5.0]) == 5
    assert better_half(rows["uv"], [5.0, None]) is None


def test_the_best_peer_is_the_fastest_or_the_one_that_takes_least() -> None:
    table = lines(report.peers_table(PEERS))
    assert table[0] == ["", "elasticpypi", "nginx", "proxpi", "devpi", "x best peer", "x nginx"]
    assert table[2:] == [
        ["root list, HTML, requests/s", "4,000", "10,000", "200", "500", "8.0x", "0.40x"],
        ["`uv pip compile` of the same, s", "0.50", "0.25", "1.00", "2.00", "2.0x", "0.50x"],
        ["uploads of 20 kB, one by one, uploads/s", "40.0", "-", "-", "10.0", "4.0x", "-"],
        ["from start to the first root list, s", "0.40", "0.10", "0.80", "6.00", "2.0x", "0.25x"],
    ]


def test_goals_say_what_is_reached() -> None:
    told = {line[0]: line[1:] for line in lines(report.peers_goals(PEERS))[2:]}
    assert told == {
        "root list, HTML, against the best peer": ["10x or more", "8.0x", "**missed**"],
        "root list, HTML, against nginx": ["0.33x or more", "0.40x", "reached"],
        "`uv pip compile` of the same, against nginx": ["0.97x or more", "0.50x", "**missed**"],
        "`uv pip compile` of the same, against nginx-password": ["0.97x or more", "1.0x", "reached"],
        "uploads of 20 kB, one by one, against the best peer": ["5.0x or more", "4.0x", "**missed**"],
        "from start to the first root list": ["at most 0.7 s", "0.40", "reached"],
    }


def test_goals_of_growth_compare_with_the_smallest() -> None:
    sizes = [str(corpus.projects) for corpus in growth.SIZES]
    values = {
        "page": {size: [rate] for size, rate in zip(sizes, (1000.0, 100.0, 900.0, 700.0), strict=True)},
        "start": {size: [0.5 + number] for number, size in enumerate(sizes)},
    }
    told = {line[0]: line[-1] for line in lines(report.scale_goals({"values": values}))[2:]}
    assert told == {
        "project page, 10 files, HTML, 10,000 projects, against 100": "reached",
        "project page, 10 files, HTML, 100,000 projects, against 100": "**missed**",
        "from start to the first root list, 1,000 projects": "**missed**",
        "from start to the first root list, 10,000 projects": "**missed**",
    }


def test_the_document_has_what_was_measured_and_where() -> None:
    text = report.document({"peers": PEERS})
    assert "2026-01-02, 3 rounds of 3 s, 2 cores; elasticpypi 1.0." in text
    assert "- proxpi: gunicorn\n" in text
    assert report.peers_table(PEERS) in text
    assert "As it grows" not in text


def test_the_plot_is_a_picture_with_a_dot_per_number() -> None:
    picture = ElementTree.fromstring(plot.svg(PEERS["values"], {"root-html": "8.0x <best> peer"}))
    dots = {title.text: dot for dot in picture.iter() for title in dot if title.tag.endswith("title")}
    assert "elasticpypi: 4,000 requests/s" in dots
    across = [float(dots[f"{told} requests/s"].get("cx", "")) for told in ("proxpi: 200", "devpi: 500")]
    assert across == sorted(across)
    assert "8.0x <best> peer" in [text.text for text in picture.iter() if text.tag.endswith("text")]
    assert not any("uv" in (text.text or "") for text in picture.iter())  # less is better there


def test_the_documents_quote_what_was_measured() -> None:
    values = results.load()["peers"]["values"]
    rows = {row.key: row for row in ROWS}
    pages = [row for row in ROWS if row.goals == PAGE]
    peers = min(filter(None, (report.against_peers(values, row) for row in pages)))
    static = [ratio for row in pages if (ratio := report.against(NGINX, values, row))]
    readme, scaling = (" ".join((ROOT / name).read_text().split()) for name in ("README.md", "docs/scaling.md"))
    assert f"at least {int(peers)} times as fast as from the best other index in Python" in readme
    assert f"at least {int(peers)} times as fast as from the best other index in Python" in scaling
    assert f"at {min(static):.1f} to {max(static):.1f} of nginx with static files" in scaling
    small, uploaded = (report.against_peers(values, rows[key]) or 0 for key in ("small-file", "upload"))
    assert f"small files {int(small)} times, uploads {int(uploaded)} times as fast" in scaling
    password, nobody = (report.against(nginx, values, rows["uv"]) or 0 for nginx in (NGINX_LOGIN, NGINX))
    assert f"{password:.2f} of its speed with an nginx that asks for a password, and {nobody:.2f} of one" in scaling


def test_keys_of_rows_are_unique() -> None:
    for rows in (ROWS, growth.ROWS):
        assert len({row.key for row in rows}) == len(rows)
    assert {*growth.LEVEL, *growth.BOUNDED} <= {row.key for row in growth.ROWS}


def test_an_upload_has_the_form_of_twine() -> None:
    (first, _), (body, kind) = uploads("x", 2, 500)
    environ = {"REQUEST_METHOD": "POST", "CONTENT_TYPE": kind, "CONTENT_LENGTH": str(len(body))}
    _, form, files = parse_form_data({**environ, "wsgi.input": io.BytesIO(body)})
    assert first != body
    assert (form[":action"], form["name"], form["version"]) == ("file_upload", "upload_x_1", "1.1")
    files["content"].close()
    assert files["content"].filename == "upload_x_1-1.1-py3-none-any.whl"


def test_links_of_pages() -> None:
    assert links(b'<a href="a/">a</a><br><A\nclass="x" HREF="b/">b</A><link href="c">') == ["a/", "b/"]


def test_generated_names_are_normalized_and_differ() -> None:
    names = aws_scale.names(1000)
    assert all(map(is_normalized_name, names))
    assert len(set(names)) == 1000
    assert names == sorted(names) == aws_scale.names(1000)


@pytest.mark.usefixtures("aws")
def test_generated_items_are_those_of_the_index() -> None:
    made = [(name, 3) for name in aws_scale.names(20)]
    client = boto3.client("dynamodb")
    for name, files in made:
        for item in aws_scale.items(name, files):
            client.put_item(TableName=TABLE, Item=item)
    index = DynamoIndex(TABLE)
    assert index.projects()[1] == [name for name, _ in made]
    for name, _ in made:
        project = index.project(name)
        assert project is not None
        assert [file.version for file in project.files] == ["1.0", "1.0", "1.1"]
        assert index.file(name, project.files[0].filename) == project.files[0]
