"""The whole way through our own carrier and real HTTP keeps delivery's contract too."""

from __future__ import annotations

import time

import pytest

from neurath.carriers.http import Http, Place
from neurath.errors import NotFound, RefusedError
from neurath.wire import piece
from neurath.wire.piece import Piece
from tests.contracts.delivery import DeliveryContract
from tests.server.test_http import serving


class OverHttp:
    def __init__(self, running) -> None:
        self.world = running.world
        client = running.enrol("t1")
        self.link = Http(Place(f"http://127.0.0.1:{running.port}", "t1", client.token))
        self.release, self.start, self.says = self.world.release, self.world.start, self.world.says
        self.sizes: dict[bytes, int] = {}

    def check(self, check):
        for _ in range(100):
            answer = self.link.check(check)
            if answer.offer is not None or answer.again_in != 1:
                break
            time.sleep(0.05)
        if answer.offer is not None:
            self.sizes[answer.offer.file] = answer.offer.size
        return answer.offer

    def answer(self, file, offset, room):
        count = min(room - 10, self.sizes.get(file, 1) - offset)
        try:
            data = b"".join(self.link.fetch(file, offset, count)) if count > 0 else b""
        except (RefusedError, NotFound):
            return b""
        return piece.encode(Piece(file[:4], offset, data)) if data else b""

    def report(self, report):
        self.link.report(report)

    def stop(self, made):
        self.world.move(made, "abort")


class TestOverHttp(DeliveryContract):
    @pytest.fixture(autouse=True)
    def _server(self, tmp_path):
        with serving(tmp_path / "data") as running:
            self.hands = OverHttp(running)
            yield
            self.hands.link.close()

    def open(self):
        return self.hands
