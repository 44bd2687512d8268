"""What is measured, beside the data that it was trained on."""

import torch

from genimg.evaluation.features.extractor import Extractor
from genimg.evaluation.subject import Images, Subject
from genimg.sampling.sampler import Sampler
from tests.stub_models import StubGenerator


def test_classes_are_told_by_name() -> None:
    """A class may be called 1 and be number 0."""
    labels = torch.tensor([0, 1, 2])
    images = Images(torch.zeros(3, 1, 8, 8), labels, torch.zeros(3, 1, 8, 8), labels)
    sampler = Sampler(StubGenerator(), (1, 8, 8), classes=("1", "2", "10"))
    extractor = Extractor("none", torch.nn.Identity(), "none")
    subject = Subject(sampler, images, extractor, {}, 3, 0, None)
    assert subject.classes_of_test(torch.tensor([2, 0])) == ["10", "1"]
