"""Metadata from the table to the network and back, in training, in files and in prediction."""

import csv
from pathlib import Path

import pytest

pytest.importorskip("torch")

import numpy as np
import onnx
import torch

from drawn import write_collection
from handbones.bundle import Bundle, load_bundle, save_cover
from handbones.cli import run
from handbones.collection import Case, open_collection
from handbones.encoding import encode
from handbones.errors import UserError
from handbones.inference.looks import Looks
from handbones.inference.segmentation import Segmentation
from handbones.inference.segmenter import Segmenter
from handbones.insight.evaluation import evaluate
from handbones.learning.cache import PictureCache
from handbones.learning.dataset import TrainingSet, hide
from handbones.learning.export import export_onnx, load_network, save_weights, start_from
from handbones.learning.fit import fit
from handbones.learning.metadata import EstimateErrors, EstimateLoss
from handbones.learning.networks import build_network
from handbones.learning.world import World
from handbones.metadata import Metadata, write_metadata
from handbones.recipe import Recipe, load_recipe
from handbones.recipe.samples import MetadataSettings

pytestmark = pytest.mark.train

TINY = [
    "network.encoder=test_efficientnet.r160_in1k",
    "network.weights=none",
    "network.head_bias=0",
    "input.size=64",
    "training.minutes=null",
    "training.steps=2",
    "training.batch=2",
    "training.workers=0",
    "training.loggers=[]",
    "validation.minutes=null",
    "data.folds=3",
]
BOTH = ["metadata.inputs=[age, side]", "metadata.targets=[age, sex, side]"]
PERSON = Metadata(age=70, side="left")


def tiny(*overrides: str) -> Recipe:
    return load_recipe("small", [*TINY, *overrides])


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn collection of 3 people with labels, 1 without; the sex of the third is unknown."""
    root = write_collection(tmp_path_factory.mktemp("people"))
    rows = [(1, Metadata(31, "F")), (2, Metadata(52, "M")), (3, Metadata(40, None)), (4, Metadata(90, "F"))]
    write_metadata(root / "meta_data.xlsx", rows)
    return root


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose random network heeds age and side."""
    recipe = tiny(*BOTH)
    torch.manual_seed(0)
    network = build_network(recipe).eval()
    torch.nn.init.normal_(network.modulation.layers[-1].weight)
    folder = tmp_path_factory.mktemp("told") / "bundle"
    save_weights(folder, network)
    save_cover(folder, recipe, {})
    export_onnx(network, recipe, {}, folder / "model.onnx")
    return folder


def differ(one: Segmentation, other: Segmentation) -> bool:
    return one.rle() != other.rle()


