"""What is read from a record, and what is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from her2_ihc_40x_builder.zenodo.download import RemoteFile
from her2_ihc_40x_builder.zenodo.http_client import FetchError
from her2_ihc_40x_builder.zenodo.record import Record

URL = "https://zenodo.org/api/records/15179608"


def test_a_record_as_zenodo_gives_it() -> None:
    link = "https://zenodo.org/api/records/15179608/files/a b\u00e9.zip/content"
    file = {"id": "x", "key": "a b\u00e9.zip", "size": 3, "checksum": "md5:" + "0f" * 16, "links": {"self": link}}
    record = Record.parse(
        {
            "id": 15179608,
            "conceptrecid": "15179607",
            "doi": "10.5281/zenodo.15179608",
            "conceptdoi": "10.5281/zenodo.15179607",
            "metadata": {"title": "t", "license": {"id": "cc-by-sa-4.0"}, "version": "1.0"},
            "files": [file],
        },
        URL,
    )
    address = "https://zenodo.org/api/records/15179608/files/a%20b%C3%A9.zip/content"
    assert record.files == (RemoteFile("a b\u00e9.zip", 3, "0f" * 16, address),)
    assert record.id == "15179608"
    assert record.source() == {
        "record": "15179608",
        "doi": "10.5281/zenodo.15179608",
        "conceptdoi": "10.5281/zenodo.15179607",
        "version": "1.0",
        "licence": "cc-by-sa-4.0",
        "files": [{"name": "a b\u00e9.zip", "size": 3, "checksum": "md5:" + "0f" * 16}],
    }


@pytest.mark.parametrize("licence", [None, {}, {"id": None}, {"id": ""}, "cc-by", {"title": "CC"}])
def test_what_is_not_said_is_none(licence: object) -> None:
    file = {"key": "a", "size": 0, "checksum": "md5:" + "0" * 32, "links": {"self": "/a"}}
    record = Record.parse({"id": "1", "metadata": {"license": licence}, "files": [file]}, URL)
    assert (record.licence, record.doi, record.concept_doi, record.version) == (None, None, None, None)
    assert record.files[0].url == "https://zenodo.org/a"


@pytest.mark.parametrize("licence", ["cc-by-4.0\nlicence mit", "cc by", "../x", "\x1b[2J", "x" * 101])
def test_a_licence_is_a_plain_id(licence: str) -> None:
    file = {"key": "a", "size": 0, "checksum": "md5:" + "0" * 32, "links": {"self": "/a"}}
    with pytest.raises(FetchError, match="plain id of a licence") as caught:
        Record.parse({"id": "1", "metadata": {"license": {"id": licence}}, "files": [file]}, URL)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("size", [-1, 2**63, 10**400, True, "3", 3.0])
def test_a_size_is_one_that_a_file_can_have(size: object) -> None:
    file = {"key": "a", "size": size, "checksum": "md5:" + "0" * 32, "links": {"self": "/a"}}
    with pytest.raises(FetchError, match="its size in bytes"):
        Record.parse({"id": "1", "metadata": {}, "files": [file]}, URL)


@pytest.mark.parametrize("text", ["1.0\nlicence mit", "\x1b[2J"])
def test_text_is_a_line(text: str) -> None:
    file = {"key": "a", "size": 0, "checksum": "md5:" + "0" * 32, "links": {"self": "/a"}}
    record = Record.parse({"id": "1", "doi": text, "metadata": {"version": text}, "files": [file]}, URL)
    assert (record.doi, record.version) == (None, None)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["files", "key", "size", "checksum", "links", "metadata", "id"]), inner)
    ),
    max_leaves=8,
)


@given(JSON)
def test_no_record_is_read_half(content: object) -> None:
    try:
        record = Record.parse(content, URL)
    except FetchError:
        return
    assert record.files
