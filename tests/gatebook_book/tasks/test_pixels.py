"""Digits as sequences, on the embedded sample."""

import numpy as np
import pytest
import torch
from gatebook_book.tasks import Pixels
from gatebook_book.tasks.pixels import bit_reversal, permutation


@pytest.mark.parametrize("n", [1, 2, 3, 49, 196, 784, 1024])
def test_bit_reversal_is_a_permutation(n):
    order = bit_reversal(n)
    assert sorted(order) == list(range(n))
    bits = (n - 1).bit_length()
    backwards = [int(format(i, f"0{bits}b")[::-1], 2) if bits else 0 for i in order]
    # Reversed indices come in rising order: that is the papers' sequence.
    assert backwards == sorted(backwards)


def test_bit_reversal_starts_as_published():
    assert bit_reversal(784)[:8].tolist() == [0, 512, 256, 768, 128, 640, 384, 64]


def test_a_seeded_permutation_is_one_a_run():
    assert (permutation("seeded", 784, 0) == permutation("seeded", 784, 0)).all()
    assert (permutation("seeded", 784, 0) != permutation("seeded", 784, 1)).any()


@pytest.fixture(scope="module")
def small():
    return Pixels(pool=4, batch_size=50, source="embedded", train_size=1000)


def test_sequences_are_pixels_in_the_unit_interval(small):
    x, labels = small.batch(0)
    assert x.shape == (49, 50, 1) and labels.shape == (1, 50)
    assert x.min() >= 0 and x.max() <= 1 and x.max() > 0.5
    assert small.describe()["data_source"].startswith("MNIST 5k")


def test_pooling_averages_squares():
    whole = Pixels(pool=1, batch_size=3, source="embedded").batch(0)[0]
    halves = Pixels(pool=2, batch_size=3, source="embedded").batch(0)[0]
    image = whole[:, 0, 0].reshape(28, 28)
    expected = image.reshape(14, 2, 14, 2).mean((1, 3)).flatten()
    torch.testing.assert_close(halves[:, 0, 0], expected)


def test_an_order_moves_every_image_alike(small):
    plain = small.batch(0)[0]
    moved = Pixels("bit-reversal", 4, 50, source="embedded", train_size=1000).batch(0)[
        0
    ]
    torch.testing.assert_close(moved, plain[bit_reversal(49)])


def test_training_validation_and_test_do_not_meet(small):
    train, held = small._split
    assert len(train) == 1000 and not set(train) & set(held)
    assert sum(len(y[0]) for _, y in small.test()) == 1000
    labels = torch.cat([y[0] for _, y in small.test()])
    assert (torch.bincount(labels) == 100).all()


def test_an_epoch_shows_each_image_once_in_a_new_order(small):
    assert small.steps_per_epoch == 20

    def epoch(start):
        parts = [small.batch(step)[0] for step in range(start, start + 20)]
        return torch.cat(parts, 1)[..., 0].T.numpy()

    first, second = epoch(0), epoch(20)
    assert not np.array_equal(first, second)
    order = lambda a: a[np.lexsort(a.T)]  # noqa: E731
    assert np.array_equal(order(first), order(second))


def test_scores_can_be_taken_on_fewer_images():
    task = Pixels(pool=4, source="embedded", validation_size=120)
    assert sum(len(y[0]) for _, y in task.validation()) == 120


@pytest.mark.parametrize("share", [1e-5, 1 - 1e-5])
def test_a_share_that_leaves_no_image_is_refused_before_training(share):
    task = Pixels(pool=4, source="embedded", validation_share=share)
    with pytest.raises(ValueError, match=f"share is {share}; .*some of the 4000 image"):
        task.validation()


def test_a_colour_image_has_three_numbers_a_step():
    task = Pixels(pool=1, batch_size=4, source="embedded", images="cifar10")
    x, labels = task.batch(0)
    assert x.shape == (1024, 4, 3) and labels.shape == (1, 4)
    assert (task.input_size, task.output_size, task.length) == (3, 2, 1024)
    halves = Pixels(pool=2, batch_size=4, source="embedded", images="cifar10")
    expected = x.reshape(16, 2, 16, 2, 4, 3).mean((1, 3)).reshape(256, 4, 3)
    torch.testing.assert_close(halves.batch(0)[0], expected)


def test_images_and_their_sources_are_checked():
    with pytest.raises(ValueError, match="unknown images 'cifar'"):
        Pixels(images="cifar")
    with pytest.raises(ValueError, match="unknown source 'subset'"):
        Pixels(source="subset")