def test_a_run_uses_it_and_reports_errors(people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handbones.learning.run.export_onnx", lambda *_, **__: 0.0)
    outcome = fit(tiny(*BOTH, "metadata.dropout=0"), tmp_path / "run", open_collection(people))
    row = next(csv.DictReader((tmp_path / "run" / "history.csv").open()))
    assert float(row["age_error"]) > 0 and 0 <= float(row["side_error"]) <= 1
    network = load_network(load_bundle(outcome.bundle))
    assert network.modulation.layers[-1].weight.any()


def test_what_nobody_knows_is_refused(drawn: Path, people: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"metadata\.inputs: height is known of none of the cases.*meta_data\.xlsx"):
        fit(tiny("metadata.inputs=[height]"), tmp_path / "run", open_collection(people))
    with pytest.raises(UserError, match=r"metadata\.targets: age is known of none of the cases"):
        fit(tiny("metadata.targets=[age]"), tmp_path / "run", open_collection(drawn))
    assert not (tmp_path / "run").exists()


def test_pictures_are_the_same_with_and_without(people: Path) -> None:
    cases = open_collection(people).labelled
    plain, with_both = (TrainingSet(tiny(*extra), cases, PictureCache(None)) for extra in ((), BOTH))
    one, two = plain[7], with_both[7]
    assert one.keys() == {"pictures", "masks"} and two.keys() == {*one, "metadata", "targets"}
    assert all(np.array_equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("flip", [0, 1])
def test_a_flipped_sample_is_the_other_hand(people: Path, flip: int) -> None:
    cases = open_collection(people).labelled
    settings = ["metadata.inputs=[side]", "metadata.targets=[side]", "metadata.dropout=0", f"augment.flip={flip}"]
    flipped = TrainingSet(tiny(*settings), cases, PictureCache(None))
    straight = TrainingSet(tiny(*settings, "augment.flip=0"), cases, PictureCache(None))
    for serial in range(6):
        ours, theirs = flipped[serial], straight[serial]
        assert ours["metadata"][1] == 1
        for name in ("metadata", "targets"):
            assert ours[name][0] == (1 - 2 * flip) * theirs[name][0] != 0


def test_phantoms_know_their_person() -> None:
    settings = ["metadata.inputs=[age, sex, height, weight, side]", "metadata.targets=[tilt]", "metadata.dropout=0"]
    sample = TrainingSet(tiny("phantoms.profile=clean", *settings), [], PictureCache(None))[3]
    assert sample["metadata"][5:].all() and sample["targets"][1] == 1


def test_values_are_hidden_at_the_asked_rate() -> None:
    values = np.array([0.5, -1, 0, 1, 1, 0], np.float32)
    shown = np.array([hide(np.random.default_rng(seed), values, 0.3) for seed in range(2000)])
    known = shown[:, 3:]
    assert (shown[:, :3] == values[:3] * known).all() and not known[:, 2].any()
    assert abs((known[:, 0] == 0).mean() - (1 - 0.7**2)) < 0.04
    assert (~known.any(axis=1)).mean() > 0.3
    assert np.array_equal(hide(np.random.default_rng(0), values, 0), values)


def test_unknown_targets_weigh_nothing() -> None:
    settings = MetadataSettings(targets=("age", "sex"))
    loss = EstimateLoss(settings)
    targets = torch.from_numpy(np.stack([encode(Metadata(65), settings.targets), encode(Metadata(), settings.targets)]))
    assert loss(torch.tensor([[0.0, 9.0], [7.0, -9.0]]), targets) == 1
    assert loss(torch.zeros(2, 2), torch.zeros(2, 4)) == 0
    errors = EstimateErrors(settings)
    errors.add(torch.tensor([[0.5, 9.0], [7.0, -9.0]]), targets)
    errors.add(torch.tensor([[0.0, 9.0]]), torch.from_numpy(encode(Metadata(45, "F"), settings.targets))[None])
    assert errors.means(World()) == {"age_error": 5.0, "sex_error": 1.0}


def test_backends_agree_on_the_second_input(told: Path, people: Path) -> None:
    picture = open_collection(people).cases[0].image
    graph = onnx.load(told / "model.onnx").graph
    assert [entry.name for entry in graph.input] == ["pictures", "metadata"]
    by_onnx, by_torch = (Segmenter(told, "cpu", backend) for backend in ("onnxruntime", "torch"))
    for metadata in (None, PERSON):
        a, b = (segmenter.segment(picture, metadata).masks() for segmenter in (by_onnx, by_torch))
        assert (a != b).mean() < 1e-3
    assert differ(by_onnx.segment(picture), by_onnx.segment(picture, PERSON))


def test_cases_bring_their_metadata(told: Path, people: Path, drawn: Path) -> None:
    segmenter = Segmenter(told, "cpu")
    known, unknown = open_collection(people).cases[0], open_collection(drawn).cases[0]
    assert known.known == Metadata(31, "F", side="left") and unknown.known == Metadata(side="left")
    found = list(segmenter.segment_many([known, (known.image, known.known), unknown]))
    assert not differ(found[0], found[1]) and differ(found[0], found[2])
    cases = open_collection(people).labelled
    hidden = [Case(case.image, case.labels, case.person, case.split) for case in cases]
    assert not np.array_equal(evaluate(segmenter, cases).dice, evaluate(segmenter, hidden).dice)


def test_predict_uses_the_table_where_there_is_one(told: Path, people: Path, drawn: Path, tmp_path: Path) -> None:
    """Both collections have the same pictures; only one knows their people."""
    answers = []
    for name, data in (("known", people), ("unknown", drawn), ("again", people)):
        command = ["predict", str(data), "--bundle", str(told), "--out", str(tmp_path / name), "--no-overlays"]
        assert run([*command, "--batch", "2"] if name == "again" else command) == 0
        answers.append((tmp_path / name / "submission.csv").read_bytes())
    assert answers[0] != answers[1]
    assert answers[0] == answers[2]


def test_the_mirrored_look_is_of_the_other_hand(told: Path, people: Path) -> None:
    """The mean over both looks says the same of a picture and, mirrored, of its mirror image."""
    picture = open_collection(people).cases[0].load()[0].to_uint8()
    segmenter = Segmenter(told, "cpu", looks=Looks(flip=True))
    ours = segmenter.segment(picture, PERSON)
    theirs = segmenter.segment(np.ascontiguousarray(picture[:, ::-1]), PERSON.mirrored())
    assert (ours.masks() != theirs.masks()[:, :, ::-1]).mean() < 1e-3
    wrong = segmenter.segment(np.ascontiguousarray(picture[:, ::-1]), PERSON)
    assert (ours.masks() != wrong.masks()[:, :, ::-1]).mean() > 1e-3


def test_an_older_bundle_takes_no_notice(bundle: Path, people: Path) -> None:
    segmenter = Segmenter(bundle, "cpu")
    case = open_collection(people).cases[0]
    found = list(segmenter.segment_many([case.image, case, (case.image, PERSON)]))
    assert not differ(found[0], found[1]) and not differ(found[0], found[2])


def test_bundles_of_all_kinds_start_a_network(told: Path, bundle: Path) -> None:
    """Of one without metadata FiLM starts as nothing; an .onnx file has no estimator."""
    whole = load_bundle(told)
    for source in (whole, load_bundle(told / "model.onnx"), load_bundle(bundle)):
        network = build_network(tiny(*BOTH), pretrained=False)
        start_from(network, source)
        learnt = bool(network.modulation.layers[-1].weight.any())
        assert learnt == bool(source.recipe.metadata.inputs)
    assert torch.equal(load_network(whole).estimator.layer.weight, start(whole, BOTH).estimator.layer.weight)
    with pytest.raises(UserError, match="another network"):
        start(whole, ["metadata.inputs=[age]"])


def start(source: Bundle, overrides: list[str]) -> torch.nn.Module:
    network = build_network(tiny(*overrides), pretrained=False)
    start_from(network, source)
    return network
