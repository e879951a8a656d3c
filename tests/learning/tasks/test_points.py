"""Classification and regression: points, fitted thresholds and maps, when they are learned; tasks from files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inmateria.errors import InputError
from learning.tasks.classification import ClassificationTask, fit_threshold, ring, sphere
from learning.tasks.files import own_task, read_task
from learning.tasks.library import named_task
from learning.tasks.regression import RegressionTask, curve
from learning.tasks.task import Task, at_swing


def test_a_ring_and_a_sphere_are_what_their_names_say() -> None:
    for task, inputs, class_one_inside in ((ring(), 2, False), (sphere(), 3, True)):
        assert task.inputs == inputs
        for points, classes in ((task.points, task.targets), (task.test_points, task.test_targets)):
            table = np.array(points)
            radius = np.linalg.norm(table, axis=1)
            assert np.all(np.abs(table) <= 1)
            inside = np.array(classes) == (1.0 if class_one_inside else 0.0)
            assert inside.sum() == len(points) / 2
            edge = (0.5, 0.7) if inputs == 2 else (0.7, 0.9)
            assert np.all(radius[inside] <= edge[0])
            assert np.all(radius[~inside] >= edge[1])
            # No linear rule can do it: the classes' means lie close to each other, far less than a standard deviation.
            assert np.linalg.norm(table[inside].mean(axis=0) - table[~inside].mean(axis=0)) < 0.6
        assert not set(task.points) & set(task.test_points)
    assert np.all(np.linalg.norm(ring().points, axis=1) <= 1)
    assert ring() == ring()
    assert ring(seed=1) != ring()


def test_inputs_stand_at_half_a_swing() -> None:
    task = at_swing(sphere(8, 8), (0.2, 0.4, 1.0))
    np.testing.assert_allclose(task.levels_V, np.array(task.points) * [0.1, 0.2, 0.5])
    np.testing.assert_allclose(task.test_levels_V, np.array(task.test_points) * [0.1, 0.2, 0.5])
    with pytest.raises(InputError, match="3 inputs need a swing each"):
        at_swing(task, (0.2, 0.4))


def brute_threshold(outputs: Any, classes: Any) -> float:
    """Largest fraction right over all thresholds."""
    cuts = np.concatenate([[-np.inf], np.sort(outputs), [np.inf]])
    return max(float(np.mean((outputs > cut) == (classes > 0.5))) for cut in cuts)


def test_the_threshold_gets_most_points_right() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        n = int(rng.integers(2, 12))
        outputs = (
            rng.integers(0, 6, n).astype(float) if rng.random() < 0.5 else rng.normal(size=n)
        )  # with ties, without
        classes = rng.integers(0, 2, n).astype(float)
        threshold, accuracy = fit_threshold(outputs, classes)
        assert accuracy == pytest.approx(brute_threshold(outputs, classes))
        assert accuracy == pytest.approx(np.mean((outputs > threshold) == (classes > 0.5)))
    assert fit_threshold(np.array([0.0, 1.0, 3.0, 4.0]), np.array([0.0, 0.0, 1.0, 1.0]))[0] == 2.0


def test_when_classes_are_learned() -> None:
    points = [[x] for x in np.linspace(-1, 1, 10)]
    classes = np.array([0.0] * 5 + [1.0] * 5)
    task = ClassificationTask("own", points, classes)  # type: ignore[arg-type]
    good = 1e-9 * classes
    assert task.score(good).learned
    assert task.score(good).accuracy == 1
    assert task.score(-good, polarity=-1.0).learned
    assert not task.score(good, polarity=-1.0).learned
    assert task.score(good, noise_A=0.099e-9).learned
    assert not task.score(good, noise_A=0.101e-9).learned  # ten standard deviations
    assert "hides" in task.score(good, noise_A=0.101e-9).words()
    assert not task.score(0.0 * good).learned
    one_wrong, two_wrong = good.copy(), good.copy()
    one_wrong[:1] = 1e-9
    two_wrong[:2] = 1e-9
    assert task.score(one_wrong).accuracy == 0.9
    assert task.score(one_wrong).learned
    assert not task.score(two_wrong).learned
    assert task.fulfilled(np.stack([good, -good, two_wrong])).tolist() == [True, True, False]


def test_held_out_points_use_the_training_threshold() -> None:
    task = ClassificationTask("own", [[-1.0], [1.0]], [0, 1], 0.5, [[-0.5], [0.0], [0.2], [0.5]], [0, 0, 1, 1])  # type: ignore[arg-type]
    train, held = np.array([0.0, 2.0]), np.array([0.5, 1.5, 0.8, 1.8])
    assert task.test_facts(train, held) == {"accuracy": 0.5}
    assert task.test_facts(-train, -held, polarity=-1.0) == {"accuracy": 0.5}


def test_when_a_curve_is_learned() -> None:
    task = curve(points=40, test_points=50)
    assert sorted(task.points)[0] == (-1.0,)
    assert sorted(task.points)[-1] == (1.0,)
    np.testing.assert_allclose(task.targets, np.cos(np.pi * np.array(task.points)[:, 0]))
    affine = 30e-9 - 2e-9 * task.target_values
    score = task.score(affine, polarity=-1.0)
    assert score.learned
    assert score.error == pytest.approx(0, abs=1e-7)
    assert score.separation_A == pytest.approx(2e-9 * np.ptp(task.target_values))
    assert task.score(affine).error == 1  # upside down
    # Noise of standard deviation s on a target of deviation 1 leaves the error s/sqrt(1 + s^2) of the outputs.
    rng = np.random.default_rng(0)
    odd = rng.normal(size=40)
    odd -= odd.mean() + task.target_values * np.mean(odd * (task.target_values - task.target_values.mean())) / np.var(
        task.target_values
    )
    odd -= odd.mean()
    odd *= np.std(task.target_values) / np.std(odd)
    for share, learned in ((0.31, True), (0.32, False)):
        outputs = 2e-9 * (task.target_values + share * odd)
        found = task.score(outputs)
        assert found.error == pytest.approx(share / np.hypot(1, share), rel=0.03)
        assert found.learned is learned
    assert task.score(0.1 * affine, polarity=-1.0, noise_A=0.0399e-9).learned  # a range of 0.399 nA
    assert not task.score(0.1 * affine, polarity=-1.0, noise_A=0.0400e-9).learned
    held = 30e-9 - 2e-9 * np.array(task.test_targets)
    assert task.test_facts(affine, held, -1.0)["error"] == pytest.approx(0, abs=1e-7)
    assert task.test_facts(affine, held + 2e-9, -1.0)["error"] == pytest.approx(1 / np.std(task.test_targets))


def test_a_function_of_several_inputs() -> None:
    task = curve(lambda x: x[:, 0] * x[:, 1], 20, 30, inputs=2, name="product")
    assert (task.name, task.inputs, len(task.points), len(task.test_points)) == ("product", 2, 20, 30)
    np.testing.assert_allclose(task.targets, np.prod(task.points, axis=1))
    assert np.mean(task.targets_V) == pytest.approx(0, abs=1e-12)
    assert np.mean(np.square(task.targets_V)) == pytest.approx(1)
    with pytest.raises(InputError, match="returned no value for each of 20 points"):
        curve(lambda x: x, 20, inputs=2)


CSV = "a, b ,set,target\n1,10,train,3\n2,20,train,4\n3,15,TEST,4\n3,30,train,3\n"


def test_a_task_from_a_csv(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(CSV)
    task = named_task(str(path))
    assert isinstance(task, ClassificationTask)
    assert task.name == "mine"
    np.testing.assert_allclose(task.points, [[-1, -1], [0, 0], [1, 1]])
    np.testing.assert_allclose(task.test_points, [[1, -0.5]])
    assert task.targets == (0.0, 1.0, 0.0)
    assert task.test_targets == (1.0,)
    path.write_text("x,target\n0,1\n1,2.5\n2,7\n")
    other = read_task(path)
    assert isinstance(other, RegressionTask)
    assert other.targets == (1.0, 2.5, 7.0)
    assert other.test_points == ()


def test_a_task_from_an_npz(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    rng = np.random.default_rng(0)
    inputs, targets = rng.uniform(0, 5, (12, 3)), rng.normal(size=12)
    inside = inputs.min(axis=0) + 0.5 * np.ptp(inputs, axis=0)
    np.savez(path, inputs=inputs, targets=targets, test_inputs=inside[None], test_targets=[0.0])
    task = read_task(path)
    assert isinstance(task, RegressionTask)
    np.testing.assert_allclose(np.array(task.points).min(axis=0), -1)
    np.testing.assert_allclose(np.array(task.points).max(axis=0), 1)
    np.testing.assert_allclose(task.test_points, [[0, 0, 0]], atol=1e-12)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no header"),
        ("a,b\n1,2\n3,4\n", "no header with one column named target"),
        ("target\n1\n2\n", "needs an input"),
        ("a,target\n1,2\n", "two rows"),
        ("a,target\n1,2\n2\n", "row 3 has 1 cells"),
        ("a,target\n1,2\nx,3\n", "row 3 holds a cell that is no number"),
        ("a,target\n1,2\nnan,3\n", "not finite"),
        ("a,target\n1,2\n1,3\n", "never changes"),
        ("a,target\n1,2\n2,2\n", "all the same"),
        ("a,set,target\n1,train,2\n2,maybe,3\n", "set is 'maybe'"),
        ("a,set,target\n1,train,2\n2,test,3\n3,test,3\n", "fewer than two rows to train"),
        ("a,set,target\n1,train,2\n2,train,3\n3,test,3\n", "beyond the range"),
        ("a,set,target\n1,train,2\n2,train,3\n1.5,test,7\n", "a class that training does not"),
        ("a,b,c,d,e,f,g,h,target\n" + "1,1,1,1,1,1,1,1,2\n2,2,2,2,2,2,2,2,3\n", "at most 7"),
    ],
)
def test_bad_files_are_refused_in_one_line(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=told) as caught:
        read_task(path)
    assert "\n" not in str(caught.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no file"):
        named_task(str(tmp_path / "missing.csv"))
    with pytest.raises(InputError, match=r"neither \.csv nor \.npz"):
        named_task("table.xlsx")
    broken = tmp_path / "broken.npz"
    broken.write_text("no archive")
    with pytest.raises(InputError, match="cannot be read"):
        read_task(broken)
    binary = tmp_path / "binary.csv"
    binary.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(InputError, match="cannot be read"):
        read_task(binary)
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    with pytest.raises(InputError, match="holds x"):
        read_task(tmp_path / "other.npz")
    with pytest.raises(InputError, match="ring, sphere, curve"):
        named_task("NOSUCH")


def test_arrays_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match="do not fit"):
        own_task("x", np.zeros((3, 2)), np.zeros(4))
    with pytest.raises(InputError, match="finite"):
        own_task("x", np.array([[0.0], [np.inf]]), np.array([0.0, 1.0]))
    with pytest.raises(InputError, match="0 and 1"):
        ClassificationTask("x", [[0.0], [1.0]], [0, 2])  # type: ignore[arg-type]
    with pytest.raises(InputError, match="between -1 and 1"):
        RegressionTask("x", [[0.0], [1.5]], [0, 2])  # type: ignore[arg-type]
    with pytest.raises(InputError, match="differ"):
        ClassificationTask("x", [[0.0], [1.0]], [1, 1])  # type: ignore[arg-type]
    with pytest.raises(InputError, match="two classes"):
        ring(1)


def test_every_task_has_normalised_targets_and_named_patterns() -> None:
    tasks: list[Task] = [named_task(name) for name in ("XOR", "ring", "sphere", "curve")]
    for task in tasks:
        assert np.mean(task.targets_V) == pytest.approx(0, abs=1e-12)
        assert np.mean(np.square(task.targets_V)) == pytest.approx(1)
        assert len(set(task.patterns)) == len(task.points)
