"""The subject of an evaluation."""

import torch

from genimg.evaluation.features.extractor import Extractor
from genimg.evaluation.subject import Drawing, Images, Subject, complement
from genimg.sampling.sampler import Sampler
from tests.stub_models import StubGenerator

DRAWING: Drawing = {"seed": 0, "temperature": 1.0, "guidance": None, "truncation": None, "truncation_psi": None}


def test_training_images_for_floors_are_reserved() -> None:
    images = Images(torch.zeros(10, 1, 8, 8), None, torch.zeros(3, 1, 8, 8), None)
    assert images.reserved.tolist() == [0, 3, 6] and images.floor(2).tolist() == [0, 3]
    assert complement(10, images.reserved).tolist() == [1, 2, 4, 5, 7, 8, 9]
    few = Images(torch.zeros(3, 1, 8, 8), None, torch.zeros(9, 1, 8, 8), None)
    assert few.reserved.tolist() == [0]  # at most half


def test_classes_are_names() -> None:
    """The name of class 0 may be 1."""
    labels = torch.tensor([0, 1, 2])
    images = Images(torch.zeros(3, 1, 8, 8), labels, torch.zeros(3, 1, 8, 8), labels)
    sampler = Sampler(StubGenerator(), (1, 8, 8), classes=("1", "2", "10"))
    extractor = Extractor("none", torch.nn.Identity(), "none")
    subject = Subject(sampler, images, extractor, {}, 3, DRAWING, None)
    assert subject.class_names(torch.tensor([2, 0])) == ["10", "1"]
