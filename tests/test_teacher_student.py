import math

import numpy as np
import pytest

from regimes import dimension, kernels, network_plots, teacher_student, teachers

SMALL = {"dims": (2, 4), "n": (16, 32, 64), "widths": (3, 5, 8), "teachers": 2, "student_width": 16}


def planted(student, x, y, at, *, seeds=1, **options):
    """Losses that follow 4/d exactly, in n and in parameters, instead of training."""
    alpha = 4 / x.shape[1]
    count = len(seeds) if hasattr(seeds, "__len__") else seeds
    loss = np.array(at, dtype=float) if len(at) > 1 else np.array([float(student.parameters(x[:1]))])
    test = np.tile(0.7 * loss**-alpha, (count, 1))
    return teachers.Trained(test, 0.01 * test, test, 0, student.init(0, x[:1]))


@pytest.fixture(scope="module")
def planted_runs():
    """Seeds 4 and 5 with planted losses, and 4 again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(teachers, "train_in_n", planted)
        return [teacher_student.run(**SMALL, quick=True, seed=seed) for seed in (4, 5, 4)]


@pytest.fixture
def result(planted_runs):
    return planted_runs[0]


def test_planted_exponents_come_back(result):
    for one in result.dimensions:
        found = one.exponents()
        assert found["network_n"].value == pytest.approx(4 / one.dim)
        assert found["network_k"].value == pytest.approx(4 / one.dim)
        np.testing.assert_allclose(one.train_share, 0.01)
        assert one.data.value == pytest.approx(one.dim, rel=0.12)
    for name in ("network_n", "network_k"):
        for slope in (result.slopes[name], result.everywhere[name]):
            assert (slope.low, slope.value, slope.high) == pytest.approx((1, 1, 1))
    assert result.checks[0].holds
    assert result.checks[1].holds
    assert "has the slope 1.000" in str(result)


@pytest.mark.parametrize(
    ("dim", "until", "expected"),
    # (d+1)(d+2)/2 polynomials up to degree two: 6, 10, 15 and 45, times four
    [
        (2, None, [32, 64, 128, 256]),
        (3, None, [64, 128, 256]),
        (4, None, [64, 128, 256]),
        (4, 3, [32, 64, 128]),
        (8, None, [64, 128, 256]),
        (2, 1, [32, 64, 128]),
        (2, 3, [32, 64, 128]),
    ],
)
def test_exponents_are_read_where_degree_two_is_learnt(dim, until, expected):
    at = np.array([32, 64, 128, 256])
    assert at[teacher_student._learnt(dim, at, until=until)].tolist() == expected


def test_tables_and_record_hold_the_numbers(result):
    tables = result.tables()
    assert tables["exponents"]["network_n"].tolist() == pytest.approx([2, 1])
    assert tables["exponents"]["4/d"].tolist() == [2, 1]
    features = len(teacher_student.plan(**SMALL, quick=True).features)
    assert len(tables["losses"]) == 2 * (2 * 3 + 2 * 3 + 2 * features)
    assert tables["slopes"]["from"].tolist() == ["window"] * 6 + ["everywhere"] * 4
    assert result.record()["run"]["dims"] == (2, 4)


def test_the_kernel_is_beside_it(result):
    """The measured losses of the kernel are those of plain linear algebra, and the spectrum predicts them."""
    sizes = teacher_student.plan(**SMALL, quick=True)
    rng = np.random.default_rng([4, 2, 2])
    model = kernels.fully_connected(2, bias_std=0.3)
    x = teachers.inputs(2 * sizes.pool, 2, rng)
    y = teachers.draw(2, [4, 2, 1, 0]).labels(x)
    gram = model(x)
    train, test = slice(0, 32), slice(sizes.pool, None)
    fit = gram[test, train] @ np.linalg.solve(gram[train, train], y[train])
    found = result.dimensions[0]
    assert found.kernel_n.trials[1, 1] == pytest.approx(np.mean((fit - y[test]) ** 2), rel=1e-6)
    phi = model.features(x, sizes.features[-1], int(rng.integers(2**31)))
    pool = slice(0, sizes.pool)
    weights = np.linalg.lstsq(phi[pool, :64], y[pool], rcond=None)[0]
    loss = np.mean((phi[test, :64] @ weights - y[test]) ** 2) * (1 - 64 / sizes.pool)
    assert found.kernel_k.trials[1, 1] == pytest.approx(loss, rel=1e-5)
    for one in result.dimensions:  # a target drawn from the NNGP in the NTK: 3/d where the window is far enough out
        assert one.spectrum_k.value == pytest.approx(3 / one.dim, rel=0.35)
        assert one.beta.value > one.alpha.value
        predicted = np.median(one.predicted_k.loss / one.kernel_k.loss)
        assert predicted == pytest.approx(1, abs=0.25)
    assert result.dimensions[0].spectrum_n.value > 1.2 * result.dimensions[1].spectrum_n.value


def test_the_same_seed_gives_the_same(planted_runs):
    for one, new, same in zip(*(each.dimensions for each in planted_runs), strict=True):
        np.testing.assert_array_equal(one.kernel_n.trials, same.kernel_n.trials)
        assert one.student == same.student
        assert not np.array_equal(one.kernel_n.trials, new.kernel_n.trials)


@pytest.mark.slow
def test_students_learn(tmp_path):
    """One dimension trained for real: the loss falls in n and in k, and the activations keep the dimension."""
    sizes = teacher_student.plan(**SMALL | {"n": (16, 64, 256), "steps": 400, "steps_k": 400}, quick=True)
    sizes, reported = sizes._replace(widths=(3, 12), many=1024), []
    found = teacher_student._at(2, sizes, 0, tmp_path, lambda what, share: reported.append(share))
    assert found.diverged == 0
    assert found.network_n.loss[-1] < 0.5 * found.network_n.loss[0]
    assert found.network_k.loss[-1] < 0.5 * found.network_k.loss[0]
    assert found.network_k.at.tolist() == [3 * w + w * (w + 1) + w + 1 for w in sizes.widths]
    assert found.student.value == pytest.approx(2, rel=0.15)
    assert reported == sorted(reported)
    assert 0 <= reported[0] <= reported[-1] < 1
    again = teacher_student._at(2, sizes, 0, tmp_path, lambda what, share: None)  # from the checkpoint
    np.testing.assert_array_equal(found.network_n.trials, again.network_n.trials)


def test_the_figure_shows_every_dimension(result):
    figure = network_plots.teacher_student(result)
    left, middle, right = figure.axes
    assert [text.get_text() for text in left.get_legend().get_texts()] == ["d = 2", "d = 4"]
    line = left.containers[0].lines[0]
    np.testing.assert_allclose(line.get_ydata(), result.dimensions[0].network_n.loss)
    assert middle.get_xscale() == "log"
    assert any("slope 1.00" in text.get_text() for text in right.get_legend().get_texts())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dims": (2,)}, "`dims` must hold at least 2"),
        ({"dims": (0, 2)}, "`dims` must lie between 1"),
        ({"dims": ()}, "`dims` is empty"),
        ({"dims": (4, 2)}, "`dims` must be strictly increasing"),
        ({"n": (32, 64)}, "`n` must hold at least 3"),
        ({"n": (32, 64, 90.5)}, "`n` must be whole"),
        ({"n": (32, 64, math.nan)}, "`n` holds 1 NaN"),
        ({"widths": (1, 4, 8)}, "`widths` must lie between 2"),
        ({"teachers": 1}, "`teachers` must be at least 2"),
        ({"students": 0}, "`students`"),
        ({"student_width": 0}, "`student_width`"),
        ({"steps": 0}, "`steps`"),
        ({"steps_k": 1}, "`steps_k`"),
        ({"seed": -1}, "`seed`"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(ValueError, match=message):
        teacher_student.run(**arguments)


def test_the_command_writes_what_it_found(regimes, monkeypatch, tmp_path):
    monkeypatch.setattr(teachers, "train_in_n", planted)
    out = tmp_path / "out"
    arguments = ["--dims", "2,4", "--n", "16,32,64", "--widths", "3,5,8", "--teachers", 2, "--student-width", 16]
    code, printed, _ = regimes("network", "resolution", *arguments, "--quick", "--out", out)
    assert code == 0
    assert "4/alpha against d has the slope 1.000" in " ".join(printed.split())
    assert {path.name for path in out.iterdir()} >= {"teacher_student.png", "exponents.csv", "slopes.csv", "run.json"}


def test_the_command_refuses_before_it_begins(regimes, tmp_path):
    code, _, error = regimes("network", "resolution", "--dims", "2,x", "--out", tmp_path / "out")
    assert code == 2
    assert "`--dims` must be numbers" in error
    assert not (tmp_path / "out").exists()


def test_intrinsic_dimension_of_the_cube(rng):
    found = dimension.intrinsic_dimension(teachers.inputs(2000, 4, rng), at=2).estimate
    assert found.value == pytest.approx(4, rel=0.1)
