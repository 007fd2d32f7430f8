"""Submissions survive a cut, are checked line by line, and vote without being decoded."""

import codecs
import os
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from handbones.anatomy import BONES
from handbones.cli import run
from handbones.errors import UsageError, UserError
from handbones.inference.shards import Shard
from handbones.inference.submission import SubmissionWriter, check_submission, read_rows
from handbones.inference.votes import majority, vote, weights_of
from handbones.rle import format_runs, rle_decode, rle_encode, runs_of

SHAPE = (8, 10)


def rles(seed: int) -> list[str]:
    masks = np.random.default_rng(seed).random((29, *SHAPE)) < 0.4
    return [rle_encode(mask) for mask in masks]


def write(path: Path, names: list[str], seed: int = 0) -> Path:
    with SubmissionWriter(path) as writer:
        for i, name in enumerate(names):
            writer.write(name, rles(seed + i))
    return path


def test_a_cut_run_goes_on_where_it_was(tmp_path: Path) -> None:
    names = ["a, with comma.png", "b.png", "c.png"]
    whole = write(tmp_path / "whole.csv", names).read_bytes()
    path = tmp_path / "cut.csv"
    for length in (0, 5, 40, whole.index(b"b.png") + 3, whole.index(b"c.png"), len(whole) - 1):
        path.with_name("cut.csv.part").write_bytes(whole[:length])
        with SubmissionWriter(path, resume=True) as writer:
            assert writer.done == names[: len(writer.done)]
            for i in range(len(writer.done), 3):
                writer.write(names[i], rles(i))
        assert path.read_bytes() == whole
        assert not writer.part.exists()
    assert len(writer.done) == 2  # the last one lacked but the end of its last line


@pytest.mark.parametrize("damage", [b"\n", b"\0\n", b"\xff\xfe\n", b'"\n'])
def test_what_a_crash_left_is_made_anew(tmp_path: Path, damage: bytes) -> None:
    part = tmp_path / "x.csv.part"
    whole = write(tmp_path / "whole.csv", ["a.png", "b.png"]).read_bytes()
    part.write_bytes(whole[: whole.index(b"b.png")] + damage * 29)
    with SubmissionWriter(tmp_path / "x.csv", resume=True) as writer:
        assert writer.done == ["a.png"]
        writer.write("b.png", rles(1))
    assert (tmp_path / "x.csv").read_bytes() == whole


def test_the_part_is_kept_if_wanted(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), SubmissionWriter(tmp_path / "x.csv", keep=True) as writer:
        writer.write("a.png", rles(0))
        raise KeyboardInterrupt
    with SubmissionWriter(tmp_path / "x.csv", keep=True, resume=True) as writer:
        assert writer.done == ["a.png"]
    assert len(list(read_rows(tmp_path / "x.csv"))) == 29


