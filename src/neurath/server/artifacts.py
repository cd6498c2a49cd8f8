"""The files of the device plane: a terminal's artifacts, and the one file that a torn terminal may have without a token. It
knows names and ranges; whether a byte may leave is delivery's to say. Spec: docs/spec/ddi.md."""

from __future__ import annotations

import logging
from functools import partial

import anyio
from starlette.requests import Request
from starlette.responses import Response

from neurath.clock import agreed
from neurath.errors import DataError, NeurathError, NotFound, RefusedError
from neurath.server.delivery.calls import Delivery
from neurath.server.delivery.rescue import Rescue
from neurath.server.device import Ask, Policy, answer, conditions, read_body, refused
from neurath.server.fleet import actions
from neurath.server.fleet.actions import Action
from neurath.server.serving import Conditions, Content, FileResponse
from neurath.server.software import catalog, keylists
from neurath.wire import ddi
from neurath.wire.cbor import count
from neurath.wire.ddi import Artifact

log = logging.getLogger(__name__)

#: The name of an update file of ours ends so.
SUFFIX = ".nru"


class Artifacts:
    """Handlers of the artifact routes."""

    def __init__(self, delivery: Delivery, policy: Policy) -> None:
        self.delivery = delivery
        self.policy = policy
        self.store = delivery.store
        self.rescues = Rescue(delivery)

    def of_action(self, ask: Ask, action: Action) -> Artifact:
        """The one artifact of an action, as a deployment names it."""
        with self.store.read() as db:
            size, sha1, md5 = catalog.file_hashes(db, action.file)
            release = catalog.find_release(db, str(action.release))
        name = release.filename if action.kind == "package" else action.file + SUFFIX
        href = f"{ask.base}/softwaremodules/{action.release}/artifacts/{name}"
        return Artifact(name, size, href, sha256=action.file, sha1=sha1, md5=md5)

    def listing(self, ask: Ask) -> Response:
        found = self._of_module(ask)
        if not found:
            raise NotFound(f"no module {ask.names['module'][:20]}", "no open action of this terminal has it", id="NRT-137")
        return answer([ddi.artifact_to(self.of_action(ask, action)) for action in found])

    def _of_module(self, ask: Ask) -> list[Action]:
        """Open actions of the terminal whose release has this number: no other file is this terminal's business."""
        with self.store.read() as db:
            found = actions.current_actions(db, ask.terminal.n)
        return [a for a in found if a.state == "open" and str(a.release) == ask.names["module"]]

    def one(self, ask: Ask) -> Response:
        wanted = ask.names["file"]
        for action in self._of_module(ask):
            about = self.of_action(ask, action)
            if wanted == about.filename + ".MD5SUM":
                return Response(f"{about.md5}  {about.filename}", media_type="text/plain")
            if wanted == about.filename:
                return self._file(ask, action, about)
        raise NotFound(f"no artifact {wanted[:80]}", "no open action of this terminal has it", id="NRT-137")

    def _file(self, ask: Ask, action: Action, about: Artifact) -> Response:
        if not self.delivery.may_have(action):
            raise NotFound(f"no artifact {about.filename[:80]}", "it was revoked, called off or stopped", id="NRT-137")
        if not self.delivery.may_fetch(action):
            raise RefusedError(
                "the terminal has not said that it secured room for this file",
                f"secured {action.secured} of {action.size} bytes",
                "report `secured` first",
                id="NRT-328",
            )
        if action.kind == "package" and ask.method == "GET" and (made := self._by_another(ask, action, about)) is not None:
            self._count(action, 0, 0)  # what is fetched there is not counted; that it went is
            return made
        return FileResponse(self._content(action, about), ask.conditions, partial(self._count, action))

    def _content(self, action: Action, about: Artifact) -> Content:
        return Content(self.store.files.verified(action.file), about.size, about.filename, about.sha1, action.created)

    def _by_another(self, ask: Ask, action: Action, about: Artifact) -> Response | None:
        """The word for whoever sends a package in this server's place: the proxy in front, else the object store; None where
        nobody does."""
        files, policy, asked = self.store.files, self.policy, ask.conditions
        if policy.accel and ask.proxied and not (asked.if_match or asked.if_range):  # a proxy does not know our tags
            content = self._content(action, about)
            place = policy.accel + content.path.relative_to(files.root).as_posix()
            said = {name: value for name, value in content.headers.items() if name != "accept-ranges"}  # the proxy says it
            return Response(headers=said | {"x-accel-redirect": place})
        if policy.offload and files.behind is not None:
            # The client goes on without its token: curl, and every library worth the name, sends that to this host only.
            address = files.behind.link(action.file, about.filename, policy.offload)
            return Response(status_code=307, headers={"Location": address, "Cache-Control": "no-store"})
        return None

    def _count(self, action: Action, start: int, count: int) -> bool:
        try:
            return self.delivery.served(action, start, count, agreed())
        except NeurathError as fault:
            log.warning("%s bytes of action %s are not counted: %s", count, action.id, fault.what)
            return True

    async def rescue(self, request: Request) -> Response:
        """A pinned update file by its digest, without a token: a boot core that was torn has nothing but the digest."""
        try:
            return await anyio.to_thread.run_sync(self._rescue, request.path_params["digest"], conditions(request))
        except NeurathError as error:
            return refused(error)

    async def ask(self, request: Request) -> Response:
        """What a terminal that cannot boot asks: the word for a file that helps it. No token: it may have none any more."""
        names = request.path_params
        try:
            body = await read_body(request)
            made = await anyio.to_thread.run_sync(self.rescues.answer, names["tenant"], names["id"], body, agreed())
        except NeurathError as error:
            return refused(error)
        if made is None:
            return Response(status_code=202, headers={"Retry-After": "1"})
        return Response(made, media_type="application/octet-stream")

    async def key_list(self, request: Request) -> Response:
        """A list of keys. No token: it is public, and believed for its signatures alone."""
        try:
            raw = await anyio.to_thread.run_sync(self._key_list, request.path_params["version"])
        except NeurathError as error:
            return refused(error)
        return Response(raw, media_type="application/octet-stream")

    def _key_list(self, version: str) -> bytes:
        with self.store.read() as db:
            return keylists.find(db, count(version, "version of a key list"))

    def _rescue(self, name: str, wanted: Conditions) -> Response:
        if len(name) not in (32, 64) or set(name) - set("0123456789abcdef"):
            raise DataError("this is not a digest of a file", "32 or 64 lower-case hex digits", id="NRT-263")
        with self.store.read() as db:
            found = actions.held_file(db, name)
            if found is None:
                raise NotFound(f"no file {name[:16]}…", "no terminal is waiting for one", id="NRT-137")
            size, sha1, _ = catalog.file_hashes(db, found)
        content = Content(self.store.files.verified(found), size, found + SUFFIX, sha1, 0.0)
        return FileResponse(content, wanted, lambda start, count: None)
