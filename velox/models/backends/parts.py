"""Batches in parts of fixed sizes: while the device computes one part, the next one is stacked and copied to it."""

import logging
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

import numpy as np
import torch

from velox.models.backends.backend import Images, Probabilities

log = logging.getLogger(__name__)

Compute = Callable[[torch.Tensor], torch.Tensor]
"""From n × height × width × 3 bytes to n × classes probabilities, float32, on one device. It waits for no GPU."""
Make = Callable[[Compute, tuple[int, ...]], "Part"]
"""Makes room for images of a shape: n × height × width × 3."""

SIZES: Final = (1, 8, 64)
"""Images in a part, as each graph has one size. A part with fewer computes what lies there besides; nobody sees it."""
_SIDES: Final = 2
"""One is filled while the other is computed."""
_WARM_UPS: Final = 3
"""Calls before a graph is captured: libraries allocate, and choose their algorithms, in the first ones."""
_TOLERANCE: Final = 0.02
"""Probabilities of half precision differ by so much when a library chooses another algorithm."""


class Part:
    """Buffers for n images and their probabilities, n fixed. This class computes on the CPU, as soon as it has them."""

    is_pinned = False
    """From pinned memory a GPU fetches by itself, without a copy in between."""

    def __init__(self, compute: Compute, shape: tuple[int, ...]) -> None:
        self._compute = compute
        self._images = torch.zeros(shape, dtype=torch.uint8, pin_memory=self.is_pinned)
        self._answers = torch.empty(0)
        self._count = 0

    def begin(self, images: Images) -> None:
        """Copy 1 to n images in (height × width × 3 bytes each) and start; call ``end`` before the next ``begin``."""
        self._count = len(images)
        np.stack([*images], out=self._images.numpy()[: self._count])
        self._start()

    def end(self) -> Probabilities:
        """Wait for the probabilities: images given × classes, float32, a copy of the caller's own."""
        self._wait()
        answers: Probabilities = self._answers[: self._count].numpy().copy()
        return answers

    def _start(self) -> None:
        self._answers = self._compute(self._images)

    def _wait(self) -> None:
        pass


class GraphPart(Part):
    """Computes on a GPU, as one CUDA graph: one launch instead of one for each of a hundred layers.

    All parts of a device share two streams: one copies images, the other computes. See "CUDA semantics" in PyTorch's
    documentation.
    """

    is_pinned = True

    def __init__(
        self, compute: Compute, shape: tuple[int, ...], *, copying: torch.cuda.Stream, computing: torch.cuda.Stream
    ) -> None:
        """Make room on both sides, and capture the graph."""
        super().__init__(compute, shape)
        self._copying, self._computing = copying, computing
        self._copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
        self._computed = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]  # the core is for decoding
        self._inputs = torch.zeros(shape, dtype=torch.uint8, device=computing.device)
        torch.cuda.synchronize(computing.device)
        # Here each size comes for good, so that it pays to try which algorithm is the fastest for it.
        with torch.backends.cudnn.flags(enabled=True, benchmark=True):
            with torch.cuda.stream(computing):
                for _ in range(_WARM_UPS):
                    compute(self._inputs)
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph, stream=computing):
                self._outputs = compute(self._inputs)
        self._answers = torch.empty(self._outputs.shape, dtype=torch.float32, pin_memory=True)

    def _start(self) -> None:
        # The last use of all this is over: `end` has waited for it.
        with torch.cuda.stream(self._copying):
            self._inputs.copy_(self._images, non_blocking=True)
            self._copied.record()
        with torch.cuda.stream(self._computing):
            self._computing.wait_event(self._copied)
            self._graph.replay()
            self._answers.copy_(self._outputs, non_blocking=True)
            self._computed.record()

    def _wait(self) -> None:
        self._computed.synchronize()


def graph_parts(device: torch.device) -> Make:
    """Return a function that makes parts on a GPU."""
    copying, computing = (torch.cuda.Stream(device) for _ in range(2))  # type: ignore[no-untyped-call]
    return partial(GraphPart, copying=copying, computing=computing)


class Parts:
    """Computes batches of any size, part by part; two parts are under way at a time. Used by one thread."""

    def __init__(self, compute: Compute, make: Make) -> None:
        self._compute = compute
        self._make = make
        self._room: dict[tuple[int, int], Part] = {}

    def __call__(self, images: Images) -> Probabilities:
        """Return n × classes probabilities for n ≥ 1 images of one shape, in their order."""
        self._prepare(images[0].shape)
        answers = []
        under_way = deque[Part]()
        for number, first in enumerate(range(0, len(images), SIZES[-1])):
            some = images[first : first + SIZES[-1]]
            if len(under_way) == _SIDES:
                answers.append(under_way.popleft().end())
            part = self._room[number % _SIDES, next(size for size in SIZES if size >= len(some))]
            part.begin(some)
            under_way.append(part)
        answers.extend(part.end() for part in under_way)
        return np.concatenate(answers)

    def each(self, shape: tuple[int, ...]) -> Iterator[tuple[Images, Probabilities]]:
        """Run every part on random images of a shape, height × width × 3; yield them with the part's probabilities."""
        self._prepare(shape)
        chance = np.random.default_rng(0)
        for (_, size), part in self._room.items():
            images = chance.integers(0, 256, (size, *shape), np.uint8)
            part.begin(images)
            yield images, part.end()

    def _prepare(self, shape: tuple[int, ...]) -> None:
        if not self._room:
            self._room = {
                (side, size): self._make(self._compute, (size, *shape)) for side in range(_SIDES) for size in SIZES
            }


class Trusted:
    """``Parts``, if they have been seen to give the results of the network by itself; otherwise the plain network."""

    def __init__(self, compute: Callable[[Images], Probabilities], parts: Parts) -> None:
        """Use ``compute`` instead when ``parts`` fail or give other results."""
        self._compute = compute
        self._parts = parts
        self._chosen: Callable[[Images], Probabilities] | None = None

    def __call__(self, images: Images) -> Probabilities:
        """Return n × classes probabilities for n ≥ 1 images, in their order."""
        if self._chosen is None:
            self._chosen = self._choose(images[0].shape)
        return self._chosen(images)

    def _choose(self, shape: tuple[int, ...]) -> Callable[[Images], Probabilities]:
        doubt = self._doubt(shape)
        if doubt is None:
            return self._parts
        log.warning("The model runs without CUDA graphs: %s", doubt)
        del self._parts  # and the device's memory with it
        return self._compute

    def _doubt(self, shape: tuple[int, ...]) -> str | None:
        """Say why parts are not to be used."""
        try:
            for images, answers in self._parts.each(shape):
                if not np.allclose(answers, self._compute(images), atol=_TOLERANCE, equal_nan=True):
                    return f"with {len(images)} images they answer otherwise than the model itself; report this, please"
        except RuntimeError as error:  # so a driver's and a capture's errors are, and too little memory
            first: BaseException = error
            while first.__context__:  # what went wrong in a capture, not that it could not be ended then
                first = first.__context__
            return str(first).partition("\n")[0]
        return None