def test_what_is_noted_of_pictures_outlives_a_cut(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    with pytest.raises(KeyboardInterrupt), SubmissionWriter(path, keep=True) as writer:
        writer.write("a.png", rles(0), ["a.png: no hand"])
        writer.write("b.png", rles(1), ["b.png: two\nhands"])
        raise KeyboardInterrupt
    length = writer.part.stat().st_size
    os.truncate(writer.part, length - 1)  # cut while the last picture was written
    with pytest.raises(KeyboardInterrupt), SubmissionWriter(path, keep=True, resume=True) as writer:
        assert writer.done == ["a.png"] and writer.notes == ["a.png: no hand"]
        writer.write("b.png", rles(1), ["b.png: two\nhands"])
        raise KeyboardInterrupt
    with (tmp_path / "x.csv.notes").open("a") as file:
        file.write('\n["c.png", "c.p')
    with pytest.raises(KeyboardInterrupt), SubmissionWriter(path, keep=True, resume=True) as writer:
        writer.write("c.png", rles(2), ["c.png: none"])
        raise KeyboardInterrupt
    with SubmissionWriter(path, keep=True, resume=True) as writer:
        pass
    assert writer.notes == ["a.png: no hand", "b.png: two\nhands", "c.png: none"]
    assert [one.name for one in tmp_path.iterdir()] == ["x.csv"]
    for resume in (False, True):  # notes of another run are nobody's
        (tmp_path / "x.csv.notes").write_text('["a.png", "old"]\n')
        with SubmissionWriter(path, keep=True, resume=resume) as writer:
            assert resume or writer.notes == []


def test_nothing_is_left_of_a_run_that_did_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", ["a.png"])
    with pytest.raises(UserError), SubmissionWriter(path, keep=True, resume=True) as writer:
        assert writer.done == ["a.png"]
        raise UserError("is of other pictures")
    assert [one.name for one in tmp_path.iterdir()] == ["x.csv"]


def test_two_do_not_write_one_submission(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    with SubmissionWriter(path) as first:
        with (
            pytest.raises(UserError, match=f"{tmp_path}: another process is writing there"),
            SubmissionWriter(path),
        ):
            pass
        first.write("a.png", rles(0))
    assert [one.name for one in tmp_path.iterdir()] == ["x.csv"]
    write(path, ["b.png"])


def test_check_finds_what_is_wrong(tmp_path: Path) -> None:
    good = write(tmp_path / "good.csv", ["a.png", "b.png"])
    assert list(check_submission(good, SHAPE, ["a.png", "b.png"])) == []
    assert list(check_submission(good, SHAPE, ["b.png", "a.png"])) == [
        "the pictures are in another order than the test part's"
    ]
    assert list(check_submission(good, SHAPE, ["a.png", "c.png"])) == [
        "c.png: missing",
        "b.png: not a picture of the test part",
    ]
    lines = good.read_text().splitlines()
    lines[1] = "a.png,finger-1,5 2 1 2"
    lines[2] = "a.png,finger-2,1 4 3 2"
    lines[3] = "a.png,finger-3,80 2"
    lines[4] = "a.png,finger-4,1 2 3"
    lines[30:32] = [lines[31].replace("b.png", "b.jpg"), lines[30].replace("b.png", "b.jpg")]
    lines[32:] = [line.replace("b.png", "b.jpg") for line in lines[32:]]
    bad = tmp_path / "bad.csv"
    bad.write_text("\n".join([*lines, lines[1]]) + "\n")
    found = "\n".join(check_submission(bad, SHAPE))
    for expected in (
        "a.png, finger-1: the runs are not sorted",
        "a.png, finger-2: runs overlap",
        "a.png, finger-3: RLE run '80 2' lies outside",
        "a.png, finger-4: RLE must be pairs",
        "b.jpg: the name of a picture ends in .png",
        "b.jpg: 29 rows, not the 29 bones in order: in another order",
        "a.png: its rows do not stand together",
    ):
        assert expected in found


def test_check_and_ensemble_tell_how_far_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(write(tmp_path / "x.csv", ["a.png", "b.png"]))
    assert run(["submission", "check", path, "--size", "8x10"]) == 0
    assert "29 of 58 rows\n58 of 58 rows\n" in capsys.readouterr().err
    assert run(["ensemble", path, path, "--size", "8x10", "--out", str(tmp_path / "all.csv")]) == 0
    assert "29 of 58 rows\n58 of 58 rows\n" in capsys.readouterr().err


def test_what_excel_and_capitals_change_is_taken(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", ["a.PNG"])
    path.write_bytes(codecs.BOM_UTF8 + path.read_bytes())
    assert list(check_submission(path, SHAPE, ["a.PNG"])) == []
    small = list(check_submission(path, SHAPE, shapes={"a.PNG": (1, 1)}))
    assert len(small) == 29 and "lies outside" in small[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [("id,rle\n", "its columns are 'id,rle'"), ("image_name,class,rle\na.png,Ulna\n", "2 fields instead of 3")],
)
def test_what_is_no_submission(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "x.csv").write_text(content)
    with pytest.raises(UserError, match=message):
        list(read_rows(tmp_path / "x.csv"))


@given(
    masks=arrays(bool, (3, 4, 6)),
    weights=st.lists(st.sampled_from([0.5, 1.0, 2.0, 0.1, 0.7]), min_size=3, max_size=3),
)
def test_majority_is_that_of_pixels(masks: np.ndarray, weights: list[float]) -> None:
    runs = majority([runs_of(mask) for mask in masks], weights)
    share = np.tensordot(weights, masks.astype(float), axes=1) / sum(weights)
    assert format_runs(runs) == rle_encode(share > 0.5 + 1e-9)


def test_votes_of_files(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{i}.csv", ["a.png", "b.png"], seed=10 * i) for i in range(3)]
    rows = list(vote(paths, weights_of("hard", 3), 80))
    assert [(row.image_name, row.bone) for row in rows] == [(n, bone) for n in ("a.png", "b.png") for bone in BONES]
    sides = zip(*(read_rows(path) for path in paths), strict=True)
    for row, same in zip(rows, sides, strict=True):
        wanted = sum(rle_decode(one.rle, SHAPE).astype(int) for one in same) >= 2
        assert row.rle == rle_encode(wanted)
    scores = [dict.fromkeys(BONES, value) for value in (0.99, 0.5, 0.5)]
    assert list(vote(paths, weights_of("per-bone", 3, scores=scores), 80)) == list(read_rows(paths[0]))
    assert list(vote(paths, weights_of("weighted", 3, [1, 1, 5]), 80)) == list(read_rows(paths[2]))
    assert list(vote(paths, weights_of("weighted", 3, [1e308] * 3), 80)) == rows


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "holds no picture"),
        (["a.png", "a.png"], "a.png has not the 29 bones once and in order"),
        (["a.png", "b.png", "a.png"], "a.png has not the 29 bones once and in order"),
    ],
)
def test_no_ensemble_of_no_picture_or_one_twice(
    names: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = str(write(tmp_path / "x.csv", names)), tmp_path / "all.csv"
    assert run(["ensemble", path, path, "--size", "8x10", "--out", str(out)]) == 1
    assert f"{path}: {message}" in capsys.readouterr().err
    assert [one.name for one in tmp_path.iterdir()] == ["x.csv"]


def test_submissions_that_do_not_fit_together(tmp_path: Path) -> None:
    two, other = write(tmp_path / "two.csv", ["a.png", "b.png"]), write(tmp_path / "other.csv", ["a.png", "c.png"])
    one = write(tmp_path / "one.csv", ["a.png"])
    with pytest.raises(UserError, match=r"other.csv: has c.png, finger-1 where .*two.csv has b.png"):
        list(vote([two, other], weights_of("hard", 2), 80))
    with pytest.raises(UserError, match=r"one.csv: ends before b.png"):
        list(vote([two, one], weights_of("hard", 2), 80))
    with pytest.raises(UserError, match="wrong picture size"):
        list(vote([two, two], weights_of("hard", 2), 40))
    for kind, message in (("weighted", "--weights"), ("per-bone", "--scores"), ("soft", "must be hard")):
        with pytest.raises(UsageError, match=message):
            weights_of(kind, 2)


def test_shards_cover_all_in_order_and_merge_when_all_are_there(tmp_path: Path) -> None:
    names = [f"{i}.png" for i in range(7)]
    shards = [Shard(rank, 3) for rank in range(3)]
    assert [name for shard in shards for name in shard.part(names)] == names
    path = tmp_path / "submission.csv"
    since = time.time() - 5

    def make(shard: Shard, work: str, started: float = since) -> None:
        with SubmissionWriter(shard.place(path)) as writer:
            for name in shard.part(names):
                writer.write(name, rles(int(name[0])))
        shard.merge(path, started, work)

    make(shards[1], "another model")  # a moment ago
    make(shards[2], "this")
    os.utime(tmp_path / "submission.csv.2-of-3.made", (since - 100, since - 100))  # long ago
    merging = threading.Thread(target=make, args=(shards[0], "this"))
    merging.start()
    merging.join(timeout=0.5)
    assert merging.is_alive() and not path.exists()
    for shard in shards[1:]:
        shard.clear(path)
        make(shard, "this")
    merging.join(timeout=20)
    assert path.read_bytes() == write(tmp_path / "whole.csv", names).read_bytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["submission.csv", "whole.csv"]
    assert Shard.of({"RANK": "0", "WORLD_SIZE": "2"}) == Shard()  # of a scheduler
    torchrun = {"TORCHELASTIC_RUN_ID": "1", "WORLD_SIZE": "2"}
    for environment in ({"RANK": "2", **torchrun}, {"RANK": "x", **torchrun}):
        with pytest.raises(UsageError, match="torchrun"):
            Shard.of(environment)
    assert Shard.of({}) == Shard(0, 1)


def test_resuming_takes_long_rows_and_finished_files(tmp_path: Path) -> None:
    path, rows = tmp_path / "x.csv", [" ".join(f"{i} 1" for i in range(1, 60_000, 2)), *[""] * 28]
    with SubmissionWriter(path, keep=True) as writer:
        writer.write("a.png", rows)
    for _ in range(2):
        with SubmissionWriter(path, keep=True, resume=True) as writer:
            assert writer.done == ["a.png"]
        assert next(read_rows(path)).rle == rows[0] and not writer.part.exists()


def test_a_folder_is_no_submission(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="it is a folder"), SubmissionWriter(tmp_path):
        pass


@pytest.mark.parametrize(("flag", "given"), [("--weights", {"numbers": [1, 2]}), ("--scores", {"scores": [{}, {}]})])
def test_weights_without_their_vote(flag: str, given: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=flag):
        weights_of("hard", 2, **given)
