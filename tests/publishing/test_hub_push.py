"""Publishing to a Hub on this machine, with the real client: one commit, or a clear word and nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from hf_synthlabels.annotation import Recipe
from hf_synthlabels.annotation.trust.downloaded import MANIFEST
from hf_synthlabels.cards import CardFields
from hf_synthlabels.errors import ConfigError, DataError, HubError
from hf_synthlabels.publishing import AnnotatedData, HubUpload, dataset_upload, push
from hf_synthlabels.publishing.hub.upload import HubFile
from tests.publishing.conftest import READER, RECIPE, TOKEN
from tests.publishing.hub_server import HubServer

CARD = CardFields(license="cc-by-4.0", llm_terms="unknown")


def small(*paths: str, repo: str = "user/small", text: str = "x") -> HubUpload:
    return HubUpload(repo, "dataset", tuple(HubFile(path, f"{text} {path}".encode()) for path in paths))


def test_data_set_is_one_commit_with_all_of_it(hub: HubServer, tickets: Any, tmp_path: Path) -> None:
    upload = dataset_upload(AnnotatedData(tickets, Recipe.from_dict(RECIPE)), "user/tickets", tmp_path, card=CARD)
    done = push(upload)
    there = hub.repository("user/tickets")
    # The Hub's own first commit, and ours.
    assert [commit.sha for commit in there.commits][1:] == [done.revision]
    assert there.private
    assert (done.created, done.changed, done.private) == (True, True, True)
    assert set(there.head.files) == {
        ".gitattributes",
        "README.md",
        "annotation/prompt.txt",
        "annotation/provenance.json",
        "annotation/recipe.yaml",
        "data/test-00000-of-00001.parquet",
        "data/train-00000-of-00001.parquet",
        MANIFEST,
        "validation/0.json",
    }
    # The large ones went by LFS.
    assert len(hub.uploads) == 2
    assert b"A refund is billing." in there.head.files["annotation/prompt.txt"]


def test_the_same_again_is_no_commit(hub: HubServer, tickets: Any, tmp_path: Path) -> None:
    first = push(dataset_upload(AnnotatedData(tickets), "user/tickets", tmp_path, card=CARD))
    again = push(dataset_upload(AnnotatedData(tickets), "user/tickets", tmp_path, card=CARD))
    assert again.revision == first.revision
    assert (again.created, again.changed) == (False, False)
    assert len(hub.uploads) == 2


def test_what_an_earlier_parcel_brought_is_removed_in_the_same_commit(hub: HubServer) -> None:
    push(small("README.md", "data/old", "data/kept"))
    done = push(small("README.md", "data/new", "data/kept"))
    there = hub.repository("user/small")
    assert set(there.head.files) == {".gitattributes", "README.md", "data/new", "data/kept", MANIFEST}
    assert len(there.commits) == 3
    assert done.changed


def test_files_of_other_people_in_a_repository_of_ours_stay(hub: HubServer) -> None:
    push(small("a"))
    there = hub.repository("user/small")
    there.commit({**there.head.files, "notes.md": b"by hand"}, "by hand")
    push(small("b"))
    assert set(there.head.files) == {".gitattributes", "b", "notes.md", MANIFEST}


def test_public_is_said_and_what_is_there_stays_as_it_is(hub: HubServer) -> None:
    assert push(small("a"), private=False).private is False
    assert not hub.repository("user/small").private
    hub.create("user/hidden")
    assert push(small("a", repo="user/hidden"), private=False).private is True


def test_name_that_is_taken_is_left_alone(hub: HubServer) -> None:
    there = hub.create("user/small")
    there.commit({"README.md": b"mine"}, "by hand")
    with pytest.raises(HubError, match=r"`user/small` already contains files of another origin"):
        push(small("README.md"))
    assert there.head.files == {"README.md": b"mine"}
    push(small("README.md"), replace=True)
    assert there.head.files["README.md"] == b"x README.md"


def test_a_card_that_a_human_wrote_stays(hub: HubServer) -> None:
    there = hub.create("user/small")
    there.commit({"README.md": b"mine", "notes.md": b"too"}, "by hand")
    push(small("README.md", "a"), keep_card=True)
    kept = {"README.md": b"mine", "notes.md": b"too", "annotation/README.md": b"x README.md", "a": b"x a"}
    assert {path: there.head.files[path] for path in kept} == kept
    # It stays without being asked for again.
    push(small("README.md", "b"))
    assert there.head.files["README.md"] == b"mine"
    assert set(there.head.files) == {"README.md", "notes.md", "annotation/README.md", "b", MANIFEST}
    push(small("README.md"), replace=True)
    assert there.head.files["README.md"] == b"x README.md"
    assert "annotation/README.md" not in there.head.files


def test_a_card_that_was_edited_on_the_hub_is_not_overwritten_unasked(hub: HubServer) -> None:
    push(small("README.md"))
    there = hub.repository("user/small")
    push(small("README.md", text="y"))
    assert there.head.files["README.md"] == b"y README.md"
    there.commit({**there.head.files, "README.md": b"edited"}, "by hand")
    with pytest.raises(HubError, match="--keep-card"):
        push(small("README.md", text="z"))
    push(small("README.md", text="z"), keep_card=True)
    assert (there.head.files["README.md"], there.head.files["annotation/README.md"]) == (b"edited", b"z README.md")


def test_rows_are_never_added_to_other_files_of_the_same_split(hub: HubServer) -> None:
    there = hub.create("user/small")
    there.commit({"data/train-00000-of-00002.parquet": b"old", "data/test-00000-of-00001.parquet": b"test"}, "by hand")
    with pytest.raises(HubError, match="train-00000-of-00002"):
        push(small("data/train-00000-of-00001.parquet"), keep_card=True)
    push(small("data/test-00000-of-00001.parquet"), keep_card=True)
    assert there.head.files["data/test-00000-of-00001.parquet"] == b"x data/test-00000-of-00001.parquet"


def test_repository_of_another_kind_is_taken(hub: HubServer) -> None:
    push(HubUpload("user/page", "report", (HubFile("README.md", b"---\nsdk: static\n---\n"),)))
    assert hub.repository("user/page", "space").sdk == "static"
    with pytest.raises(HubError, match="already contains a report"):
        push(HubUpload("user/page", "metric", (HubFile("README.md", b"---\nsdk: gradio\n---\n"),)))


def test_no_token_is_told_before_anything_is_sent(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(HubError, match=r"no token for the Hub.*`hf auth login` or set HF_TOKEN"):
        push(small("a"))
    assert hub.requests == []


def test_token_that_is_not_known(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_" + "wrongwrongwrongwrong")
    with pytest.raises(HubError, match="`user/small` cannot be published: the Hub does not accept") as caught:
        push(small("a"))
    assert "wrongwrong" not in str(caught.value)
    assert hub.repositories == {}


def test_token_that_may_only_read(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", READER)
    with pytest.raises(HubError, match=r"the token lacks the permission.*status 403"):
        push(small("a"))
    there = hub.create("user/small")
    with pytest.raises(HubError, match=r"status 403: You don't have write access"):
        push(small("a"))
    assert len(there.commits) == 1


def test_namespace_of_somebody_else(hub: HubServer) -> None:
    with pytest.raises(HubError, match="status 403: You don't have the rights to create a dataset"):
        push(small("a", repo="other/small"))


def test_name_that_is_none(hub: HubServer) -> None:
    for name in ["small", "user/a/b", "user/..", "user/a b", ""]:
        with pytest.raises(ConfigError, match="give `user/name`"):
            push(small("a", repo=name))


def test_offline_is_told(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match="HF_HUB_OFFLINE is set"):
        push(small("a"))


def test_hub_that_can_not_be_reached(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(HubError, match="the Hub cannot be reached"):
        push(small("a"))


@pytest.mark.parametrize("status", [409, 412, 429, 500, 503])
def test_commit_that_fails_for_a_moment_is_tried_again(hub: HubServer, no_waiting: list[float], status: int) -> None:
    hub.fail("POST", "/commit/", status=status, times=2)
    done = push(small("a"))
    assert [commit.sha for commit in hub.repository("user/small").commits][1:] == [done.revision]
    first, second = no_waiting
    assert 0.25 <= first <= 0.5 <= second <= 1.0


def test_commit_waits_as_long_as_the_hub_asks(hub: HubServer, no_waiting: list[float]) -> None:
    hub.fail("POST", "/commit/", status=429, headers={"Retry-After": "7"})
    push(small("a"))
    assert len(no_waiting) == 1
    assert 7.0 <= no_waiting[0] <= 7.7


def test_hub_that_asks_for_an_hour_is_told_at_once(hub: HubServer, no_waiting: list[float]) -> None:
    hub.fail("POST", "/commit/", status=429, headers={"Retry-After": "3600"})
    with pytest.raises(HubError, match=r"too many requests.*status 429.*asks to wait 3600 s"):
        push(small("a"))
    assert no_waiting == []


@pytest.mark.parametrize("status", [429, 500])
def test_commit_that_goes_on_failing_publishes_nothing_and_is_run_again(
    hub: HubServer, no_waiting: list[float], tickets: Any, tmp_path: Path, status: int
) -> None:
    hub.fail("POST", "/commit/", status=status, times=4)
    upload = dataset_upload(AnnotatedData(tickets), "user/tickets", tmp_path, card=CARD)
    with pytest.raises(HubError, match=f"status {status}"):
        push(upload)
    assert set(hub.repository("user/tickets").head.files) == {".gitattributes"}
    sent = len(hub.uploads)
    assert push(upload).changed
    # The data were there already.
    assert len(hub.uploads) == sent == 2


def test_connection_cut_before_the_commit(hub: HubServer, no_waiting: list[float]) -> None:
    hub.fail("POST", "/commit/", cut="before", times=2)
    done = push(small("a"))
    assert hub.repository("user/small").head.sha == done.revision
    assert len(hub.repository("user/small").commits) == 2


def test_connection_cut_after_the_commit_makes_no_second_one(hub: HubServer, no_waiting: list[float]) -> None:
    push(small("a", "old"))
    hub.fail("POST", "/commit/", cut="after")
    done = push(small("a", "b"))
    there = hub.repository("user/small")
    # The first of the Hub, the first of ours, and the one whose answer was lost.
    assert len(there.commits) == 3
    assert there.head.sha == done.revision
    assert set(there.head.files) == {".gitattributes", "a", "b", MANIFEST}


def test_connection_that_is_always_cut(hub: HubServer, no_waiting: list[float]) -> None:
    hub.fail("POST", "/commit/", cut="before", times=99)
    with pytest.raises(HubError, match=r"the connection was cut\. Run it again"):
        push(small("a"))
    assert set(hub.repository("user/small").head.files) == {".gitattributes"}


@pytest.mark.slow
def test_upload_that_is_cut_leaves_nothing_and_goes_on(
    hub: HubServer, no_waiting: list[float], tickets: Any, tmp_path: Path
) -> None:
    hub.fail("PUT", "/lfs/", cut="before", times=99)
    upload = dataset_upload(AnnotatedData(tickets), "user/tickets", tmp_path, card=CARD)
    with pytest.raises(HubError, match="Run it again"):
        push(upload)
    assert set(hub.repository("user/tickets").head.files) == {".gitattributes"}
    hub.faults.clear()
    assert push(upload).changed


def test_card_that_the_hub_refuses_is_told_before_anything_is_sent(hub: HubServer) -> None:
    bad = HubUpload("user/small", "dataset", (HubFile("README.md", b"---\nlicense: mine\n---\n"),))
    with pytest.raises(HubError, match=r'the Hub rejects the card: - "license" must be one'):
        push(bad)
    assert hub.count("POST", "/commit/") == 0


def test_somebody_else_commits_meanwhile(
    hub: HubServer, no_waiting: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    push(small("a"))
    there = hub.repository("user/small")
    hub.fail("POST", "/commit/", status=412, message="A commit has happened since.")
    there.commit({**there.head.files, "theirs": b"1"}, "theirs")
    push(small("b"))
    assert set(there.head.files) == {".gitattributes", "b", "theirs", MANIFEST}


def test_secret_of_this_environment_is_not_published(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SOME_API_KEY", "sk-0123456789abcdef")
    with pytest.raises(HubError, match=r"`a` contains the value of SOME_API_KEY"):
        push(small("a", text="key: sk-0123456789abcdef"))
    file = tmp_path / "file"
    file.write_text(f"token {TOKEN}")
    with pytest.raises(HubError, match="`b` contains the value of") as caught:
        push(HubUpload("user/small", "dataset", (HubFile("b", file),)))
    assert TOKEN not in str(caught.value)
    assert hub.requests == []


def test_token_is_in_no_file_of_the_cache_and_in_no_repository(
    hub: HubServer, tickets: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    push(dataset_upload(AnnotatedData(tickets), "user/tickets", tmp_path, card=CARD))
    push(dataset_upload(AnnotatedData(tickets), "user/tickets", tmp_path, card=CARD))
    places = [Path(constants.HF_HUB_CACHE), tmp_path]
    files = [path for place in places for path in place.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if TOKEN.encode() in path.read_bytes()]
    assert not [path for path, data in hub.repository("user/tickets").head.files.items() if TOKEN.encode() in data]
    assert TOKEN not in caplog.text


def test_listing_shows_each_file_and_sends_nothing(hub: HubServer, tickets: Any, tmp_path: Path) -> None:
    upload = dataset_upload(AnnotatedData(tickets), "user/tickets", tmp_path, card=CARD)
    listing = upload.listing(private=True)
    assert listing.startswith("dataset user/tickets, private if it is new: 6 files in one commit\n")
    for file in upload.with_manifest().files:
        assert f"{file.size:,}  {file.path}" in listing
    assert hub.requests == []


def test_manifest_lists_every_file(hub: HubServer) -> None:
    push(small("a", "b"))
    listed = json.loads(hub.repository("user/small").head.files[MANIFEST])
    # sha256 of "x a", computed with sha256sum.
    assert listed["files"]["a"] == {
        "size": 3,
        "sha256": "59b962837fd47f895610a3532d5c3a85189b38290139024184af734be430fcfe",
    }
    assert (listed["kind"], sorted(listed["files"])) == ("dataset", ["a", "b"])


def test_data_set_without_the_named_columns(tickets: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"`human` is 'gold', which is not a column"):
        dataset_upload(AnnotatedData(tickets), "user/t", tmp_path, card=CARD, human="gold")
    with pytest.raises(DataError, match="`llm` is 'other'"):
        dataset_upload(AnnotatedData(tickets), "user/t", tmp_path, card=CARD, llm="other")
    with pytest.raises(DataError, match="lacks the column 'llm_label_status'"):
        dataset_upload(AnnotatedData(tickets.remove_columns("llm_label_status")), "user/t", tmp_path, card=CARD)


def test_data_set_that_nobody_annotated(tickets: Any, tmp_path: Path) -> None:
    plain = {name: rows.select_columns(["text", "label"]) for name, rows in tickets.items()}
    for rows in plain.values():
        rows.info.description = ""
    with pytest.raises(DataError, match="has no label column"):
        dataset_upload(AnnotatedData(plain), "user/t", tmp_path, card=CARD)


def test_guideline_of_50_kB_is_cut_in_the_card_and_whole_beside_it(
    hub: HubServer, tickets: Any, tmp_path: Path
) -> None:
    text = "If a customer writes of money, it is billing. " * 1100
    assert len(text) > 50_000
    recipe = Recipe.from_dict({**RECIPE, "task": {**RECIPE["task"], "guidelines": text}})  # type: ignore[dict-item]
    push(dataset_upload(AnnotatedData(tickets, recipe), "user/tickets", tmp_path, card=CARD))
    files = hub.repository("user/tickets").head.files
    assert text.strip().encode() in files["annotation/prompt.txt"]
    assert len(files["README.md"]) < 20_000
    assert b"is in `annotation/prompt.txt`" in files["README.md"].replace(b"\n", b" ")


def test_gate_stands_in_the_card(tickets: Any, tmp_path: Path) -> None:
    upload = dataset_upload(AnnotatedData(tickets), "user/t", tmp_path, card=CARD, gates=["accuracy>=0.9"])
    card = next(file.content for file in upload.files if file.path == "README.md")
    assert isinstance(card, bytes)
    assert b"Gate: accuracy" in card
