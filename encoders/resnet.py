"""ResNet-18 without its classifier, with torchvision's names, so that ImageNet weights fit as they are."""

from pathlib import Path

from torch import Tensor, nn
from torch.nn import functional

from encoders.checkpoints import read_state_dict
from encoders.errors import CheckpointError

_CLASSIFIER = ("fc.weight", "fc.bias")
_UNCOUNTED = ".num_batches_tracked"  # a counter of BatchNorm that older files lack


class BasicBlock(nn.Module):
    """Two 3×3 convolutions beside a shortcut (He et al., arXiv 1512.03385, figure 2)."""

    def __init__(self, in_width: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_width, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = (
            nn.Sequential(nn.Conv2d(in_width, width, 1, stride, bias=False), nn.BatchNorm2d(width))
            if stride != 1 or in_width != width
            else None
        )

    def forward(self, image_BCHW: Tensor) -> Tensor:
        """Return (B, width, H / stride, W / stride)."""
        shortcut = image_BCHW if self.downsample is None else self.downsample(image_BCHW)
        mixed = functional.relu(self.bn1(self.conv1(image_BCHW)))
        return functional.relu(self.bn2(self.conv2(mixed)) + shortcut)


class ResNet18(nn.Module):
    """Three-channel images to maps of 8 · `width` channels, 32 times smaller, or 16 times without pooling."""

    def __init__(self, width: int = 64, *, pools_stem: bool = True) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1) if pools_stem else nn.Identity()
        self.layer1 = _stage(width, width, 1)
        self.layer2 = _stage(width, 2 * width, 2)
        self.layer3 = _stage(2 * width, 4 * width, 2)
        self.layer4 = _stage(4 * width, 8 * width, 2)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, image_BCHW: Tensor) -> Tensor:
        """Return (B, 8 · width, H / 32, W / 32), rounded up."""
        maps = self.maxpool(functional.relu(self.bn1(self.conv1(image_BCHW))))
        features: Tensor = self.layer4(self.layer3(self.layer2(self.layer1(maps))))
        return features


def load_imagenet_weights(resnet: ResNet18, path: Path) -> None:
    """Fill a ResNet-18 with weights as torchvision stores them; its classifier is left out.

    Raises:
        CheckpointError: the file is no checkpoint, or a key is missing, of another shape or left over.
    """
    tensors = read_state_dict(path)
    expected: dict[str, Tensor] = dict(resnet.state_dict())
    for name, tensor in expected.items():
        if name not in tensors and name.endswith(_UNCOUNTED):
            tensors[name] = tensor
        found = tuple(tensors[name].shape) if name in tensors else None
        if found != tuple(tensor.shape):
            what = "is missing" if found is None else f"has the shape {found}"
            raise CheckpointError(
                f"{path} does not fit ResNet-18: the key {name!r} {what} where "
                f"{tuple(tensor.shape)} is asked for; give torchvision's state_dict of resnet18"
            )
    for name in tensors:
        if name not in expected and name not in _CLASSIFIER:
            raise CheckpointError(
                f"{path} does not fit ResNet-18: the key {name!r} is left over; "
                "give torchvision's state_dict of resnet18"
            )
    resnet.load_state_dict({name: tensors[name].to(tensor.dtype) for name, tensor in expected.items()})


def _stage(in_width: int, width: int, stride: int) -> nn.Sequential:
    return nn.Sequential(BasicBlock(in_width, width, stride), BasicBlock(width, width, 1))
